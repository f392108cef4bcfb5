"""Regularised evolution: its tournament, its ages, and what a mutation changes."""

import random
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from enumerated import AT, problem, with_chance
from pcdarts.cell.derive import random_genotype
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellForm, CellSpace
from pcdarts.config.configs import SearchConfig
from pcdarts.config.groups.group import ConfigError
from pcdarts.data.streams import generator
from pcdarts.methods.sampling.evolution import Evolution, Member, child_of, mutated
from pcdarts.supernet.arch import Mixture
from small_space import SPACE as OTHER_SPACE

SPACE = CellSpace(5)
ONE_CELL = CellSpace(3, form=CellForm(kinds=("normal",)), primitives=("none", "skip_connect"))


class Counting:
    """A task whose errors are 90, 80, 70, ... in the order in which they are asked for."""

    def __init__(self) -> None:
        self.asked = list[int | None]()

    def error(self, mixture: Mixture, batches: int | None = None) -> float:
        self.asked.append(batches)
        return 100.0 - 10 * len(self.asked)


def evolution(**settings: int) -> Evolution:
    return Evolution(SPACE, False, **{"population": 3, "sample": 2, "children": 2, "candidate_batches": 4} | settings)


@given(st.integers(0, 10_000), st.sampled_from([SPACE, CellSpace(3), OTHER_SPACE]))
def test_a_mutation_changes_exactly_one_thing_and_stays_in_the_space(seed: int, space: CellSpace) -> None:
    parent = random_genotype(space, seed)
    child = mutated(parent, space, random.Random(seed))
    changed = [
        (before, after)
        for kind in space.kinds
        for target, edges in parent.entering(kind).items()
        for before, after in zip(edges, child.entering(kind)[target], strict=True)
        if before != after
    ]
    assert len(changed) == 1
    (name, source), (other_name, other_source) = changed[0]
    assert (name != other_name) + (source != other_source) == 1
    for kind in space.kinds:
        for node, edges in child.entering(kind).items():
            assert len({source for _, source in edges}) == len(edges), "two different inputs"
            into = space.edges_into(node)
            assert all(space.primitives.index(name) in space.choices(into[source]) for name, source in edges)


def test_operations_and_inputs_are_mutated_equally_often() -> None:
    """2,000 mutations; four standard errors are 90."""
    parent, draw = random_genotype(SPACE, 0), random.Random(0)
    kept = Counter(_inputs(mutated(parent, SPACE, draw)) == _inputs(parent) for _ in range(2000))
    assert abs(kept[True] - 1000) < 90


def _inputs(cell: Genotype) -> list[tuple[int, int]]:
    return [(target, source) for kind in SPACE.kinds for target, _, source in cell.placed_edges(kind)]


def test_the_only_cell_of_a_space_is_its_own_mutation() -> None:
    only = random_genotype(ONE_CELL, 0)
    assert mutated(only, ONE_CELL, random.Random(0)) == only


def test_the_best_of_the_sample_is_the_parent() -> None:
    members = [Member(random_genotype(SPACE, seed), error) for seed, error in enumerate([50.0, 20.0, 40.0, 30.0])]
    draw = random.Random(0)
    assert {child_of(members, 4, 1.0, SPACE, draw) for _ in range(5)} == {members[1].cell}
    # Of a sample of two of four: the best is in half of all pairs, the second best in a third, the third in a sixth.
    parents = Counter(child_of(members, 2, 1.0, SPACE, draw) for _ in range(1200))
    shares = [parents[members[number].cell] / 1200 for number in (1, 3, 2, 0)]
    assert shares == pytest.approx([1 / 2, 1 / 3, 1 / 6, 0], abs=0.06)  # four standard errors


def test_the_oldest_dies_however_good_it_is() -> None:
    method = evolution(sample=3)
    method.started = True
    method.population = [Member(random_genotype(SPACE, seed), error) for seed, error in enumerate([1.0, 95.0, 94.0])]
    best = method.population[0].cell
    old = method.population[2]
    task = Counting()
    method.end_epoch(AT, task, generator(0, "end"))  # type: ignore[arg-type]
    assert task.asked == [4, 4]
    assert [member.error for member in method.population] == [94.0, 90.0, 80.0], "the oldest first"
    assert method.population[0] == old
    assert best not in [member.cell for member in method.population]


def test_there_is_a_population_only_once_the_method_is_asked_to_learn() -> None:
    method, task = evolution(), Counting()
    method.end_epoch(AT, task, generator(0, 0))  # type: ignore[arg-type]
    assert method.population == []
    method.step(AT, task, with_chance(0))  # type: ignore[arg-type]
    method.end_epoch(AT, task, generator(0, 1))  # type: ignore[arg-type]
    assert [member.error for member in method.population] == [90.0, 80.0, 70.0]
    assert method.genotype(None, generator(0)) == method.population[2].cell


def test_weights_learn_on_members_and_the_mixture_is_their_frequency() -> None:
    method, (task, _) = evolution(), problem()
    cells = [random_genotype(SPACE, seed) for seed in range(3)]
    method.population = [Member(cell, 50.0) for cell in cells]
    paths = [method.arch.path(cell).op_weights["normal"] for cell in cells]
    for number in range(5):
        ((share, drawn),) = method.draws(AT, task, with_chance(number))
        assert share == 1.0
        assert any(torch.equal(drawn.op_weights["normal"], path) for path in paths)
    torch.testing.assert_close(method.mixture().op_weights["normal"], sum(paths) / 3)


def test_the_best_members_are_compared_on_all_images_at_the_end() -> None:
    method, task = evolution(finalists=2), Counting()
    cells = [random_genotype(SPACE, seed) for seed in range(3)]
    method.population = [Member(cell, error) for cell, error in zip(cells, [30.0, 50.0, 40.0], strict=True)]
    assert method.genotype(None, generator(0)) == cells[0]
    assert method.genotype(task, generator(0)) == cells[2]  # type: ignore[arg-type]  # it is asked about last
    assert task.asked == [None, None]


def test_a_sample_is_not_larger_than_the_population() -> None:
    with pytest.raises(ConfigError, match=r"^sample is 25, but it must be at most population \(10\)$"):
        SearchConfig(method="evolution", population=10)
