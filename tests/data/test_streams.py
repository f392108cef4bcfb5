import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pcdarts.data.streams import generator

paths = st.lists(st.one_of(st.integers(0, 1000), st.text(max_size=5)), max_size=4)


def numbers(draw: torch.Generator) -> list[int]:
    return torch.randint(2**31, (8,), generator=draw).tolist()


@settings(max_examples=50)
@given(st.integers(), paths)
def test_the_same_seed_and_path_give_the_same_numbers(seed, path):
    assert numbers(generator(seed, *path)) == numbers(generator(seed, *path))


@settings(max_examples=50)
@given(st.integers(0, 100), paths, paths)
def test_two_paths_give_the_same_numbers_only_if_they_are_equal(seed, one, other):
    assert (numbers(generator(seed, *one)) == numbers(generator(seed, *other))) == (one == other)


def test_another_seed_gives_other_numbers():
    assert numbers(generator(0, "weight", 3)) != numbers(generator(1, "weight", 3))


def test_a_number_and_its_text_name_different_streams():
    assert numbers(generator(0, "weight", 3)) != numbers(generator(0, "weight", "3"))


def test_the_boundaries_of_names_matter():
    assert numbers(generator(0, "ab", "c")) != numbers(generator(0, "a", "bc"))


def test_a_stream_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    numbers(generator(5, "weight"))
    assert torch.equal(torch.rand(3), expected)


def test_streams_stay_what_they_are_so_that_old_runs_can_be_repeated():
    seeds = [generator(0).initial_seed(), generator(7, "weight", 3, "order").initial_seed()]
    assert seeds == [2320352090, 1674346635]
