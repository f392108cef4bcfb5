import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pcdarts.data.images import Images
from pcdarts.data.sets import keep_for_validation, limit_training
from pcdarts.data.split import share_of_each_class
from pcdarts.data.streams import generator
from pcdarts.errors import InputError


def images_of(sizes: list[int]) -> Images:
    labels = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    return Images(torch.arange(len(labels), dtype=torch.uint8).view(-1, 1, 1, 1), labels)


def names_of(sizes: list[int]) -> tuple[str, ...]:
    return tuple(f"class {index}" for index in range(len(sizes)))


@given(sizes=st.lists(st.integers(1, 30), min_size=2, max_size=8), fraction=st.floats(0.01, 0.99))
def test_a_share_of_each_class_is_rounded_up_or_down_and_leaves_one_image(sizes, fraction):
    labels = images_of(sizes).labels
    first, second = share_of_each_class(labels, fraction, generator(0, "test"))
    assert sorted(torch.cat([first, second]).tolist()) == list(range(len(labels)))
    taken = labels[second].bincount(minlength=len(sizes)).tolist()
    for size, count in zip(sizes, taken, strict=True):
        assert count == size - 1 or abs(count - size * fraction) < 1
        assert count < size
    most = sum(size - 1 for size in sizes)
    assert len(second) <= max(1, round(len(labels) * fraction))
    if all(size * fraction <= size - 1 for size in sizes):
        assert len(second) == min(most, max(1, round(len(labels) * fraction)))


def test_a_class_with_one_image_keeps_it_and_this_is_said():
    sizes = [1, 20, 20]
    train, validation, notes = keep_for_validation(images_of(sizes), names_of(sizes), 0.15)
    assert train.labels.bincount().tolist() == [1, 17, 17]
    assert validation.labels.bincount(minlength=3).tolist() == [0, 3, 3]
    assert notes == (
        "validation set: 6 of the 41 training images, drawn of each class (--validation-fraction 0.15); the other 35 "
        "are learnt from",
        "1 of 3 classes has no image in the validation set, because there are too few of them: class 0",
    )


def test_of_a_thousand_classes_of_two_images_the_fraction_is_kept_and_not_one_of_each_class():
    sizes = [2] * 1000
    train, validation, notes = keep_for_validation(images_of(sizes), names_of(sizes), 0.15)
    assert (len(train), len(validation)) == (1700, 300)
    assert train.labels.bincount().min() == 1
    assert notes[1].startswith("700 of 1,000 classes have no image in the validation set")


def test_where_no_class_has_a_second_image_nothing_can_be_kept():
    with pytest.raises(InputError, match="no class has a second training image to keep for validation"):
        keep_for_validation(images_of([1, 1, 1]), names_of([1, 1, 1]), 0.5)


def test_a_limit_of_the_training_images_counts_those_kept_for_validation():
    sizes, notes = [100] * 4, []
    train, validation, _ = keep_for_validation(images_of(sizes), names_of(sizes), 0.25)
    train, validation = limit_training(train, validation, names_of(sizes), 40, 0, 0.25, notes)
    assert sorted(train.labels.bincount().tolist()) == [7, 7, 8, 8]
    assert len(validation) == 10
    assert notes == [
        "30 of 300 training images are used (--train-images 40)",
        "10 of 100 validation images are used (--train-images 40)",
    ]


@pytest.mark.parametrize("limit", [301, 350, 399])
def test_a_limit_between_the_images_left_and_all_holds_for_both_together(limit):
    sizes, notes = [100] * 4, []
    train, validation, _ = keep_for_validation(images_of(sizes), names_of(sizes), 0.25)
    train, validation = limit_training(train, validation, names_of(sizes), limit, 0, 0.25, notes)
    assert len(train) + len(validation) == limit
    assert len(validation) == round(0.25 * limit)


def test_a_limit_leaves_each_class_an_image_to_learn_from():
    sizes, notes = [10] * 4, []
    train, validation, _ = keep_for_validation(images_of(sizes), names_of(sizes), 0.5)
    train, validation = limit_training(train, validation, names_of(sizes), 4, 0, 0.5, notes)
    assert train.labels.bincount().tolist() == [1, 1, 1, 1]
    assert len(validation) == 1


def test_a_limit_that_holds_all_changes_nothing():
    sizes, notes = [10] * 4, []
    train, validation, _ = keep_for_validation(images_of(sizes), names_of(sizes), 0.5)
    assert [len(part) for part in limit_training(train, validation, names_of(sizes), 40, 0, 0.5, notes)] == [20, 20]
    assert notes == []
