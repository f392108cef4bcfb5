import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pcdarts.data.split import split_indices, stratified_split, stratified_subset
from pcdarts.data.streams import generator
from pcdarts.errors import InputError


@settings(max_examples=50)
@given(st.integers(2, 200), st.floats(0.1, 0.9), st.integers(0, 5))
def test_the_weight_and_arch_splits_are_disjoint_and_cover_the_training_set(count, fraction, seed):
    labels = torch.zeros(count, dtype=torch.int64)
    if int(fraction * count) == 0:
        with pytest.raises(InputError):
            split_indices(labels, fraction, seed)
        return
    weight, arch = split_indices(labels, fraction, seed)
    assert len(weight) == int(fraction * count)
    assert sorted(weight.tolist() + arch.tolist()) == list(range(count))


def test_the_splits_depend_on_the_seed_alone():
    labels = torch.zeros(100, dtype=torch.int64)
    assert torch.equal(split_indices(labels, 0.5, 3)[0], split_indices(labels, 0.5, 3)[0])
    assert not torch.equal(split_indices(labels, 0.5, 3)[0], split_indices(labels, 0.5, 4)[0])


@pytest.mark.parametrize("fraction", [0.0, 1.0, 0.001, -0.5, 1.5])
def test_a_fraction_that_leaves_a_split_empty_is_refused(fraction):
    with pytest.raises(InputError, match=r"weight_fraction .* of 100 training images leaves .* empty"):
        split_indices(torch.zeros(100, dtype=torch.int64), fraction, 0)


labels_of_some_classes = st.lists(st.integers(0, 4), min_size=5, max_size=80).map(lambda rest: [0, 1, 2, 3, 4, *rest])


@settings(max_examples=50)
@given(labels_of_some_classes, st.data())
def test_a_subset_has_as_equally_many_of_each_class_as_there_are(labels, data):
    count = data.draw(st.integers(5, len(labels)))
    labels = torch.tensor(labels)
    chosen = stratified_subset(labels, count, generator(0))
    assert chosen.tolist() == sorted(set(chosen.tolist()))
    assert len(chosen) == count
    kept = labels[chosen].bincount(minlength=5)
    used_up = kept == labels.bincount(minlength=5)
    assert used_up.all() or kept.max() - kept[~used_up].min() <= 1


def test_a_subset_is_random_within_a_class():
    labels = torch.arange(2).repeat(50)
    one, other = (stratified_subset(labels, 20, generator(seed)) for seed in (0, 1))
    assert not torch.equal(one, other)


@settings(max_examples=50)
@given(labels_of_some_classes, st.floats(0.1, 0.5))
def test_a_stratified_split_covers_everything_and_holds_the_fraction_in_every_class(labels, fraction):
    labels = torch.tensor(labels)
    first, second = stratified_split(labels, fraction, generator(0))
    assert sorted(first.tolist() + second.tolist()) == list(range(len(labels)))
    sizes = labels.bincount()
    expected = (fraction * sizes.float()).clamp(min=1)
    assert ((labels[second].bincount() - expected).abs() <= 0.5001).all()
    assert labels[first].bincount(minlength=5)[sizes > 1].min() >= 1 if (sizes > 1).any() else True
