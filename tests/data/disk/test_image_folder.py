import os
from pathlib import Path

import pytest

from pcdarts.data.disk.image_folder import ImageFiles, find_images
from pcdarts.errors import InputError


def names(files: ImageFiles, root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in files.sources)


def one_line(error: pytest.ExceptionInfo[InputError]) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


def numbered(folder: str, count: int) -> list[str]:
    return [f"{folder}/{number}.png" for number in range(count)]


@pytest.mark.parametrize("suffix", ["avif", "JPE", "jfif", "jp2", "j2k", "webp", "pgm", "tif"])
def test_images_of_every_format_that_can_be_read_are_found(save_images, suffix):
    root = save_images(*(f"{name}/{number}.png" for name in ("cat", "dog") for number in range(2)))
    for name in ("cat", "dog"):
        (root / name / "0.png").rename(root / name / f"0.{suffix}")
    found = find_images(root)
    assert sorted([*names(found.train, root), *names(found.test, root)]) == sorted(
        f"{name}/{file}" for name in ("cat", "dog") for file in (f"0.{suffix}", "1.png")
    )


# Layouts


def test_without_sets_a_fifth_of_each_class_becomes_the_test_set(save_images):
    root = save_images(*numbered("cat", 10), *numbered("dog", 20))
    found = find_images(root)
    assert found.classes == ("cat", "dog")
    assert found.train.labels.bincount().tolist() == [8, 16]
    assert found.test.labels.bincount().tolist() == [2, 4]
    assert sorted(names(found.train, root) + names(found.test, root)) == sorted(
        numbered("cat", 10) + numbered("dog", 20)
    )


def test_the_test_set_of_a_folder_without_one_is_the_same_every_time(save_images):
    root = save_images(*numbered("cat", 10), *numbered("dog", 20))
    assert list(find_images(root).test.sources) == list(find_images(root).test.sources)


def test_train_alone_is_split_too(save_images):
    root = save_images(*numbered("train/cat", 5), *numbered("train/dog", 5))
    found = find_images(root)
    assert found.classes == ("cat", "dog")
    assert (len(found.train.sources), len(found.test.sources)) == (8, 2)


@pytest.mark.parametrize("test_folder", ["test", "val", "valid", "validation", "Test"])
def test_train_and_one_other_folder_are_the_training_and_the_test_set(save_images, test_folder):
    root = save_images("train/cat/a.png", "train/dog/b.png", f"{test_folder}/cat/c.png", f"{test_folder}/dog/d.png")
    found = find_images(root)
    assert names(found.train, root) == ["train/cat/a.png", "train/dog/b.png"]
    assert names(found.test, root) == [f"{test_folder}/cat/c.png", f"{test_folder}/dog/d.png"]
    assert found.test.labels.tolist() == [0, 1]


def test_with_train_val_and_test_val_joins_the_training_set(save_images):
    root = save_images(*(f"{which}/{name}/a.png" for which in ("train", "val", "test") for name in ("cat", "dog")))
    found = find_images(root)
    assert names(found.train, root) == ["train/cat/a.png", "train/dog/a.png", "val/cat/a.png", "val/dog/a.png"]
    assert [found.classes[label] for label in found.train.labels] == [path.parent.name for path in found.train.sources]
    assert names(found.test, root) == ["test/cat/a.png", "test/dog/a.png"]


def test_a_class_may_be_called_train(save_images):
    root = save_images(*numbered("bus", 5), *numbered("train", 5))
    assert find_images(root).classes == ("bus", "train")


def test_classes_are_the_folder_names_in_plain_sorted_order(save_images):
    root = save_images(*(f"{name}/{number}.png" for name in ("9", "10", "été", "猫", "Zebra") for number in (0, 1)))
    assert find_images(root).classes == ("10", "9", "Zebra", "été", "猫")


def test_hidden_files_and_files_that_are_no_images_are_ignored(save_images):
    root = save_images("cat/a.png", "cat/B.JPEG", "cat/.hidden.png", "dog/a.png", "dog/b.png", ".cache/a.png", "x.png")
    (root / "cat" / "notes.txt").write_text("not an image")
    found = find_images(root)
    assert found.classes == ("cat", "dog")
    assert sorted(names(found.train, root) + names(found.test, root)) == [
        *("cat/B.JPEG", "cat/a.png", "dog/a.png", "dog/b.png")
    ]


def test_folders_nested_in_a_class_belong_to_it(save_images):
    root = save_images("cat/old/a.png", "cat/new/deep/b.png", "dog/a.png", "dog/b.png")
    assert find_images(root).train.labels.bincount().tolist() == [1, 1]


def test_links_are_followed_once_and_circles_end(save_images):
    root = save_images("cat/a.png", "cat/b.png", "elsewhere/a.png", "elsewhere/b.png")
    (root / "elsewhere").rename(root.parent / "elsewhere")
    (root / "dog").symlink_to(root.parent / "elsewhere", target_is_directory=True)
    (root / "cat" / "again").symlink_to(root / "cat", target_is_directory=True)
    (root / "cat" / "up").symlink_to(root, target_is_directory=True)
    found = find_images(root)
    assert found.classes == ("cat", "dog")
    assert len(found.train.sources) + len(found.test.sources) == 4


# Bad input


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(InputError) as error:
        find_images(tmp_path / "nowhere")
    assert "nowhere' does not exist: check its path" in one_line(error)


def test_a_file_is_no_image_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError) as error:
        find_images(tmp_path / "file")
    assert "file' is a file, but an image folder is expected" in one_line(error)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may read everything")
def test_a_folder_without_permission_is_refused(save_images):
    root = save_images("cat/a.png", "dog/a.png")
    (root / "cat").chmod(0)
    with pytest.raises(InputError) as error:
        find_images(root)
    (root / "cat").chmod(0o700)
    assert "cat' cannot be read: Permission denied" in one_line(error)


@pytest.mark.parametrize("target", ["loop", "gone"])
def test_a_link_that_leads_nowhere_is_no_folder(save_images, target):
    root = save_images("cat/a.png", "cat/b.png", "dog/a.png", "dog/b.png")
    (root / "loop").symlink_to(root / target)
    (root / "cat" / "loop").symlink_to(root / "cat" / target)
    found = find_images(root)
    assert found.classes == ("cat", "dog")
    assert len(found.train.sources) + len(found.test.sources) == 4


@pytest.mark.parametrize("names", [("train", "val", "valid"), ("Train", "train"), ("Train", "test", "train")])
def test_two_folders_that_mean_the_same_set_are_refused(save_images, names):
    root = save_images(*(f"{which}/{name}/a.png" for which in names for name in ("cat", "dog")))
    with pytest.raises(InputError) as error:
        find_images(root)
    assert "which mean the same set: keep one of them, or say which folder is which" in one_line(error)


def test_a_path_that_no_folder_can_have_is_refused(tmp_path):
    with pytest.raises(InputError) as error:
        find_images(tmp_path / "a\0b")
    assert r"a\x00b' is not a valid path" in one_line(error)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(InputError) as error:
        find_images(tmp_path)
    assert "has no class folders: expected" in one_line(error)


def test_one_class_is_refused(save_images):
    with pytest.raises(InputError) as error:
        find_images(save_images("train/cat/a.png", "test/cat/b.png"))
    assert "train' has only one class, 'cat'" in one_line(error)


@pytest.mark.parametrize("which", ["train", "val", "test"])
def test_a_class_without_images_is_refused(save_images, which):
    root = save_images(*(f"{which}/{name}/a.png" for which in ("train", "val", "test") for name in ("cat", "dog")))
    (root / which / "dog" / "a.png").rename(root / which / "dog" / "a.txt")
    with pytest.raises(InputError) as error:
        find_images(root)
    assert f"{which}/dog' has no images (.avif, .bmp, " in one_line(error)


@pytest.mark.parametrize("other", ["CAFÉ", "cafe\N{COMBINING ACUTE ACCENT}"])
def test_classes_that_differ_in_what_people_do_not_see_are_told_so(save_images, other):
    root = save_images("train/café/a.png", "train/dog/a.png", f"test/{other}/a.png", "test/dog/a.png")
    with pytest.raises(InputError, match="some differ only in capitals or in the encoding of accents"):
        find_images(root)


@pytest.mark.parametrize("which", ["val", "test"])
def test_other_classes_than_the_training_set_has_are_named(save_images, which):
    root = save_images("train/cat/a.png", "train/dog/a.png", "train/emu/a.png")
    save_images(f"{which}/cat/a.png", f"{which}/cow/a.png", f"{which}/ape/a.png")
    with pytest.raises(InputError) as error:
        find_images(root)
    assert (
        f"{which}' does not have the classes of the training set: it lacks 'dog', 'emu' and adds 'ape', 'cow'; both"
        in one_line(error)
    )


def test_a_class_with_one_image_cannot_be_split(save_images):
    with pytest.raises(InputError) as error:
        find_images(save_images("cat/a.png", "cat/b.png", "dog/a.png"))
    assert "class 'dog' has only one image" in one_line(error)


def test_sets_without_a_training_set_are_refused(save_images):
    with pytest.raises(InputError) as error:
        find_images(save_images("test/cat/a.png", "val/cat/a.png"))
    assert "has 'test' and 'val' but no folder train" in one_line(error)


def test_of_thousands_of_classes_that_differ_only_a_few_are_named(save_images):
    save_images(*(f"train/{number}/a.png" for number in range(2)), *(f"test/{number}/a.png" for number in range(2000)))
    with pytest.raises(InputError) as error:
        find_images(save_images())
    assert "adds '10', '100', '1000', '1001', '1002' and 1993 more" in one_line(error)
