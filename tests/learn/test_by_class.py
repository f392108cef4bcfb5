"""What is said of a classifier class by class: the numbers of scikit-learn, names of any kind, several seeds."""

import json
import warnings
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pcdarts.learn.by_class import MOST_LISTED, ByClass, by_class, mean_by_class, of_results, read_by_class
from pcdarts.run.display.columns import width_of

metrics = pytest.importorskip("sklearn.metrics")


@st.composite
def predictions(draw: st.DrawFn) -> tuple[int, list[int], list[int]]:
    """A number of classes, and of each image its class and what it was taken for."""
    classes = draw(st.integers(2, 8))
    index = st.integers(0, classes - 1)
    pairs = draw(st.lists(st.tuples(index, index), min_size=1, max_size=40))
    return classes, [label for label, _ in pairs], [prediction for _, prediction in pairs]


def names(count: int) -> list[str]:
    return [f"class {index}" for index in range(count)]


@given(predictions())
def test_the_numbers_are_those_of_scikit_learn(measured: tuple[int, list[int], list[int]]) -> None:
    count, labels, predicted = measured
    found = by_class(names(count), labels, predicted)
    present = sorted(set(labels))
    with warnings.catch_warnings():  # scikit-learn warns of classes that are only predicted, and of a single class
        warnings.simplefilter("ignore")
        balanced = metrics.balanced_accuracy_score(labels, predicted)
        recall = metrics.recall_score(labels, predicted, labels=present, average=None)
        macro_f1 = metrics.f1_score(labels, predicted, labels=present, average="macro")
    assert found.balanced_accuracy == pytest.approx(100 * balanced)
    assert found.macro_f1 == pytest.approx(100 * macro_f1)
    assert found.confusion == tuple(
        map(tuple, metrics.confusion_matrix(labels, predicted, labels=range(count)).tolist())
    )
    assert [found.per_class[index].accuracy for index in present] == pytest.approx((100 * recall).tolist())
    assert [one.images for one in found.per_class] == [labels.count(index) for index in range(count)]
    assert [one.accuracy is None for one in found.per_class] == [index not in present for index in range(count)]


@given(predictions())
def test_what_is_kept_as_json_is_read_again(measured: tuple[int, list[int], list[int]]) -> None:
    found = by_class(names(measured[0]), *measured[1:])
    assert read_by_class(json.loads(json.dumps(found.to_json()))) == found


def test_a_class_without_a_test_image_is_named_and_not_counted_as_0() -> None:
    found = by_class(["cat", "dog", "owl"], [0, 0, 1], [0, 2, 1])
    assert found.balanced_accuracy == 75
    assert found.sentences() == [
        "balanced accuracy 75.00 %, macro F1 83.33 %",
        "1 class has no test image and is left out: owl",
    ]
    assert "owl" not in [row[0] for row in found.table()]
    assert found.taken_for(0) == [("owl", 1)]


def test_classes_are_listed_the_worst_first_with_what_they_were_taken_for() -> None:
    labels, predicted = [0] * 10 + [1] * 4, [0] * 5 + [1] * 3 + [2] * 2 + [1] * 4
    assert list(by_class(["cat", "dog", "owl"], labels, predicted).lines())[2:] == [
        "class  images  accuracy  taken for",
        "cat        10    50.0 %  dog 3, owl 2",
        "dog         4   100.0 %",
    ]


def test_of_classes_that_are_equally_bad_the_one_with_most_images_comes_first() -> None:
    assert by_class(["cat", "dog"], [0, 1, 1], [1, 0, 0]).worst == [1, 0]


def test_of_many_classes_only_the_worst_are_listed_and_of_what_they_were_taken_for_the_most_frequent() -> None:
    count = 1000
    labels = [label for label in range(count) for _ in range(3)] + [7] * 9
    predicted = [label for label in range(count) for _ in range(3)] + [1, 1, 2, 2, 2, 3, 4, 5, 6]
    found = by_class(names(count), labels, predicted)
    rows = found.table()
    assert len(rows) == 1 + MOST_LISTED
    assert rows[1] == ("class 7", "12", "25.0 %", "class 2 3, class 1 2, class 3 1 and 3 others")
    assert f"the {MOST_LISTED} worst of 1,000 classes:" in found.lines()
    assert found.confusion is None  # a million numbers, nearly all of them 0
    assert found.counts[7, 2] == 3
    assert read_by_class(json.loads(json.dumps(found.to_json()))) == found


def test_several_seeds_give_means_of_each_class_and_one_confusion_matrix() -> None:
    seeds = [by_class(["cat", "dog", "owl"], [0, 0, 1], predicted) for predicted in ([0, 1, 1], [0, 0, 0], [0, 2, 1])]
    found = mean_by_class(seeds)
    assert found.seeds == 3
    assert found.images == 3
    assert [one.accuracy for one in found.per_class] == [pytest.approx(200 / 3), pytest.approx(200 / 3), None]
    assert found.balanced_accuracy == pytest.approx(sum(one.balanced_accuracy for one in seeds) / 3)
    assert found.confusion == ((4, 1, 1), (1, 2, 0), (0, 0, 0))
    assert "(means over 3 seeds)" in found.sentences()[0]
    assert of_results([{"test_details": one.to_json()} for one in seeds]) == found


def test_seeds_of_which_one_says_nothing_or_something_else_are_not_put_together() -> None:
    one = {"test_details": by_class(["cat", "dog"], [0, 1], [0, 1]).to_json()}
    other = {"test_details": by_class(["cat", "owl"], [0, 1], [0, 1]).to_json()}
    assert of_results([one]) is not None
    for results in ([one, {}], [one, None], [one, other], []):
        assert of_results(results) is None


@pytest.mark.parametrize(
    "damage",
    [
        {"confusion": [[1, 0]]},
        {"confusion": [[1, 0], [0]]},
        {"confusion": [[1, 0], [0, "<b>"]]},
        {"confusion": [[1, 0], [0, -1]]},
        {"confusion": None},
        {"confused": [[0, 1, 1]]},
        {"confusion": None, "confused": [[0, 2, 1]]},
        {"per_class": []},
        {"classes": []},
        {"classes": ["dog", "cat"]},
        {"balanced_accuracy": float("nan")},
        {"macro_f1": None},
        {"images": 10**400},
    ],
)
def test_damaged_details_are_as_if_there_were_none(damage: dict[str, Any]) -> None:
    details = by_class(["cat", "dog"], [0, 1], [0, 1]).to_json()
    assert read_by_class(details) is not None
    assert read_by_class({**details, **damage}) is None
    assert read_by_class(damage) is None


@pytest.mark.parametrize("name", ["x" * 300, "靴とサンダル", "a\nb\x1b[31m", "é" * 5, "n\u0303" * 9, "\udcff", " "])
def test_names_of_any_length_and_script_leave_the_columns_straight(name: str) -> None:
    found = by_class(["cat", name], [0, 0, 1], [0, 1, 0])
    header, *rows = list(found.lines())[1:]
    for row in rows:
        left = row.partition(" %")[0]
        assert width_of(left) + len(" %") == header.index("accuracy") + len("accuracy"), row
        assert row.isprintable()


def test_nothing_measured_of_a_class_makes_no_mean_of_seeds_fail() -> None:
    seeds: list[ByClass] = [by_class(["cat", "dog"], labels, [0, 0]) for labels in ([0, 0], [0, 1])]
    assert [one.accuracy for one in mean_by_class(seeds).per_class] == [100, 0]
