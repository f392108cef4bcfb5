"""From the architecture parameters to a genotype: what is left of the supernet after the search (Secs. 3.1 and 3.3)."""

import random
from typing import TYPE_CHECKING, Protocol

from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CELL_KINDS, PRIMITIVES, CellKind, CellSpace
from pcdarts.errors import wrong_type

if TYPE_CHECKING:
    from torch import Tensor

_NONE = PRIMITIVES.index("none")


class _Mixture(Protocol):
    @property
    def op_weights(self) -> "dict[CellKind, Tensor]": ...

    @property
    def edge_weights(self) -> "dict[CellKind, Tensor]": ...


class _ArchParameters(Protocol):
    space: CellSpace

    def mixture(self) -> _Mixture: ...


def derive(arch: _ArchParameters) -> Genotype:
    """Keep, for every node, its two strongest edges and on each its best operation (Sec. 3.3, last paragraph).

    The strength of an operation on an edge is the product of its normalised weights, softmax(α)·softmax(β); without
    edge normalisation it is softmax(α) alone, as in DARTS. `none` takes part in the softmax but is never kept.
    The two edges of a node are listed strongest first, as the authors print them; ties go to the earlier one.

    Raises:
        InputError: these are no architecture parameters.
    """
    if not (hasattr(arch, "mixture") and hasattr(arch, "space")):
        remedy = "give the pcdarts.ArchParameters that were trained with the supernet"
        raise wrong_type("what to derive from", arch, "ArchParameters, which hold alpha and beta", remedy)
    found = strengths(arch)
    concat = tuple(range(2, arch.space.num_nodes))
    return Genotype(
        normal=_strongest_edges(arch.space, found["normal"]),
        normal_concat=concat,
        reduce=_strongest_edges(arch.space, found["reduce"]),
        reduce_concat=concat,
    )


def strengths(arch: _ArchParameters) -> dict[CellKind, list[list[float]]]:
    """What decides: softmax(α)·softmax(β) as `[edges][primitives]` for each kind of cell, `none` among them."""
    mixture = arch.mixture()
    return {kind: (mixture.op_weights[kind] * mixture.edge_weights[kind].unsqueeze(1)).tolist() for kind in CELL_KINDS}


def _strongest_edges(space: CellSpace, strengths: list[list[float]]) -> tuple[tuple[str, int], ...]:
    """`strengths` is [edges][primitives]; returns two (primitive, source node) for each intermediate node."""
    kept: list[tuple[str, int]] = []
    for target in range(2, space.num_nodes):
        candidates = []
        for edge in space.edges_into(target):
            best = max((p for p in range(len(PRIMITIVES)) if p != _NONE), key=strengths[edge].__getitem__)
            candidates.append((strengths[edge][best], PRIMITIVES[best], space.edges[edge].source))
        candidates.sort(key=lambda candidate: -candidate[0])
        kept.extend((primitive, source) for _, primitive, source in candidates[:2])
    return tuple(kept)


def random_genotype(space: CellSpace, seed: int) -> Genotype:
    """Draw two distinct edges for every node and an operation other than `none` for each, uniformly.

    The baseline that a search has to beat: a cell of the same space, chosen without looking at data.
    """
    draw = random.Random(seed)
    operations = [primitive for primitive in PRIMITIVES if primitive != "none"]

    def cell() -> tuple[tuple[str, int], ...]:
        return tuple(
            (draw.choice(operations), source)
            for target in range(2, space.num_nodes)
            for source in sorted(draw.sample(range(target), 2))
        )

    concat = tuple(range(2, space.num_nodes))
    return Genotype(normal=cell(), normal_concat=concat, reduce=cell(), reduce_concat=concat)
