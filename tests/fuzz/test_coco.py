"""Whatever an annotation file holds, its images and objects can be used, or one line says what is wrong with it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hostile import cases, damaged, mutated, new_folder, outcome
from pcdarts.data.coco.coco import load_coco_test
from pcdarts.data.coco.coco_file import CocoFile, read_coco_file

GOOD: dict[str, Any] = {
    "images": [{"id": number, "file_name": f"{number}.jpg", "width": 60, "height": 40} for number in (1, 2)],
    "categories": [{"id": 7, "name": "red"}, {"id": 2, "name": "green"}],
    "annotations": [
        {"id": number, "image_id": 1, "category_id": 7, "bbox": [1, 2.5, 30, 4], "area": 100, "iscrowd": 0}
        for number in (1, 2)
    ],
}
FIELDS = [
    (key, index, field)
    for key, records in GOOD.items()
    for index, record in enumerate(records)
    for field in (*record, "segmentation", "supercategory")
]
values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-3, 9),
        st.integers(),
        st.floats(),
        st.text(max_size=6),
        st.sampled_from([1.0, "1", "01", [1, 2, 3, 4, 5, 6], [[1, 2, 3, 4, 5, 6]], []]),
        st.sampled_from([10**400, "../a", "/a", "a/../..", "\0", "\ud800", "x" * 10_000, [0, 0, 1e308, 1e308]]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_leaves=6,
)
pieces = st.one_of(
    st.sampled_from([*'{}[]:,"\n ', "null", "true", "1e999", "NaN", "-Infinity", "9" * 5000, "[" * 2000, "\\ud800"]),
    st.text(max_size=4),
    st.integers().map(str),
)


def check_read(content: bytes) -> CocoFile | None:
    with new_folder() as folder:
        path = folder / "instances_set.json"
        path.write_bytes(content)
        found = outcome(lambda: read_coco_file(path), name="instances_set.json")
    if found is not None:
        check(found)
    return found


def check(found: CocoFile) -> None:
    count = len(found.image_ids)
    assert len(set(found.image_ids)) == len(found.names) == len(found.sizes) == len(found.counts) == count > 0
    assert found.counts.sum() == len(found.objects)
    assert ((found.sizes > 0).all(axis=1) | (found.sizes == 0).all(axis=1)).all()  # 0: to be read from the image
    assert np.isfinite(found.objects.boxes).all()
    assert found.objects.boxes.shape == (len(found.objects), 4)
    assert ((found.objects.labels >= 1) & (found.objects.labels <= len(found.categories))).all()
    root = Path("/somewhere/images")
    assert all((root / name).resolve().is_relative_to(root) for name in found.names)


def test_a_good_file_is_accepted() -> None:
    found = check_read(json.dumps(GOOD).encode())
    assert found is not None
    assert found.counts.tolist() == [2, 0]


@cases(200)
@given(changes=st.lists(st.tuples(st.sampled_from(FIELDS), values), min_size=1, max_size=3))
def test_fields_of_any_value(changes: list[tuple[tuple[str, int, str], Any]]) -> None:
    content = json.loads(json.dumps(GOOD))
    for (key, index, field), value in changes:
        content[key][index][field] = value
    check_read(json.dumps(content).encode())


@cases(100)
@given(changes=st.lists(st.tuples(st.sampled_from(FIELDS), values), min_size=1, max_size=3))
def test_whatever_is_accepted_has_targets_inside_its_images(changes: list[tuple[tuple[str, int, str], Any]]) -> None:
    content = json.loads(json.dumps(GOOD))
    for (key, index, field), value in changes:
        content[key][index][field] = value
    with new_folder() as folder:
        (folder / "set").mkdir()
        for number in (1, 2):
            Image.new("L", (60, 40)).save(folder / "set" / f"{number}.jpg")
        (folder / "set" / "any.json").write_text(json.dumps(content))
        data = outcome(lambda: load_coco_test(folder, "set", test_images=None, seed=0, on_bad_image="skip"))
        if data is None:
            return
        for index in range(len(data.test)):
            boxes, labels = data.test.target(index)
            height, width = data.test.sizes[index].tolist()
            assert ((boxes >= 0) & (boxes <= torch.tensor([width, height] * 2))).all()
            assert (boxes[:, 2:] - boxes[:, :2] > 0.99).all()
            assert ((labels >= 1) & (labels <= len(data.classes))).all()
        assert all(note.isprintable() for note in data.notes)


@cases(100)
@given(changes=st.dictionaries(st.sampled_from(list(GOOD)), values, min_size=1))
def test_parts_of_any_value(changes: dict[str, Any]) -> None:
    check_read(json.dumps(GOOD | changes).encode())


@cases(150)
@given(text=mutated(json.dumps(GOOD), pieces))
def test_text_that_was_edited(text: str) -> None:
    check_read(text.encode(errors="surrogatepass"))


@cases(100)
@given(content=damaged(json.dumps(GOOD).encode()))
def test_bytes_that_were_damaged(content: bytes) -> None:
    check_read(content)
