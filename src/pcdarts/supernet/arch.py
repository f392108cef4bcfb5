"""What the search optimises: α and β (logits), and the mixture of operations and edges they stand for."""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pcdarts.cell.space import CellKind, CellSpace, check_space
from pcdarts.errors import InputError, wrong_type
from pcdarts.ops.compiling import never_compiled
from pcdarts.ops.sending import send

Computed = tuple[tuple[bool, ...], ...]
"""Which operations a cell computes, [edges][primitives]."""


class SkipDropout(NamedTuple):
    """Dropout of single numbers behind the skips of stride 1, while the supernet trains (P-DARTS)."""

    rate: float
    """Which part of the numbers becomes zero; the others are divided by 1 - rate."""
    chance: torch.Generator
    """On the CPU. Each pass takes a number from it, so that each part of a batch has masks of its own."""


@dataclass(frozen=True)
class Mixture:
    """The weights with which a supernet mixes, per cell kind ("normal", "reduce", or those that the space has).

    `op_weights[kind]` is [edges, primitives], each row summing to 1 (Eq. 1); `edge_weights[kind]` is [edges], the
    edges that enter one node summing to 1 (Eq. 2), or all ones without edge normalisation.

    An operation whose weight on an edge is exactly zero is absent there: it is not computed, its running statistics
    stay as they are, and the gradients of its weights and of its weight in the mixture are zero. (Behind a softmax the
    latter changes nothing: where its value is zero, so is its derivative.)

    `active` says which operations are there, as boolean [edges, primitives] on the CPU. An operation that is not active
    must have the weight zero. One that is active may have it too; it is then computed, and has gradients. Without
    `active`, weights on the CPU are looked at, and those of zero are absent. On another device all operations are
    there, for to look at the weights would mean to wait for the device.

    `skip_dropout` is applied in training. It is not part of what a mixture weighs: a pass with another generator drops
    other numbers.
    """

    op_weights: dict[CellKind, Tensor]
    edge_weights: dict[CellKind, Tensor]
    active: dict[CellKind, Tensor] | None = None
    skip_dropout: SkipDropout | None = None

    @never_compiled
    def computed(self, kind: CellKind) -> Computed:
        """Which operations the cells of a kind compute."""
        weights = self.op_weights[kind]
        if self.active is not None:
            found = self.active[kind].tolist()
        elif weights.device.type == "cpu":
            found = weights.detach().ne(0).tolist()
        else:
            found = [[True] * weights.shape[1]] * len(weights)
        return tuple(map(tuple, found))

    def detach(self) -> "Mixture":
        """The same weights as constants: what a weight step needs."""
        return replace(
            self,
            op_weights={kind: weights.detach() for kind, weights in self.op_weights.items()},
            edge_weights={kind: weights.detach() for kind, weights in self.edge_weights.items()},
        )


def check_mixture(mixture: Mixture, space: CellSpace) -> None:
    """Refuse a mixture that a supernet of this space would misread.

    Raises:
        InputError: it lacks a kind of cells, or its weights have other shapes; or `active` is not boolean
            [edges, primitives] on the CPU; or an operation that is not active, or that the space does not allow on an
            edge, has a weight (which is only looked at on a CPU).
    """
    expected = (space.num_edges, len(space.primitives))
    shapes = {"op_weights": expected, "edge_weights": expected[:1]}
    for name, shape in shapes.items():
        for kind in space.kinds:
            found = _tensor_of(kind, space, getattr(mixture, name), name)
            if found.shape != shape:
                raise InputError(
                    f"the mixture has weights of shape {tuple(found.shape)}, but the supernet's cells have "
                    f"{space.num_edges} edges of {len(space.primitives)} primitives"
                )
    allowed = allowed_primitives(space)
    for kind in space.kinds:
        weights = mixture.op_weights[kind]
        if allowed is not None:
            _check_absent(space, kind, weights, allowed, "allowed", "give it the weight 0")
        if mixture.active is None:
            continue
        active = _tensor_of(kind, space, mixture.active, "active")
        if active.dtype != torch.bool or active.device.type != "cpu" or active.shape != expected:
            raise InputError(
                f'active["{kind}"] of the mixture must be boolean {list(expected)} on the CPU, but is {active.dtype} '
                f"{list(active.shape)} on {active.device.type}"
            )
        _check_absent(space, kind, weights, active, "active", "give it the weight 0, or make it active")


def _check_absent(space: CellSpace, kind: CellKind, weights: Tensor, there: Tensor, what: str, remedy: str) -> None:
    if weights.device.type != "cpu":
        return
    wrong = weights.detach().ne(0) & ~there
    if "none" in space.primitives:
        wrong[:, space.primitives.index("none")] = False  # it is never computed
    if wrong.any():
        edge, column = wrong.nonzero()[0].tolist()
        raise InputError(
            f"on edge {edge} of the {kind} cells {space.primitives[column]} is not {what}, but has the weight "
            f"{weights[edge, column].item():.3g}: {remedy}"
        )


def allowed_primitives(space: CellSpace) -> Tensor | None:
    """Which primitives each edge may hold, boolean [edges, primitives] on the CPU; None where that is all of them."""
    if space.allowed is None:
        return None
    return torch.tensor([[primitive in names for primitive in space.primitives] for names in space.allowed])


def choosable(space: CellSpace) -> Tensor:
    """Which primitives a genotype may have on each edge, boolean [edges, primitives] on the CPU."""
    found = torch.zeros(space.num_edges, len(space.primitives), dtype=torch.bool)
    for edge in range(space.num_edges):
        found[edge, list(space.choices(edge))] = True
    return found


def _tensor_of(kind: CellKind, space: CellSpace, tensors: object, what: str) -> Tensor:
    kinds = ", ".join(f'"{each}": ...' for each in space.kinds)
    remedy = f"give {{{kinds}}} with a tensor for each"
    if not isinstance(tensors, dict):
        raise wrong_type(f"{what} of the mixture", tensors, "a dict", remedy)
    found = tensors.get(kind)
    if not isinstance(found, Tensor):
        raise wrong_type(f'{what}["{kind}"] of the mixture', found, "a tensor", remedy)
    return found


class ArchParameters(nn.Module):
    """α [edges, primitives] and β [edges] of each kind of cell, shared by all cells of a kind.

    Both start as normal noise of standard deviation 1e-3 (authors' code), so that a search begins near the uniform
    mixture. With `edge_normalization=False` there is no β, and a node is the plain sum of its edges, as in DARTS.
    The softmax of α is over the primitives that the space allows on an edge; the others have the weight zero.

    Args:
        space: the cell searched.
        edge_normalization: whether Eq. (2) weighs the edges.
        generator: the source of the initial noise; the global one when absent.
    """

    def __init__(
        self, space: CellSpace, edge_normalization: bool = True, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        check_space(space)
        self.space = space
        self.edge_normalization = edge_normalization

        def noise(*shape: int) -> nn.Parameter:
            return nn.Parameter(1e-3 * torch.randn(*shape, generator=generator))

        self.alpha = nn.ParameterDict({kind: noise(space.num_edges, len(space.primitives)) for kind in space.kinds})
        self.beta = nn.ParameterDict(
            {kind: noise(space.num_edges) for kind in space.kinds} if edge_normalization else {}
        )

    def mixture(self) -> Mixture:
        """The softmaxed weights, differentiable in α and β."""
        kinds, allowed = self.space.kinds, allowed_primitives(self.space)
        active = None if allowed is None else dict.fromkeys(kinds, allowed)
        op_weights = {kind: logits.softmax(dim=1) for kind, logits in self.logits().items()}
        return Mixture(op_weights, self.edge_weights(), active)

    def logits(self) -> dict[CellKind, Tensor]:
        """α, where the space allows a primitive on an edge, else -inf."""
        kinds, allowed = self.space.kinds, allowed_primitives(self.space)
        logits: dict[CellKind, Tensor] = {kind: self.alpha[kind] for kind in kinds}
        if allowed is None:
            return logits
        excluded = send(~allowed, logits[kinds[0]].device)
        return {kind: alpha.masked_fill(excluded, -math.inf) for kind, alpha in logits.items()}

    def edge_weights(self) -> dict[CellKind, Tensor]:
        """The softmaxed β, or ones without edge normalisation."""
        if self.edge_normalization:
            return {kind: normalize_edges(self.beta[kind], self.space) for kind in self.space.kinds}
        return {kind: torch.ones_like(self.alpha[kind][:, 0]) for kind in self.space.kinds}


def normalize_edges(beta: Tensor, space: CellSpace) -> Tensor:
    """Eq. (2): softmax of β [edges] over the edges that enter one node, node by node (groups of 2, 3, 4, ...)."""
    groups = beta.split([len(space.edges_into(target)) for target in space.intermediate])
    return torch.cat([group.softmax(dim=0) for group in groups])
