"""Validation sets of data from every source: in memory, in folders (resident and streamed), and of Hugging Face."""

import pytest
import torch

from pcdarts.data.disk.image_folder import find_images
from pcdarts.data.sources import load_data
from pcdarts.errors import InputError

SETS = ("train", "val", "test")


def in_sets(save_images, *sets, count=4):
    """A folder with so many images of `cat` and of `dog` in each of these sets; "" is the folder itself."""
    parts = [f"{name}/" if name else "" for name in sets]
    return save_images(*(f"{part}{kind}/{n}.png" for part in parts for kind in ("cat", "dog") for n in range(count)))


def names(data, which):
    """The files of a set, below the folder of the data."""
    found = getattr(data, which)
    return found and sorted(found.sources.names())


def refusal(**options):
    with pytest.raises(InputError) as error:
        load_data("folder", **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_without_a_fraction_there_is_no_validation_set(save_images):
    root = in_sets(save_images, *SETS)
    data = load_data("folder", root=root)
    assert data.validation is None
    assert (len(data.train), len(data.test)) == (16, 8)


@pytest.mark.parametrize("name", ["val", "validation", "valid", "dev"])
def test_with_a_fraction_a_folder_of_that_name_is_the_validation_set_and_nothing_else(save_images, name):
    found = find_images(in_sets(save_images, "train", name, "test"), val_chooses=True)
    assert {path.split("/")[0] for path in names(found, "validation")} == {name}
    assert {path.split("/")[0] for path in names(found, "train")} == {"train"}
    assert {path.split("/")[0] for path in names(found, "test")} == {"test"}
    assert f"validation set: '{name}' (8 images)" in found.notes


@pytest.mark.parametrize("loading", ["resident", "streaming"])
def test_a_validation_folder_is_loaded_as_such(save_images, loading):
    root = in_sets(save_images, *SETS)
    data = load_data("folder", root=root, image_size=8, loading=loading, validation_fraction=0.25)
    assert data.validation is not None
    assert [len(data.train), len(data.validation), len(data.test)] == [8, 8, 8]
    assert data.validation.shape == data.train.shape
    assert data.files != load_data("folder", root=root, image_size=8, loading=loading).files
    assert len(data.notes) == 3, data.notes  # classes, training and test set, validation set: no fraction is drawn


def test_without_a_test_folder_a_fifth_of_training_is_the_test_set_and_val_stays_for_choosing(save_images):
    found = find_images(in_sets(save_images, "train", "val", count=5), val_chooses=True)
    assert {path.split("/")[0] for path in [*names(found, "train"), *names(found, "test")]} == {"train"}
    assert (len(found.train), len(found.test), len(found.validation)) == (8, 2, 10)


@pytest.mark.parametrize("loading", ["resident", "streaming"])
def test_without_a_validation_folder_a_part_of_each_class_of_training_is_kept(save_images, loading):
    root = in_sets(save_images, "train", "test", count=20)
    data = load_data("folder", root=root, image_size=8, loading=loading, validation_fraction=0.15)
    assert data.train.labels.bincount().tolist() == [17, 17]
    assert data.validation is not None
    assert data.validation.labels.bincount().tolist() == [3, 3]
    assert len(data.test) == 40
    assert data.train_sources is not None
    assert len(data.train_sources) == 34
    said = "validation set: 6 of the 40 training images, drawn of each class (--validation-fraction 0.15)"
    assert f"{said}; the other 34 are learnt from" in data.notes


def test_of_classes_alone_a_fifth_is_for_the_test_and_then_the_fraction_for_validation(save_images):
    data = load_data("folder", root=in_sets(save_images, "", count=25), validation_fraction=0.25)
    assert data.validation is not None
    assert [len(part) for part in (data.train, data.validation, data.test)] == [30, 10, 10]


def test_which_images_validate_does_not_depend_on_the_seed(save_images):
    root = in_sets(save_images, "", count=25)
    one, other = (load_data("folder", root=root, validation_fraction=0.25, seed=seed) for seed in (0, 1))
    assert one.digest() == other.digest()


def test_resident_and_streamed_sets_have_the_same_images(save_images):
    root = in_sets(save_images, "", count=25)
    options = {"root": root, "image_size": 10, "validation_fraction": 0.25}
    kept, streamed = (load_data("folder", **options, loading=loading) for loading in ("resident", "streaming"))
    assert kept.files == streamed.files
    for which in ("train", "validation", "test"):
        part = getattr(streamed, which)
        ((_, _, pixels),) = part.read([torch.arange(len(part)).repeat(2, 1)], False, 0.0, False)
        assert torch.equal(pixels.permute(0, 3, 1, 2), getattr(kept, which).pixels)


def test_a_named_validation_set_needs_no_fraction(save_images):
    root = in_sets(save_images, "train", "mine", "test")
    data = load_data("folder", root=root, validation_set="mine")
    assert data.validation is not None
    assert len(data.validation) == 8
    assert "validation set: 'mine' (8 images)" in data.notes
    assert load_data("folder", root=root).validation is None


def test_sets_may_all_be_named(save_images):
    root = in_sets(save_images, "a", "b", "c")
    found = find_images(root, "a", "b", "c")
    assert [names(found, which)[0] for which in ("train", "test", "validation")] == [
        "a/cat/0.png",
        "b/cat/0.png",
        "c/cat/0.png",
    ]
    found = find_images(root, "a", validation_set="c")
    assert {path.split("/")[0] for path in [*names(found, "train"), *names(found, "test")]} == {"a"}


def test_with_training_and_test_set_named_val_is_still_found_by_its_name(save_images):
    found = find_images(in_sets(save_images, "a", "b", "val"), "a", "b", val_chooses=True)
    assert {path.split("/")[0] for path in names(found, "validation")} == {"val"}


def test_a_validation_folder_without_classes_is_left_out_and_said(save_images):
    root = in_sets(save_images, "train", "test", count=4)
    save_images("val/1.png", "val/2.png")
    data = load_data("folder", root=root, validation_fraction=0.25)
    assert data.validation is not None
    assert [len(data.train), len(data.validation)] == [6, 2]
    ignored = "ignored 'val' (2 images): they are not in class folders, so their classes are unknown"
    assert ignored in data.notes


def test_a_validation_set_with_other_classes_is_refused_in_one_line(save_images):
    root = in_sets(save_images, "train", "test")
    save_images("val/cat/1.png", "val/bird/2.png")
    assert refusal(root=root, validation_fraction=0.2).endswith(
        "val' does not have the classes of the training set: it lacks 'dog' and adds 'bird'; both need the same class "
        "folders"
    )


def test_the_validation_set_must_be_another_folder(save_images):
    root = in_sets(save_images, "train", "test")
    line = refusal(root=root, validation_set="test", test_set="test")
    assert line.startswith("validation_set and test_set are both the folder 'test'")
    assert "has no such folder" in refusal(root=root, validation_set="vall")


def test_data_that_is_read_whole_gives_a_part_of_its_training_images():
    whole, data = load_data("fashion-mini"), load_data("fashion-mini", validation_fraction=0.15)
    assert whole.validation is None
    assert data.validation is not None
    assert [len(part) for part in (data.train, data.validation, data.test)] == [5100, 900, 1000]
    assert data.validation.labels.bincount().tolist() == [90] * 10
    assert data.mean != whole.mean  # that of the images that are learnt from
    assert data.digest() != whole.digest()
    with pytest.raises(InputError, match="has sets of its own, and none called val"):
        load_data("fashion-mini", validation_set="val")


def test_unreadable_images_are_skipped_in_the_validation_set_too(save_images):
    root = in_sets(save_images, *SETS)
    (root / "val" / "cat" / "1.png").write_bytes(b"no image")
    data = load_data("folder", root=root, image_size=8, validation_fraction=0.2, on_bad_image="skip")
    assert data.validation is not None
    assert data.validation.labels.tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert data.test.labels.tolist() == data.train.labels.tolist() == [0] * 4 + [1] * 4
    assert len(data.skipped) == 1
