import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pcdarts.data.split import split_each_class, split_indices, stratified_split, stratified_subset
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


@settings(max_examples=60)
@given(
    st.lists(st.integers(2, 60), min_size=1, max_size=5), st.floats(0.05, 0.7), st.floats(0.02, 0.3), st.integers(0, 5)
)
def test_splits_of_each_class_are_disjoint_and_have_their_share_of_each(sizes, weight_fraction, arch_fraction, seed):
    labels = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))[torch.randperm(sum(sizes))]
    weight, arch = split_each_class(labels, weight_fraction, arch_fraction, seed)
    assert len({*weight.tolist(), *arch.tolist()}) == len(weight) + len(arch)
    for which, fraction in ((weight, weight_fraction), (arch, arch_fraction)):
        counts = labels[which].bincount(minlength=len(sizes)).tolist()
        for count, size in zip(counts, sizes, strict=True):
            assert count >= 1
            assert abs(count - fraction * size) <= 1
    again = split_each_class(labels, weight_fraction, arch_fraction, seed)
    assert all(torch.equal(one, other) for one, other in zip((weight, arch), again, strict=True))


def test_a_tenth_and_a_fortieth_of_each_class_of_imagenet():
    labels = torch.arange(10).repeat_interleave(1300)
    weight, arch = split_each_class(labels, 0.1, 0.025, 0)
    assert labels[weight].bincount().tolist() == [130] * 10
    assert labels[arch].bincount().tolist() == [32] * 10


def test_splits_of_each_class_that_cannot_be_are_refused():
    with pytest.raises(InputError, match="more than all images"):
        split_each_class(torch.zeros(9, dtype=torch.int64), 0.8, 0.3, 0)
    with pytest.raises(InputError, match="a class has one training image"):
        split_each_class(torch.tensor([0, 0, 1]), 0.5, 0.5, 0)
