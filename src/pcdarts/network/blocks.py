"""The parts of a derived network: its cells, drop-path, and the auxiliary head."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pcdarts.cell.genotype import Genotype
from pcdarts.cell.primitives import FactorizedReduce, ReluConvBN, make_op
from pcdarts.cell.space import CellPlan, NetworkKind
from pcdarts.errors import InputError


class Cell(nn.Module):
    """The cell that `genotype` describes: each intermediate node adds up two operations on earlier nodes.

    In a reduction cell the operations on the two inputs have stride 2.
    """

    def __init__(self, genotype: Genotype, plan: CellPlan) -> None:
        super().__init__()
        preprocess0 = FactorizedReduce if plan.halve_first_input else ReluConvBN
        self.preprocess0 = preprocess0(plan.in_channels[0], plan.channels, affine=True)
        self.preprocess1 = ReluConvBN(plan.in_channels[1], plan.channels, affine=True)
        edges = genotype.edges(plan.kind)
        self.sources = [source for _, source in edges]
        self.concat = genotype.concat(plan.kind)
        self.out_channels = len(self.concat) * plan.channels
        self.ops = nn.ModuleList(
            make_op(primitive, plan.channels, stride=2 if plan.kind == "reduce" and source < 2 else 1, affine=True)
            for primitive, source in edges
        )

    def forward(self, before_last: Tensor, last: Tensor, drop_path: float = 0.0) -> Tensor:
        """Compute `[B, out_channels, H', W']` from the outputs of the cell before the last and of the last cell.

        `drop_path` is the probability that an operation is dropped, in training only.
        """
        nodes: list[Tensor] = [self.preprocess0(before_last), self.preprocess1(last)]
        for first in range(0, len(self.ops), 2):
            nodes.append(self._edge(first, nodes, drop_path) + self._edge(first + 1, nodes, drop_path))
        return torch.cat([nodes[node] for node in self.concat], dim=1)

    def _edge(self, index: int, nodes: list[Tensor], drop_path: float) -> Tensor:
        op = self.ops[index]
        out: Tensor = op(nodes[self.sources[index]])
        if self.training and drop_path > 0 and not isinstance(op, nn.Identity):
            out = drop_samples(out, drop_path)
        return out


def drop_samples(x: Tensor, probability: float) -> Tensor:
    """Drop-path: zero each sample of x `[B, C, H, W]` with `probability`; the others grow so that the mean stays."""
    keep = 1 - probability
    mask = x.new_empty(x.shape[0], 1, 1, 1).bernoulli_(keep).div_(keep)
    return x * mask


class AuxiliaryHead(nn.Module):
    """A second classifier on the last reduction cell, used in training: `[B, C, H, W]` to `[B, num_classes]`.

    As in the authors' scripts, the CIFAR head alone normalises after its 2x2 convolution.
    """

    def __init__(self, channels: int, num_classes: int, kind: NetworkKind) -> None:
        super().__init__()
        self.kind = kind
        # The first ReLU works on a copy: the next cells read the same map.
        self.features = nn.Sequential(
            nn.ReLU(),
            PoolTo2x2(stride=3 if kind == "cifar" else 2),
            nn.Conv2d(channels, 128, 1, bias=False),
            nn.BatchNorm2d(128),
            nn.ReLU(inplace=True),
            nn.Conv2d(128, 768, 2, bias=False),
            *([nn.BatchNorm2d(768)] if kind == "cifar" else []),
            nn.ReLU(inplace=True),
        )
        self.classifier = nn.Linear(768, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        if self.training and self.kind == "cifar" and len(x) == 1:
            raise InputError("a batch of 1 image cannot train the auxiliary head: use 2 or more, or auxiliary=False")
        logits: Tensor = self.classifier(self.features(x).flatten(1))
        return logits


class PoolTo2x2(nn.Module):
    """Average to 2 x 2: the authors' 5x5 windows where these give that (8 x 8 for CIFAR), else adaptive ones."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        if all((side - 5) // self.stride == 1 for side in x.shape[2:]):
            return F.avg_pool2d(x, 5, self.stride)
        return F.adaptive_avg_pool2d(x, 2)
