"""From the architecture parameters to a genotype: what is left of the supernet after the search (Secs. 3.1 and 3.3)."""

import random
from typing import TYPE_CHECKING, Protocol

from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellKind, CellSpace
from pcdarts.errors import wrong_type

if TYPE_CHECKING:
    from torch import Tensor


class _Mixture(Protocol):
    @property
    def op_weights(self) -> "dict[CellKind, Tensor]": ...

    @property
    def edge_weights(self) -> "dict[CellKind, Tensor]": ...


class _ArchParameters(Protocol):
    @property
    def space(self) -> CellSpace: ...

    def mixture(self) -> _Mixture: ...


def derive(arch: _ArchParameters) -> Genotype:
    """Keep, for every node, its two strongest edges and on each its best operation (Sec. 3.3, last paragraph).

    The strength of an operation on an edge is the product of its normalised weights, softmax(α)·softmax(β); without
    edge normalisation it is softmax(α) alone, as in DARTS. `none` takes part in the softmax but is never kept.
    The two edges of a node are listed strongest first, as the authors print them; ties go to the earlier one.
    In a space where a node keeps every edge, these are in the order of the space, and `none` may win one.

    Raises:
        InputError: these are no architecture parameters.
    """
    if not (hasattr(arch, "mixture") and hasattr(arch, "space")):
        remedy = "give the pcdarts.ArchParameters that were trained with the supernet"
        raise wrong_type("what to derive from", arch, "ArchParameters, which hold alpha and beta", remedy)
    space = arch.space
    return Genotype.of_space(space, {kind: _strongest_edges(space, of) for kind, of in strengths(arch).items()})


def strengths(arch: _ArchParameters) -> dict[CellKind, list[list[float]]]:
    """What `derive` compares: softmax(α)·softmax(β) as `[edges][primitives]` for each kind of cell, with `none`."""
    mixture = arch.mixture()
    return {
        kind: (mixture.op_weights[kind] * mixture.edge_weights[kind].unsqueeze(1)).tolist() for kind in arch.space.kinds
    }


def _strongest_edges(space: CellSpace, strengths: list[list[float]]) -> tuple[tuple[str, int], ...]:
    """`strengths` is [edges][primitives]; returns the (primitive, source node) that each intermediate node keeps."""
    kept: list[tuple[str, int]] = []
    for target in space.intermediate:
        candidates = []
        for edge in space.edges_into(target):
            best = max(space.choices(edge), key=strengths[edge].__getitem__)
            candidates.append((strengths[edge][best], space.primitives[best], space.edges[edge].source))
        if space.form.edges_kept is not None:
            candidates.sort(key=lambda candidate: -candidate[0])
        kept.extend((primitive, source) for _, primitive, source in candidates[: space.form.edges_of(target)])
    return tuple(kept)


def random_genotype(space: CellSpace, seed: int) -> Genotype:
    """Draw the edges that every node keeps, two in the paper's space, and an operation for each, uniformly.

    The baseline that a search has to beat: a cell of the same space, chosen without looking at data.
    """
    draw = random.Random(seed)

    def cell() -> tuple[tuple[str, int], ...]:
        return tuple(
            (space.primitives[draw.choice(space.choices(space.edges_into(target)[source]))], source)
            for target in space.intermediate
            for source in sorted(draw.sample(range(target), space.form.edges_of(target)))
        )

    return Genotype.of_space(space, {kind: cell() for kind in space.kinds})
