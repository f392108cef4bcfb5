"""The parts of a derived network: cells, drop-path and the auxiliary head."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pcdarts.cell.genotype import Genotype
from pcdarts.cell.primitives import FactorizedReduce, ReluConvBN, ReluFirst, make_op
from pcdarts.cell.space import CellPlan, NetworkKind
from pcdarts.cell.stem import make_preprocess1
from pcdarts.errors import InputError
from pcdarts.ops.synchronize import SynchronizedBatchNorm2d, process_count


class Cell(nn.Module):
    """The cell that `genotype` describes: each intermediate node is a sum of operations on earlier nodes, two in DARTS.

    In a reduction cell the operations on the two inputs have stride 2. A cell of NAS-Bench-201 reads the map before it
    as it is, or through a residual block.
    """

    def __init__(self, genotype: Genotype, plan: CellPlan) -> None:
        super().__init__()
        if genotype.form.num_inputs == 2:
            preprocess0 = FactorizedReduce if plan.halve_first_input else ReluConvBN
            self.preprocess0 = preprocess0(plan.in_channels[0], plan.channels, affine=True)
        self.preprocess1 = make_preprocess1(genotype.form.macro, plan, affine=True)
        edges = genotype.edges(plan.kind)
        self.num_inputs = genotype.form.num_inputs
        self.sources = [source for _, source in edges]
        self.entering = [len(of_node) for of_node in genotype.entering(plan.kind).values()]
        self.concat = genotype.concat(plan.kind)
        self.out_channels = len(self.concat) * plan.channels
        self.ops = nn.ModuleList(
            make_op(primitive, plan.channels, genotype.form.stride(plan.kind, source), affine=True)
            for primitive, source in edges
        )

    def forward(self, before_last: Tensor, last: Tensor, shares: Sequence[Tensor | None] | None = None) -> Tensor:
        """Compute `[B, out_channels, H', W']` from the outputs of the two cells before, after ReLU (see `Network`).

        `shares` are the factors of drop-path for each operation (see `draw_shares`); None applies no drop-path.
        """
        nodes: list[Tensor] = [self.preprocess0.after_relu(before_last)] if self.num_inputs == 2 else []
        own = self.preprocess1
        nodes.append(own.after_relu(last) if isinstance(own, ReluConvBN) else own(last))
        rectified: dict[int, Tensor] = {}
        factors = [None] * len(self.ops) if shares is None else shares
        index = 0
        for count in self.entering:
            node = self._edge(index, nodes, rectified, factors[index])
            for other in range(index + 1, index + count):
                node = node + self._edge(other, nodes, rectified, factors[other])
            nodes.append(dense_gradient(node))
            index += count
        return torch.cat([nodes[node] for node in self.concat], dim=1)

    def draw_shares(self, like: Tensor, drop_path: float) -> list[Tensor | None]:
        """The factors of drop-path `[B, 1, 1, 1]` for each operation (see `draw_share`); None for the identity.

        They are drawn outside of `forward`, so that compiled code gives the same numbers and need not be compiled again
        for another probability.
        """
        return [None if isinstance(op, nn.Identity) else draw_share(like, drop_path) for op in self.ops]

    def _edge(self, index: int, nodes: list[Tensor], rectified: dict[int, Tensor], share: Tensor | None) -> Tensor:
        """The output of operation `index`; `rectified` caches the nodes after ReLU."""
        op, source = self.ops[index], self.sources[index]
        if isinstance(op, nn.Identity):
            return nodes[source]
        if isinstance(op, ReluFirst | FactorizedReduce):
            if source not in rectified:
                rectified[source] = F.relu(nodes[source])
            out = op.after_relu(rectified[source])
        else:
            out = op(nodes[source])
        return out if share is None else out.mul_(share)


def draw_share(like: Tensor, drop_path: float) -> Tensor:
    """Drop-path: for each sample of `like` `[B, ...]` 0 with this probability, else 1 / (1 - drop_path); [B, 1, 1, 1].

    Multiplication by it does not change the mean of an operation's output.
    """
    keep = 1 - drop_path
    return like.new_empty(len(like), 1, 1, 1).bernoulli_(keep).div_(keep)


def dense_gradient(x: Tensor) -> Tensor:
    """x itself; makes its gradient contiguous in channels-last format, which the fast kernels need.

    The gradients of concatenations and means are strided and expanded views.
    """
    same: Tensor = _DenseGradient.apply(x)
    return same


class _DenseGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return grads[0].contiguous(memory_format=torch.channels_last)


class AuxiliaryHead(nn.Module):
    """A second classifier, used in training, on the output of the last reduction cell after its ReLU.

    `[B, C, H, W]` to `[B, num_classes]`. As in the authors' scripts, there is a BatchNorm after the 2x2 convolution,
    except for ImageNet.
    """

    def __init__(self, channels: int, num_classes: int, kind: NetworkKind) -> None:
        super().__init__()
        self.kind = kind
        self.features = ReluFirst(
            nn.ReLU(),
            PoolTo2x2(stride=2 if kind == "imagenet" else 3),
            nn.Conv2d(channels, 128, 1, bias=False),
            nn.BatchNorm2d(128),
            nn.ReLU(inplace=True),
            nn.Conv2d(128, 768, 2, bias=False),
            *([nn.BatchNorm2d(768)] if kind != "imagenet" else []),
            nn.ReLU(inplace=True),
        )
        self.classifier = nn.Linear(768, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        synchronized = isinstance(self.features[3], SynchronizedBatchNorm2d) and process_count() > 1
        if self.training and self.kind != "imagenet" and len(x) == 1 and not synchronized:
            raise InputError("a batch of 1 image cannot train the auxiliary head: use 2 or more, or auxiliary=False")
        logits: Tensor = self.classifier(self.features.after_relu(x).flatten(1))
        return logits


class PoolTo2x2(nn.Module):
    """Average pooling to 2 x 2: with the authors' 5x5 windows if they give that (8 x 8 for CIFAR), else adaptive."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        if all((side - 5) // self.stride == 1 for side in x.shape[2:]):
            return F.avg_pool2d(x, 5, self.stride)
        # Equal to adaptive pooling, whose gradient is not deterministic on a GPU.
        windows = [(side + 1) // 2 for side in x.shape[2:]]
        apart = [max(side // 2, 1) for side in x.shape[2:]]
        pooled = F.avg_pool2d(x, windows, apart)
        return pooled.expand(-1, -1, 2, 2)  # a single row or column is repeated
