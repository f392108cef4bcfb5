"""Which folder is which set: the names people use, the wrappings of archives, and what nobody can tell."""

from pathlib import Path

import pytest

from pcdarts.data.disk.image_folder import ImageFiles, find_images, find_images_to_measure, find_training_images
from pcdarts.data.disk.set_folders import meaning
from pcdarts.errors import InputError

CLASSES = ("cat", "dog", "emu")


def names(files: ImageFiles, root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in files.sources)


def in_classes(folder: str, count: int = 2) -> list[str]:
    """The names of so many images in each class folder of a folder."""
    return [f"{folder}/{name}/{number}.png" for name in CLASSES for number in range(count)]


def flat(folder: str, count: int = 2) -> list[str]:
    return [f"{folder}/{number}.png" for number in range(count)]


def refusal(root: Path, train_set: str | None = None, test_set: str | None = None) -> str:
    with pytest.raises(InputError) as error:
        find_images(root, train_set, test_set)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["train", "TRAIN", "Training", "training_set", "trainset", "train-images", "train2017", "trn"], "train"),
        (["val", "Valid", "validation", "dev", "eval", "validation_data", "val2017", "Dev Set"], "val"),
        (["test", "Testing", "test_set", "TestImages", "images_test", "tst"], "test"),
        (["cat", "trains", "contest", "teststrip", "images", "data", "testé", "2017", "", "devil"], None),
    ],
)
def test_a_name_says_which_set_a_folder_is_in_any_case_and_wrapping(names, expected):
    assert {name: meaning(name) for name in names} == dict.fromkeys(names, expected)


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("Training", "Testing"),
        ("training_set", "test_set"),
        ("train", "dev"),
        ("data/train", "data/val"),
        ("images/train2017", "images/val2017"),
        ("pets/dataset/train", "pets/dataset/test"),
        ("train/images", "test/images"),
        ("seg_train/seg_train", "seg_test/seg_test"),
        ("flowers_train", "flowers_test"),
    ],
)
def test_sets_are_no_classes_whatever_people_call_them(save_images, train, test):
    root = save_images(*in_classes(train), *in_classes(test, 1))
    found = find_images(root)
    assert found.classes == CLASSES
    assert names(found.train, root) == sorted(in_classes(train))
    assert names(found.test, root) == sorted(in_classes(test, 1))


def test_an_unlabelled_set_beside_sets_makes_no_classes_of_them(save_images):
    names_of_sets = ("seg_train/seg_train", "seg_test/seg_test")
    root = save_images(*(name for folder in names_of_sets for name in in_classes(folder)), *flat("seg_pred/seg_pred"))
    found = find_images(root)
    assert (found.classes, len(found.train), len(found.test)) == (CLASSES, 6, 6)
    assert found.notes[1:] == ("ignored the folder 'seg_pred' (2 images)",)


def test_a_test_set_with_a_longer_name_may_be_unlabelled(save_images):
    root = save_images(*in_classes("asl_train/asl_train", 5), *flat("asl_test/asl_test"))
    found = find_images(root)
    assert (found.classes, len(found.train)) == (CLASSES, 12)
    assert "ignored 'asl_test' (2 images): they are not in class folders" in found.notes[1]
    assert len(find_images_to_measure(root).test) == 15


def test_a_bullet_train_and_a_crash_test_are_classes(save_images):
    root = save_images(*flat("bullet_train/images"), *flat("crash_test/images"))
    assert find_images(root).classes == ("bullet_train", "crash_test")


def test_class_folders_that_an_archive_has_wrapped_are_found_and_that_is_said(save_images):
    root = save_images(*in_classes("pets-master/pets", 5), "__MACOSX/pets-master/cat/0.png", "overview.png")
    found = find_images(root)
    assert found.classes == CLASSES
    assert found.notes == (
        "training set: 12 of the 15 images in 'pets-master/pets'; test set: the other 3, a fifth of each "
        "class (one image at least), because there is no labelled test set",
        "the images are in the folder 'pets-master/pets'",
        "ignored 1 image in 'images' itself, beside its folders",
        "ignored 1 folder __MACOSX",
    )


def test_what_was_done_with_every_folder_is_said(save_images):
    save_images(*in_classes("train", 4), *in_classes("validation", 1), *in_classes("test"), *flat("extra"))
    root = save_images(*flat("test-images-of-the-contest"))
    (root / "models").mkdir()
    assert find_images(root).notes == (
        "training set: 'train' (12 images) and 'validation' (3 images); test set: 'test' (6 images)",
        "ignored the folder 'extra' (2 images)",
        "ignored the folder 'models' (0 images)",
        "ignored the folder 'test-images-of-the-contest' (2 images)",
    )


def test_sets_with_names_that_nobody_knows_are_refused_and_named(save_images):
    root = save_images(*in_classes("one"), *in_classes("two"))
    message = refusal(root)
    assert message.startswith("'one' and 'two' hold the same folders ('cat', 'dog', 'emu'), so they seem to be sets")
    assert "--train-set and --test-set, or that they are classes with --train-set ." in message
    found = find_images(root, "two", "one")
    assert (names(found.train, root), names(found.test, root)) == (sorted(in_classes("two")), sorted(in_classes("one")))
    assert find_images(root, ".").classes == ("one", "two")


def test_a_training_set_beside_a_set_of_unknown_name_is_refused(save_images):
    assert "'holdout' and 'train' hold the same folders" in refusal(
        save_images(*in_classes("train"), *in_classes("holdout"))
    )


def test_sets_inside_of_class_folders_are_refused(save_images):
    root = save_images(*(f"{name}/{which}/0.png" for name in CLASSES for which in ("train", "test")))
    assert "the class folders 'cat', 'dog' and 'emu' hold sets ('test', 'train'): put the sets above" in refusal(root)


def test_classes_with_one_folder_of_images_each_are_classes(save_images):
    root = save_images(*(f"train/{name}/images/{n}.png" for name in CLASSES for n in range(2)), *in_classes("val"))
    assert find_images(root).classes == CLASSES


@pytest.mark.parametrize("name", ["test", "val"])
def test_a_folder_with_the_name_of_a_set_beside_class_folders_is_not_guessed_at(save_images, name):
    root = save_images(*in_classes("."), *flat(name))
    message = refusal(root)
    assert f"it is not clear whether '{name}' in '{root}', beside 'cat', 'dog', 'emu', is a set or a class" in message
    assert f"give --test-set {name} for a set, or --train-set . if all folders are classes" in message
    assert find_images(root, ".").classes == tuple(sorted((*CLASSES, name)))


def test_class_folders_beside_a_test_set_of_the_same_classes_are_the_training_set_when_that_is_said(save_images):
    root = save_images(*in_classes("."), *in_classes("held-out/mine", 1))
    found = find_images(root, test_set="held-out")
    assert (found.classes, len(found.train), names(found.test, root)) == (CLASSES, 6, in_classes("held-out/mine", 1))


def test_of_trains_and_buses_the_trains_are_a_class_but_of_steam_and_diesel_trains_nobody_knows(save_images):
    root = save_images(*flat("bus"), *flat("train"))
    assert find_images(root).classes == ("bus", "train")
    (root / "train" / "0.png").unlink()
    (root / "train" / "1.png").unlink()
    assert "whether 'train' in" in refusal(save_images(*flat("train/steam"), *flat("train/diesel")))


# Test sets without labels


def test_an_unlabelled_test_set_is_ignored_and_val_takes_its_place(save_images):
    root = save_images(*in_classes("train"), *in_classes("val", 1), *flat("test", 5))
    found = find_images(root)
    assert names(found.test, root) == in_classes("val", 1)
    assert len(found.train) == 6
    assert found.notes == (
        "training set: 'train' (6 images); test set: 'val' (3 images)",
        "ignored 'test' (5 images): they are not in class folders, so their classes are unknown",
    )
    assert found.test_is == "the validation set 'val'"


def test_a_test_set_in_a_single_folder_that_is_no_class_is_unlabelled_too(save_images):
    root = save_images(*in_classes("train", 5), *flat("test/unknown"))
    found = find_images(root)
    assert (len(found.train), len(found.test)) == (12, 3)
    assert "ignored 'test' (2 images): they are not in class folders" in found.notes[1]


def test_a_validation_set_without_class_folders_is_refused_where_it_would_be_the_test_set(save_images):
    root = save_images(*in_classes("train", 5), *flat("val"))
    message = refusal(root)
    assert "'val' in" in message
    assert "sort them, or leave it out with --train-set train" in message
    assert len(find_images(root, "train").test) == 3


def test_a_split_needs_the_training_set_alone(save_images):
    root = save_images(*in_classes("train"), "val/ape/0.png", "val/cow/0.png", *flat("test"))
    refusal(root)
    assert names(find_training_images(root).train, root) == in_classes("train")


# Chosen sets


def test_chosen_sets_are_folders_in_any_layout(save_images):
    root = save_images(*in_classes("2023/a"), *in_classes("2024/b", 1), *in_classes("train"), *in_classes("test", 3))
    found = find_images(root, "2023/a", "2024/b")
    assert (names(found.train, root), names(found.test, root)) == (in_classes("2023/a"), in_classes("2024/b", 1))
    assert names(find_images(root, test_set="2024/b").train, root) == in_classes("train")
    assert names(find_images(root, train_set="2023/a").test, root) == in_classes("test", 3)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nowhere", "has no such folder: it has 'cat', 'dog', 'emu'"),
        ("../images", "it must be a folder inside"),
        ("/", "it must be a folder inside"),
        ("cat/0.png", "has no such folder"),
        ("a\0b", "it must be a folder inside"),
    ],
)
def test_a_chosen_set_that_is_not_there_is_refused(save_images, name, words):
    root = save_images(*in_classes("."))
    for setting in ({"train_set": name}, {"test_set": name}):
        message = refusal(root, **setting)
        assert next(iter(setting)) in message
        assert words in message


def test_one_folder_cannot_be_both_sets(save_images):
    root = save_images(*in_classes("train"), *in_classes("test"))
    assert refusal(root, "train", "./train/").startswith("train_set and test_set are both the folder 'train': ")


# What is measured


@pytest.mark.parametrize(
    ("sets", "measured", "words"),
    [
        (["train", "val", "test"], "test", "the test set 'test'"),
        (["train", "val"], "val", "the validation set 'val'"),
        (["validation"], "validation", "the validation set 'validation'"),
        (["."], ".", "all images of 'images': it has no test set"),
        (["train"], "train", "all images of 'images': it has no test set"),
    ],
)
def test_measured_is_the_test_set_or_else_all_images(save_images, sets, measured, words):
    root = save_images(*(name for folder in sets for name in in_classes(folder)))
    found = find_images_to_measure(root)
    assert names(found.test, root) == [name.removeprefix("./") for name in in_classes(measured)]
    assert found.test_is == words


def test_a_single_folder_that_is_no_class_of_the_training_set_is_not_measured(save_images):
    root = save_images(*in_classes("train"), *in_classes("val"), *flat("test/images"))
    found = find_images_to_measure(root)
    assert found.test_is == "the validation set 'val'"
    assert found.notes == ("ignored 'test' (2 images): they are not in class folders, so their classes are unknown",)


# What is ignored


def test_of_many_ignored_folders_ten_are_listed_and_the_others_counted(save_images):
    others = [name for number in range(13) for name in flat(f"other{number:02d}", 3)]
    lines = find_images(save_images(*in_classes("train"), *in_classes("test"), *others)).notes[1:]
    assert len(lines) == 11
    assert lines[0] == "ignored the folder 'other00' (3 images)"
    assert lines[-1] == "ignored 3 other folders (9 images)"


def test_ignored_files_are_counted_by_extension_wherever_they_are(save_images):
    root = save_images(*in_classes("train"), *in_classes("test"), "train/0.png")
    for place in (
        "train/cat/a.HEIC",
        "train/cat/b.heic",
        "test/dog/deep/c.heic",
        "train/notes.txt",
        "test/emu/Makefile",
    ):
        (root / place).parent.mkdir(exist_ok=True)
        (root / place).write_bytes(b"")
    (root / "train" / "cat" / ".DS_Store").write_bytes(b"")
    (root / "train" / "__MACOSX").mkdir()
    assert find_images(root).notes == (
        "training set: 'train' (6 images); test set: 'test' (6 images)",
        "ignored 1 image in 'train' itself, beside its folders",
        "ignored 3 files with the extension .heic (Pillow alone cannot read HEIC: convert them to JPEG)",
        "ignored 1 file without an extension",
        "ignored 1 file with the extension .txt",
        "ignored 1 folder __MACOSX and 1 hidden file or folder",
    )


def test_of_many_extensions_ten_are_listed_and_the_others_counted(save_images):
    root = save_images(*in_classes("."))
    for number in range(14):
        for copy in range(1 + (number < 10)):
            (root / "cat" / f"{copy}.x{number:02d}").write_bytes(b"")
    lines = find_images(root).notes[1:]
    assert len(lines) == 11
    assert lines[0] == "ignored 2 files with the extension .x00"
    assert lines[-1] == "ignored 4 files with 4 other extensions"
