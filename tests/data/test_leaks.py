"""Images that are in two sets are counted and named, in memory and streamed."""

import shutil
import warnings

import pytest
import torch

from pcdarts.data.images import DataSet, Images
from pcdarts.data.leaks import with_leaks
from pcdarts.data.sources import load_data

LOADING = pytest.mark.parametrize("loading", ["resident", "streaming"])


def warned(root, loading="resident", **options):
    data = load_data("folder", root=root, image_size=8, loading=loading, validation_fraction=0.2, **options)
    return [note for note in data.notes if note.startswith("warning")]


@pytest.fixture
def sets(save_images):
    """Three sets of eight images each; no two images are alike."""
    names = [(which, kind, n) for which in ("train", "val", "test") for kind in ("cat", "dog") for n in range(4)]
    return save_images(*(f"{which}/{kind}/{n}.png" for which, kind, n in names))


@LOADING
def test_sets_without_common_images_are_not_spoken_of(sets, loading):
    assert warned(sets, loading) == []


@LOADING
def test_a_test_image_that_is_a_training_image_too_is_counted_and_named(sets, loading):
    shutil.copy(sets / "train" / "cat" / "2.png", sets / "test" / "dog" / "copy.png")
    assert warned(sets, loading) == [
        "warning: 1 of 9 test images is among the training images too, so the test error says too little: "
        "'test/dog/copy.png' is 'train/cat/2.png'"
    ]


@LOADING
def test_every_two_sets_are_compared_and_the_first_five_images_named(sets, loading):
    for number in range(4):
        shutil.copy(sets / "train" / "cat" / f"{number}.png", sets / "val" / "cat" / f"a{number}.png")
        shutil.copy(sets / "train" / "dog" / f"{number}.png", sets / "val" / "dog" / f"a{number}.png")
    shutil.copy(sets / "val" / "dog" / "0.png", sets / "test" / "dog" / "a0.png")
    first, second = warned(sets, loading)
    assert first.startswith("warning: 8 of 16 validation images are among the training images too")
    assert first.endswith("'val/cat/a3.png' is 'train/cat/3.png', 'val/dog/a0.png' is 'train/dog/0.png' and 3 more")
    assert second == (
        "warning: 1 of 9 test images is among the validation images too, so the test error says too little: "
        "'test/dog/a0.png' is 'val/dog/0.png'"
    )


def test_copies_in_a_folder_without_sets_are_found_where_the_split_parts_them(save_images):
    root = save_images(*(f"{kind}/{n}.png" for kind in ("cat", "dog") for n in range(10)))
    for kind in ("cat", "dog"):
        for n in range(10):
            shutil.copy(root / kind / f"{n}.png", root / kind / f"copy of {n}.png")
    lines = warned(root)
    assert lines
    assert all("copy of" in line for line in lines)


def test_files_of_one_size_that_differ_are_told_apart(save_images):
    names = [f"{which}/{kind}/{n}.bmp" for which in ("train", "test") for kind in ("cat", "dog") for n in range(4)]
    root = save_images(*names)  # a bitmap of so many pixels has always the same size
    assert len({(root / name).stat().st_size for name in names}) == 1
    assert warned(root, "streaming") == []
    shutil.copy(root / "train" / "cat" / "0.bmp", root / "test" / "cat" / "0.bmp")
    assert len(warned(root, "streaming")) == 1


def test_files_that_end_alike_are_read_whole(save_images):
    names = [f"{which}/{kind}/{n}.bmp" for which in ("train", "test") for kind in ("cat", "dog") for n in range(4)]
    root = save_images(*names, size=(60, 60))
    content = bytearray((root / names[0]).read_bytes())
    content[-5000] ^= 1  # before the part that is compared first
    (root / "test" / "cat" / "0.bmp").write_bytes(content)
    assert warned(root, "streaming") == []


def test_a_file_that_cannot_be_read_is_no_copy_of_another(sets):
    for which in ("train", "test"):
        (sets / which / "cat" / "0.png").unlink()
        (sets / which / "cat" / "0.png").symlink_to(sets / "nowhere.png")
    assert warned(sets, "streaming", on_bad_image="skip") == []


def test_images_without_files_are_named_by_their_number():
    pixels = torch.arange(6, dtype=torch.uint8).view(6, 1, 1, 1).expand(-1, 1, 8, 8)
    labels = torch.tensor([0, 1, 0, 1, 0, 1])
    train, test = Images(pixels, labels), Images(pixels[3:] + 1, labels[3:])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = with_leaks(DataSet("mine", ("a", "b"), train, test, (0.5,), (1.0,)))
    (line,) = data.notes
    assert data.leaks == {"test in training": 2}
    assert line == (
        "warning: 2 of 3 test images are among the training images too, so the test error says too little: test image "
        "0 is training image 4 and test image 1 is training image 5"
    )


def test_the_data_in_the_package_has_no_image_twice():
    assert [note for note in load_data("fashion-mini", validation_fraction=0.2).notes if "warning" in note] == []
