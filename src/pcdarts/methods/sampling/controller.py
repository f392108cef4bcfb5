"""The controller of ENAS: an LSTM that draws cells, decision by decision and many at a time."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellKind, CellSpace
from pcdarts.supernet.arch import choosable


class Drawn(NamedTuple):
    """Cells that were drawn, and how probable they were."""

    decisions: Tensor
    """[n, kinds of cell, edges kept, 2]: the input node and the primitive of each edge, in the order of the draws."""
    log_probs: Tensor
    """[n], differentiable: of all decisions of a cell together."""
    entropies: Tensor
    """[n]: of the distributions from which its decisions were drawn, summed."""


class Controller(nn.Module):
    """Draws for each node its inputs, by attention over the nodes before, then their operations; kind after kind.

    Inputs are drawn without replacement; where a node keeps all edges, nothing is drawn about them. What the space does
    not allow has the probability zero.

    Args:
        hidden: units of the LSTM.
        scale: of the tanh that bounds the logits of inputs; that of operations is `op_scale`.
        favour: the first bias of the logits of separable convolutions, within the tanh; that of others is 0.
        fixed: separable convolutions have so much more in the first kind of cell, and others so much less, for ever.
    """

    allowed: Tensor
    favoured: Tensor

    def __init__(
        self,
        space: CellSpace,
        hidden: int,
        *,
        scale: float = 1.1,
        op_scale: float = 1.1 / 2.5,
        favour: float = 10.0,
        fixed: float = 0.25,
    ) -> None:
        super().__init__()
        self.space, self.hidden, self.scale, self.op_scale = space, hidden, scale, op_scale
        count = len(space.primitives)
        self.lstm = nn.LSTMCell(hidden, hidden)
        self.begin = nn.Parameter(torch.empty(1, hidden))
        self.of_primitive, self.op_logits = nn.Embedding(count, hidden), nn.Linear(hidden, count)
        self.of_anchor, self.of_query, self.v = (nn.Linear(hidden, size, bias=False) for size in (hidden, hidden, 1))
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.1, 0.1)
        separable = torch.tensor([float(name.startswith("sep_conv")) for name in space.primitives])
        self.op_logits.bias.data.copy_(favour * separable)
        self.register_buffer("allowed", choosable(space), persistent=False)
        self.register_buffer("favoured", fixed * (2 * separable - 1), persistent=False)

    def forward(self, number: int, chance: torch.Generator | None, given: Tensor | None = None) -> Drawn:
        """Draw so many cells; or say how probable the decisions are that are `given`."""
        begin, kinds = self.begin.expand(number, -1), self.space.kinds
        state = (torch.zeros_like(begin), torch.zeros_like(begin))
        rows = torch.arange(number, device=begin.device)
        log_probs, entropies, found = [], [], []

        def decide(logits: Tensor, allowed: Tensor, place: tuple[int, int, int]) -> Tensor:
            """One of the allowed columns of logits [n, columns] in each row."""
            log_p = logits.masked_fill(~allowed, -math.inf).log_softmax(dim=1)
            p = log_p.detach().exp()
            if given is None:
                column = torch.multinomial(p.cpu(), 1, generator=chance).squeeze(1).to(p.device)
            else:
                column = given[:, *place]
            log_probs.append(log_p[rows, column])
            entropies.append(-(p * log_p.detach().clamp_min(torch.finfo(p.dtype).min)).sum(dim=1))
            return column

        for number_of_kind, kind in enumerate(kinds):
            anchors, edge = [], 0
            for _ in range(self.space.num_inputs):
                state = self.lstm(begin, state)
                anchors.append(state[0])
            for target in self.space.intermediate:
                known, sources, x = torch.stack(anchors, dim=1), [], begin
                free = torch.ones(number, target, dtype=torch.bool, device=begin.device)
                for place in range(kept := self.space.form.edges_of(target)):
                    if kept == target:
                        source = torch.full_like(rows, place)
                    else:
                        state = self.lstm(x, state)
                        score = self.v(torch.tanh(self.of_anchor(known) + self.of_query(state[0]).unsqueeze(1)))
                        logits = self.scale * torch.tanh(score.squeeze(2))
                        source = decide(logits, free, (number_of_kind, edge + place, 0))
                    free, x = free.scatter(1, source.unsqueeze(1), False), known[rows, source]
                    sources.append(source)
                first_edge = self.space.edges_into(target)[0]
                for source in sources:
                    state = self.lstm(x, state)
                    logits = self.op_scale * torch.tanh(self.op_logits(state[0]))
                    logits = logits + self.favoured if kind == kinds[0] else logits
                    column = decide(logits, self.allowed[first_edge + source], (number_of_kind, edge, 1))
                    x, edge = self.of_primitive(column), edge + 1
                    found.append(torch.stack([source, column], dim=1))
                state = self.lstm(x, state)
                anchors.append(state[0])
        decisions = torch.stack(found, dim=1).view(number, len(kinds), -1, 2)
        return Drawn(decisions, torch.stack(log_probs).sum(dim=0), torch.stack(entropies).sum(dim=0))


def cells_of(decisions: Tensor, space: CellSpace) -> list[Genotype]:
    """The cells that decisions [n, kinds, edges kept, 2] stand for; the edges of a node are listed by input."""
    targets = [target for target in space.intermediate for _ in range(space.form.edges_of(target))]
    cells = []
    for of_cell in decisions.tolist():
        edges: dict[CellKind, tuple[tuple[str, int], ...]] = {}
        for kind, of_kind in zip(space.kinds, of_cell, strict=True):
            placed = sorted((target, source, column) for target, (source, column) in zip(targets, of_kind, strict=True))
            edges[kind] = tuple((space.primitives[column], source) for _, source, column in placed)
        cells.append(Genotype.of_space(space, edges))
    return cells
