"""Where the sets of a COCO data set may lie."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from coco_set import box, write_set
from pcdarts.data.coco.coco import CocoData, load_coco
from pcdarts.errors import InputError

RED = box(7, 10, 5, 20, 10)
BLUE = box(90, 40, 20, 15, 15)


def official(root: Path) -> None:
    write_set(root, "learn", [[RED], [BLUE], []])
    write_set(root, "look", [[BLUE], [RED]])


def roboflow(root: Path) -> None:
    """The annotations beside the images."""
    official(root)
    for name in ("learn", "look"):
        (root / "annotations" / f"instances_{name}.json").rename(root / name / "_annotations.coco.json")
        (root / name / "other.json").write_text("{}")
    (root / "README.roboflow.txt").write_text("")


def images_above(root: Path) -> None:
    official(root)
    for name in ("learn", "look"):
        (root / "images").mkdir(exist_ok=True)
        (root / name).rename(root / "images" / name)


def images_below(root: Path) -> None:
    """With the annotations beside the folder of images, under any name."""
    official(root)
    for name in ("learn", "look"):
        (root / name).rename(root / "images")
        (root / name).mkdir()
        (root / "images").rename(root / name / "images")
        (root / "annotations" / f"instances_{name}.json").rename(root / name / "labels.json")


def one_folder_of_images(root: Path) -> None:
    """All images in one folder, and a JSON for each set in the root."""
    write_set(root, "learn", [[RED], [BLUE], []])
    write_set(root, "look", [[BLUE], [RED]], first_id=11)
    (root / "images").mkdir()
    for name in ("learn", "look"):
        for path in (root / name).iterdir():
            path.rename(root / "images" / path.name)
        (root / name).rmdir()
        (root / "annotations" / f"instances_{name}.json").rename(root / f"{name}.json")


def paths_from_the_root(root: Path) -> None:
    """File names that have the folder of the set in them."""
    official(root)
    for name in ("learn", "look"):
        old = root / "annotations" / f"instances_{name}.json"
        content = json.loads(old.read_text())
        for image in content["images"]:
            image["file_name"] = f"{name}/{image['file_name']}"
        old.unlink()
        (root / "annotations" / f"{name}.json").write_text(json.dumps(content))


LAYOUTS = [official, roboflow, images_above, images_below, one_folder_of_images, paths_from_the_root]


def loaded(root: Path, train: str = "learn", test: str = "look") -> CocoData:
    return load_coco(root, train_sets=(train,), test_set=test)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_that_tools_write_are_read(tmp_path: Path, layout: Callable[[Path], None]) -> None:
    layout(tmp_path)
    data = loaded(tmp_path)
    assert [data.train.target(index)[1].tolist() for index in range(3)] == [[2], [3], []]
    assert [data.test.target(index)[1].tolist() for index in range(2)] == [[3], [2]]
    for images in (data.train, data.test):
        for index in range(len(images)):
            assert images.read(index).size == (60, 40)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_error_about_a_set_that_is_not_there_lists_those_that_are(
    tmp_path: Path, layout: Callable[[Path], None]
) -> None:
    layout(tmp_path)
    for sets in (("train2017", "look"), ("learn", "train2017")):
        with pytest.raises(InputError) as caught:
            loaded(tmp_path, *sets)
        assert str(caught.value) == (
            f"the COCO set 'train2017' is not in '{tmp_path}', whose sets are 'learn' and 'look': "
            "name them with --train-sets and --test-set"
        )
    with pytest.raises(InputError, match="did you mean learn"):
        loaded(tmp_path, "lern")


def test_where_names_tell_what_sets_are_for_the_error_has_the_flags(tmp_path: Path) -> None:
    for name in ("train", "valid", "test"):
        write_set(tmp_path, name, [[RED]])
    with pytest.raises(InputError) as caught:
        loaded(tmp_path, "train2017", "val2017")
    assert str(caught.value).endswith(": name them, as in --train-sets train --test-set valid")


def test_beside_instances_captions_are_no_sets(tmp_path: Path) -> None:
    official(tmp_path)
    for name in ("captions_learn", "person_keypoints_learn"):
        (tmp_path / "annotations" / f"{name}.json").write_text("{}")
    with pytest.raises(InputError, match="whose sets are 'learn' and 'look': name"):
        loaded(tmp_path, "train2017")


def test_where_there_is_a_single_set_the_error_says_how_to_hold_some_of_it_out(tmp_path: Path) -> None:
    write_set(tmp_path, "all mine", [[RED], [BLUE]])
    with pytest.raises(InputError) as caught:
        loaded(tmp_path)
    assert str(caught.value) == (
        f"the COCO set 'learn' is not in '{tmp_path}', whose only set is 'all mine': name that, as in --train-sets "
        "'all mine' --test-set none --held-out IMAGES"
    )


def test_a_long_list_of_sets_is_cut_short(tmp_path: Path) -> None:
    for number in range(30):
        write_set(tmp_path, f"part{number:02}", [[RED]])
    with pytest.raises(InputError, match=r"'part00', .* 'part11' and 18 more: name them"):
        loaded(tmp_path, "train2017")


def test_a_folder_without_any_set_says_what_is_expected(tmp_path: Path) -> None:
    (tmp_path / "learn").mkdir()
    with pytest.raises(
        InputError, match=r"no COCO set in .*: expected annotations/instances_learn\.json .* learn/_ann"
    ):
        loaded(tmp_path)
    with pytest.raises(
        InputError, match=r"'learn' does not exist, since .*nowhere' is not a folder: check --data-root"
    ):
        loaded(tmp_path / "nowhere")
    official(tmp_path)
    with pytest.raises(InputError, match="whose sets are"):
        loaded(tmp_path, "x" * 1000)  # no file can be called that


def test_several_annotation_files_beside_the_images_are_refused(tmp_path: Path) -> None:
    images_below(tmp_path)
    shutil.copy(tmp_path / "learn" / "labels.json", tmp_path / "learn" / "more.json")
    with pytest.raises(
        InputError, match=r"'learn' has 2 JSON files in .*, 'labels\.json' and 'more\.json': keep the one"
    ):
        loaded(tmp_path)


def test_images_that_are_nowhere_are_refused_with_the_folders_looked_in(tmp_path: Path) -> None:
    images_above(tmp_path)
    shutil.rmtree(tmp_path / "images" / "look")
    with pytest.raises(InputError) as caught:
        loaded(tmp_path)
    assert str(caught.value) == (
        "the COCO set 'look' has no image whose file exists; the first of 2 is called '0001.png' and is not in "
        f"'{tmp_path}/images' and '{tmp_path}': check --data-root"
    )


def test_a_set_to_test_on_may_have_no_list_of_annotations_in_any_layout(tmp_path: Path) -> None:
    roboflow(tmp_path)
    path = tmp_path / "look" / "_annotations.coco.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"annotations": None}))
    assert not loaded(tmp_path).test.has_annotations
    with pytest.raises(InputError, match="it has no list of annotations"):
        loaded(tmp_path, "look", "learn")
