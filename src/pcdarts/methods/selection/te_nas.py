"""TE-NAS (Chen, Gong and Wang, 2021): no training; operations and edges go by two measures of fresh supernets.

κ, for how well it can be trained: the condition number of the neural tangent kernel Θ of a batch, from the gradients of
the sum of each image's logits with respect to all weights, in the rows of J:

    Θ = J Jᵀ      κ = λ_max / λ_min

R, for what it can express: the number of linear regions that small patches of images lie in, each region with another
pattern of rectifiers that are on.

The search begins with all operations. In a round each that is left is removed alone, and both measures are compared
with those of the supernet that has it. Operations are ranked by both: one goes first if κ falls without it, and R does
not. From every edge those of the lowest sums of ranks go, until one is left; then edges of nodes in the same way.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from pcdarts.cell.derive import derive
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellKind, CellSpace
from pcdarts.methods.bayesnas import shares_of_nodes
from pcdarts.methods.method import At, Batch, Seen, Stage, Task
from pcdarts.methods.selection.untrained import Untrained
from pcdarts.ops.sending import send
from pcdarts.supernet.arch import Mixture, choosable


class Place(NamedTuple):
    """An operation in the cells of a kind."""

    kind: CellKind
    edge: int
    column: int


class TENAS:
    """Operations that are left on an edge have equal weights; a round is a stage, and an epoch has fresh weights.

    Args:
        operations_pruned: how many operations each edge loses in a round.
        kernel_images: how many images of a batch Θ has.
        patches: on so many, or a few more, linear regions are counted.
    """

    measured_alone = True

    def __init__(
        self,
        space: CellSpace,
        edge_normalization: bool = True,
        device: torch.device | str = "cpu",
        *,
        operations_pruned: int = 3,
        kernel_images: int = 14,
        patches: int = 3000,
    ) -> None:
        self.space, self.edge_normalization, self.device = space, edge_normalization, torch.device(device)
        self.operations_pruned, self.kernel_images, self.patches = operations_pruned, kernel_images, patches
        self.arch = nn.Module()  # nothing is learnt
        there = choosable(space)
        self.there: dict[CellKind, Tensor] = {kind: there.clone() for kind in space.kinds}
        self.rounds_of_operations = -(-(int(there.sum(1).max()) - 1) // operations_pruned)
        self.drops: dict[Place, list[float]] = {}
        """What κ and R lose without each operation, relative to what they are, summed over the epochs of a round."""
        self.figures: dict[str, float] = {}

    def stages(self) -> Sequence[Stage]:
        of_edges = any(self.space.form.edges_of(target) < target for target in self.space.intermediate)
        return [Stage()] * max(1, self.rounds_of_operations + of_edges)

    def mixture(self) -> Mixture:
        return self.of(self.there)

    def of(self, there: dict[CellKind, Tensor]) -> Mixture:
        """The mixture of the operations that are there; an edge without any is gone."""
        op_weights, edge_weights = {}, {}
        for kind, some in there.items():
            count = some.sum(dim=1)
            op_weights[kind] = send(some / count.clamp_min(1).unsqueeze(1), self.device)
            left = count.gt(0).float()
            edge_weights[kind] = send(
                shares_of_nodes(left, self.space) if self.edge_normalization else left, self.device
            )
        return Mixture(op_weights, edge_weights, dict(there))

    def draws(self, at: At, task: Task, batch: Batch) -> Sequence[tuple[float, Mixture]]:
        return []

    def step(self, at: At, task: Task, weight_batch: Batch) -> Seen | None:
        return None

    def groups(self, stage: int) -> list[tuple[list[Place], int]]:
        """What may go in a round: operations of each edge, or of each node, and how many of these go."""
        found = []
        for kind, there in self.there.items():
            rows = [
                [Place(kind, edge, column) for column in some.nonzero().flatten().tolist()]
                for edge, some in enumerate(there)
            ]
            if stage < self.rounds_of_operations:
                found += [(row, min(self.operations_pruned, len(row) - 1)) for row in rows]
                continue
            for target in self.space.intermediate:
                edges = [place for edge in self.space.edges_into(target) for place in rows[edge]]
                found.append((edges, len(edges) - self.space.form.edges_of(target)))
        return [(places, number) for places, number in found if number > 0]

    def end_epoch(self, at: At, task: Task, chance: torch.Generator) -> None:
        groups = self.groups(at.stage)
        untrained = Untrained(task, task.arch_batch(), self.kernel_images, self.patches, chance)

        def measured(there: dict[CellKind, Tensor]) -> tuple[float, float]:
            return untrained.measured(self.of(there))

        κ, R = measured(self.there)
        self.figures = {"operations": sum(int(some.sum()) for some in self.there.values())}
        self.figures |= {"condition_number": κ, "linear_regions": R}
        for place in [place for places, _ in groups for place in places]:
            there = self.there[place.kind].clone()
            there[place.edge, place.column] = False
            κ_without, R_without = measured({**self.there, place.kind: there})
            of_κ, of_R = self.drops.get(place, [0.0, 0.0])
            self.drops[place] = [of_κ + (κ - κ_without) / κ, of_R + (R - R_without) / R]
        if at.stage_epoch == at.stage_epochs - 1:
            for place in pruned(self.drops, groups):
                self.there[place.kind][place.edge, place.column] = False
            self.drops = {}

    def genotype(self, task: Task | None, chance: torch.Generator) -> Genotype:
        return derive(self)

    def state_dict(self) -> dict[str, Any]:
        return {
            "there": {kind: some.clone() for kind, some in self.there.items()},
            "drops": [[*place, *of_both] for place, of_both in self.drops.items()],
            "figures": dict(self.figures),
        }

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        self.there = {kind: state["there"][kind].cpu() for kind in self.space.kinds}
        self.drops = {Place(kind, edge, column): [*both] for kind, edge, column, *both in state["drops"]}
        self.figures = dict(state["figures"])


def pruned(drops: dict[Place, list[float]], groups: Sequence[tuple[list[Place], int]]) -> list[Place]:
    """What goes: of each group so many with the lowest sums of both ranks; of equals the earlier ones.

    All that was measured is ranked together, by what κ loses, the most first, and by what R loses, the least first;
    equals, to ten digits, share a rank.
    """
    of_κ = ranks([-both[0] for both in drops.values()])
    of_R = ranks([both[1] for both in drops.values()])
    sums = {place: a + b for place, a, b in zip(drops, of_κ, of_R, strict=True)}
    return [place for places, number in groups for place in sorted(places, key=sums.__getitem__)[:number]]


def ranks(numbers: Sequence[float]) -> list[int]:
    """The rank of each, from 0 for the smallest; equals share one."""
    rounded = [float(f"{number:.10g}") for number in numbers]
    levels = {number: rank for rank, number in enumerate(sorted(set(rounded)))}
    return [levels[number] for number in rounded]
