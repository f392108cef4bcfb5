"""DARTS-PT (Wang et al., 2021): what a cell keeps is what the supernet needs, not what has the largest weight.

After a dense search the supernet is discretised, one decision after the other. Both kinds of cell decide at a time:

1. For an edge (i, j), drawn among those that are not fixed, each operation o is removed from the mixture, the others
   keeping their weights, and the accuracy of the supernet is measured. The edge is fixed to the operation whose removal
   costs most: o* = argmin_o ACC \\ o.
2. When all edges are fixed, the same for a node j and the edges that enter it: those stay whose removal costs most.

After each decision weights and α are tuned for some epochs. Any method can be searched with whose mixture weighs all
operations.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pcdarts.cell.derive import derive
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellKind, CellSpace
from pcdarts.methods.bayesnas import shares_of_nodes
from pcdarts.methods.darts import DARTS
from pcdarts.methods.method import At, Batch, Method, Seen, Stage, Task, figures_of
from pcdarts.methods.selection.changed import ChangedTask, without
from pcdarts.ops.sending import send
from pcdarts.supernet.arch import Mixture

SHARE = 0.1
"""Of the search's learning rate: with this the tuning begins (authors' code)."""


class PerturbationSelection:
    """A dense method, then the decisions about its supernet; it learns on under the mixtures that these leave.

    Args:
        edge_normalization: whether the edges of the method's mixtures share the weight 1 in each node.
        tuning_epochs: between two decisions; 0: all are made after the last epoch of the search.
        removal_batches: on so many batches of the arch split an accuracy is measured; None: on all.
    """

    def __init__(
        self,
        method: Method,
        edge_normalization: bool = True,
        *,
        tuning_epochs: int = 5,
        removal_batches: int | None = None,
    ) -> None:
        self.method, self.edge_normalization = method, edge_normalization
        self.tuning_epochs, self.removal_batches = tuning_epochs, removal_batches
        space, self.searching = method.space, len(method.stages())
        self.fixed: dict[CellKind, list[int | None]] = {kind: [None] * space.num_edges for kind in space.kinds}
        """The operation that each edge is fixed to."""
        self.left: dict[CellKind, list[bool]] = {kind: [True] * space.num_edges for kind in space.kinds}
        """Which edges are left."""
        self.made = 0
        nodes = sum(space.form.edges_of(target) < target for target in space.intermediate)
        self.decisions = space.num_edges + nodes

    @property
    def space(self) -> CellSpace:
        return self.method.space

    @property
    def arch(self) -> nn.Module:
        return self.method.arch

    @property
    def figures(self) -> dict[str, float]:
        return {**figures_of(self.method), "decisions": self.made}

    def stages(self) -> Sequence[Stage]:
        stages = list(self.method.stages())
        if not self.tuning_epochs:
            return stages
        tuning = replace(
            stages[-1],
            epochs=self.tuning_epochs * (self.decisions - 1) + 1,
            arch_frozen_epochs=0,
            keeps_weights=True,
            keeps_schedule=False,
            learning_rate_share=SHARE,
        )
        return [*stages, tuning]

    def mixture(self) -> Mixture:
        return self.discretised(self.method.mixture())

    def discretised(self, mixture: Mixture) -> Mixture:
        """The mixture with weight 1 for what is fixed, and without edges that are gone; the rest as it is.

        With edge normalisation the edges left in a node share what they all had.
        """
        if all(column is None for columns in self.fixed.values() for column in columns):
            return mixture
        op_weights, edge_weights, active = {}, {}, {}
        for kind, weights in mixture.op_weights.items():
            fixed = torch.tensor([-1 if column is None else column for column in self.fixed[kind]])
            gone, decided = ~torch.tensor(self.left[kind]), fixed.ge(0).unsqueeze(1)
            kept = F.one_hot(fixed.clamp_min(0), weights.shape[1]).bool() & decided & ~gone.unsqueeze(1)
            op_weights[kind] = weights.masked_fill(send(decided, weights.device), 0) + send(kept, weights.device)
            edges = mixture.edge_weights[kind].masked_fill(send(gone, weights.device), 0)
            edge_weights[kind] = shares_of_nodes(edges, self.space) if self.edge_normalization else edges
            active[kind] = (torch.tensor(mixture.computed(kind)) & ~decided) | kept
        return replace(mixture, op_weights=op_weights, edge_weights=edge_weights, active=active)

    def draws(self, at: At, task: Task, batch: Batch) -> Sequence[tuple[float | Tensor, Mixture]]:
        draws = self.method.draws(self._place(at), self._task(task), batch)
        return [(share, self.discretised(mixture)) for share, mixture in draws]

    def step(self, at: At, task: Task, weight_batch: Batch) -> Seen | None:
        return self.method.step(self._place(at), self._task(task), weight_batch)

    def end_epoch(self, at: At, task: Task, chance: torch.Generator) -> None:
        self.method.end_epoch(self._place(at), self._task(task), chance)
        if at.stage < self.searching:
            is_last = (at.stage, at.stage_epoch) == (self.searching - 1, at.stage_epochs - 1)
            due = (1 if self.tuning_epochs else self.decisions) if is_last else 0
        else:
            due = int((at.stage_epoch + 1) % self.tuning_epochs == 0)
        for _ in range(min(due, self.decisions - self.made)):
            self.decide(task, chance)

    def decide(self, task: Task, chance: torch.Generator) -> None:
        """Make the next decision in the cells of each kind; those of the second are measured with that of the first."""
        for kind in self.space.kinds:
            mixture = self.mixture().detach()
            unfixed = [edge for edge, column in enumerate(self.fixed[kind]) if column is None]
            if unfixed:
                edge = drawn(unfixed, chance)
                trials = {column: without(mixture, kind, edge, column) for column in self.space.choices(edge)}
                weights = mixture.op_weights[kind][edge]
                self.fixed[kind][edge] = self._most_needed(task, trials, weights)[0]
            elif crowded := [target for target in self.space.intermediate if self._is_crowded(kind, target)]:
                target = drawn(crowded, chance)
                trials = {edge: without(mixture, kind, edge) for edge in self.space.edges_into(target)}
                needed = self._most_needed(task, trials, mixture.edge_weights[kind])
                for edge in needed[self.space.form.edges_of(target) :]:
                    self.left[kind][edge] = False
        self.made += 1

    def _is_crowded(self, kind: CellKind, target: int) -> bool:
        """Whether more edges enter a node than it keeps."""
        return sum(self.left[kind][edge] for edge in self.space.edges_into(target)) > self.space.form.edges_of(target)

    def _most_needed(self, task: Task, trials: Mapping[int, Mixture], weights: Tensor) -> list[int]:
        """By what each is without, those trials first that err most; of equals that which lacks the larger weight."""
        if len(trials) == 1:
            return [*trials]
        errors = {lacks: task.error(mixture, self.removal_batches) for lacks, mixture in trials.items()}
        of_weights = weights.tolist()
        return sorted(trials, key=lambda lacks: (-errors[lacks], -of_weights[lacks]))

    def genotype(self, task: Task | None, chance: torch.Generator) -> Genotype:
        return derive(self) if self.made else self.method.genotype(task, chance)

    def state_dict(self) -> dict[str, Any]:
        return {
            "method": self.method.state_dict(),
            "made": self.made,
            "fixed": {kind: [*columns] for kind, columns in self.fixed.items()},
            "left": {kind: [*edges] for kind, edges in self.left.items()},
        }

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        self.method.load_state_dict(state["method"])
        self.made, self.fixed, self.left = state["made"], state["fixed"], state["left"]

    def _place(self, at: At) -> At:
        """For the method: while the supernet is tuned, its own last stage has done all epochs."""
        if at.stage < self.searching:
            return at
        return at._replace(stage=self.searching - 1, stage_epoch=at.stage_epochs)

    def _task(self, task: Task) -> Any:
        return ChangedTask(task, self.discretised)


def darts_pt(
    space: CellSpace, edge_normalization: bool = True, device: torch.device | str = "cpu", **settings: Any
) -> DARTS:
    """The dense method of `--method darts-pt`, whose settings put `PerturbationSelection` around it."""
    return DARTS(space, edge_normalization, device, **settings)


def drawn(some: Sequence[int], chance: torch.Generator) -> int:
    """One of some numbers; all are equally likely."""
    return some[int(torch.randint(len(some), (), generator=chance))]
