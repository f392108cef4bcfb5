"""The authors' checkpoints on the command line: `test`, `predict`, `export` and `detect train --classifier`."""

import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import pcdarts
from authors_layout import AuthorsNetwork, with_random_statistics
from command_line import done, refused, until_the_error
from pcdarts.data.sources import CIFAR10_STATISTICS
from pcdarts.jobs.foreign_weights import CIFAR10_CLASSES, OnlyGenotype, classifier_of

SIZES = {"channels": 4, "num_cells": 3, "num_classes": 10, "auxiliary": True}
TOLD = "weights.pt: 3 cells of 4 channels, cifar stem, 10 classes, its auxiliary head left out"
TEST = shlex.split("test weights.pt --genotype PCDARTS --data folder --data-root images")
ASSUMED = "assumed: images of 32x32, CIFAR-10's mean and deviation of pixels, CIFAR-10's classes"


def authors_network(cell: str = "pc_darts_cifar10", kind: str = "cifar") -> nn.Module:
    torch.manual_seed(0)
    network: nn.Module = with_random_statistics(AuthorsNetwork(pcdarts.published(cell), kind=kind, **SIZES)).eval()
    return network


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with `weights.pt` of the authors' layout, and two images of each class of CIFAR-10."""
    torch.save(authors_network().state_dict(), tmp_path / "weights.pt")
    numbers = np.random.default_rng(0)
    for part in ("train", "test"):
        for name in CIFAR10_CLASSES:
            (tmp_path / "images" / part / name).mkdir(parents=True)
            for index in range(2):
                image = Image.fromarray(numbers.integers(0, 256, (32, 32, 3), dtype=np.uint8))
                image.save(tmp_path / "images" / part / name / f"{index}.png")
    return tmp_path


def pixels(path: Path) -> Tensor:
    return torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1).unsqueeze(0) / 255


def authors_logits(image: Tensor) -> Tensor:
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in CIFAR10_STATISTICS)
    with torch.no_grad():
        logits: Tensor = authors_network()((image - mean) / std)[0]
    return logits


def test_the_error_of_the_authors_network_is_measured(place: Path) -> None:
    wrong = 0
    for label, name in enumerate(CIFAR10_CLASSES):
        for path in (place / "images" / "test" / name).iterdir():
            wrong += int(authors_logits(pixels(path)).argmax() != label)
    assert until_the_error(done(place, *TEST)) == [
        "PCDARTS is the published cell pc_darts_cifar10",
        f"{TOLD}; {ASSUMED}",
        f"10 classes: {', '.join(CIFAR10_CLASSES[:-1])} and {CIFAR10_CLASSES[-1]}",
        f"weights.pt: top-1 error {100 * wrong / 20:.2f} % of 20 images (the test set 'test')",
    ]


def test_an_image_has_the_authors_probabilities_and_an_export_the_same(place: Path) -> None:
    best = authors_logits(pixels(place / "images/test/cat/0.png")).softmax(1).topk(1)
    said = f"images/test/cat/0.png: {CIFAR10_CLASSES[int(best.indices)]} {100 * best.values.item():.1f} %"
    predict = ["images/test/cat/0.png", "--top", "1"]
    assert done(place, "predict", "weights.pt", "--genotype", "PCDARTS", *predict).splitlines()[-1] == said
    printed = done(place, "export", "weights.pt", "--genotype", "PCDARTS")
    assert "weights-export/model.safetensors: " in printed
    assert "logits of 32 random images within " in printed
    assert done(place, "predict", "weights-export", *predict).splitlines() == [said]
    card = (place / "weights-export" / "README.md").read_text()
    assert "its weights were in the file `weights.pt`" in card
    assert "No error was measured" in card
    assert "model-index" not in card
    assert pcdarts.published("pc_darts_cifar10").to_text() in card
    tested = done(place, "test", "weights-export", "--data", "folder", "--data-root", "images")
    assert until_the_error(tested)[-1].startswith("weights-export: top-1 error ")
    assert "is exported already" in refused(place, "export", "weights-export", "--format", "torch-export")


@pytest.mark.parametrize(
    ("wrap", "said"),
    [
        (lambda state: {"state_dict": {f"module.{key}": x for key, x in state.items()}, "epoch": 3}, ""),
        (lambda state: {"model": {f"_orig_mod.{key}": x for key, x in state.items()}}, ""),
        (lambda state: {"net": state, "best_acc1": np.float64(97.4), "optimizer": {}}, ""),
        (lambda state: {"model_ema": state}, ", averaged weights (model_ema)"),
        (lambda state: {"model": state, "model_ema": state}, ", not the averaged weights (model_ema)"),
    ],
    ids=["DataParallel", "compiled", "NumPy beside", "averaged", "both"],
)
def test_checkpoints_are_opened_however_they_are_wrapped(place: Path, wrap, said: str) -> None:  # type: ignore[no-untyped-def]
    torch.save(wrap(authors_network().state_dict()), place / "model_best.pth.tar")
    told: list[str] = []
    found = classifier_of(place / "model_best.pth.tar", OnlyGenotype("pc_darts_cifar10"), told.append)
    image = pixels(place / "images/test/cat/0.png")
    assert torch.allclose(found.classifier(image), authors_logits(image), atol=1e-5)
    assert told == [f"{place / 'model_best.pth.tar'}: {TOLD.removeprefix('weights.pt: ')}{said}; {ASSUMED}"]


def test_classes_are_those_that_are_named(place: Path) -> None:
    (place / "names.txt").write_text("\n".join(f"name {index}" for index in range(10)))
    for names in ("names.txt", ",".join(f"name {index}" for index in range(10))):
        predict = ["predict", "weights.pt", "--genotype", "PCDARTS", "--classes", names, "images/test/cat/0.png"]
        assert ": name " in done(place, *predict).splitlines()[-1]
    message = refused(place, "predict", "weights.pt", "--genotype", "PCDARTS", "--classes", "a,b", "images")
    assert message.startswith("--classes a,b has 2 names, but the network of weights.pt has 10 classes")


def test_classes_of_other_data_are_taken_in_their_order(place: Path) -> None:
    for part in ("train", "test"):
        for index, name in enumerate(CIFAR10_CLASSES):
            shutil.move(place / "images" / part / name, place / "images" / part / f"c{index}")
    lines = done(place, *TEST).splitlines()
    assert "assumed: its classes are those of folder in their order, c0, c1, c2, c3, c4 and 5 more" in lines


def test_a_file_is_refused_with_what_is_wrong_with_it(place: Path) -> None:
    test = ["test", "weights.pt"]
    assert refused(place, *test) == (
        "weights.pt holds weights without their cell: give --genotype (of the published cells, its tensors fit "
        "pc_darts_cifar10)"
    )
    assert "pc_darts_cifar10 would fit" in refused(place, *test, "--genotype", "DARTS")
    assert refused(place, *test, "--genotype", "PCDARTS", "--channels", "36") == (
        "channels is 36, but the tensors of weights.pt are those of 4: drop it"
    )
    torch.save(authors_network(), place / "whole.pt")
    for verb in (["test"], ["export"], ["predict"]):
        images = ["images"] if verb == ["predict"] else []
        assert "whole.pt is refused: it holds a whole model" in refused(place, *verb, "whole.pt", *images)
    torch.save(authors_network("pc_darts_imagenet", "imagenet").state_dict(), place / "other.pt")
    message = refused(place, "test", "other.pt", "--genotype", "PC_DARTS_image")
    assert message.startswith("the data of other.pt is not known: name images of its 10 classes")


def test_a_run_knows_its_own_network_and_its_checkpoint_is_no_file_of_weights(
    tmp_path: Path, finished_train: Path
) -> None:
    message = refused(tmp_path, "test", str(finished_train), "--genotype", "DARTS", "--num-cells", "3")
    assert message == (
        f"{finished_train} knows its own network: drop --genotype and --num-cells, which a file of weights needs"
    )
    message = refused(tmp_path, "test", str(finished_train / "checkpoint.pt"), "--genotype", "DARTS")
    assert message.endswith(f"is the checkpoint of a run of pcdarts: give the folder of the run, {finished_train}")
    message = refused(tmp_path, "train", "--resume", str(finished_train / "config.yaml"))
    assert message == f"{finished_train}/config.yaml is not a run folder: it is a file"
