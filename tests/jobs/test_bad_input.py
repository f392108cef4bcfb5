"""Bad input: one clear line, exit code 2 (1 for a failure in mid-run), and no file made, changed or lost."""

import json
import pickle
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from command_line import (
    GENOTYPE,
    SEARCH,
    TRAIN,
    checkpoint_of,
    copy_of,
    end_of,
    error_line,
    metrics_of,
    process,
    refused,
    run_in,
    snapshot,
)

# Names and flags


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("search --recipe cifar-10", "search has no recipe cifar-10: did you mean 'cifar10'?"),
        ("search --epoch 3", "there is no flag --epoch: did you mean --epochs?"),
        ("train --no-auxilary", "there is no flag --no-auxilary: did you mean --no-auxiliary?"),
        ("search --data fashion-minni", "data is fashion-minni, but it must be"),
        ("search --data fashion-minni", "did you mean fashion-mini?"),
        ("search --channels 16 --k 3", "k is 3, but it must divide channels (16): use 1, 2, 4, 8 or 16"),
        ("search --num-nodes 2", "num_nodes is 2, but it must be at least 3"),
        ("search --arch-frozen-epochs 99", "arch_frozen_epochs is 99, but it must be at most epochs"),
        ("search --batch-size 1", "BatchNorm needs two: raise --batch-size, or give more images"),
        ("train --genotype random:1 --batch-size 1", "BatchNorm needs two: raise --batch-size, or give more images"),
        ("search --kind imagenet", "images of 28 x 28 pixels are too small for the network: use 32 x 32 or larger"),
        ("train --genotype darts_v1 --kind imagenet", "images of 28 x 28 pixels are too small for the network"),
        ("train --genotype darts_v1 --kind imagenet --seeds 2", "images of 28 x 28 pixels are too small"),
        ("search --image-size 7", "the images are to be 7x7 pixels, but 8x8 is the least a network can use"),
        ("search --data folder", "data is folder, but data_root is not given"),
        ("search --data folder --data-root nowhere", "image folder 'nowhere' does not exist: check its path"),
        ("train --genotype dart_v1", "did you mean 'darts_v1'?"),
        ("train --genotype random:one", "random:one names no random cell: write random:SEED"),
        ("train --genotype nowhere.json", "nowhere.json: No such file or directory"),
        ("test nowhere", "nowhere is not a run folder: it does not exist"),
        ("search --config nowhere.yaml", "cannot read the configuration nowhere.yaml: No such file or directory"),
        ("search --method gdsa", "method is gdsa, but it must be darts, "),
        ("search --method gdsa", ": did you mean gdas?"),
        ("search --recipe gdas-smal", "has no recipe gdas-smal: did you mean 'gdas-small'? (use one of fashion-mini, "),
        ("search --recipe gdas-smal", ", or METHOD or METHOD-small (`pcdarts methods`))"),
        (
            "search --method gdas --second-order",
            "second_order is for the method darts or darts-pt, not for gdas: drop it,",
        ),
        ("search --method gdas --channels 16 --k 3", "k is 3, but it must divide channels (16): use 1, 2, 4, 8 or 16"),
        ("search --method gdas --arch-frozen-epochs 99", "arch_frozen_epochs is 99, but it must be at most epochs"),
        ("search --device cuda:7", "device is cuda:7, but this machine has"),
    ],
)
def test_a_wrong_name_or_number_is_refused_in_one_line(tmp_path: Path, command: str, message: str) -> None:
    assert message in refused(tmp_path, *command.split())


def test_all_errors_of_a_configuration_are_reported_at_once(tmp_path: Path) -> None:
    ended = run_in(tmp_path, "search", "--k", "3", "--epochs", "0", "--data", "cifar", "--learning-rte", "0.1")
    assert ended.code == 2
    heading, *problems = ended.err.splitlines()
    assert heading == "pcdarts: error: 4 problems with the configuration:"
    for word, problem in zip(("--learning-rte", "data", "k", "epochs"), problems, strict=True):
        assert word in problem
    assert snapshot(tmp_path) == {}


def test_a_refusal_is_exit_code_2_of_the_process(tmp_path: Path) -> None:
    ended = end_of(process(tmp_path, "search", "--recipe", "cifar11"))
    assert ended.code == 2
    assert "did you mean 'cifar10'?" in error_line(ended)
    assert list(tmp_path.iterdir()) == []


# Genotypes


def broken(**changes: object) -> str:
    """The genotype of the tests as JSON, with some members changed."""
    return json.dumps({**json.loads(GENOTYPE.to_json()), **changes})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (broken()[:-20], "the genotype is not JSON"),
        (GENOTYPE.to_text()[:-5], "the genotype breaks off before its closing bracket"),
        ("print('hello')", "the text holds no genotype"),
        (GENOTYPE.to_text().replace("(2, 4)", "(2, open('made', 'w').write(''))"), "only quoted names, whole numbers"),
        (GENOTYPE.to_text().replace("sep_conv_3x3", "sep_convs_3x3"), "did you mean 'sep_conv_3x3'?"),
        (broken(normal=[["sep_conv_3x3", 0], ["conv", 1]]), "unknown primitive 'conv'"),
        (broken(normal=[["sep_conv_3x3", 0], ["skip_connect", 2]], normal_concat=[2]), "takes input from itself"),
        (broken(reduce=[["skip_connect", 3], ["skip_connect", 0], *GENOTYPE.reduce[2:]]), "takes input from node 3"),
        (broken(reduce=GENOTYPE.reduce[:3]), "reduce cell: 3 edges, but every intermediate node takes two"),
        (broken(normal_concat=[2, 7]), "normal cell, concat: names node 7: use the intermediate nodes, 2 to 3"),
    ],
)
def test_a_wrong_genotype_is_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "mine").write_text(text)
    for command in (["show", "./mine"], ["train", "--genotype", "./mine"]):
        line = refused(tmp_path, *command)
        assert line.startswith(("mine: ", "mine, line 1: "))
        assert message in line


# Folders of images


def save(path: Path, size: int = 9) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def empty(root: Path) -> None:
    root.mkdir()


def one_class(root: Path) -> None:
    save(root / "ant" / "0.png")


def unreadable_image(root: Path) -> None:
    for name in ("ant", "bee"):
        save(root / name / "0.png")
        save(root / name / "1.png")
    (root / "bee" / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")


def other_classes_in_test(root: Path) -> None:
    for folder in ("train/ant", "train/bee", "test/ant", "test/wasp"):
        save(root / folder / "0.png")


def class_without_images(root: Path) -> None:
    save(root / "ant" / "0.png")
    (root / "bee").mkdir()


def images_of_several_sizes(root: Path) -> None:
    for name in ("ant", "bee"):
        save(root / name / "0.png", size=9)
        save(root / name / "1.png", size=10)


@pytest.mark.parametrize(
    ("fill", "message"),
    [
        (empty, "image folder 'images' has no class folders"),
        (one_class, "image folder 'images' has only one class, 'ant'"),
        (unreadable_image, "image 'images/bee/0.png' cannot be read"),
        (
            other_classes_in_test,
            "'images/test' does not have the classes of the training set: it lacks 'bee' and adds 'wasp'",
        ),
        (class_without_images, "class folder 'images/bee' has no images"),
        (images_of_several_sizes, "give --image-size"),
    ],
)
def test_a_wrong_image_folder_is_refused_in_one_line(
    tmp_path: Path, fill: Callable[[Path], None], message: str
) -> None:
    fill(tmp_path / "images")
    for command in (["search"], ["train", "--genotype", "darts_v1"]):
        data = ("--recipe", "fashion-mini", "--data", "folder", "--data-root", "images")
        assert message in refused(tmp_path, *command, *data)


# Run folders and checkpoints


def test_a_run_folder_is_never_used_twice(tmp_path: Path, finished_search: Path, killed_search: Path) -> None:
    copy_of(finished_search, tmp_path / "finished")
    copy_of(killed_search, tmp_path / "killed")
    assert "finished already holds a finished run: choose another" in refused(tmp_path, *SEARCH, "--run", "finished")
    assert "continue it with --resume killed" in refused(tmp_path, *SEARCH, "--run", "killed")


def test_a_folder_that_is_no_run_cannot_be_resumed(tmp_path: Path) -> None:
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "paper.txt").write_text("")
    assert "papers is not a run folder" in refused(tmp_path, "search", "--resume", "papers")


class Code:
    """What a hostile file holds: unpickling it makes a file."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.made,)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def with_a_flipped_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def of_another_program(path: Path) -> None:
    torch.save({"state_dict": {"weight": torch.zeros(3)}}, path)


def with_code(path: Path) -> None:
    torch.save({"format": 1, "fingerprint": {}, "state": Code(path.with_name("made"))}, path)


def plain_pickle_with_code(path: Path) -> None:
    path.write_bytes(pickle.dumps(Code(path.with_name("made"))))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (truncated, "is truncated or damaged"),
        (emptied, "is empty"),
        (with_a_flipped_bit, "is truncated or damaged"),
        (of_another_program, "was not written by pcdarts"),
        (with_code, "which could run code"),
        (plain_pickle_with_code, "which could run code"),
    ],
)
def test_a_wrong_checkpoint_is_refused_in_one_line_and_its_code_does_not_run(
    tmp_path: Path, killed_search: Path, spoil: Callable[[Path], None], message: str
) -> None:
    run = copy_of(killed_search, tmp_path / "run")
    (run / "checkpoint.previous.pt").unlink()
    spoil(run / "checkpoint.pt")
    line = refused(tmp_path, "search", "--resume", "run")
    assert line.startswith("the checkpoint run/checkpoint.pt ")
    assert message in line
    assert not (run / "made").exists()


@pytest.mark.parametrize("spoil", [truncated, with_code])
def test_a_wrong_checkpoint_of_a_training_is_refused_too(
    tmp_path: Path, finished_train: Path, spoil: Callable[[Path], None]
) -> None:
    run = copy_of(finished_train, tmp_path / "run")
    spoil(run / "checkpoint.pt")
    assert "the checkpoint run/checkpoint.pt" in refused(tmp_path, "test", "run")
    (run / "result.json").unlink()
    (run / "checkpoint.previous.pt").unlink()
    assert "the checkpoint run/checkpoint.pt" in refused(tmp_path, "train", "--resume", "run")
    assert not (run / "made").exists()


def test_a_checkpoint_of_another_configuration_is_refused(tmp_path: Path, killed_search: Path) -> None:
    run = copy_of(killed_search, tmp_path / "run")
    config = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(config.replace("seed: 0", "seed: 1").replace("flip: true", "flip: false"))
    line = refused(tmp_path, "search", "--resume", "run")
    assert "belongs to another configuration (flip is true there and false here, seed is 0 there and 1 here)" in line


def test_flags_that_change_a_run_cannot_resume_it(tmp_path: Path, killed_search: Path) -> None:
    copy_of(killed_search, tmp_path / "run")
    line = refused(tmp_path, "search", "--resume", "run", "--k", "4")
    assert line == "run was begun with k 2, not 4: drop the flag to resume it, or start a new run"


@pytest.mark.parametrize("method", ["gdas", "gdsa"])
def test_a_search_is_resumed_with_the_method_that_it_was_begun_with(
    tmp_path: Path, killed_search: Path, method: str
) -> None:
    copy_of(killed_search, tmp_path / "run")
    line = refused(tmp_path, "search", "--resume", "run", "--method", method)
    assert line == f"run was begun with method darts, not {method}: drop the flag to resume it, or start a new run"


def test_a_training_is_resumed_with_as_many_test_images(tmp_path: Path, killed_two_seeds: Path) -> None:
    copy_of(killed_two_seeds, tmp_path / "run")
    line = refused(tmp_path, "train", "--resume", "run", "--test-images", "50")
    assert line.startswith("run was begun with test_images 100, not 50: ")


# Failures in mid-run


@pytest.mark.parametrize("command", [SEARCH, TRAIN], ids=["search", "train"])
def test_a_loss_that_is_no_number_ends_the_run_and_keeps_the_last_good_checkpoint(
    tmp_path: Path, command: list[str]
) -> None:
    ended = run_in(tmp_path, *command, "--learning-rate", "3e5", "--epochs", "50", "--run", "run")
    assert ended.code == 1
    line = error_line(ended)
    run = tmp_path / "run"
    (*_, last) = metrics_of(run)
    assert re.search(rf"after epoch {last['epoch'] + 1}|in epoch {last['epoch'] + 1}, step \d, at learning rate", line)
    saved = checkpoint_of(run)
    assert saved["/state/place/epoch"] == last["epoch"]
    assert all(value.isfinite().all() for value in saved.values() if isinstance(value, torch.Tensor))
    assert not (run / "result.json").exists()


def test_a_loss_that_is_no_number_from_the_start_promises_no_checkpoint(tmp_path: Path) -> None:
    ended = run_in(tmp_path, *TRAIN, "--learning-rate", "1e18", "--run", "run")
    assert ended.code == 1
    assert error_line(ended) == (
        "the training loss is nan in epoch 1, step 2, at learning rate 1e+18; nothing came of this step: "
        "start a new run with a lower --learning-rate, or resume this one with --max-skipped-batches 10"
    )
    assert not (tmp_path / "run" / "checkpoint.pt").exists()
