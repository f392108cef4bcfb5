"""Where only `--epochs` is given, the recipe's other numbers of epochs follow."""

from pathlib import Path

import pytest

from pcdarts.config.configs import SearchConfig, TrainConfig
from pcdarts.config.detect_config import DetectTrainConfig
from pcdarts.config.fitting import fitted_epochs
from pcdarts.config.recipes import RECIPES, resolve


def test_a_shorter_search_keeps_the_share_of_frozen_epochs_and_says_so() -> None:
    fitted, lines = fitted_epochs(SearchConfig, None, {"epochs": "2"})
    assert fitted == {"arch_frozen_epochs": 0}
    assert lines == [
        "arch_frozen_epochs is 0 (the recipe fashion-mini has 3 of 8 epochs, scaled to 2; --arch-frozen-epochs sets it)"
    ]
    assert fitted_epochs(SearchConfig, None, {"recipe": "cifar10", "epochs": "25"})[0] == {"arch_frozen_epochs": 7}


def test_every_recipe_can_be_tried_for_one_epoch() -> None:
    for config_class in (SearchConfig, TrainConfig, DetectTrainConfig):
        for name in RECIPES[config_class.job_name()]:
            flags = {"recipe": name, "epochs": "1"}
            fitted, _ = fitted_epochs(config_class, None, flags)
            assert resolve(config_class, flags={**fitted, **flags}).model_dump()["epochs"] == 1


@pytest.mark.parametrize(
    "flags",
    [
        {"epochs": "100"},
        {"epochs": "8"},
        {"epochs": "2", "arch_frozen_epochs": "1"},
        {"epochs": "x"},
        {"epochs": "-1"},
        {"recipe": "darts-v1", "epochs": "2"},
        {},
    ],
)
def test_a_longer_search_and_what_was_typed_stay_as_they_are(flags: dict[str, str]) -> None:
    assert fitted_epochs(SearchConfig, None, flags) == ({}, [])


def test_a_warm_up_is_scaled_only_where_it_would_leave_nothing() -> None:
    imagenet = {"recipe": "imagenet"}
    assert fitted_epochs(TrainConfig, None, imagenet | {"epochs": "6"}) == ({}, [])
    assert fitted_epochs(TrainConfig, None, imagenet | {"epochs": "5"})[0] == {"lr_warmup_epochs": 0}


def test_a_file_says_as_much_as_flags(tmp_path: Path) -> None:
    file = tmp_path / "some.yaml"
    file.write_text("epochs: 4\n")
    assert fitted_epochs(SearchConfig, file, {})[0] == {"arch_frozen_epochs": 1}
    file.write_text("arch_frozen_epochs: 3\n")
    assert fitted_epochs(SearchConfig, file, {"epochs": "2"}) == ({}, [])
