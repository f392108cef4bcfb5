"""How much each operation on each edge adds to the cost of an evaluation network."""

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
from pcdarts.network.network import Network


def network_costs(
    space: CellSpace,
    *,
    kind: NetworkKind,
    channels: int,
    num_cells: int,
    num_classes: int,
    image_channels: int,
    image_size: int,
) -> NetworkCosts:
    """The costs of all networks with these sizes: for any genotype of `space`, exactly those of `complexity`.

    Raises:
        InputError: such a network is impossible, or the images are too small for it.
    """
    # A network of pools, which cost nothing: its costs are those of everything but the operations.
    pools = tuple(
        ("max_pool_3x3", source) for node in space.intermediate for source in range(space.form.edges_of(node))
    )
    with torch.device("meta"):
        bare = Network(
            Genotype.of_space(space, dict.fromkeys(space.kinds, pools)),
            kind=kind,
            channels=channels,
            num_cells=num_cells,
            num_classes=num_classes,
            auxiliary=False,
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
    stem_channels = evaluation_stem_channels(kind, channels)
    concat_sizes = dict.fromkeys(space.kinds, len(space.outputs))
    for plan in macro_plan(kind, channels, num_cells, concat_sizes, stem_channels):
        reduced = -(-side // 2) if plan.kind == "reduce" else side
        for index, edge in enumerate(space.edges):
            stride = space.form.stride(plan.kind, edge.source)
            for p, primitive in enumerate(space.primitives):
                if primitive != "none":
                    choices[plan.kind][index, p, :2] += op_costs(
                        primitive, plan.channels, stride, side if edge.source < space.num_inputs else reduced
                    )
        side = reduced
    if "normal" in choices and "skip_connect" in space.primitives:
        choices["normal"][:, space.primitives.index("skip_connect"), 2] = 1
    return NetworkCosts(space, choices, np.array([rest.mult_adds, rest.params, 0]))
