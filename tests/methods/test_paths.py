"""Whole cells as mixtures."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from pcdarts.cell.derive import derive, random_genotype
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellSpace
from pcdarts.methods.paths import frequencies, path_of
from pcdarts.supernet.arch import Mixture, check_mixture

SPACE = CellSpace(5)


class Found:
    """What `derive` reads."""

    def __init__(self, mixture: Mixture) -> None:
        self.space, self._mixture = SPACE, mixture

    def mixture(self) -> Mixture:
        return self._mixture


def edges_of(genotype: Genotype) -> list[set[tuple[int, str, int]]]:
    return [set(genotype.placed_edges(kind)) for kind in SPACE.kinds]


@given(st.integers(0, 10_000))
def test_the_path_of_a_cell_is_a_mixture_from_which_that_cell_is_derived(seed: int) -> None:
    genotype = random_genotype(SPACE, seed)
    path = path_of(genotype, SPACE)
    check_mixture(path, SPACE)
    assert edges_of(derive(Found(path))) == edges_of(genotype)
    assert all(int(path.op_weights[kind].sum()) == len(genotype.edges(kind)) for kind in SPACE.kinds)


def test_two_operations_on_one_edge_are_both_there() -> None:
    pair = (("sep_conv_3x3", 0), ("skip_connect", 0))
    cell = pair + tuple(("sep_conv_3x3", source) for _ in (3, 4) for source in (0, 1))
    path = path_of(Genotype(cell, (2, 3, 4), cell, (2, 3, 4)), SPACE)
    assert path.op_weights["normal"][0].nonzero().flatten().tolist() == [3, 4]
    assert path.op_weights["normal"][1].sum() == 0


def test_frequencies_say_how_often_cells_have_an_operation_on_an_edge() -> None:
    cells = [random_genotype(SPACE, seed) for seed in range(4)]
    found = frequencies(cells, SPACE).op_weights["reduce"]
    expected = sum(path_of(cell, SPACE).op_weights["reduce"] for cell in cells) / 4
    torch.testing.assert_close(found, expected)
