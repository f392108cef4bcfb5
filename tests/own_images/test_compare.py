"""`pcdarts compare`: other networks trained as a run was, killed and resumed, one table, and what is refused."""

import json
import shlex
from pathlib import Path

import pytest

from command_line import copy_of, done, refused, result_of
from made_runs import MadeOnce, printed_by
from pcdarts.cell.genotype import Genotype
from pcdarts.config.compare_config import CompareConfig
from pcdarts.config.configs import TrainConfig
from pcdarts.config.recipes import resolve
from pcdarts.errors import InputError
from pcdarts.own_images.compare import epochs_done, finished_training, kept_plan, planned
from pcdarts.run.run_folder import RunFolder

CELL = Genotype(
    normal=(("skip_connect", 0), ("skip_connect", 1)),
    normal_concat=(2,),
    reduce=(("max_pool_3x3", 0), ("max_pool_3x3", 1)),
    reduce_concat=(2,),
)
"""Exported soonest: most of the time goes into exports of the three networks."""
TRAIN = shlex.split(
    "train --train-images 40 --test-images 100 --image-size 8 --channels 16 --num-cells 3 --batch-size 20 --epochs 1 "
    f"--cutout 3 --genotype {shlex.quote(CELL.to_text())} --run run"
)
COMPARE = shlex.split("compare run --with shufflenet_v2_x0_5 --random 1 --seeds 2 --run compared")


@pytest.fixture(scope="module")
def training(once: MadeOnce) -> Path:
    return once("to_compare", printed_by(*TRAIN)) / "run"


@pytest.fixture(scope="module")
def compared(once: MadeOnce, training: Path) -> Path:
    def make(folder: Path) -> None:
        copy_of(training, folder / "run")
        with pytest.MonkeyPatch.context() as patch:
            times_briefly(patch)
            printed_by(*COMPARE)(folder)

    return once("compared", make)


def times_briefly(patch: pytest.MonkeyPatch) -> None:
    """With as few rounds of times as there are at least: how exact they are is said elsewhere."""
    patch.setattr("pcdarts.own_images.compare_speed.SECONDS", 0.0)


def rows(folder: Path) -> dict[str, dict[str, object]]:
    return {row["name"]: row for row in json.loads((folder / "compare.json").read_text())["rows"]}


def test_every_network_has_the_seeds_that_were_asked_for_and_the_run_those_that_it_lacked(compared: Path) -> None:
    printed = (compared / "printed.txt").read_text()
    assert "the run has 1 seed: its own network gets 1 more seed first\n" in printed
    assert {len(row["accuracies"]) for row in rows(compared / "compared").values()} == {2}  # type: ignore[arg-type]
    assert resolve(TrainConfig, file=compared / "compared" / "own" / "config.yaml").seed == 1
    own = [100 - result_of(compared / place)["test_top1_error"] for place in ("run", "compared/own")]
    assert rows(compared / "compared")["run"]["accuracies"] == own


def test_the_networks_differ_in_nothing_else(compared: Path) -> None:
    base = resolve(TrainConfig, file=compared / "run" / "config.yaml").model_dump()
    for name, others in (
        ("shufflenet_v2_x0_5", {"genotype", "stock", "stock_width", "auxiliary", "drop_path", "seeds", "device"}),
        ("random-1", {"genotype", "channels", "seeds", "device"}),
        ("own", {"seed", "device"}),
    ):
        theirs = resolve(TrainConfig, file=compared / "compared" / name / "config.yaml").model_dump()
        assert {setting for setting in base if base[setting] != theirs[setting]} <= others, name


def test_where_the_time_decided_about_the_epochs_of_the_run_the_others_have_as_many_as_it_did(tmp_path: Path) -> None:
    trained, runs = TrainConfig(epochs=39, max_minutes=9, most_epochs=600), []
    for done_epochs in (61, 64):
        runs.append(RunFolder(tmp_path / str(done_epochs)))
        runs[-1].path.mkdir()
        runs[-1].finish({"epochs_done": done_epochs})
    assert epochs_done(trained, runs[:1]) == {"epochs": 61, "max_minutes": None, "most_epochs": None}
    assert epochs_done(trained, runs)["epochs"] == 62
    assert epochs_done(TrainConfig(epochs=39), runs) == {}


def test_they_are_scaled_to_the_mult_adds_of_the_run_and_both_numbers_are_said(compared: Path) -> None:
    found = rows(compared / "compared")
    target = found["run"]["mult_adds"]
    for name in ("shufflenet_v2_x0_5", "random cell 1"):
        assert abs(found[name]["mult_adds"] / target - 1) < 0.3  # type: ignore[operator]
        assert f"M mult-adds beside {target / 1e6:.3g}" in str(found[name]["said"])  # type: ignore[operator]


def test_one_table_has_accuracy_cost_and_milliseconds(compared: Path) -> None:
    printed, page = (compared / "printed.txt").read_text(), (compared / "compared" / "compare.md").read_text()
    heading = "| network | accuracy, % | difference to run, points | parameters | mult-adds | training of a seed | "
    for text in (printed, page):
        assert heading + "ONNX, ms | PyTorch, ms |" in text
        assert "Pretrained networks were not tried" in text
    for row in rows(compared / "compared").values():
        assert float(str(row["onnx_milliseconds"])) > 0
        assert float(str(row["pytorch_milliseconds"])) > 0


def test_report_and_status_show_it(tmp_path: Path, compared: Path) -> None:
    copy_of(compared / "compared", tmp_path / "compared")
    printed = done(tmp_path, "report", "compared")
    assert "| network | accuracy, % |" in printed
    assert "| shufflenet_v2_x0_5 | train | done |" in printed
    assert '<th scope="col">accuracy, %</th>' in (tmp_path / "compared" / "report.html").read_text()
    assert "compared  compare  done" in done(tmp_path, "status", "compared")


def test_a_killed_comparison_goes_on_and_repeats_no_finished_training(
    tmp_path: Path, compared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times_briefly(monkeypatch)
    copy_of(compared / "run", tmp_path / "run")
    killed = copy_of(compared / "compared", tmp_path / "compared")
    for name in ("result.json", "compare.json", "compare.md", "random-1/result.json", "random-1/seed-1/result.json"):
        (killed / name).unlink()  # as a kill before the end of the last training leaves it
    plan = json.loads((killed / "plan.json").read_text())
    trainings = [one for one in plan["trainings"] if one["folder"] != "shufflenet_v2_x0_5"]  # dear to measure again
    (killed / "plan.json").write_text(json.dumps(plan | {"phase": "random-1", "trainings": trainings}))
    assert "compare, random-1, 2 of 2  interrupted" in done(tmp_path, "status", "compared")
    before = {path: path.stat().st_mtime_ns for path in killed.glob("*/seed-0/result.json")}
    printed = done(tmp_path, "compare", "--resume", "compared")
    assert "training 2 of 2: random cell 1\n" in printed
    assert "training 1 of 2" not in printed
    assert {path: path.stat().st_mtime_ns for path in before} == before
    ours, theirs = rows(killed), rows(compared / "compared")
    assert list(ours) == ["run", "random cell 1"]
    assert all(row["accuracies"] == theirs[name]["accuracies"] for name, row in ours.items())
    assert "there is nothing to resume" in done(tmp_path, "compare", "--resume", "compared")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("--with mobilenet_v3_smal", "torchvision has no classification network mobilenet_v3_smal: did you mean mobil"),
        ("--with resnet18,vit_b_32", "the network vit_b_32 cannot take images of 8x8 pixels"),
        ("--with none", "there is nothing to compare with: name stock networks in --with, or ask for --random cells"),
        ("--with ,", "with is ',', but it must be names separated by commas: resnet18,timm/lcnet_050"),
        ("--seeds 0", "seeds is 0, but it must be at least 1"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_anything_is_trained(
    tmp_path: Path, training: Path, arguments: str, line: str
) -> None:
    copy_of(training, tmp_path / "run")
    assert line in refused(tmp_path, "compare", "run", *arguments.split())


@pytest.mark.parametrize("folder", ["..", "../elsewhere", "/tmp/elsewhere", ""])
def test_a_plan_that_leads_out_of_its_folder_is_refused(tmp_path: Path, folder: str) -> None:
    training = {"name": "x", "folder": folder, "settings": {}, "said": "", "seed": 0, "seeds": 1}
    plan = {"run": "run", "seeds": 1, "lines": [], "trainings": [training | {"folder": "x..y"}]}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    assert kept_plan(RunFolder(tmp_path)) == plan
    for damaged in (plan | {"trainings": [training]}, plan | {"trainings": [3]}, plan | {"lines": [1]}, [], {}):
        (tmp_path / "plan.json").write_text(json.dumps(damaged))
        with pytest.raises(InputError, match=r"plan\.json is damaged: restore it from a copy"):
            kept_plan(RunFolder(tmp_path))


def test_missing_weights_are_named_before_anything_is_trained(
    tmp_path: Path, training: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    copy_of(training, tmp_path / "run")
    line = refused(tmp_path, "compare", "run", "--with", "squeezenet1_1", "--pretrained")
    assert "does not hold squeezenet1_1-b8a52dc0.pth" in line


def test_only_a_finished_training_is_compared(tmp_path: Path, training: Path, finished_search: Path) -> None:
    copy_of(training, tmp_path / "run")
    (tmp_path / "run" / "result.json").unlink()
    assert "run is not finished: finish it with --resume run first" in refused(tmp_path, "compare", "run")
    copy_of(finished_search, tmp_path / "search")
    line = refused(tmp_path, "compare", "search")
    assert line.startswith("search is a run of search, but what is compared is a training; train what it found with")
    assert "none is not a run folder: it does not exist" in refused(tmp_path, "compare", "none")
    assert "trained is missing: folder of a finished train run" in refused(tmp_path, "compare")


def test_a_stock_network_has_other_stock_networks_beside_it_but_no_random_cells(tmp_path: Path, compared: Path) -> None:
    copy_of(compared / "compared" / "shufflenet_v2_x0_5", tmp_path / "run")
    line = refused(tmp_path, "compare", "run", "--with", "none", "--random", "1")
    assert line.startswith("random cells take stem and depth from the run, but it trained the stock network shufflenet")
    config = CompareConfig(trained=tmp_path / "run", **{"with": "squeezenet1_1"})
    trained, runs = finished_training(tmp_path / "run")
    assert trained.stock_width is not None
    (other,) = planned(config, trained, runs)["trainings"]
    assert TrainConfig(**{**trained.model_dump(), **other["settings"]}).stock_width is None  # not that of the run
