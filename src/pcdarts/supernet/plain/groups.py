"""Which operations of a source node are computed together, and parts of stacked tensors without an index on a device.

An operation whose weight is zero on an edge is not computed there (`Mixture.computed`). What is left of a source falls
into groups, each some operations on some edges: where all are computed there is one group, so that convolutions are
few and large. A group takes no more convolutions than its operations need on all edges.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from pcdarts.cell.space import CellSpace
from pcdarts.ops.sending import send

PRIMITIVES = CellSpace().primitives
"""What this path computes, in the order of the columns of its mixtures (`in_this_order`): the paper's primitives."""
SKIP = PRIMITIVES.index("skip_connect")
POOLS = (PRIMITIVES.index("max_pool_3x3"), PRIMITIVES.index("avg_pool_3x3"))
SEPARABLE = (PRIMITIVES.index("sep_conv_3x3"), PRIMITIVES.index("sep_conv_5x5"))
DILATED = (PRIMITIVES.index("dil_conv_3x3"), PRIMITIVES.index("dil_conv_5x5"))
CONVOLUTIONS = SEPARABLE + DILATED


class Group(NamedTuple):
    """Operations that the same edges of a source compute."""

    edges: tuple[int, ...]
    """Indices among the edges of the source."""
    primitives: tuple[int, ...]
    """Columns of the mixture, ascending."""

    def among(self, primitives: Sequence[int]) -> tuple[int, ...]:
        """Which of `primitives` it has, by their indices in that sequence."""
        return tuple(index for index, primitive in enumerate(primitives) if primitive in self.primitives)


@functools.lru_cache(maxsize=1024)
def groups_of(computed: tuple[tuple[bool, ...], ...], strided: bool) -> tuple[Group, ...]:
    """The groups of a source, from what is computed on each of its edges, [edges][primitives].

    `none` is in none of them, and a skip-connection only where it is strided: else it belongs to the bypass.
    """
    found: dict[tuple[int, ...], list[int]] = {}
    for primitive in range(len(PRIMITIVES)):
        if primitive in CONVOLUTIONS or primitive in POOLS or (primitive == SKIP and strided):
            edges = tuple(edge for edge, row in enumerate(computed) if row[primitive])
            found.setdefault(edges, []).append(primitive)
    return tuple(Group(edges, tuple(primitives)) for edges, primitives in found.items() if edges)


def in_this_order(
    space: CellSpace, op_weights: Tensor, computed: tuple[tuple[bool, ...], ...] | None
) -> tuple[Tensor, tuple[tuple[bool, ...], ...] | None]:
    """A mixture [edges, primitives] of a space, and what is computed of it, by the `PRIMITIVES` of this path."""
    if space.primitives == PRIMITIVES:
        return op_weights, computed
    columns = [PRIMITIVES.index(primitive) for primitive in space.primitives]
    wide = op_weights.new_zeros(len(op_weights), len(PRIMITIVES))
    everything = ((True,) * len(columns),) * len(op_weights)
    rows = [dict(zip(columns, row, strict=True)) for row in computed or everything]
    known = tuple(tuple(row.get(column, False) for column in range(len(PRIMITIVES))) for row in rows)
    return wide.index_copy(1, send(torch.tensor(columns), wide.device), op_weights), known


def take(x: Tensor, indices: Sequence[int], dim: int = 0) -> Tensor:
    """`x` at some ascending indices of a dimension: a view where they are neighbours."""
    if not indices:
        return x.narrow(dim, 0, 0)
    if indices[-1] - indices[0] == len(indices) - 1:
        return x.narrow(dim, indices[0], len(indices))
    return torch.cat([x.narrow(dim, index, 1) for index in indices], dim=dim)


def take_edges(x: Tensor, edges: Sequence[int], n: int, dim: int = 1) -> Tensor:
    """The channels of some edges, from those of n edges side by side: [B, n·C, ...] to [B, edges · C, ...]."""
    if len(edges) == n:
        return x
    return take(x.unflatten(dim, (n, -1)), edges, dim).flatten(dim, dim + 1)


def add_to_edges(x: Tensor, part: Tensor, edges: Sequence[int], n: int) -> None:
    """Add to x, whose last channels are those of the n edges, what `take_edges` gave of some: [B, channels, ...]."""
    width = part.shape[1] // len(edges)
    start = x.shape[1] - n * width
    for edge, piece in zip(edges, part.split(width, dim=1), strict=True):
        x[:, start + edge * width : start + (edge + 1) * width] += piece


def add_rows(x: Tensor, rows: Tensor, indices: Sequence[int]) -> None:
    """Add rows [indices, ...] to x at those indices."""
    if len(x) == len(rows):
        x += rows
        return
    for index, row in zip(indices, rows, strict=True):
        x[index] += row
