import contextlib
import io
import json
import math
import sys
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from coco_set import box, write_set
from hostile import cases, new_folder
from pcdarts.data.coco.coco import load_coco_test
from pcdarts.data.coco.coco_images import CocoImages, join_sets
from pcdarts.data.coco.coco_sets import with_classes
from pcdarts.detect.average_precision import average_precision, precisions, write_submission
from pcdarts.detect.by_class import read_precisions
from pcdarts.errors import InputError

SMALL = box(2, 0, 0, 10, 10)
MEDIUM = box(2, 20, 0, 50, 50)
LARGE = box(2, 0, 100, 200, 100)
SIZE = (300, 220)


def some_images(root: Path, objects: list[list[dict[str, Any]]], **options: Any) -> CocoImages:
    write_set(root, "set", objects, size=SIZE, **options)
    return load_coco_test(root, "set", test_images=None, seed=0, on_bad_image="stop").test


def found(image_id: int, *boxes: list[float], scores: list[float] | None = None, label: int = 1) -> dict[str, Any]:
    return {
        "image_id": image_id,
        "boxes": torch.tensor(boxes, dtype=torch.float64).view(-1, 4),
        "scores": torch.tensor(scores or [0.9] * len(boxes), dtype=torch.float64),
        "labels": torch.full((len(boxes),), label),
    }


def exactly(images: CocoImages) -> list[dict[str, Any]]:
    """The objects themselves as detections."""
    detections = []
    for index, image_id in enumerate(images.image_ids):
        boxes, labels = images.target(index)
        detections.append({"image_id": image_id, "boxes": boxes, "scores": torch.ones(len(labels)), "labels": labels})
    return detections


def by_files(annotations: Path, submission: Path) -> list[float]:
    """What pycocotools alone says about two files."""
    from pycocotools.coco import COCO  # type: ignore[import-untyped]
    from pycocotools.cocoeval import COCOeval  # type: ignore[import-untyped]

    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO(str(annotations))
        evaluation = COCOeval(known, known.loadRes(str(submission)), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [100 * float(figure) if figure >= 0 else math.nan for figure in evaluation.stats[:6]]


def test_all_objects_found_exactly_are_100(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = some_images(tmp_path, [[SMALL, MEDIUM], [], [LARGE, box(90, 20, 0, 20, 20)]])
    figures = average_precision(images, exactly(images))
    assert list(figures) == ["AP", "AP50", "AP75", "AP_S", "AP_M", "AP_L"]
    assert list(figures.values()) == pytest.approx([100] * 6)
    assert capsys.readouterr().out == ""


def test_nothing_found_is_0(tmp_path: Path) -> None:
    images = some_images(tmp_path, [[SMALL, MEDIUM, LARGE]])
    assert list(average_precision(images, []).values()) == [0] * 6
    assert list(average_precision(images, [found(1)]).values()) == [0] * 6


def test_half_of_the_objects_found_is_half(tmp_path: Path) -> None:
    images = some_images(tmp_path, [[MEDIUM], [MEDIUM]])
    # Precision 1 at the 51 of 101 recalls up to 1/2.
    assert average_precision(images, exactly(images)[:1])["AP"] == pytest.approx(100 * 51 / 101)


def test_a_false_alarm_before_the_object_halves_it_and_one_after_it_costs_nothing(tmp_path: Path) -> None:
    images = some_images(tmp_path, [[MEDIUM]])
    both = ([20.0, 0, 70, 50], [200.0, 100, 250, 150])
    assert average_precision(images, [found(1, *both, scores=[0.3, 0.8])])["AP"] == pytest.approx(50)
    assert average_precision(images, [found(1, *both, scores=[0.8, 0.3])])["AP"] == pytest.approx(100)


def test_the_overlap_decides_at_which_thresholds_a_box_counts(tmp_path: Path) -> None:
    images = some_images(tmp_path, [[MEDIUM]])
    figures = average_precision(images, [found(1, [20, 0, 70, 36])])  # an overlap of 0.72
    assert figures["AP50"] == pytest.approx(100)
    assert figures["AP75"] == 0
    assert figures["AP"] == pytest.approx(50)  # 0.5, 0.55, ..., 0.7: five of ten


def test_the_class_must_be_right(tmp_path: Path) -> None:
    images = some_images(tmp_path, [[MEDIUM]])
    assert average_precision(images, [found(1, [20, 0, 70, 50], label=2)])["AP"] == 0


def test_the_precision_of_all_is_the_mean_of_that_of_each_class_that_has_objects(tmp_path: Path) -> None:
    blue, crowd = box(90, 20, 0, 20, 20), box(90, 0, 0, 90, 90) | {"iscrowd": 1}
    images = some_images(tmp_path, [[MEDIUM], [MEDIUM, blue], [crowd]])
    figures, by_class = precisions(images, exactly(images)[:1])
    half = pytest.approx(100 * 51 / 101)  # one of two objects
    assert [tuple(one.model_dump().values()) for one in by_class.per_class] == [
        ("green", 2, half, half),
        ("red", 0, None, None),
        ("blue", 1, 0, 0),  # a crowd is no object
    ]
    assert figures["AP"] == pytest.approx(fmean([100 * 51 / 101, 0]))
    assert list(by_class.lines()) == [
        "1 class has no object to find and is left out: red",
        "class  objects       AP     AP50",
        "blue         1   0.00 %   0.00 %",
        "green        2  50.50 %  50.50 %",
    ]
    assert read_precisions(json.loads(json.dumps(by_class.to_json()))) == by_class


@pytest.mark.parametrize(
    "damage", [None, {}, {"per_class": []}, {"per_class": [{"class": "a", "objects": 1, "AP": -1}]}]
)
def test_damaged_precisions_are_as_if_there_were_none(damage: Any) -> None:
    assert read_precisions(damage) is None


def test_what_lies_in_a_crowd_is_no_false_alarm(tmp_path: Path) -> None:
    images = some_images(tmp_path, [[MEDIUM, box(2, 100, 100, 100, 100) | {"iscrowd": 1}]])
    boxes = ([100.0, 100, 150, 150], [150.0, 150, 200, 200], [20.0, 0, 70, 50])
    assert average_precision(images, [found(1, *boxes, scores=[0.9, 0.8, 0.7])])["AP"] == pytest.approx(100)


def test_small_medium_and_large_are_told_apart_by_the_area_on_record(tmp_path: Path) -> None:
    images = some_images(tmp_path, [[SMALL, MEDIUM, LARGE | {"area": 1000.0}]])
    figures = average_precision(images, [found(1, [0, 0, 10, 10])])
    assert figures["AP_S"] == pytest.approx(100 * 51 / 101)  # one of the two that are less than 32² pixels
    assert figures["AP_M"] == 0
    assert math.isnan(figures["AP_L"])  # there are none


def test_an_image_and_a_category_may_have_the_id_0(tmp_path: Path) -> None:
    def from_0(content: dict[str, Any]) -> None:
        for category in content["categories"]:
            category["id"] -= 2
        for annotation in content["annotations"]:
            annotation["category_id"] -= 2

    images = some_images(tmp_path, [[SMALL], [MEDIUM]], first_id=0, change=from_0)
    assert images.category_ids == (0, 5, 88)
    assert average_precision(images, exactly(images))["AP"] == pytest.approx(100)


def test_a_set_without_objects_has_no_precision(tmp_path: Path) -> None:
    assert all(map(math.isnan, average_precision(some_images(tmp_path, [[], []]), []).values()))


def test_several_detections_of_one_image_add_up_in_any_order(tmp_path: Path) -> None:
    images = some_images(tmp_path, [[MEDIUM, SMALL], [SMALL]])
    parts = [found(2, [0, 0, 10, 10]), found(1, [0, 0, 10, 10]), found(1, [20, 0, 70, 50])]
    assert average_precision(images, parts)["AP"] == pytest.approx(100)


corners = st.tuples(st.integers(0, 200), st.integers(0, 150), st.integers(1, 99), st.integers(1, 69))
objects = st.builds(
    lambda corner, category, crowd: box(category, *corner) | {"iscrowd": crowd},
    corners,
    st.sampled_from([2, 7, 90]),
    st.sampled_from([0, 0, 0, 1]),
)


@cases(15)
@given(data=st.data(), known=st.lists(st.lists(objects, max_size=4), min_size=1, max_size=4))
def test_it_is_what_pycocotools_says_about_the_files(data: st.DataObject, known: list[list[dict[str, Any]]]) -> None:
    with new_folder() as root:
        images = some_images(root, known, first_id=5, change=_ids_from_one)
        detections = [found(5, [0, 0, 1, 1], scores=[0.01])]
        for image_id, of_image in enumerate(known, start=5):
            for one in of_image:
                left, top, width, height = one["bbox"]
                moved = data.draw(st.integers(-3, 3))
                score, label = data.draw(st.integers(1, 99)) / 100, data.draw(st.integers(1, 3))
                guess = [left + moved, top, left + width + moved, top + height]
                detections.append(found(image_id, guess, scores=[score], label=label))
        write_submission(root / "submission.json", images, detections)
        expected = by_files(root / "annotations" / "instances_set.json", root / "submission.json")
        assert list(average_precision(images, detections).values()) == pytest.approx(expected, abs=1e-9, nan_ok=True)


def _ids_from_one(content: dict[str, Any]) -> None:
    """An object with id 0 counts as unmatched in pycocotools."""
    for annotation in content["annotations"]:
        annotation["id"] += 1


def test_a_submission_has_the_ids_of_coco(tmp_path: Path) -> None:
    images = some_images(tmp_path, [[], []], first_id=41, kind="image_info")
    path = tmp_path / "detections.json"
    write_submission(path, images, [found(42, [1, 2, 30, 50], scores=[0.25], label=3), found(41)])
    assert json.loads(path.read_text()) == [
        {"image_id": 42, "category_id": 90, "bbox": [1, 2, 29, 48], "score": 0.25},
    ]


def test_a_class_that_the_set_does_not_name_is_found_in_vain_and_not_submitted(tmp_path: Path) -> None:
    images = some_images(tmp_path, [[SMALL]])
    guesses = [found(1, [0, 0, 10, 10]), found(1, [0, 0, 10, 10], label=4)]
    other = with_classes(images, (*images.classes, "pink"), "a detector")
    assert average_precision(other, guesses)["AP"] == pytest.approx(100)
    path = tmp_path / "detections.json"
    assert write_submission(path, other, guesses) == 1
    assert [one["category_id"] for one in json.loads(path.read_text())] == [2]


def test_an_object_of_a_class_that_nobody_finds_counts_as_in_pycocotools(tmp_path: Path) -> None:
    images = some_images(tmp_path, [[SMALL, box(90, 100, 100, 50, 50)]])
    seen = with_classes(images, ("green", "red"), "a detector")
    assert seen.classes == ("green", "red", "blue")
    assert average_precision(seen, [found(1, [0, 0, 10, 10])])["AP"] == pytest.approx(50)


def test_sets_that_were_joined_are_not_measured_by_ids_that_are_there_twice(tmp_path: Path) -> None:
    images = some_images(tmp_path, [[SMALL]])
    with pytest.raises(InputError, match="images of 'set and set' have the same ids"):
        average_precision(join_sets([images, images]), [found(1, [0, 0, 10, 10])])


@pytest.mark.parametrize(
    ("detection", "words"),
    [
        (found(9, [0, 0, 1, 1]), "image 9, which has detections, is not in 'set'"),
        (found(1, [0, 0, 1, 1], label=4), "has label 4, but 'set' has the classes 1 to 3"),
        (found(1, [0, 0, 1, 1], label=0), "has label 0, but"),
    ],
)
def test_detections_of_other_images_or_classes_are_refused(
    tmp_path: Path, detection: dict[str, Any], words: str
) -> None:
    images = some_images(tmp_path, [[SMALL]])
    with pytest.raises(InputError, match=words):
        average_precision(images, [detection])
    with pytest.raises(InputError, match=words):
        write_submission(tmp_path / "detections.json", images, [detection])
    assert not (tmp_path / "detections.json").exists()


def test_unknown_objects_cannot_be_measured_against(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the objects in 'set' are not known"):
        average_precision(some_images(tmp_path, [[SMALL]], kind="image_info"), [])


def test_without_pycocotools_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycocotools.coco", None)
    with pytest.raises(InputError, match=r"pip install 'pcdarts\[detection\]'"):
        average_precision(some_images(tmp_path, [[SMALL]]), [])
