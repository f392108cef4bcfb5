"""`pcdarts search --plan`: memory and time for several K and batch sizes, from measured steps."""

import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from command_line import done
from pcdarts.bench import probes
from pcdarts.bench.plan import (
    batch_sizes,
    cases_by_stem,
    in_stage,
    prepare,
    stages_in_words,
    suggestion,
    table_of_stages,
)
from pcdarts.bench.probes import Case, Probe, Row, Work, row_of
from pcdarts.config.configs import SearchConfig
from pcdarts.config.recipes import recipe
from pcdarts.learn.child import Measured
from pcdarts.learn.stages import stages_of
from pcdarts.learn.steps import SearchStep
from pcdarts.methods.method import Stage
from pcdarts.run.display.progress import duration

SMALL = shlex.split(
    "search --plan --channels 1 --k 1 --num-cells 3 --num-nodes 3 --image-size 8 --batch-size 32 --threads 1"
)
STEP = Measured(step_bytes=100, total_bytes=1100, weight_seconds=1.0, arch_seconds=2.0)
PROBE = Probe(batch_size=16, step=STEP, start_seconds=3.0)
CASE = Case("cifar", 4, 64)
WORK = Work(weight_images=1000, epochs=50, arch_epochs=35, data_bytes=10)


def test_a_plan_is_a_table_and_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "BUDGET_SECONDS", 0.0)  # what is not the small step of a K is then scaled
    output = done(tmp_path, *SMALL)
    assert list(tmp_path.iterdir()) == []
    assert "search of fashion-mini, recipe fashion-mini: 1200 weight images of 8x8 pixels" in output
    rows = [line.split() for line in output.splitlines() if line.split()[:1] == ["1"]]
    assert [row[:3] for row in rows] == [["1", "8", "150"], ["1", "16", "75"], ["1", "32", "38"]]
    assert (rows[0][-1], rows[1][-1]) == ("measured", "scaled")
    assert " ".join(rows[-1]).endswith("scaled, this search")
    assert "scaled: in proportion to the images" in output
    assert "network to be trained afterwards: 5 cells, 8 channels, cifar stem, 8x8 images, 10 classes" in output
    stems = [line.split() for line in output.splitlines() if line.split()[:1] in (["cifar"], ["stride2"])]
    assert [row[:2] for row in stems] == [["cifar", "8x8"], ["stride2", "4x4"]]  # stride4 would need 16x16
    assert " ".join(stems[0]).endswith("scaled, this search")
    assert stems[1][-1] == "scaled"
    assert "suggested for images of 8x8: --kind cifar, as here (its cells see 8x8: " in output


def test_a_plan_of_cifar_10_downloads_nothing() -> None:
    setting, work, _ = prepare(recipe(SearchConfig, "cifar10"))
    assert (setting.image_size, setting.image_channels, setting.num_classes, setting.batch_size) == (32, 3, 10, 256)
    assert (work.weight_images, work.epochs, work.arch_epochs, work.steps(256)) == (25_000, 50, 35, 98)
    few, _, _ = prepare(SearchConfig(data="cifar100", train_images=100, image_size=16, arch_frozen_epochs=0))
    assert (few.batch_size, few.image_size, few.num_classes) == (50, 16, 100)


def test_the_time_counts_alpha_steps_only_after_the_frozen_epochs() -> None:
    assert WORK.seconds(STEP, 100) == 10 * (50 * 1.0 + 35 * 2.0)


def test_a_method_whose_alpha_moves_in_some_steps_takes_the_time_of_these() -> None:
    _, work, _ = prepare(recipe(SearchConfig, "proxyless"))
    assert work.arch_every == 5
    assert replace(WORK, arch_every=5).seconds(STEP, 100) == 10 * (50 * 1.0 + 35 / 5 * 2.0)


def test_a_search_in_stages_takes_the_time_of_all_and_the_memory_of_the_largest() -> None:
    config = SearchConfig(epochs=25, arch_frozen_epochs=10, num_cells=5)
    stages = stages_of(config, [Stage(), Stage(num_cells=11, k=2), Stage(num_cells=11, epochs=5, arch_frozen_epochs=0)])
    assert stages_in_words(stages) == ("5 then 11 cells of 16 channels, 55 epochs in 3 stages (20 with α and β frozen)")
    setting, work, _ = prepare(recipe(SearchConfig, "cifar10"))
    parts = [in_stage(setting, work, stage) for stage in stages]
    assert [(each.num_cells, each.k) for each, _ in parts] == [(5, 4), (11, 2), (11, 4)]
    assert [(each.epochs, each.arch_epochs) for _, each in parts] == [(25, 15), (25, 15), (5, 5)]
    rows = [Row(CASE, replace(STEP, total_bytes=size), "scaled") for size in (10**9, 3 * 10**9, 2 * 10**9)]
    table = table_of_stages(parts, rows)
    lines = [list(column.cells) for column in table.columns]
    assert lines[0] == ["1", "2", "3", "all"]
    assert lines[4] == ["25", "25", "5", "55"]
    seconds = 98 * (55 * STEP.weight_seconds + 35 * STEP.arch_seconds)
    assert lines[8][-1] == duration(seconds)
    assert lines[9][-1].startswith("3.")


def test_the_stages_of_a_search_without_any_are_what_is_said_of_it_before() -> None:
    config = recipe(SearchConfig, "cifar10")
    (stage,) = stages_of(config, [Stage()])
    setting, work, _ = prepare(config)
    assert in_stage(setting, work, stage) == (setting, work)
    assert stages_in_words([stage]) == "8 cells of 16 channels, 50 epochs (15 with α and β frozen)"


def test_a_larger_step_is_scaled_but_for_what_the_process_holds_anyway() -> None:
    assert PROBE.scaled(64) == Measured(step_bytes=400, total_bytes=1400, weight_seconds=4.0, arch_seconds=8.0)


def test_a_row_is_measured_or_scaled_from_the_largest_step() -> None:
    larger = Probe(batch_size=32, step=Measured(300, 1300, 1.5, 3.0), start_seconds=3.0)
    small = CASE._replace(batch_size=16)
    assert row_of(small, [PROBE, larger], WORK, None) == Row(small, STEP, "measured")
    assert row_of(CASE, [PROBE, larger], WORK, None) == Row(CASE, Measured(600, 1600, 3.0, 6.0), "scaled")
    assert row_of(CASE, [], WORK, None).step is None


def test_a_row_says_when_step_and_data_do_not_fit_into_the_memory() -> None:
    assert row_of(CASE, [PROBE], WORK, memory=1410).how == "scaled"
    assert row_of(CASE, [PROBE], WORK, memory=1409).how == "scaled; does not fit into the memory that is free"


def test_only_stems_that_images_and_channels_allow_are_compared() -> None:
    setting, _, _ = prepare(recipe(SearchConfig, "cifar10"))  # 32x32
    assert [case.kind for case in cases_by_stem(setting)] == ["cifar", "stride2", "stride4", "imagenet"]
    assert [case.kind for case in cases_by_stem(replace(setting, channels=3, k=1))] == ["cifar", "stride2", "stride4"]
    assert [case.kind for case in cases_by_stem(replace(setting, image_size=8))] == ["cifar", "stride2"]


def test_a_stem_is_suggested_for_the_size_of_the_images() -> None:
    setting, _, _ = prepare(recipe(SearchConfig, "cifar10"))
    assert suggestion(replace(setting, image_size=64)).startswith(
        "suggested for images of 64x64: --kind stride2 (its cells see 32x32: the first stem of which they see 32x32 or"
    )
    assert "--kind imagenet (its cells see 64x64: the largest stride that there is" in suggestion(
        replace(setting, image_size=512)
    )


def test_the_batch_sizes_are_the_one_asked_for_its_half_and_its_quarter() -> None:
    assert batch_sizes(256) == [64, 128, 256]
    assert batch_sizes(3) == [2, 3]


def test_the_step_that_is_measured_is_that_of_the_search_in_its_parts_and_with_its_method() -> None:
    config = SearchConfig(data="cifar10", gradient_accumulation_steps=4, gradient_clip=1.5, second_order=True)
    setting, _, _ = prepare(config)
    assert (setting.gradient_accumulation_steps, setting.gradient_clip) == (4, 1.5)
    step = SearchStep(replace(setting, channels=4, num_cells=3, num_nodes=3, image_size=8, batch_size=8, threads=1))
    assert step.method.state_dict()["optimizer"]["param_groups"][0]["lr"] == config.arch_learning_rate
    sizes: list[int] = []
    step.network.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    step.weight_step()
    assert sizes == [2, 2, 2, 2]
    sizes.clear()
    step.arch_step()
    assert sizes == [2] * 16  # four gradients, in four parts each
