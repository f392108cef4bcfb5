"""`pcdarts train --stock`: a network of torchvision or timm as an ordinary run, and what it cannot be used for."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import pcdarts
from command_line import checkpoint_of, copy_of, done, kill_after_epochs, leaves, metrics_of, refused, result_of
from made_runs import MadeOnce, printed_by
from pcdarts.network.stock import StockNetwork

STOCK = shlex.split(
    "train --stock shufflenet_v2_x0_5 --stock-width 0.1 --train-images 40 --test-images 100 --image-size 8 "
    "--batch-size 20 --epochs 3"
)
NAME = "shufflenet_v2_x0_5"


@pytest.fixture(scope="module")
def made(once: MadeOnce) -> Path:
    return once("stock", printed_by(*STOCK, "--run", "run"))


@pytest.fixture
def run(tmp_path: Path, made: Path) -> Path:
    return copy_of(made / "run", tmp_path / "run")


def test_a_stock_network_is_trained_as_an_ordinary_run(made: Path) -> None:
    printed = (made / "printed.txt").read_text()
    assert printed.startswith(f"the stock network {NAME} of torchvision 0.")
    assert f"{NAME}: its first convolution (conv1.0) takes grey images\n" in printed
    assert "\nepoch 3/3 " in printed
    result = result_of(made / "run")
    assert (result["stock"], result["stock_width"]) == (NAME, 0.1)
    assert result["changes"][0].endswith("so that its last map is 4x4 and not 1x1")
    assert "genotype" not in result
    assert not (made / "run" / "genotype.json").exists()


def test_its_configuration_trains_the_same_network_again(tmp_path: Path, made: Path) -> None:
    done(tmp_path, "train", "--config", str(made / "run" / "config.yaml"), "--run", "again")
    ours, theirs = checkpoint_of(tmp_path / "again"), checkpoint_of(made / "run")
    assert all(torch.equal(ours[name], theirs[name]) for name in ours if name.startswith("/network/"))
    assert metrics_of(tmp_path / "again") == metrics_of(made / "run")


def test_a_killed_run_ends_as_if_it_had_never_been(tmp_path: Path, made: Path) -> None:
    kill_after_epochs(1, Path("run/metrics.jsonl"), tmp_path, *STOCK, "--run", "run")
    done(tmp_path, "train", "--resume", "run")
    assert metrics_of(tmp_path / "run") == metrics_of(made / "run")


def test_several_seeds_are_trained_in_a_row_and_tested(tmp_path: Path) -> None:
    done(tmp_path, *STOCK, "--epochs", "1", "--seeds", "2", "--run", "run")
    assert "(mean ± std of 2 seeds)" in done(tmp_path, "test", "run")
    assert "1/1" in done(tmp_path, "status", "run")


def test_it_is_tested_predicted_with_and_exported(tmp_path: Path, run: Path) -> None:
    error = result_of(run)["test_top1_error"]
    assert f"top-1 error {error:.2f} %" in done(tmp_path, "test", "run")
    Image.fromarray(np.full((8, 8), 200, dtype=np.uint8)).save(tmp_path / "one.png")
    assert " %" in done(tmp_path, "predict", "run", "one.png", "--top", "1")
    assert "logits of 32 test images within " in done(tmp_path, "export", "run", "--format", "onnx")
    done(tmp_path, "export", "run")
    classifier = pcdarts.load_classifier(run / "export")
    assert isinstance(classifier.network, StockNetwork)
    assert done(tmp_path, "predict", "run/export", "one.png") == done(tmp_path, "predict", "run", "one.png")
    assert f"top-1 error {error:.2f} %" in done(
        tmp_path, "test", "run/export", "--data", "fashion-mini", "--test-images", "100"
    )
    card = (run / "export" / "README.md").read_text()
    assert f"# fashion-mini classifier: {NAME}, 0.1 times as wide\n" in card
    assert f"The network {NAME} of torchvision with 0.1 times its channels" in card
    assert "from scratch" in card
    assert "cell_normal.svg" not in card
    assert "timm" not in card
    assert "architecture" not in json.loads((run / "export" / "config.json").read_text())


def test_a_report_shows_it(tmp_path: Path, run: Path) -> None:
    assert "| run |" in done(tmp_path, "report", "run")


def test_pretrained_weights_are_begun_with_and_named(tmp_path: Path) -> None:
    torch.manual_seed(3)
    weights = StockNetwork(NAME, num_classes=1000).model.state_dict()
    torch.save(weights, tmp_path / "weights.pth")
    flags = [flag for flag in STOCK if flag not in ("--stock-width", "0.1")]
    printed = done(tmp_path, *flags, "--epochs", "1", "--pretrained-file", "weights.pth", "--run", "run")
    path = (tmp_path / "weights.pth").resolve()
    assert f"begins with the weights of {path} (SHA-256 " in printed
    assert "of the training images, as for every network here, not with ImageNet's" in printed
    assert result_of(tmp_path / "run")["init"]["new"] == ["the last layer"]
    (tmp_path / "weights.pth").unlink()  # the run has them now
    assert "top-1 error " in done(tmp_path, "test", "run")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--stock", "resnet9"], "torchvision has no classification network resnet9: did you mean resnet"),
        (["--stock", "resnet18", "--genotype", "random:1"], "stock is resnet18, but genotype would be of cells: drop"),
        (["--stock", "resnet18", "--init", "x"], "stock is resnet18, but init would be of cells: drop one of them"),
        (["--stock-width", "2"], "stock_width goes with stock, the name of a network: name one, or drop it"),
        (["--pretrained"], "pretrained goes with stock, the name of a network: name one, or drop it"),
        (
            ["--stock", "mobilenet_v2", "--stock-width", "2", "--pretrained"],
            "pretrained goes with the network's own width: drop stock_width",
        ),
        (["--stock", "resnet18", "--compile"], "compile is for networks of cells, but stock is resnet18: drop one"),
        (["--stock", "resnet18", "--pretrained-file", "x"], "does not exist: give the file of weights of resnet18"),
        (
            ["--stock", "vit_b_32", "--train-images", "20", "--image-size", "8"],
            "the network vit_b_32 cannot take images of 8x8 pixels",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(tmp_path: Path, arguments: list[str], line: str) -> None:
    assert line in refused(tmp_path, "train", *arguments)


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("show run", f"run trains the stock network {NAME}, which has no cells: name another run"),
        ("train --genotype run", f"run trains the stock network {NAME}, which has no cells: name another run"),
        ("train --init run", f"is a training of the stock network {NAME}: begin with the weights of a genotype's net"),
        (
            "detect train --classifier run",
            "a detector needs a network of cells, but run trains the stock network",
        ),
    ],
)
def test_what_needs_cells_says_so(tmp_path: Path, run: Path, command: str, line: str) -> None:
    assert line in refused(tmp_path, *command.split())


def test_an_export_is_no_beginning_for_cells_and_no_model_of_timm(tmp_path: Path, run: Path) -> None:
    done(tmp_path, "export", "run")
    assert "--init needs a network of cells" in refused(tmp_path, "train", "--init", "run/export")
    pytest.importorskip("timm")
    import pcdarts.timm_models

    with pytest.raises(pcdarts.InputError, match="timm's model pcdarts needs a network of cells"):
        pcdarts.timm_models.from_export(run / "export")


def test_the_checkpoint_holds_plain_values_alone(run: Path) -> None:
    saved = torch.load(run / "checkpoint.pt", weights_only=True)
    assert any(path.startswith("/network/model.conv1.0.weight") for path, _ in leaves("", saved["state"]))
