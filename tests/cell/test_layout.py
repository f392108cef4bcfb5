"""How the layout of a cell is found: the short way to a cost gives the cost."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from pcdarts.cell import layout
from pcdarts.cell.derive import random_genotype
from pcdarts.cell.space import CELL_KINDS, CellKind, CellSpace


@settings(max_examples=40, deadline=None)
@given(st.integers(4, 9), st.integers(0, 10**6), st.sampled_from(CELL_KINDS), st.randoms(use_true_random=False))
def test_a_block_moved_down_step_by_step_costs_what_each_whole_order_costs(
    num_nodes: int, seed: int, kind: CellKind, chance: Random
) -> None:
    nodes, wires = layout._nodes_and_wires(random_genotype(CellSpace(num_nodes), seed), kind)
    links = layout._links(nodes, wires)
    order = [*nodes, *(wire for wire in wires if wire.columns)]
    chance.shuffle(order)
    block, *others = order
    found = layout._costs_by_place(block, others, links, layout._ends_of(order, links), nodes)
    orders = [[*others[:place], block, *others[place:]] for place in range(len(order))]
    assert found == [layout._cost(whole, links, nodes) for whole in orders]
