"""Boxes that are odd are counted and said; where most are, or they look like something else, the set is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coco_set import box, write_set
from hostile import cases, new_folder, outcome
from pcdarts.data.coco.coco import CocoData, load_coco
from pcdarts.errors import InputError

WIDTH, HEIGHT = 200, 100
Boxes = list[list[float]]


def loaded(root: Path, boxes: Boxes, *, areas: list[float] | None = None, test: Boxes | None = None) -> CocoData:
    """A training set of two images with these boxes in turn, and a test set."""
    objects = [
        box(7, *one) | ({"area": area} if area is not None else {"area": None})
        for one, area in zip(boxes, areas or [None] * len(boxes), strict=True)
    ]
    plain = [[box(7, 100, 50, 20, 20)]]
    tested = [[box(7, *one) | {"area": None} for one in test]] if test else plain
    write_set(root, "learn", [objects[::2], objects[1::2]], size=(WIDTH, HEIGHT))
    write_set(root, "look", tested, size=(WIDTH, HEIGHT))
    return load_coco(root, train_sets=("learn",), test_set="look")


def scattered(count: int, seed: int = 0, largest: float = 0.5) -> Boxes:
    """Boxes all over the image, up to so large a part of its sides."""
    numbers = np.random.default_rng(seed)
    extent = numbers.uniform(0.1 * largest, largest, (count, 2)) * (WIDTH, HEIGHT)
    start = numbers.uniform(0, 1, (count, 2)) * ((WIDTH, HEIGHT) - extent)
    return np.concatenate([start, extent], axis=1).round(2).tolist()


def corners(boxes: Boxes) -> Boxes:
    return [[left, top, left + width, top + height] for left, top, width, height in boxes]


def normalised(boxes: Boxes) -> Boxes:
    return [[left / WIDTH, top / HEIGHT, wide / WIDTH, high / HEIGHT] for left, top, wide, high in boxes]


ODD: Boxes = [
    [5, 5, 0, 10],
    [5, 5, 10, -3],
    [WIDTH, 5, 10, 10],
    [5, 5, 0.5, 10],
    [-20, -0.5, 40, 40],
    [5, 90, 20, 11],
    [5, 90, 20, 10.9],
]


def test_good_boxes_are_not_spoken_of(tmp_path: Path) -> None:
    assert loaded(tmp_path, scattered(50)).notes == ()


def test_odd_boxes_are_counted_by_kind_with_what_is_done_with_them(tmp_path: Path) -> None:
    data = loaded(tmp_path, scattered(50) + ODD)
    assert data.notes == (
        "'learn': 2 of 57 boxes without an area (a width or height of 0 or less): left out",
        "'learn': 1 of 57 boxes outside of their image: left out",
        "'learn': 1 of 57 boxes with less than a pixel in their image: left out",
        "'learn': 2 of 57 boxes reaching out of their image by a pixel or more: cut off at its border",
    )
    assert sum(len(data.train.target(index)[0]) for index in range(2)) == 57 - 4


def test_those_of_the_test_set_are_measured_as_they_are(tmp_path: Path) -> None:
    assert loaded(tmp_path, scattered(9), test=scattered(10) + ODD[3:5]).notes == (
        "'look': 1 of 12 boxes with less than a pixel in their image: measured as they are, so that no detection "
        "matches them",
        "'look': 1 of 12 boxes reaching out of their image by a pixel or more: measured as they are",
    )


@pytest.mark.parametrize("good", [0, 3])
def test_where_most_or_all_cannot_be_used_the_set_is_refused_with_numbers(tmp_path: Path, good: int) -> None:
    with pytest.raises(InputError) as caught:
        loaded(tmp_path, scattered(good) + ODD[:4])
    assert str(caught.value) == (
        f"'learn': 4 of {4 + good} boxes cannot be used (2 without an area (a width or height of 0 or less), 1 outside "
        "of their image and 1 with less than a pixel in their image): write all as [left, top, width, height] in "
        "pixels of the stored image"
    )


def test_normalised_boxes_are_called_that_and_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        loaded(tmp_path, normalised(scattered(30)))
    assert str(caught.value) == (
        "'learn': 30 of 30 boxes have all values between 0 and 1, as in normalised coordinates, but pixels are "
        "expected: multiply left and width by the width of the image, top and height by its height"
    )
    with pytest.raises(InputError, match="'look': 9 of 9 boxes have all values between 0 and 1"):
        loaded(tmp_path, scattered(9), test=normalised(scattered(9)))
    with pytest.raises(InputError, match="'learn': 4 of 4 boxes have all values between 0 and 1"):
        loaded(tmp_path, [[0, 0, 1, 1]] * 4)  # whole images


def test_some_normalised_boxes_among_others_are_left_out_and_called_that(tmp_path: Path) -> None:
    left_out, called = loaded(tmp_path, scattered(30) + normalised(scattered(10))).notes
    assert left_out == "'learn': 10 of 40 boxes with less than a pixel in their image: left out"
    assert called.startswith("'learn': 10 of 40 boxes have all values between 0 and 1, as in normalised coordinates")


@pytest.mark.parametrize("largest", [0.1, 0.5, 0.9])
def test_corners_are_called_that_and_refused(tmp_path: Path, largest: float) -> None:
    with pytest.raises(
        InputError, match=r"'learn': the boxes look like \[left, top, right, bottom\], but COCO's format"
    ):
        loaded(tmp_path, corners(scattered(40, largest=largest)))
    with pytest.raises(InputError, match="'look': the boxes look like"):
        loaded(tmp_path, scattered(40), test=corners(scattered(40, largest=largest)))


def top_left(count: int) -> Boxes:
    return [[side / 3 for side in one] for one in scattered(count, largest=0.2)]


def test_corners_are_told_by_a_few_boxes_that_reach_out_where_most_are_small_and_at_the_top_left(
    tmp_path: Path,
) -> None:
    with pytest.raises(
        InputError, match=r"\(as widths and heights, 4 of 44 reach far out of their image, as corners 44"
    ):
        loaded(tmp_path, corners([*top_left(40), *[[110, 30, 60, 40]] * 4]))


def test_corners_that_all_stay_in_the_image_are_told_by_their_areas(tmp_path: Path) -> None:
    areas = [width * height for _, _, width, height in top_left(40)]
    with pytest.raises(InputError, match="the area on record of 40 of 40 is that of corners"):
        loaded(tmp_path, corners(top_left(40)), areas=areas)


def test_some_corners_among_others_are_said(tmp_path: Path) -> None:
    moved = [[110, 30, 60, 40]] * 5
    (note,) = loaded(tmp_path, scattered(40) + corners(moved)).notes
    assert note == (
        "'learn': 5 of 45 boxes reaching out of their image by a pixel or more: cut off at its border (5 of them would "
        "fit as [left, top, right, bottom]: check how they were written)"
    )


def test_objects_as_large_as_their_image_are_no_corners_even_if_carelessly_drawn(tmp_path: Path) -> None:
    assert loaded(tmp_path, [[0, 0, WIDTH, HEIGHT]] * 20).notes == ()
    careless: Boxes = [[2, 1, WIDTH, HEIGHT], [-3, -2, WIDTH, HEIGHT]] * 10
    (note,) = loaded(tmp_path, careless).notes
    assert note.startswith("'learn': 20 of 20 boxes reaching out of their image")


def test_crowds_are_not_looked_at(tmp_path: Path) -> None:
    write_set(tmp_path, "learn", [[box(7, 5, 5, 20, 10), *[box(7, 5, 5, 0, 10, iscrowd=1)] * 9]])
    write_set(tmp_path, "look", [[box(7, 15, 5, 20, 10)]])
    assert load_coco(tmp_path, train_sets=("learn",), test_set="look").notes == ()


numbers_in_boxes = st.one_of(st.floats(-300, 300), st.integers(-300, 300), st.sampled_from([0, 1e-9, 0.5, 1e14, -1e14]))


@cases(60)
@given(boxes=st.lists(st.lists(numbers_in_boxes, min_size=4, max_size=4), min_size=1, max_size=12))
def test_every_box_is_learnt_from_or_counted_as_left_out(boxes: list[list[Any]]) -> None:
    with new_folder() as root:
        write_set(root, "learn", [[box(7, 0, 0, 5, 5)]] * 2, size=(WIDTH, HEIGHT), change=with_boxes(boxes))
        write_set(root, "look", [[box(7, 100, 50, 20, 20)]], size=(WIDTH, HEIGHT))
        data = outcome(lambda: load_coco(root, train_sets=("learn",), test_set="look"), name="'learn': ")
        if data is None:
            return
        left_out = sum(int(note.split()[1]) for note in data.notes if note.endswith(": left out"))
        learnt = [data.train.target(index)[0] for index in range(2)]
        assert sum(map(len, learnt)) == len(boxes) - left_out > 0
        for targets in learnt:
            assert ((targets[:, 2:] - targets[:, :2]) > 0.99).all()


def with_boxes(boxes: list[list[Any]]) -> Any:
    """These in the second of the images, instead of what there was."""

    def change(content: dict[str, Any]) -> None:
        of_all = content["annotations"][0] | {"image_id": 2, "area": None}
        content["annotations"] = [of_all | {"bbox": one} for one in boxes]

    return change
