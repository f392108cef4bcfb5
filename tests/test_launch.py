"""What runs are called that are given no name."""

from pathlib import Path

import pytest

from pcdarts.config.configs import SearchConfig, TrainConfig
from pcdarts.config.detect_config import DetectTrainConfig
from pcdarts.config.recipes import resolve
from pcdarts.launch import stem_of


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        ({}, "fashion-mini"),
        ({"recipe": "cifar10"}, "cifar10"),
        ({"recipe": "cifar10-small", "data_root": "elsewhere"}, "cifar10-small"),
        ({"data": "cifar100"}, "cifar100"),
        ({"data": "folder", "data_root": "somewhere/photos/"}, "photos"),
        ({"recipe": "imagenet"}, "imagenet"),
        ({"recipe": "imagenet", "data_root": "birds"}, "birds"),
        ({"data": "huggingface", "hub_name": "ylecun/mnist"}, "mnist"),
        ({"data": "folder", "data_root": "my: photos?\n*"}, "my-photos"),
        ({"data": "folder", "data_root": "猫"}, "猫"),
        ({"data": "folder", "data_root": "x" * 200}, "x" * 60),
        ({"data": "folder", "data_root": "/"}, "folder"),
        ({"data": "folder", "data_root": "\udcff..."}, "folder"),
    ],
)
def test_a_run_is_called_after_its_recipe_or_after_data_of_another_kind(flags: dict[str, str], name: str) -> None:
    assert stem_of(resolve(SearchConfig, flags=flags)) == f"search-{name}"
    assert stem_of(resolve(TrainConfig, flags=flags)) == f"train-{name}"


def test_a_folder_is_called_by_its_own_name_from_inside_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "photos").mkdir()
    monkeypatch.chdir(tmp_path / "photos")
    assert stem_of(resolve(TrainConfig, flags={"data": "folder", "data_root": "."})) == "train-photos"


def test_a_detector_is_called_after_its_data() -> None:
    assert stem_of(resolve(DetectTrainConfig, flags={"data_root": "sets/my ships"})) == "detect-train-my-ships"
    assert stem_of(resolve(DetectTrainConfig)) == "detect-train-coco-mini"
