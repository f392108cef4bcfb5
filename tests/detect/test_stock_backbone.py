"""`pcdarts detect train --backbone`: SSDLite on a network of torchvision or timm."""

import shlex
import sys
from pathlib import Path

import pytest
import torch
import yaml

from coco_set import box, write_set
from command_line import checkpoint_of, done, kill_after_epochs, metrics_of, refused, result_of, same
from pcdarts.detect.detector import Detector, detector_complexity
from pcdarts.network.stock import StockNetwork

pytest.importorskip("pycocotools")
pytest.importorskip("timm")

NAME = "timm/lcnet_035"
DETECT = shlex.split(
    f"detect train --backbone {NAME} --data-root ../coco --train-sets learn --test-set look --image-size 64 "
    "--batch-size 4 --epochs 3 --test-every 3 --learning-rate 0.02 --lr-warmup-epochs 0 --workers 0"
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to start jobs in, with the data set beside it."""
    folder = tmp_path_factory.mktemp("stock")
    squares = [[box(7, 5 + number, 8, 30, 30)] for number in range(8)]
    write_set(folder / "coco", "learn", squares, size=(64, 64))
    write_set(folder / "coco", "look", squares[:2], size=(64, 64), first_id=100)
    (folder / "here").mkdir()
    return folder / "here"


@pytest.fixture(scope="module")
def output(place: Path) -> tuple[Path, str]:
    """A finished run and what it printed."""
    printed = done(place, *DETECT, "--run", "run")
    return place / "run", printed


def test_a_detector_on_a_stock_network_is_trained_and_measured(place: Path, output: tuple[Path, str]) -> None:
    run, printed = output
    assert printed.startswith(f"SSDLite on the stock network {NAME} of timm ")
    assert "genotype, channels, num_cells and head_channels are for cells and do nothing" in printed
    result = result_of(run)
    assert (result["backbone"], result["library"][:5]) == (NAME, "timm ")
    assert result["mult_adds"] == sum(result["mult_adds_of_parts"].values())
    assert "genotype" not in result
    assert not (run / "genotype.json").exists()
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert (config["backbone"], config["genotype"]) == (NAME, "none")
    assert f"on 2 images of look: AP {result['AP']:.2f} %" in done(place, "detect", "test", "run", "--workers", "0")
    assert "| run | detect train | done |" in done(place, "report", "run")


def test_a_killed_run_ends_as_if_it_had_never_been(place: Path, output: tuple[Path, str]) -> None:
    kill_after_epochs(1, Path("killed/metrics.jsonl"), place, *DETECT, "--run", "killed")
    done(place, "detect", "train", "--resume", "killed")
    assert metrics_of(place / "killed") == metrics_of(output[0])
    ours, theirs = checkpoint_of(place / "killed"), checkpoint_of(output[0])
    assert [path for path in theirs if not same(ours[path], theirs[path])] == []


def test_it_begins_with_weights_learnt_on_imagenet(place: Path) -> None:
    torch.manual_seed(3)
    weights = StockNetwork(NAME, num_classes=1000).model.state_dict()
    torch.save(weights, place / "weights.pth")
    flags = ["--pretrained-file", "weights.pth", "--learning-rate", "1e-30", "--epochs", "1", "--run", "pretrained"]
    printed = done(place, *DETECT, *flags)
    assert f"the backbone begins with the weights of {place / 'weights.pth'} (SHA-256 " in printed
    assert "images are normalised with the mean [0.485, 0.456, 0.406] that these were learnt with" in printed
    learnt = checkpoint_of(place / "pretrained")["/state/detector/backbone.network.model.conv_stem.weight"]
    assert (learnt - weights["conv_stem.weight"]).abs().max() < 1e-6
    assert result_of(place / "pretrained")["init"].keys() == {"path", "sha256"}
    (place / "weights.pth").unlink()  # the run has them now
    done(place, "detect", "test", "pretrained", "--workers", "0")


def test_its_parts_are_those_of_torchvision_s_ssdlite() -> None:
    size = detector_complexity(Detector("mobilenet_v3_small", num_classes=3, image_size=128))
    channels, places = (288, 576, 512, 256, 256, 128), (64, 16, 4, 1, 1, 1)
    # For each of 6 boxes at a place 4 classes, with the background, and 4 sides.
    assert size["heads"].mult_adds == sum(
        count * (2 * 9 * width + width * 6 * (4 + 4)) for width, count in zip(channels, places, strict=True)
    )
    blocks = zip(channels[1:], channels[2:], places[1:], places[2:], strict=False)
    assert size["extras"].mult_adds == sum(
        before * wide * after // 2 + now * (9 * after // 2 + after // 2 * after) for wide, after, before, now in blocks
    )


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--backbone timm/lcnet_03", "has no network lcnet_03: did you mean timm/lcnet_035"),
        ("--backbone timm/local-dir:/tmp", "has no network local-dir:/tmp"),
        ("--backbone timm/vit_tiny_patch16_224", "cannot take images of 64x64 pixels (Input height (64) doesn't match"),
        ("--genotype darts_v1", f"backbone is {NAME}, but genotype would be of cells: drop one of them"),
        ("--classifier run", f"backbone is {NAME}, but classifier would be of cells: drop one of them"),
        ("--backbone none --pretrained", "pretrained goes with backbone, the name of a network: name one, or drop it"),
        ("--pretrained-file none.pth", f"none.pth does not exist: give the file of weights of {NAME}"),
        ("--synchronize-batch-norm", f"synchronize_batch_norm is for networks of cells, but backbone is {NAME}: drop"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(place: Path, flags: str, message: str) -> None:
    assert message in refused(place, *DETECT, *shlex.split(flags), "--run", "never")
    assert not (place / "never").exists()


def test_a_run_keeps_its_backbone(place: Path, output: tuple[Path, str]) -> None:
    assert f"run was begun with backbone {NAME}, not timm/resnet18: drop the flag to resume it" in refused(
        place, "detect", "train", "--resume", "run", "--backbone", "timm/resnet18"
    )


def test_without_timm_the_job_says_what_to_install(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    assert refused(place, *DETECT, "--run", "never").endswith("needs timm: pip install 'pcdarts[timm]'")
