"""Trainings that begin with the weights of another run or of an export: `train --init`."""

import hashlib
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from authors_layout import AuthorsNetwork
from command_line import GENOTYPE, checkpoint_of, copy_of, differences, done, kill_after_epochs, refused, result_of
from pcdarts.cell.zoo import published

SMALL = shlex.split("train --train-images 40 --test-images 100 --image-size 8 --batch-size 20 --cutout 3 --epochs 2")
HEADS = ("/state/network/classifier.", "/state/network/auxiliary_head.classifier.")


def begun(folder: Path, *arguments: str) -> str:
    """What a training says that changes nothing: its steps are too small to be seen."""
    still = ("--learning-rate", "1e-30", "--epochs", "1", "--run", "new")
    return done(folder, *SMALL, *arguments, *still)


def networks(folder: Path, run: Path) -> list[tuple[str, torch.Tensor, torch.Tensor]]:
    """The weights (no statistics) of the training in `folder` beside those of the run that it began with."""
    theirs = checkpoint_of(run)
    return [
        (name, weight, theirs[name])
        for name, weight in checkpoint_of(folder / "new").items()
        if name.startswith("/state/network/") and name.endswith("weight")
    ]


def test_a_training_begins_with_all_weights_of_a_run_whose_classes_it_has(tmp_path: Path, finished_train: Path) -> None:
    printed = begun(tmp_path, "--init", str(finished_train))
    digest = hashlib.sha256((finished_train / "checkpoint.pt").read_bytes()).hexdigest()
    assert f"the weights of {finished_train} decide: their genotype, kind cifar, 4 channels, 3 cells\n" in printed
    assert f"begins with the weights of {finished_train} (SHA-256 {digest[:12]}...): all of them\n" in printed
    assert all(torch.equal(ours, theirs) for _, ours, theirs in networks(tmp_path, finished_train))
    assert result_of(tmp_path / "new")["init"] == {"path": str(finished_train), "sha256": digest, "new": []}
    assert result_of(tmp_path / "new")["genotype"] == GENOTYPE.to_text()
    assert f"init: {finished_train}\n" in (tmp_path / "new" / "config.yaml").read_text()


def test_other_classes_get_new_classifiers(tmp_path: Path, finished_train: Path, grey_images: Path) -> None:
    own = ("--data", "folder", "--data-root", str(grey_images), "--init", str(finished_train))
    printed = begun(tmp_path, *own)
    assert (
        "): all but the classifier and the auxiliary classifier, which begin at random, for the 3 classes are not the "
        "10 classes there\n"
    ) in printed
    for name, ours, theirs in networks(tmp_path, finished_train):
        assert (ours.shape == theirs.shape and torch.equal(ours, theirs)) != name.startswith(HEADS), name


def test_an_exported_network_has_no_auxiliary_head_to_begin_with(tmp_path: Path, finished_train: Path) -> None:
    copy_of(finished_train, tmp_path / "run")
    done(tmp_path, "export", "run")
    printed = begun(tmp_path, "--init", "run/export")
    assert "): all but the auxiliary head, which begins at random\n" in printed
    digest = hashlib.sha256((tmp_path / "run/export/model.safetensors").read_bytes()).hexdigest()
    path = str(tmp_path / "run" / "export")
    assert result_of(tmp_path / "new")["init"] == {"path": path, "sha256": digest, "new": ["the auxiliary head"]}
    done(tmp_path, "export", "new")
    card = (tmp_path / "new" / "export" / "README.md").read_text()
    assert digest in card  # but not where the weights lay on this machine
    assert str(tmp_path) not in card


def test_a_resumed_training_needs_the_weights_no_more_and_ends_as_if_it_had_never_been_killed(
    tmp_path: Path, finished_train: Path
) -> None:
    copy_of(finished_train, tmp_path / "first")
    command = [*SMALL, "--init", "first", "--epochs", "4"]
    kill_after_epochs(2, Path("run/metrics.jsonl"), tmp_path, *command, "--run", "run")
    done(tmp_path, *command, "--run", "undisturbed")
    (tmp_path / "first").rename(tmp_path / "gone")
    done(tmp_path, "train", "--resume", "run")
    assert differences(tmp_path / "run", tmp_path / "undisturbed") == []
    assert result_of(tmp_path / "run")["init"] == result_of(tmp_path / "undisturbed")["init"]


def test_a_file_of_the_authors_scripts_will_do_with_its_genotype(tmp_path: Path) -> None:
    sizes: dict[str, Any] = {"kind": "cifar", "channels": 4, "num_cells": 3, "num_classes": 2}
    theirs = AuthorsNetwork(published("darts_v2"), auxiliary=False, **sizes).state_dict()
    torch.save(theirs, tmp_path / "weights.pt")
    own = ("--data", "cifar10", "--data-root", "nowhere")
    assert "holds weights without their cell: give --genotype" in refused(
        tmp_path, *SMALL, *own, "--init", "weights.pt"
    )
    numbers = np.random.default_rng(0)
    for name in ("ant", "bee"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for index in range(4):
            pixels = numbers.integers(0, 255, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / name / f"{index}.png")
    own = ("--data", "folder", "--data-root", "images", "--init", "weights.pt", "--genotype", "DARTS")
    printed = begun(tmp_path, *own)
    assert "3 cells of 4 channels, cifar stem, 2 classes; assumed: " in printed
    assert (
        "): all but the classifier and the auxiliary head, which begin at random, for it is not known which classes "
        "are there\n"
    ) in printed
    assert printed.count("DARTS is the published cell darts_v2\n") == 1
    ours = checkpoint_of(tmp_path / "new")
    assert torch.equal(ours["/state/network/stem.0.weight"], theirs["stem.0.weight"])


def test_an_unfinished_run_will_do_and_so_will_a_seed(tmp_path: Path, killed_two_seeds: Path) -> None:
    assert "all of them" in begun(tmp_path, "--init", str(killed_two_seeds / "seed-1"))
    message = refused(tmp_path, *SMALL, "--init", str(killed_two_seeds), "--run", "other")
    assert message == f"--init {killed_two_seeds} is a run of 2 seeds: name one, such as {killed_two_seeds}/seed-0"


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ("--channels 8", "channels is 4 there and 8 here"),
        ("--num-cells 4", "num_cells is 3 there and 4 here"),
        ("--genotype darts_v2", "the genotype is another one"),
        ("--kind imagenet --channels 8", "kind is cifar there and imagenet here, channels is 4 there and 8 here"),
    ],
)
def test_weights_of_another_network_are_refused_with_what_differs(
    tmp_path: Path, finished_train: Path, flags: str, reason: str
) -> None:
    message = refused(tmp_path, *SMALL, *flags.split(), "--init", str(finished_train))
    assert message.startswith(f"--init {finished_train} does not fit ({reason}): drop what you say of these")


def test_weights_for_other_images_and_what_holds_none_are_refused(
    tmp_path: Path, finished_train: Path, finished_search: Path, colour_images: Path
) -> None:
    colours = ("--data", "folder", "--data-root", str(colour_images))
    message = refused(tmp_path, *SMALL, *colours, "--init", str(finished_train))
    assert f"--init {finished_train} is for greyscale images, but those of" in message
    message = refused(tmp_path, *SMALL, "--init", "nowhere")
    assert message.endswith("nowhere does not exist: give a train run, an export, or a file of weights")
    assert "configures the job search, not train" in refused(tmp_path, *SMALL, "--init", str(finished_search))
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "config.yaml").write_text((finished_train / "config.yaml").read_text())
    message = refused(tmp_path, *SMALL, "--init", "begun")
    assert message == f"--init {tmp_path / 'begun'} has no checkpoint yet: let it train for an epoch first"
