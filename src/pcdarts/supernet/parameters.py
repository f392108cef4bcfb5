"""What a supernet has to compute with, whichever way it is computed: parameters and the order of edges.

There is no forward pass here: `reference.py`, `plain/per_source.py` and `native/cells.py` each have one, over the same
parameters.
"""

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from pcdarts.cell.primitives import FactorizedReduce, ReluConvBN
from pcdarts.cell.space import CellPlan, CellSpace
from pcdarts.cell.stem import make_preprocess1
from pcdarts.supernet.edges import CandidateOperations, ModulesOfEdges, are_stacked


class SupernetParts(Protocol):
    """What a forward pass reads of a supernet."""

    training: bool
    synchronize: bool
    """Whether statistics are those of the images of all processes."""

    @property
    def stem(self) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
        """Images to the two inputs of the first cell."""

    @property
    def cells(self) -> "Sequence[SupernetCell]":
        """The cells, first to last."""

    @property
    def closing(self) -> Callable[[Tensor], Tensor]:
        """What is done to the output of the last cell before it is averaged: nothing, in the DARTS papers."""

    @property
    def classifier(self) -> Callable[[Tensor], Tensor]:
        """[B, features] to logits."""


class SupernetCell(nn.Module):
    """The parameters of one cell: preprocessing, all candidate operations of all edges, and the order of the edges."""

    source_major: Tensor
    """The edges source by source; `edge_major` is the inverse. The strided edges, counted alone, have the same two."""
    edge_major: Tensor
    strided_source_major: Tensor
    strided_edge_major: Tensor
    unstrided: Tensor
    """[edges]: False for those of stride 2."""

    preprocess1: Any
    """A `ReluConvBN`; in NAS-Bench-201 a `ResidualBlock` or the identity."""

    def __init__(self, space: CellSpace, plan: CellPlan, k: int) -> None:
        super().__init__()
        self.space, self.plan, self.k = space, plan, k
        if space.num_inputs == 2:
            preprocess0 = FactorizedReduce if plan.halve_first_input else ReluConvBN
            self.preprocess0 = preprocess0(plan.in_channels[0], plan.channels, affine=False)
        self.preprocess1 = make_preprocess1(space.form.macro, plan, affine=False)
        self.strided_edges = [i for i, edge in enumerate(space.edges) if space.form.stride(plan.kind, edge.source) == 2]
        self.modules_of_edges: ModulesOfEdges | None = None
        if are_stacked(space):
            self.operations = CandidateOperations(space.num_edges, self.strided_edges, plan.channels // k)
        else:
            self.modules_of_edges = ModulesOfEdges(space, plan.kind, plan.channels // k)
        order = [edge for source in range(space.num_nodes - 1) for edge in space.edges_from(source)]
        self.source_starts = [0, *accumulate(len(space.edges_from(source)) for source in range(space.num_nodes - 1))]
        strided = [self.strided_edges.index(edge) for edge in order if edge in self.strided_edges]
        unstrided = [edge not in self.strided_edges for edge in range(space.num_edges)]
        for name, values in {
            "source_major": order,
            "edge_major": _inverse(order),
            "strided_source_major": strided,
            "strided_edge_major": _inverse(strided),
            "unstrided": unstrided,
        }.items():
            self.register_buffer(name, torch.tensor(values), persistent=False)

    @property
    def preprocessing(self) -> list[Any]:
        """What is done to each input: to the output of the cell before the last, if that is one, and of the last."""
        return [self.preprocess0, self.preprocess1] if self.space.num_inputs == 2 else [self.preprocess1]


def _inverse(order: list[int]) -> list[int]:
    """Where each of 0, 1, 2, ... stands in `order`."""
    return sorted(range(len(order)), key=order.__getitem__)
