"""How much each operation on each edge adds to the cost of an evaluation network: mult-adds, parameters, latency."""

from functools import cache

import numpy as np
import torch

from pcdarts.cell.budget import NetworkCosts
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.primitives import make_op
from pcdarts.cell.space import (
    CellSpace,
    NetworkKind,
    evaluation_stem_channels,
    largest_map,
    macro_plan,
)
from pcdarts.network.complexity import complexity
from pcdarts.network.latency.parts import Sizes, parts_of
from pcdarts.network.latency.table import LatencyTable
from pcdarts.network.network import network_without_data


def network_costs(
    space: CellSpace,
    *,
    kind: NetworkKind,
    channels: int,
    num_cells: int,
    num_classes: int,
    image_channels: int,
    image_size: int,
    latencies: LatencyTable | None = None,
) -> NetworkCosts:
    """The costs of all networks with these sizes: for any genotype of `space`, exactly those of `complexity`.

    With a table of `latencies`, which has all of their parts, also the latency that it predicts.

    Raises:
        InputError: such a network is impossible, the images are too small for it, or the table has no such networks.
    """
    bare = network_without_data(
        _of_pools(space),
        kind=kind,
        channels=channels,
        num_cells=num_cells,
        num_classes=num_classes,
        image_channels=image_channels,
    )
    rest = complexity(bare, (image_channels, image_size, image_size))

    @cache
    def op_costs(primitive: str, channels: int, stride: int, side: int) -> tuple[int, int]:
        with torch.device("meta"):
            op = make_op(primitive, channels, stride, affine=True)
        size = complexity(op, (channels, side, side))
        return size.mult_adds, size.params

    shape = (space.num_edges, len(space.primitives), 3)
    choices = {cell_kind: np.zeros(shape, dtype=np.int64) for cell_kind in space.kinds}
    side = largest_map(kind, image_size)
    macro = space.form.macro
    stem_channels = evaluation_stem_channels(kind, channels, macro)
    concat_sizes = dict.fromkeys(space.kinds, len(space.outputs))
    for plan in macro_plan(kind, channels, num_cells, concat_sizes, stem_channels, macro):
        side = -(-side // 2) if plan.after_block else side
        reduced = -(-side // 2) if plan.kind == "reduce" else side
        for index, edge in enumerate(space.edges):
            stride = space.form.stride(plan.kind, edge.source)
            read = side if edge.source < space.num_inputs else reduced
            for p, primitive in enumerate(space.primitives):
                if primitive != "none":
                    choices[plan.kind][index, p, :2] += op_costs(primitive, plan.channels, stride, read)
        side = reduced
    if "normal" in choices and "skip_connect" in space.primitives:
        choices["normal"][:, space.primitives.index("skip_connect"), 2] = 1
    costs = NetworkCosts(space, choices, np.array([rest.mult_adds, rest.params, 0]))
    sizes = Sizes(kind, channels, num_cells, num_classes, image_channels, image_size)
    return costs if latencies is None else _with_latencies(costs, sizes, latencies)


def _of_pools(space: CellSpace) -> Genotype:
    """Cells of pools, which cost nothing: their network costs what everything but the operations does."""
    pools = tuple(
        ("max_pool_3x3", source) for node in space.intermediate for source in range(space.form.edges_of(node))
    )
    return Genotype.of_space(space, dict.fromkeys(space.kinds, pools))


def _with_latencies(costs: NetworkCosts, sizes: Sizes, table: LatencyTable) -> NetworkCosts:
    """The same costs with the nanoseconds of each operation, and of the rest."""
    parts, overhead = parts_of(costs.space, sizes), table.overhead(sizes, costs.space)
    choices = {
        kind: np.dstack([of_kind, [[table.nanoseconds(part, overhead) for part in row] for row in parts.edges[kind]]])
        for kind, of_kind in costs.choices.items()
    }
    return NetworkCosts(costs.space, choices, np.append(costs.rest, table.nanoseconds(parts.rest, overhead)))
