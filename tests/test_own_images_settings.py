"""The script that compares settings for few images: what it trains on, and what its table says."""

from pathlib import Path

import pytest
from PIL import Image

import own_images_settings as script


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Three classes of 30 training and 6 other images."""
    for part, count in (("train", 30), ("val", 6), ("test", 6)):
        for name in ("ant", "bee", "wasp"):
            (tmp_path / "images" / part / name).mkdir(parents=True)
            for index in range(count):
                Image.new("RGB", (1, 1)).save(tmp_path / "images" / part / name / f"{index}.png")
    return tmp_path / "images"


def files(folder: Path, part: str) -> dict[str, set[Path]]:
    return {path.name: {link.resolve() for link in path.iterdir()} for path in (folder / part).iterdir()}


def test_class_sizes_fall_geometrically_and_every_seed_draws_other_images(
    tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "IMAGES", 36)
    first, second = (script.linked(tmp_path / f"data-{seed}", "imbalanced", images, seed) for seed in (0, 1))
    sizes = [sorted(len(found) for found in files(folder, "train").values()) for folder in (first, second)]
    assert sizes[0] == sizes[1] == [3, 8, 25]
    assert files(first, "train") != files(second, "train")
    assert {name: len(found) for name, found in files(first, "test").items()} == {"ant": 6, "bee": 6, "wasp": 6}


def test_no_image_of_a_seed_is_trained_on_and_tested_on(tmp_path: Path, images: Path) -> None:
    folder = script.linked(tmp_path / "data", "imagenette", images, 0)
    train, test = files(folder, "train"), files(folder, "test")
    for name in ("ant", "bee", "wasp"):
        assert (len(train[name]), len(test[name]), train[name] & test[name]) == (30, 6, set())
    before = script.linked(tmp_path / "data", "imagenette", images, 0)
    assert files(before, "train") == train


def test_a_setting_is_compared_with_the_baseline_seed_by_seed() -> None:
    def accuracies(*values: float) -> dict[int, dict[str, float]]:
        return {seed: {"accuracy": value} for seed, value in enumerate(values)}

    found = {
        "baseline": accuracies(50, 60, 70),
        "better by two": accuracies(52, 62.1, 71.9),
        "unclear": accuracies(55, 50),
    }
    lines = script.table("long", "imbalanced", "accuracy", found).splitlines()
    assert lines[4:] == [
        "| baseline | 3 | 60.00 |  |  |",
        "| better by two | 3 | 62.00 | +2.00 (+1.75 to +2.25) | better |",
        "| unclear | 2 | 52.50 | -2.50 (-97.80 to +92.80) | no |",
    ]


def test_of_a_flag_that_is_given_twice_the_last_one_counts() -> None:
    assert script.merged("--cutout 8 --epochs 3 --cutout 0") == ["--cutout", "0", "--epochs", "3"]
