"""`pcdarts fit`: a folder of images goes all the way, is killed and resumed, or is refused in one line."""

import json
import os
import re
import shlex
import shutil
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from command_line import (
    ONE_NODE,
    copy_of,
    done,
    end_of,
    error_line,
    forked,
    lines_of,
    metrics_of,
    refused,
    result_of,
    run_in,
    snapshot,
)
from made_facts import CIFAR
from made_latencies import SPACE, made_table
from made_runs import MadeOnce, printed_by
from pcdarts.config.configs import TrainConfig
from pcdarts.config.fit_config import FitConfig
from pcdarts.config.flags import read_flags
from pcdarts.config.recipes import resolve
from pcdarts.data.leak_words import leak_sentences
from pcdarts.errors import InputError
from pcdarts.network.latency.parts import Sizes
from pcdarts.own_images.account import Account
from pcdarts.own_images.chance import choice_between, interval
from pcdarts.own_images.fit import Fit
from pcdarts.own_images.look import look_at
from pcdarts.own_images.planning import Planner
from pcdarts.own_images.rules import MOST_EPOCHS, SAFETY, Shape, Training
from pcdarts.own_images.words import images_text
from pcdarts.run.run_folder import RunFolder

TINY = ("--minutes", "3", "--epochs", "2", "--channels", "2", "--num-cells", "3", "--image-size", "16")
CELL = ("--genotype", ONE_NODE.to_text())
STOCK = ("--compare", "squeezenet1_1")
"""What is exported soon."""


def times_briefly(patch: pytest.MonkeyPatch) -> None:
    """In as few rounds of measured times as there are at least."""
    patch.setattr("pcdarts.own_images.compare_speed.SECONDS", 0.0)
    patch.setattr("pcdarts.own_images.fit.ONNX_SECONDS", 0.0)


@pytest.fixture(scope="module")
def fitted(once: MadeOnce, colour_images: Path) -> tuple[Path, str]:
    """A folder with the run of a fit in `run`, and what it printed."""
    command = ("fit", str(colour_images), *TINY, *CELL, *STOCK, "--export", "onnx", "safetensors", "--run", "run")
    with pytest.MonkeyPatch.context() as patch:
        times_briefly(patch)
        folder = once("fitted", printed_by(*command))
    return folder, (folder / "printed.txt").read_text()


def test_a_folder_of_images_becomes_a_file_to_ship(fitted: tuple[Path, str]) -> None:
    folder, printed = fitted
    result, plan = result_of(folder / "run"), json.loads((folder / "run" / "plan.json").read_text())
    assert result["test_top1_error"] == result_of(folder / "run" / "train")["test_top1_error"]
    assert "export/model.onnx" in result["files"]
    assert all((folder / "run" / name).is_file() for name in result["files"])
    assert plan["seconds"].keys() == {"planning", "train", "export", "compare"}
    assert sum(plan["seconds"].values()) == pytest.approx(result["seconds"])
    assert "images: 3 classes, 18 training and 6 test images of " in printed
    assert " pixels on the shorter side, " in printed
    assert result["onnx_ms"].keys() == {"model.onnx"}
    assert f"{result['onnx_ms']['model.onnx']:.2f} ms (model.onnx)" in printed
    assert [row["name"] for row in result["compared"]["rows"]] == ["run", STOCK[1]]
    assert "comparison: " in printed
    assert result["cell"] == {"origin": "given", "said": "the one that --genotype names"}
    assert "\ncell: the one that --genotype names\n" in printed
    assert f"test error {result['test_top1_error']:.2f} % (" in printed


def test_what_is_said_of_the_images_is_said_once_and_only_the_fit_says_what_is_next(fitted: tuple[Path, str]) -> None:
    lines = fitted[1].splitlines()
    assert len([line for line in lines if line.startswith("training set: 18 of the 24 images")]) == 1
    assert "training set: 18 of the 24 images" in (fitted[0] / "run" / "train" / "log.txt").read_text()
    assert [line for line in lines if line.startswith(("next: ", "instead: "))] == [
        "next: pcdarts test run/train; pcdarts report run"
    ]


def test_the_card_names_the_folder_of_images_and_counts_those_that_were_learnt_from(
    fitted: tuple[Path, str], colour_images: Path
) -> None:
    card = (fitted[0] / "run" / "export" / "README.md").read_text()
    assert f'\n      name: "{colour_images.name}"\n' in card
    learnt = f"It learnt from 18 training images of `{colour_images.name}`; there were no validation images."
    assert learnt in card
    assert str(colour_images.parent) not in card
    assert "| cell | the one that --genotype names |\n" in card


def test_the_plan_is_five_lines_with_the_flags_that_change_it(fitted: tuple[Path, str]) -> None:
    lines = fitted[1].splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("images: "))
    plan = lines[start : start + 5]
    assert [line.partition(": ")[0] for line in plan] == ["images", "network", "cell", "training", "time"]
    flags = ("--image-size", "--channels", "--num-cells", "--max-params", "--search", "--epochs", "--minutes")
    assert all(flag in "\n".join(plan) for flag in flags)


def test_the_plan_says_which_epoch_is_kept(tmp_path: Path, shapes: Path) -> None:
    flags = ("--minutes", "2", "--channels", "2", "--num-cells", "3", "--epochs", "1", "--plan")
    for select, words in ((), "the epoch with the lowest validation error"), (("--select", "last"), "the last epoch"):
        assert f"; {words} is kept (--select)" in done(tmp_path, "fit", str(shapes), *flags, *select)


def test_the_command_of_a_phase_gives_its_configuration(fitted: tuple[Path, str]) -> None:
    folder, printed = fitted
    line = next(line for line in printed.splitlines() if line.startswith("train: pcdarts train "))
    flags, problems = read_flags(TrainConfig, shlex.split(line)[3:])
    again = resolve(TrainConfig, flags=flags, problems=problems)
    begun = resolve(TrainConfig, file=folder / "run" / "train" / "config.yaml")
    assert again == begun.model_copy(update={"genotype": again.genotype})


def test_a_finished_fit_is_not_resumed_but_goes_on_where_a_phase_is_missing(
    fitted: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times_briefly(monkeypatch)
    run = copy_of(fitted[0] / "run", tmp_path / "run")
    assert done(tmp_path, "fit", "--resume", "run") == "run is finished: there is nothing to resume\n"
    before = snapshot(run / "train")
    for path in (run / "result.json", run / "export" / "model.safetensors"):
        path.unlink()
    (run / "export" / ".export-killed").mkdir()
    done(tmp_path, "fit", "--resume", "run")
    assert (run / "export" / "model.safetensors").is_file()
    assert not (run / "export" / ".export-killed").exists()
    assert snapshot(run / "train") == before


def test_a_fit_that_is_killed_in_its_training_goes_on_with_it(
    fitted: tuple[Path, str], tmp_path: Path, colour_images: Path
) -> None:
    job = forked(tmp_path, "fit", str(colour_images), *TINY, *CELL, "--export", "safetensors", "--run", "run")
    while job.poll() is None and not lines_of(tmp_path / "run" / "train" / "metrics.jsonl"):
        time.sleep(0.002)
    job.kill()
    assert end_of(job).code == -9
    used = json.loads((tmp_path / "run" / "plan.json").read_text())["seconds"]
    assert done(tmp_path, "fit", "--resume", "run").count("epoch 1/2") == 0
    assert result_of(tmp_path / "run")["seconds_by_phase"]["planning"] >= used["planning"]
    assert result_of(tmp_path / "run")["test_top1_error"] == result_of(fitted[0] / "run")["test_top1_error"]


def alike(folder: Path) -> Path:
    """All images of the class ant are one, so that some are in two sets."""
    first, *others = sorted((folder / "ant").iterdir())
    for image in others:
        shutil.copy(first, image)
    return folder


def test_images_in_two_sets_are_in_the_facts_of_a_folder_and_at_the_end_of_the_line_about_its_images(
    tmp_path: Path, colour_images: Path
) -> None:
    facts, notes = look_at(FitConfig(folder=alike(shutil.copytree(colour_images, tmp_path / "alike"))))
    assert facts.leaks == {"test in training": 2}
    words = "2 test images are among the training images too, so the test error says too little"
    assert images_text(facts).endswith(f"; {words}")
    assert notes[-1].startswith("warning: 2 of 6 test images are among the training images too")
    assert look_at(FitConfig(folder=colour_images))[0].leaks == {}


def test_a_plan_of_an_earlier_version_says_nothing_of_images_in_two_sets(tmp_path: Path) -> None:
    facts = {name: value for name, value in asdict(CIFAR).items() if name != "leaks"}
    (tmp_path / "plan.json").write_text(json.dumps({"seconds": {}, "phase": None, "facts": facts}))
    assert Account(RunFolder(tmp_path)).facts == CIFAR


def test_a_resumed_fit_may_say_anew_where_its_images_are_and_that_bad_ones_are_skipped(
    fitted: tuple[Path, str], tmp_path: Path, colour_images: Path
) -> None:
    run = copy_of(fitted[0] / "run", tmp_path / "run")
    (run / "result.json").unlink()
    for name in ("train", "export"):
        shutil.rmtree(run / name)
    config = (run / "config.yaml").read_text().replace(f"compare: {STOCK[1]}", "compare: null")
    (run / "config.yaml").write_text(config.replace("- onnx\n", ""))
    moved = alike(shutil.copytree(colour_images, tmp_path / "moved"))
    for image in (moved / "ant").iterdir():
        whole = image.read_bytes()
    image.write_bytes(whole[: len(whole) // 2])
    ended = run_in(tmp_path, "fit", "moved", "--resume", "run", "--on-bad-image", "skip")
    assert (ended.code, "warning: skipped 1 image that cannot be read" in ended.err) == (0, True)
    trained = resolve(TrainConfig, file=run / "train" / "config.yaml")
    assert (trained.data_root, trained.on_bad_image) == (moved, "skip")
    assert result_of(run / "train")["skipped_images"] == 1

    # Images that are in two sets now are spoken of wherever the error is.
    leaks = result_of(run)["leaks"]
    assert leaks == result_of(run / "train")["leaks"]
    (sentence,) = leak_sentences(leaks)
    assert f"\nwarning: {sentence}\n" in ended.out
    assert ended.out.count(f"{sentence}: ") == ended.out.count("too little: ") - 1
    assert f"**Warning:** {sentence}." in (run / "export" / "README.md").read_text()
    assert json.loads((run / "export" / "config.json").read_text())["data"]["leaks"] == leaks
    done(tmp_path, "report", "run")
    assert sentence in (run / "report.html").read_text()


def test_a_training_for_which_a_slower_machine_leaves_no_time_ends_early_and_all_say_so(
    fitted: tuple[Path, str], tmp_path: Path
) -> None:
    run = copy_of(fitted[0] / "run", tmp_path / "run")
    (run / "result.json").unlink()
    for name in ("train", "export"):
        shutil.rmtree(run / name)
    config = (run / "config.yaml").read_text().replace(f"compare: {STOCK[1]}", "compare: null")
    (run / "config.yaml").write_text(config.replace("- onnx\n", ""))
    plan = json.loads((run / "plan.json").read_text())
    plan["train"] |= {"epochs": 500, "test_every": 500, "max_minutes": 0.0001}
    (run / "plan.json").write_text(json.dumps(plan))
    printed = done(tmp_path, "fit", "--resume", "run")
    end = "after 1 of 500 epochs: --max-minutes"
    assert f"\nthe training ended early, {end}\n" in printed
    assert f"The training ended early, {end}." in (run / "export" / "README.md").read_text()
    assert result_of(run)["ended_early"] == {"done": 1, "epochs": 500, "by": "--max-minutes"}
    assert result_of(run)["test_top1_error"] == metrics_of(run / "train")[-1]["test_top1_error"]
    (status,) = json.loads(done(tmp_path, "status", "run", "--json"))
    assert (status["epoch"], status["ended_early"]) == (1, end.removeprefix("after "))


def test_a_training_may_take_the_time_that_is_left_unless_its_epochs_are_fixed(tmp_path: Path) -> None:
    for epochs in (None, 7):
        config = FitConfig(folder=tmp_path / "photos", minutes=10, compare=None, epochs=epochs)
        fit = Fit(config, RunFolder(tmp_path))
        fit.planner = Planner(config, CIFAR)
        fit._save_training(Training(Shape(32, "cifar", 5, 8), 64, epochs or 40, 2.0, 9.0, export_seconds=20.0), None)
        told = fit.account.kept["train"]
        assert told.get("max_minutes") == (None if epochs else pytest.approx((SAFETY * 600 - 20 - 9) / 60, abs=0.01))
        assert told["epochs"] == (epochs or 40)
        assert told.get("most_epochs") == (None if epochs else MOST_EPOCHS)
        assert resolve(TrainConfig, flags=told).epochs == told["epochs"]


SEARCHING = ("--search", "always", "--search-epochs", "3", "--channels", "2", "--num-cells", "3", "--epochs", "1")
"""A search, two short trainings and a training, all tiny."""


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two classes, with so many images that some are kept for validation."""
    folder = tmp_path_factory.mktemp("shapes")
    numbers = np.random.default_rng(0)
    for name in ("dark", "light"):
        (folder / name).mkdir()
        for number in range(140):
            pixels = numbers.integers(0, 128, (8, 8, 3), np.uint8) + 127 * (name == "light")
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{number}.png")
    return folder


def test_validation_chooses_between_a_searched_and_a_published_cell(tmp_path: Path, shapes: Path) -> None:
    flags = ("--minutes", "2", "--batch-size", "64", "--export", "safetensors", "--run", "run")
    command = ("fit", str(shapes), *SEARCHING, *flags)
    job = forked(tmp_path, *command)  # killed in its search, then in the training of the cell that this found
    for phase in ("search", "trial-searched"):
        while job.poll() is None and not lines_of(tmp_path / "run" / phase / "metrics.jsonl"):
            time.sleep(0.002)
        job.kill()
        assert end_of(job).code == -9
        assert not (tmp_path / "run" / "train").exists()
        job = forked(tmp_path, "fit", "--resume", "run")
    ended = end_of(job)
    assert ended.code == 0, ended.err
    errors = {
        name: result_of(tmp_path / "run" / f"trial-{name}")["validation_top1_error"]
        for name in ("searched", "published")
    }
    assert f"{errors['searched']:.2f} % with the searched cell, {errors['published']:.2f} % with the published one" in (
        ended.out
    )
    assert all("test_top1_error" not in result_of(tmp_path / "run" / f"trial-{name}") for name in errors)
    taken = "searched" if choice_between(errors["searched"], errors["published"], (21, 21))[0] else "published"
    genotypes = {name: result_of(tmp_path / "run" / name)["genotype"] for name in ("train", f"trial-{taken}")}
    assert genotypes["train"] == genotypes[f"trial-{taken}"] == result_of(tmp_path / "run")["genotype"]
    assert f"the {taken} one is trained" in ended.out
    said = {"searched": "the one that was searched here", "published": "the published one pc_darts_cifar10"}[taken]
    assert result_of(tmp_path / "run")["cell"]["origin"] == taken
    assert re.search(rf"\ncell: {said}; validation error .* points with a standard error of .* is trained\n", ended.out)
    assert ended.out.count("next: ") == 1
    assert "instead: " not in ended.out

    (status,) = json.loads(done(tmp_path, "status", "run", "--json"))
    assert (status["job"], status["phase"], status["state"]) == ("fit", None, "done")
    assert status["error"] == result_of(tmp_path / "run")["test_top1_error"]
    printed = done(tmp_path, "report", "run")
    assert [f"| {name} |" in printed for name in ("search", "trial-searched", "trial-published", "train")] == [True] * 4
    assert "time: 2 min (--minutes): " in printed
    assert f"test error {status['error']:.2f} % (" in (tmp_path / "run" / "report.html").read_text()


def test_time_of_a_killed_session_counts_up_to_its_last_sign_of_life(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "state.json").touch()
    began = (tmp_path / "train" / "state.json").stat().st_mtime - 50
    kept = {"seconds": {"planning": 7.0, "train": 20.0}, "phase": "train", "began": began}
    (tmp_path / "plan.json").write_text(json.dumps(kept))
    os.utime(tmp_path / "plan.json", (began, began))
    assert Account(RunFolder(tmp_path)).seconds == pytest.approx(77, abs=0.1)


@pytest.mark.parametrize(
    "damaged",
    [
        [1],
        {"seconds": {"train": "long"}},
        {"began": "today"},
        {"facts": {"classes": ["ant"]}},
        {"plan": {"search": "none", "trials": {"../elsewhere": {}}}},
        {"plan": {}},
        {"train": 1},
    ],
)
def test_a_damaged_plan_is_refused(tmp_path: Path, damaged: object) -> None:
    (tmp_path / "plan.json").write_text(json.dumps(damaged))
    with pytest.raises(InputError, match=r"plan\.json is damaged: restore it from a copy, or start a new fit"):
        Account(RunFolder(tmp_path))


def test_only_the_plan_is_printed_where_that_is_asked_for(tmp_path: Path, colour_images: Path) -> None:
    printed = done(tmp_path, "fit", str(colour_images), *TINY, "--plan")
    assert printed.splitlines()[-1].startswith("time: 3 min (--minutes): ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (("--device", "cuda:7"), "device is cuda:7, but"),
        (
            ("--max-params", "10"),
            "max_params is 10, but the smallest network here (3 cells of 2 channels, images of 16",
        ),
        (("--max-latency", "0.0001"), "max_latency is 0.0001, but the smallest network here (3 cells of 2 channels"),
        (("--compare", "resnet"), "torchvision has no classification network resnet"),
        (("--minutes", "0"), "minutes is 0, but it must be more than 0"),
        (
            ("--minutes", "0.1"),
            "minutes is 0.1, but 2 epochs of the smallest network on these 18 training images, which is the least",
        ),
        (("--genotype", "nonsense"), "no published cell is called 'nonsense'"),
        (("--image-size", "4"), "the images are to be 4x4 pixels, but 8x8"),
        (("--resume", "run"), "--resume takes configuration and folder from the run"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(
    tmp_path: Path, colour_images: Path, flags: tuple[str, ...], problem: str
) -> None:
    assert refused(tmp_path, "fit", str(colour_images), *TINY, *flags, "--run", "run").startswith(problem)
    assert list(tmp_path.iterdir()) == []


def test_the_limit_to_latency_may_be_about_another_device(tmp_path: Path, colour_images: Path) -> None:
    sizes = Sizes("cifar", 2, 3, 3, 3, 16)
    (tmp_path / "table.json").write_text(made_table(sizes, SPACE).to_json())
    command = ("fit", str(colour_images), *TINY, "--plan", "--latency-table", "table.json", "--genotype", "random:0:4")
    printed = done(tmp_path, *command, "--max-latency", "1000")
    assert re.search(r"; [0-9.]+ ms predicted for Abacus 1.* \(--max-latency\)", printed)
    limit = refused(tmp_path, *command, "--max-latency", "0.001")
    assert limit.startswith(
        "no network is within the budget; table.json has 3 cells of 2 channels for 16x16 pixels: raise it, or fix"
    )
    assert refused(tmp_path, *command).startswith("latency_table is about a limit, and none is given")


def test_the_folder_of_a_fit_stands_for_its_training(fitted: tuple[Path, str], colour_images: Path) -> None:
    folder, _ = fitted
    error = result_of(folder / "run")["test_top1_error"]
    assert f"run/train: top-1 error {error:.2f} %" in done(folder, "test", "run")
    image = next((colour_images / "ant").iterdir())
    assert "ant" in done(folder, "predict", "run", str(image))


def test_folders_that_cannot_be_used_are_refused_as_by_every_job(tmp_path: Path, colour_images: Path) -> None:
    (tmp_path / "flat").mkdir()
    Image.new("RGB", (20, 20)).save(tmp_path / "flat" / "one.png")
    shutil.copytree(colour_images, tmp_path / "lone")
    (tmp_path / "lone" / "cat").mkdir()
    Image.new("RGB", (20, 20)).save(tmp_path / "lone" / "cat" / "one.png")
    shutil.copytree(colour_images, tmp_path / "bad")
    next((tmp_path / "bad" / "ant").iterdir()).write_bytes(b"no image")
    for name, problem in (
        ("nowhere", "image folder 'nowhere' does not exist"),
        ("flat", "image folder 'flat' has no class folders"),
        ("lone", "class 'cat' has only one image"),
        ("bad", "image 'bad/ant/"),
        ("flat/one.png", "'flat/one.png' is a file, but an image folder is expected: check its path"),
        ("~nobody-here/images", "'~nobody-here/images' names the home folder of an unknown user: check this path"),
        ("lone --train-set ../flat", "train_set is ../flat, but it must be a folder inside 'lone': give its path"),
        ("lone --test-set nowhere", "test_set is nowhere, but 'lone' has no such folder: it has "),
    ):
        refusal = refused(tmp_path, "fit", *name.split(), *TINY)
        assert refusal.startswith(problem)
        flags = {flag.replace("-", "_") for flag in re.findall(r"(?<=--)[a-z-]+", refusal)}
        assert flags <= FitConfig.model_fields.keys()


def test_only_the_folder_of_a_fit_is_resumed(fitted: tuple[Path, str]) -> None:
    folder = fitted[0]
    assert "configures the job train, not fit" in refused(folder, "fit", "--resume", "run/train")
    assert refused(folder, "fit", "--resume", "nowhere") == "nowhere is not a run folder: it does not exist"
    assert refused(folder, "fit").startswith("folder is missing: folder of images")
    ended = run_in(folder, "fit", "--resume", "run", "--minutes", "9")
    assert error_line(ended).startswith("run was begun with minutes 3.0, not 9.0")


def test_every_setting_of_a_training_can_be_fixed_or_is_none_of_a_fits_business() -> None:
    left_out = {"recipe", "data", "data_root", "hub_name", "init", "seeds", "test_images", "test_every"}
    left_out |= {"loading", "crop", "color_jitter", "momentum", "gradient_clip", "gradient_accumulation_steps"}
    left_out |= {
        "nesterov",
        "auxiliary_weight",
        "learning_rate_min",
        "learning_rate_schedule",
        "lr_warmup_epochs",
        "compile",
    }
    left_out |= {"synchronize_batch_norm", "deterministic", "max_skipped_batches", "checkpoint_minutes", "track"}
    left_out |= {"stock", "stock_width", "pretrained", "pretrained_file", "test", "max_minutes", "most_epochs"}
    assert TrainConfig.model_fields.keys() - FitConfig.model_fields.keys() == left_out


@pytest.mark.parametrize(
    ("share", "count", "low", "high"), [(0.5, 100, 0.404, 0.596), (0.0, 20, 0.0, 0.161), (1.0, 20, 0.839, 1.0)]
)
def test_the_interval_of_an_error_is_wilsons(share: float, count: int, low: float, high: float) -> None:
    assert interval(share, count) == pytest.approx((low, high), abs=0.001)


def test_no_comparison_is_asked_for_by_the_same_word_in_python_in_a_file_and_at_the_command_line() -> None:
    assert resolve(FitConfig, flags={"folder": "photos", "compare": "none"}).compare is None


def test_a_network_that_does_not_exist_is_refused_before_anything_is_measured() -> None:
    planner = Planner(resolve(FitConfig, flags={"folder": "photos", "compare": "resnet"}), CIFAR)
    with pytest.raises(InputError, match="torchvision has no classification network resnet"):
        planner.plan(600, 600)
    assert planner._measured.cache_info().misses == 0


def test_a_fit_that_has_only_planned_takes_other_minutes_and_plans_anew(tmp_path: Path, colour_images: Path) -> None:
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    (settings, problems) = read_flags(FitConfig, [str(colour_images), *TINY, "--compare", "none"])
    run.config.write_text(resolve(FitConfig, flags=settings, problems=problems).to_yaml())
    run.write_json(run.plan, {"seconds": {"planning": 2.0}, "phase": "planning", "lines": ["time: 3 min"]})
    ended = run_in(tmp_path, "fit", "--resume", "run", "--minutes", "0.1")
    assert error_line(ended).startswith("minutes is 0.1, but 2 epochs of the smallest network")
    assert resolve(FitConfig, file=run.config).minutes == 0.1
    plan = run.read_plan()
    assert "lines" not in plan
    assert plan["seconds"]["planning"] > 2
    (run.path / "train").mkdir()
    ended = run_in(tmp_path, "fit", "--resume", "run", "--minutes", "9")
    assert error_line(ended).startswith("run was begun with minutes 0.1, not 9.0")
