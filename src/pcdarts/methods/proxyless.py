"""ProxylessNAS (Cai, Zhu and Han, 2019): binary gates, of which one is open on each edge, in a space of cells.

The weights learn from one operation an edge, drawn from p = softmax(α). In every n-th step α learns from a draw of its
own on a batch of the arch split, by the gradient of the gates g, as in BinaryConnect (Eq. 4 of the paper):

    ∂L/∂α_k ≈ Σ_m ∂L/∂g_m ∂p_m/∂α_k,    ∂L/∂g_m = Σ o_m(x) · ∂L/∂y,    y the output of the edge.

Mode "full": the open gate is drawn from p; all operations are computed, and m runs over them. Mode "two": two of them
are drawn in proportion to p, and q, the softmax over their α alone, takes the place of p; one gate of the two is opened
by q. The pair keeps its total probability in the step, and the others theirs. Where `none` is the open one, α has no
gradient, as in the authors' code. So what is estimated is the sum over all draws, each with its probability now, of
these gradients.

The loss has λ (E - ref) / ref added, where E is the expected number of mult-adds of the network that will be trained.
β, which ProxylessNAS does not have, weighs the edges, and has its exact gradient under the draw.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from pcdarts.cell.budget import RESOURCES, NetworkCosts
from pcdarts.cell.derive import derive
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellKind, CellSpace
from pcdarts.methods.gumbel import chosen_columns, gumbel_like
from pcdarts.methods.method import At, Batch, Seen, Stage, Task
from pcdarts.ops.sending import send
from pcdarts.supernet.arch import ArchParameters, Mixture


class ProxylessNAS:
    """One draw for each batch, shared by all cells of a kind.

    Args:
        mode: which gates have a gradient: all of an edge ("full"), or two ("two").
        arch_every: steps of the weights from one step of α to the next.
        warmup_epochs: a first stage of so many epochs, in which α does not move; 0 is none.
        warmup_learning_rate: of the weights at its beginning; None is that of the search.
        cost_weight: λ.
        reference_mult_adds: ref; None is E before the search.
        arch_learning_rate, arch_adam_betas, arch_weight_decay: of Adam on α and β.
        costs: what the network costs that will be trained. Without, the loss has no cost.
    """

    measured_alone = True

    def __init__(
        self,
        space: CellSpace,
        edge_normalization: bool = True,
        device: torch.device | str = "cpu",
        *,
        mode: Literal["full", "two"] = "full",
        arch_every: int = 5,
        warmup_epochs: int = 0,
        warmup_learning_rate: float | None = None,
        cost_weight: float = 0.1,
        reference_mult_adds: int | None = None,
        arch_learning_rate: float = 1e-3,
        arch_adam_betas: tuple[float, float] = (0.0, 0.999),
        arch_weight_decay: float = 0.0,
        costs: NetworkCosts | None = None,
    ) -> None:
        self.space, self.mode, self.arch_every = space, mode, arch_every
        self.warmup = warmup_epochs, warmup_learning_rate
        self.arch = ArchParameters(space, edge_normalization).to(device)
        self.optimizer = torch.optim.Adam(
            self.arch.parameters(), arch_learning_rate, arch_adam_betas, weight_decay=arch_weight_decay
        )
        self.λ, self.rest = cost_weight, 0.0
        self.c: dict[CellKind, Tensor] = {}
        if costs is not None:
            c, rest = expected_costs(costs)
            uniform = {kind: logits.isfinite().double().cpu() for kind, logits in self.arch.logits().items()}
            start = rest + sum(float((c[kind] * p / p.sum(dim=1, keepdim=True)).sum()) for kind, p in uniform.items())
            reference = reference_mult_adds or start
            self.c = {kind: (of_kind / reference).float().to(device) for kind, of_kind in c.items()}
            self.rest = rest / reference

    def stages(self) -> Sequence[Stage]:
        epochs, rate = self.warmup
        if not epochs:
            return [Stage()]
        return [Stage(epochs=epochs, arch_frozen_epochs=epochs, learning_rate=rate), Stage(keeps_weights=True)]

    def mixture(self) -> Mixture:
        return self.arch.mixture()

    def draws(self, at: At, task: Task, batch: Batch) -> Sequence[tuple[float, Mixture]]:
        op_weights, active, chance = {}, {}, batch.chance()
        for kind, α in self.arch.logits().items():
            op_weights[kind], active[kind] = chosen_columns(α + gumbel_like(α, chance))
        return [(1.0, Mixture(op_weights, self.arch.edge_weights(), active))]

    def gates(self, batch: Batch) -> tuple[Mixture, dict[CellKind, Tensor]]:
        """The mixture by which α learns from a batch, and the gates that may have a gradient, [edges, primitives]."""
        op_weights, active, gates, chance = {}, {}, {}, batch.chance()
        for kind, α in self.arch.logits().items():
            perturbed = α + gumbel_like(α, chance)
            if self.mode == "two":  # the two largest are two draws without replacement
                pair = torch.zeros_like(α).scatter_(1, perturbed.detach().topk(2, dim=1).indices, 1).bool()
                α = α.masked_fill(~pair, -torch.inf)
                perturbed = α + gumbel_like(α, chance)
            p, gates[kind] = α.softmax(dim=1), α.detach().isfinite()
            open_gate, opened = chosen_columns(perturbed)
            nothing = torch.zeros(len(α), 1, dtype=torch.bool)  # on which edges `none` is open
            if "none" in self.space.primitives:
                nothing = opened[:, [self.space.primitives.index("none")]]
            op_weights[kind] = open_gate + (p - p.detach()).masked_fill(send(nothing, α.device), 0)
            active[kind] = opened | (gates[kind].cpu() & ~nothing)
        return Mixture(op_weights, self.arch.edge_weights(), active), gates

    def cost(self) -> Tensor:
        """λ (E - ref) / ref."""
        p = self.mixture().op_weights
        return self.λ * (torch.stack([(p[kind] * c).sum() for kind, c in self.c.items()]).sum() + self.rest - 1)

    def step(self, at: At, task: Task, weight_batch: Batch) -> Seen | None:
        if at.step % self.arch_every:
            return None
        batch, α_β = task.arch_batch(), list(self.arch.parameters())
        mixture, gates = self.gates(batch)
        gradients, seen = task.gradients(mixture, batch, α_β)
        if self.c:
            of_cost = torch.autograd.grad(self.cost(), α_β, materialize_grads=True)
            gradients = [of_loss + more for of_loss, more in zip(gradients, of_cost, strict=True)]
        before = {kind: self.arch.alpha[kind].detach().clone() for kind in self.space.kinds}
        task.apply(self.optimizer, gradients, seen)
        if self.mode == "two":
            self._keep_totals(before, gates)
        return seen

    @torch.no_grad()
    def _keep_totals(self, before: dict[CellKind, Tensor], pairs: dict[CellKind, Tensor]) -> None:
        """Shift α of each pair so that it has the total probability that it had, and leave all others as they were."""
        for kind, pair in pairs.items():
            new, old = self.arch.alpha[kind], before[kind]
            total, earlier = (x.masked_fill(~pair, -torch.inf).logsumexp(dim=1, keepdim=True) for x in (new, old))
            new.copy_(torch.where(pair, new - (total - earlier), old))

    def end_epoch(self, at: At, task: Task, chance: torch.Generator) -> None:
        pass

    def genotype(self, task: Task | None, chance: torch.Generator) -> Genotype:
        return derive(self.arch)

    def state_dict(self) -> dict[str, Any]:
        return {"arch": self.arch.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        self.arch.load_state_dict(state["arch"])
        self.optimizer.load_state_dict(state["optimizer"])


def expected_costs(costs: NetworkCosts) -> tuple[dict[CellKind, Tensor], float]:
    """What each operation adds to the mult-adds that are expected, [edges, primitives] of each kind; and all others.

    Each edge is kept with the same chance as the others of its node: with four edges, of which two are kept, a half.
    """
    space, column = costs.space, RESOURCES.index("mult_adds")
    chances = np.ones(space.num_edges)
    for target in space.intermediate:
        edges = space.edges_into(target)
        chances[edges] = space.form.edges_of(target) / len(edges)
    mult_adds = {kind: choices[:, :, column] for kind, choices in costs.choices.items()}
    c = {kind: torch.from_numpy(chances[:, np.newaxis] * each) for kind, each in mult_adds.items()}
    return c, float(costs.rest[column])
