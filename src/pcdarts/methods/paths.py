"""Whole cells as mixtures: what methods need that draw or try discrete cells instead of weighing operations."""

import torch
from torch import Tensor

from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellKind, CellSpace
from pcdarts.supernet.arch import Mixture


def path_of(genotype: Genotype, space: CellSpace, edge_weights: dict[CellKind, Tensor] | None = None) -> Mixture:
    """The mixture in which each node has the edges and operations of a genotype, with weight 1, and no others.

    An operation that is not in the genotype is not computed. Where a node has two operations on one edge, both are
    there.

    Args:
        edge_weights: of each kind of cell, [edges]; by default 1 for every edge. The mixture is on their device.
    """
    active: dict[CellKind, Tensor] = {}
    for kind in space.kinds:
        active[kind] = torch.zeros(space.num_edges, len(space.primitives), dtype=torch.bool)
        for target, edges in genotype.entering(kind).items():
            of_target = space.edges_into(target)
            for primitive, source in edges:
                active[kind][of_target[source], space.primitives.index(primitive)] = True
    if edge_weights is None:
        edge_weights = {kind: torch.ones(space.num_edges) for kind in space.kinds}
    return Mixture({kind: active[kind].to(edge_weights[kind]) for kind in space.kinds}, edge_weights, active)


def frequencies(genotypes: list[Genotype], space: CellSpace, device: torch.device | str = "cpu") -> Mixture:
    """The mean of the mixtures of some cells: how often each has an operation on an edge."""
    paths = [path_of(genotype, space) for genotype in genotypes]
    mean = {kind: torch.stack([path.op_weights[kind] for path in paths]).mean(0).to(device) for kind in space.kinds}
    return Mixture(mean, {kind: torch.ones(space.num_edges, device=device) for kind in space.kinds})
