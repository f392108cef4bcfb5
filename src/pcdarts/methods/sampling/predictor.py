"""The predictor of PNAS: an ensemble of LSTMs that guess from the edges of a cell how well it does."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pcdarts.cell.space import CellSpace

Block = tuple[tuple[str, int], ...]
"""The edges (primitive, input node) of one node, listed by input."""

Cell = tuple[Block, ...]
"""The nodes of a cell, or the first of them."""


class _Reader(nn.Module):
    """One LSTM over embeddings of the input nodes and primitives of the edges, and a sigmoid: an accuracy."""

    def __init__(self, tokens: int, hidden: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(tokens, hidden)
        self.lstm = nn.LSTM(hidden, hidden, batch_first=True)
        self.head = nn.Linear(hidden, 1)

    def forward(self, tokens: Tensor) -> Tensor:
        _, (state, _) = self.lstm(self.embedding(tokens))
        return torch.sigmoid(self.head(state[-1])).squeeze(1)


class Predictor(nn.Module):
    """Predicts the error in % of cells of any number of nodes; all cells of one call have the same number.

    Args:
        members: LSTMs of the ensemble, whose predictions are averaged. The cells are divided into as many parts, and
            each member learns without one of them.
        hidden: units of each.
    """

    def __init__(self, space: CellSpace, members: int, hidden: int) -> None:
        super().__init__()
        self.space = space
        tokens = space.num_nodes + len(space.primitives)
        self.members = nn.ModuleList(_Reader(tokens, hidden) for _ in range(members))

    def tokens(self, cells: Sequence[Cell]) -> Tensor:
        """The cells [n] as numbers [n, edges x 2]."""
        device = next(self.parameters()).device
        return torch.tensor(
            [
                [
                    token
                    for block in cell
                    for primitive, source in block
                    for token in (source, self.space.num_nodes + self.space.primitives.index(primitive))
                ]
                for cell in cells
            ],
            device=device,
        )

    @torch.no_grad()
    def predict(self, cells: Sequence[Cell]) -> list[float]:
        """The error of each cell, in %."""
        found = []
        for part in self.tokens(cells).split(4096):
            found.append(torch.stack([member(part) for member in self.members]).mean(dim=0))
        return (100 * (1 - torch.cat(found))).tolist()

    def fit(
        self,
        cells: Sequence[Cell],
        errors: Sequence[float],
        chance: torch.Generator,
        *,
        steps: int,
        learning_rate: float,
    ) -> None:
        """Let each member take steps of Adam, on all its cells at once, along the squared error of its accuracies."""
        tokens = self.tokens(cells)
        accuracies = 1 - torch.tensor(errors, device=tokens.device) / 100
        order = torch.randperm(len(cells), generator=chance)
        parts = len(self.members)
        for number, member in enumerate(self.members):
            rows = order if parts == 1 or len(cells) < parts else order[torch.arange(len(cells)) % parts != number]
            rows = rows.to(tokens.device)
            optimizer = torch.optim.Adam(member.parameters(), learning_rate)
            for _ in range(steps):
                optimizer.zero_grad()
                (member(tokens[rows]) - accuracies[rows]).square().mean().backward()
                optimizer.step()
            optimizer.zero_grad()
