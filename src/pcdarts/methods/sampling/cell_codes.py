"""The encoder, predictor and decoder of NAO: cells as points that a gradient can move."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellKind, CellSpace


class Slot(NamedTuple):
    """The place of a token in the sequence of a cell: an edge that a node keeps."""

    kind: CellKind
    target: int
    place: int
    """Of the edge among those of the node, which are listed by input."""
    kept: int
    """How many edges the node keeps."""


class Tokens:
    """Cells as sequences with one token for each edge: its input node times the number of primitives, plus its own."""

    def __init__(self, space: CellSpace) -> None:
        self.space, self.primitives = space, len(space.primitives)
        self.count = space.num_nodes * self.primitives
        self.slots = [
            Slot(kind, target, place, space.form.edges_of(target))
            for kind in space.kinds
            for target in space.intermediate
            for place in range(space.form.edges_of(target))
        ]

    def of(self, cells: list[Genotype]) -> Tensor:
        """[n, slots]"""
        return torch.tensor(
            [
                [
                    source * self.primitives + self.space.primitives.index(primitive)
                    for kind in self.space.kinds
                    for edges in cell.entering(kind).values()
                    for primitive, source in sorted(edges, key=lambda edge: edge[1])
                ]
                for cell in cells
            ]
        )

    def cells(self, tokens: Tensor) -> list[Genotype]:
        """The cells of such sequences."""
        found = []
        for row in tokens.tolist():
            edges: dict[CellKind, tuple[tuple[str, int], ...]] = dict.fromkeys(self.space.kinds, ())
            for slot, token in zip(self.slots, row, strict=True):
                source, column = divmod(token, self.primitives)
                edges[slot.kind] += ((self.space.primitives[column], source),)
            found.append(Genotype.of_space(self.space, edges))
        return found

    def allowed(self, slot: Slot, before: Tensor) -> Tensor:
        """Which tokens may follow the one `before` [n] in a slot, boolean [n, tokens] on the CPU.

        The inputs of a node increase, and leave enough for the edges that follow.
        """
        into, found = self.space.edges_into(slot.target), torch.zeros(len(before), self.count, dtype=torch.bool)
        for row, token in enumerate(before.tolist()):
            first = token // self.primitives + 1 if slot.place else 0
            for source in range(first, slot.target - (slot.kept - slot.place) + 1):
                for column in self.space.choices(into[source]):
                    found[row, source * self.primitives + column] = True
        return found


class CellCodes(nn.Module):
    """Maps sequences of tokens to codes, codes to an accuracy between 0 and 1, and codes to sequences.

    A code is what the encoder's LSTM gives for each token, [n, slots, hidden], of length 1 each.

    Args:
        hidden: units of both LSTMs; embeddings have half as many.
        predictor: units of each of the predictor's two hidden layers.
        dropout: of the predictor while it learns.
    """

    def __init__(self, space: CellSpace, hidden: int, predictor: int, dropout: float) -> None:
        super().__init__()
        self.tokens, self.dropout = Tokens(space), dropout
        count, embedding = self.tokens.count, max(hidden // 2, 1)
        self.encoder_embedding, self.encoder = (
            nn.Embedding(count, embedding),
            nn.LSTM(embedding, hidden, batch_first=True),
        )
        self.predictor = nn.ModuleList(
            [nn.Linear(hidden, predictor), nn.Linear(predictor, predictor), nn.Linear(predictor, 1)]
        )
        self.decoder_embedding = nn.Embedding(count + 1, embedding)  # the last one begins every sequence
        self.decoder = nn.LSTM(embedding, hidden, batch_first=True)
        self.attended, self.logits = nn.Linear(2 * hidden, hidden), nn.Linear(hidden, count)

    def encode(self, tokens: Tensor) -> Tensor:
        """The codes of sequences [n, slots]."""
        outputs, _ = self.encoder(self.encoder_embedding(tokens))
        return F.normalize(outputs, dim=2)

    def predict(self, codes: Tensor, chance: torch.Generator | None = None) -> Tensor:
        """The accuracy of each code, [n]; with dropout if there is a source of chance."""
        x = _mean(codes)
        for number, layer in enumerate(self.predictor):
            if number and chance is not None:
                kept = torch.rand(x.shape, generator=chance).to(x.device) >= self.dropout
                x = x * kept / (1 - self.dropout)
            x = layer(x) if number == len(self.predictor) - 1 else torch.relu(layer(x))
        return torch.sigmoid(x).squeeze(1)

    def _next(
        self, before: Tensor, state: tuple[Tensor, Tensor], codes: Tensor
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Logits [n, steps, tokens] for what follows each of the tokens before, [n, steps], with attention to codes."""
        outputs, state = self.decoder(self.decoder_embedding(before), state)
        attention = (outputs @ codes.transpose(1, 2)).softmax(dim=2) @ codes
        return self.logits(torch.tanh(self.attended(torch.cat([outputs, attention], dim=2)))), state

    def _begin(self, codes: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        start, mean = codes.new_full((len(codes), 1), self.tokens.count, dtype=torch.long), _mean(codes).unsqueeze(0)
        return start, (mean, mean)

    def decoding_loss(self, codes: Tensor, tokens: Tensor) -> Tensor:
        """-log of the probability that the decoder gives to sequences, the mean over tokens."""
        start, state = self._begin(codes)
        logits, _ = self._next(torch.cat([start, tokens[:, :-1]], dim=1), state, codes)
        return F.cross_entropy(logits.flatten(0, 1), tokens.flatten())

    @torch.no_grad()
    def decode(self, codes: Tensor) -> list[Genotype]:
        """The cells that codes stand for: in each slot the most probable of the tokens allowed there."""
        before, state = self._begin(codes)
        found = []
        for slot in self.tokens.slots:
            logits, state = self._next(before, state, codes)
            allowed = self.tokens.allowed(slot, before.squeeze(1).cpu()).to(logits.device)
            before = logits.squeeze(1).masked_fill(~allowed, -math.inf).argmax(dim=1, keepdim=True)
            found.append(before)
        return self.tokens.cells(torch.cat(found, dim=1))

    def moved(self, codes: Tensor, step: float) -> Tensor:
        """Codes after a step along the gradient of the predicted accuracy, of length 1 again."""
        leaf = codes.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(self.predict(leaf).sum(), leaf)
        return F.normalize(codes.detach() + step * gradient, dim=2)

    def fit(
        self, cells: list[Genotype], errors: list[float], chance: torch.Generator, *, epochs: int, batch_size: int
    ) -> None:
        """Learn to predict the accuracies, scaled to 0 ... 1, and to decode each cell from its own code."""
        device = self.logits.weight.device
        tokens, found = self.tokens.of(cells).to(device), torch.tensor(errors, device=device)
        scaled = (found.max() - found) / (found.max() - found.min()).clamp_min(1e-9)
        optimizer = torch.optim.Adam(self.parameters(), 1e-3, weight_decay=1e-4)
        for _ in range(epochs):
            for rows in torch.randperm(len(cells), generator=chance).to(device).split(batch_size):
                optimizer.zero_grad()
                codes = self.encode(tokens[rows])
                distance = (self.predict(codes, chance) - scaled[rows]).square().mean()
                (0.8 * distance + 0.2 * self.decoding_loss(codes, tokens[rows])).backward()
                nn.utils.clip_grad_norm_(self.parameters(), 5.0)
                optimizer.step()
        optimizer.zero_grad()


def _mean(codes: Tensor) -> Tensor:
    return F.normalize(codes.mean(dim=1), dim=1)
