"""COCO sets side by side: categories by name, image files rather than ids."""

import os
from pathlib import Path
from typing import Any

import pytest

from coco_set import box, write_set
from pcdarts.data.coco.coco import CocoData, load_coco, load_coco_test
from pcdarts.errors import InputError

RED, GREEN, BLUE = box(7, 10, 5, 20, 10), box(2, 0, 30, 5, 5), box(90, 40, 20, 15, 15)


def loaded(root: Path, *train_sets: str, test_set: str | None = "look", **options: Any) -> CocoData:
    return load_coco(root, train_sets=train_sets or ("learn",), test_set=test_set, **options)


def renamed(**names: str) -> Any:
    """A change of the names of categories."""

    def change(content: dict[str, Any]) -> None:
        for category in content["categories"]:
            category["name"] = names.get(category["name"], category["name"])

    return change


def renumbered(content: dict[str, Any]) -> None:
    """Other ids in another order: blue, green, red."""
    ids = {2: 20, 7: 30, 90: 10}
    for category in content["categories"]:
        category["id"] = ids[category["id"]]
    for annotation in content["annotations"]:
        annotation["category_id"] = ids[annotation["category_id"]]


# Images


@pytest.mark.parametrize("first_id", [0, 1])
def test_image_ids_are_those_of_their_file_and_may_be_the_same_in_all_sets(tmp_path: Path, first_id: int) -> None:
    write_set(tmp_path, "learn", [[RED], [GREEN]], first_id=first_id)
    write_set(tmp_path, "more", [[GREEN], [BLUE]], first_id=first_id)
    write_set(tmp_path, "look", [[BLUE], [RED]], first_id=first_id)
    for path in (tmp_path / "more").iterdir():  # the files have the same names, too
        path.write_bytes(path.read_bytes() + b" ")
    data = loaded(tmp_path, "learn", "more")
    assert data.train.image_ids == (first_id, first_id + 1) * 2
    assert [data.train.target(index)[1].tolist() for index in range(4)] == [[2], [1], [1], [3]]
    assert [path.parent.name for path in data.train.files] == ["learn", "learn", "more", "more"]
    assert data.test.image_ids == (first_id, first_id + 1)
    assert [data.test.target(index)[1].tolist() for index in range(2)] == [[3], [2]]


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_a_training_and_a_test_set_with_image_files_in_common_are_refused(tmp_path: Path, link: Any) -> None:
    write_set(tmp_path, "learn", [[RED], [GREEN]])
    write_set(tmp_path, "look", [[BLUE], [RED], []], first_id=100)
    for number in (101, 102):
        (tmp_path / "look" / f"0{number}.png").unlink()
        link(tmp_path / "learn" / f"000{number - 100}.png", tmp_path / "look" / f"0{number}.png")
    with pytest.raises(InputError) as caught:
        loaded(tmp_path)
    assert str(caught.value) == (
        f"2 of 3 image files of 'look' are also in 'learn', the first is '{tmp_path}/look/0101.png': remove them from "
        "one of the two"
    )
    with pytest.raises(InputError, match="are also in 'learn'"):
        loaded(tmp_path, "learn", "look", test_set=None, held_out=1)
    write_set(tmp_path, "other", [[RED]])
    with pytest.raises(InputError, match="3 of 3 image files of 'look' are also in 'look'"):
        loaded(tmp_path, "other", "look")


def test_copies_of_training_images_in_the_test_set_are_said_with_their_number(tmp_path: Path) -> None:
    write_set(tmp_path, "learn", [[RED], [GREEN], [BLUE]])
    write_set(tmp_path, "look", [[RED], [BLUE], [BLUE]])
    assert loaded(tmp_path).notes[0] == (
        "2 of 3 images of 'look' are also in the training data, under the same name and with the same content, so "
        f"the measured precision is too high; the first is '{tmp_path}/look/0001.png'"
    )


def test_a_file_with_two_records_is_said_and_not_split_between_learning_and_measuring(tmp_path: Path) -> None:
    def twice(content: dict[str, Any]) -> None:
        for image in content["images"]:
            image["file_name"] = "0001.png"

    write_set(tmp_path, "learn", [[RED], [GREEN]], change=twice)
    write_set(tmp_path, "look", [[RED], [GREEN]], first_id=11)
    assert loaded(tmp_path).notes == ("'learn': 1 of 2 images are files that it names more than once",)
    with pytest.raises(InputError, match=r"1 of 1 image files of 'learn \(held out\)' are also in 'learn'"):
        loaded(tmp_path, test_set=None, held_out=1)


def test_images_are_drawn_from_all_sets_together(tmp_path: Path) -> None:
    write_set(tmp_path, "learn", [[RED]] * 3)
    write_set(tmp_path, "more", [[GREEN]] * 5, first_id=11)
    write_set(tmp_path, "look", [[RED], [GREEN]], first_id=21)
    drawn = {loaded(tmp_path, "learn", "more", train_images=2, seed=seed).train.image_ids for seed in range(20)}
    assert {len(ids) for ids in drawn} == {2}
    assert {image_id for ids in drawn for image_id in ids} == {1, 2, 3, 11, 12, 13, 14, 15}


# Categories


def test_categories_are_matched_by_name_whatever_their_ids_and_order(tmp_path: Path) -> None:
    write_set(tmp_path, "learn", [[RED], [GREEN], [BLUE]])
    write_set(tmp_path, "look", [[RED], [GREEN], [BLUE]], first_id=11, change=renumbered)
    data = loaded(tmp_path)
    assert data.classes == data.test.classes == ("green", "red", "blue")
    assert data.test.category_ids == (20, 30, 10)
    assert [data.test.target(index)[1].tolist() for index in range(3)] == [[2], [1], [3]]
    assert data.notes == ()
    joined = loaded(tmp_path, "learn", "look", test_set=None, held_out=1)
    assert [joined.train.target(index)[1].tolist() for index in range(3)] == [[2], [1], [3]]


def test_what_is_missing_on_which_side_is_said_with_names_and_numbers(tmp_path: Path) -> None:
    write_set(tmp_path, "learn", [[RED, BLUE], [GREEN, BLUE]])
    write_set(tmp_path, "look", [[RED, RED], [GREEN]], first_id=11, change=renamed(red="pink"))
    data = loaded(tmp_path)
    assert data.classes == ("green", "red", "blue")
    assert data.test.classes == ("green", "red", "blue", "pink")
    assert data.test.category_ids == (2, None, 90, 7)
    assert data.notes == (
        "2 of the 3 categories with boxes in 'learn' have none in 'look' (not measured): 'blue' (2) and 'red' (1)",
        "1 of the 2 categories with boxes in 'look' has none in 'learn' (not learnt, but measured as COCO's tools do: "
        "0 %): 'pink' (2)",
    )


def test_a_category_that_only_a_later_training_set_has_comes_last(tmp_path: Path) -> None:
    write_set(tmp_path, "learn", [[RED], [GREEN]])
    write_set(tmp_path, "more", [[RED], [GREEN]], first_id=11, change=renamed(green="lime"))
    write_set(tmp_path, "look", [[RED], [GREEN]], first_id=21, change=renamed(green="lime", blue="navy"))
    data = loaded(tmp_path, "learn", "more")
    assert data.classes == data.test.classes == ("green", "red", "blue", "lime")
    assert [data.train.target(index)[1].tolist() for index in range(4)] == [[2], [1], [2], [4]]
    assert [data.test.target(index)[1].tolist() for index in range(2)] == [[2], [4]]


def test_sets_without_a_category_in_common_are_refused(tmp_path: Path) -> None:
    write_set(tmp_path, "learn", [[RED]])
    write_set(tmp_path, "look", [[RED]], first_id=11, change=renamed(red="Red", green="Green", blue="Blue"))
    with pytest.raises(InputError) as caught:
        loaded(tmp_path)
    assert str(caught.value) == (
        "the categories of 'look' ('Green', 'Red' and 'Blue') and of 'learn' ('green', 'red' and 'blue') have no name "
        "in common: give sets with the same categories"
    )


def with_heading(name: str) -> Any:
    """A category 0 above all others, as Roboflow writes it."""

    def change(content: dict[str, Any]) -> None:
        for category in content["categories"]:
            category["supercategory"] = name
        content["categories"].insert(0, {"id": 0, "name": name, "supercategory": "none"})

    return change


@pytest.mark.parametrize("name", ["colours", "red"])
def test_a_category_that_only_stands_above_the_others_is_no_class(tmp_path: Path, name: str) -> None:
    write_set(tmp_path, "learn", [[RED], [GREEN], [BLUE]], change=with_heading(name))
    write_set(tmp_path, "look", [[RED], [GREEN], [BLUE]], first_id=11, change=with_heading(name))
    data = loaded(tmp_path)
    assert data.classes == data.test.classes == ("green", "red", "blue")
    assert data.test.category_ids == (2, 7, 90)
    assert [data.test.target(index)[1].tolist() for index in range(3)] == [[2], [1], [3]]
    assert data.notes == (
        f"'learn': category 0, '{name}', has no box and is the supercategory of all others: left out",
    )


def test_a_category_above_the_others_that_has_boxes_stays(tmp_path: Path) -> None:
    def used(content: dict[str, Any]) -> None:
        with_heading("colours")(content)
        content["annotations"][0]["category_id"] = 0

    write_set(tmp_path, "learn", [[RED], [GREEN], [BLUE], [RED]], change=used)
    write_set(tmp_path, "look", [[RED], [GREEN], [BLUE]], first_id=11, change=with_heading("colours"))
    data = loaded(tmp_path)
    assert data.classes == data.test.classes == ("colours", "green", "red", "blue")
    assert data.test.category_ids == (0, 2, 7, 90)


def test_a_test_set_alone_takes_the_classes_of_whoever_is_tested(tmp_path: Path) -> None:
    write_set(tmp_path, "look", [[RED], [GREEN], [BLUE]], change=renumbered)

    def tested(*classes: str) -> CocoData:
        options: dict[str, Any] = {"test_images": None, "seed": 0, "on_bad_image": "stop"}
        return load_coco_test(tmp_path, "look", **options, classes=classes, whose="the run x")

    data = tested("red", "black", "green")
    assert data.test.classes == ("red", "black", "green", "blue")
    assert data.test.category_ids == (30, None, 20, 10)
    assert data.notes == (
        "1 of the 3 categories with boxes in 'look' is unknown to the run x, but measured as COCO's tools do (0 %): "
        "'blue' (1)",
    )
    with pytest.raises(InputError, match="and of the run x \\('cat' and 'dog'\\) have no name in common"):
        tested("cat", "dog")
