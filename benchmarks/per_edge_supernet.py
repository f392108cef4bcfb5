"""A plain supernet, one module and one call for every operation of every edge, as the authors' search script runs it.

The yardstick for `pcdarts.Supernet`: its state dict has the keys that the DARTS and PC-DARTS scripts save, so both can
hold the same weights, and tests and benchmarks compare them. Channels first, with a concatenation and a shuffle on
every edge; sizes must be even wherever they are halved.
"""

import torch
from torch import Tensor, nn

PRIMITIVES = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)


def norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, affine=False)


class Chain(nn.Module):
    """Layers under the name `op`."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.op = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x)


class Halve(nn.Module):
    """Two strided 1x1 convolutions, the second on the map without its first row and column."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.relu = nn.ReLU()
        self.conv_1 = nn.Conv2d(inputs, outputs // 2, 1, stride=2, bias=False)
        self.conv_2 = nn.Conv2d(inputs, outputs // 2, 1, stride=2, bias=False)
        self.bn = norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(x)
        return self.bn(torch.cat([self.conv_1(x), self.conv_2(x[:, :, 1:, 1:])], dim=1))


class Nothing(nn.Module):
    """The primitive `none`."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, :: self.stride, :: self.stride] * 0.0


def separable(channels: int, size: int, stride: int, dilation: int = 1) -> list[nn.Module]:
    padding = dilation * (size - 1) // 2
    return [
        nn.ReLU(),
        nn.Conv2d(channels, channels, size, stride, padding, dilation, groups=channels, bias=False),
        nn.Conv2d(channels, channels, 1, bias=False),
        norm(channels),
    ]


def operation(primitive: str, channels: int, stride: int) -> nn.Module:
    if primitive == "none":
        return Nothing(stride)
    if primitive == "skip_connect":
        return nn.Identity() if stride == 1 else Halve(channels, channels)
    if primitive == "max_pool_3x3":
        return nn.Sequential(nn.MaxPool2d(3, stride, 1), norm(channels))
    if primitive == "avg_pool_3x3":
        return nn.Sequential(nn.AvgPool2d(3, stride, 1, count_include_pad=False), norm(channels))
    size = int(primitive[-1])
    if primitive.startswith("dil"):
        return Chain(*separable(channels, size, stride, dilation=2))
    return Chain(*separable(channels, size, stride), *separable(channels, size, 1))


def channel_shuffle(x: Tensor, groups: int) -> Tensor:
    batch, channels, height, width = x.shape
    grouped = x.view(batch, groups, channels // groups, height, width)
    return grouped.transpose(1, 2).contiguous().view(batch, channels, height, width)


class MixedEdge(nn.Module):
    """One edge: every operation on the first 1/k of the channels, the rest past them."""

    def __init__(self, channels: int, stride: int, k: int) -> None:
        super().__init__()
        self.k = k
        self._ops = nn.ModuleList(operation(primitive, channels // k, stride) for primitive in PRIMITIVES)
        self.halve = nn.MaxPool2d(2, 2)

    def forward(self, x: Tensor, op_weights: Tensor) -> Tensor:
        width = x.shape[1] // self.k
        sampled, bypassed = x[:, :width], x[:, width:]
        mixed = sum(weight * op(sampled) for weight, op in zip(op_weights, self._ops, strict=True))
        if self.k == 1:
            return mixed
        if mixed.shape[2] != x.shape[2]:
            bypassed = self.halve(bypassed)
        return channel_shuffle(torch.cat([mixed, bypassed], dim=1), self.k)


class PerEdgeCell(nn.Module):
    def __init__(
        self, num_nodes: int, inputs: tuple[int, int], channels: int, reduces: bool, halve: bool, k: int
    ) -> None:
        super().__init__()
        relu_conv_bn = Chain(nn.ReLU(), nn.Conv2d(inputs[0], channels, 1, bias=False), norm(channels))
        self.preprocess0 = Halve(inputs[0], channels) if halve else relu_conv_bn
        self.preprocess1 = Chain(nn.ReLU(), nn.Conv2d(inputs[1], channels, 1, bias=False), norm(channels))
        self.num_nodes = num_nodes
        self._ops = nn.ModuleList(
            MixedEdge(channels, 2 if reduces and source < 2 else 1, k)
            for target in range(2, num_nodes)
            for source in range(target)
        )

    def forward(self, s0: Tensor, s1: Tensor, op_weights: Tensor, edge_weights: Tensor) -> Tensor:
        nodes = [self.preprocess0(s0), self.preprocess1(s1)]
        edge = 0
        for _ in range(2, self.num_nodes):
            terms = []
            for node in nodes:
                terms.append(edge_weights[edge] * self._ops[edge](node, op_weights[edge]))
                edge += 1
            nodes.append(sum(terms))
        return torch.cat(nodes[2:], dim=1)


class PerEdgeSupernet(nn.Module):
    """Takes the images and, per cell kind, the op weights [edges, primitives] and edge weights [edges]."""

    def __init__(
        self, *, kind: str, channels: int, num_cells: int, num_classes: int, k: int, num_nodes: int = 6
    ) -> None:
        super().__init__()
        self.kind = kind
        stem = 3 * channels
        if kind == "imagenet":
            self.stem0 = nn.Sequential(
                nn.Conv2d(3, stem // 2, 3, 2, 1, bias=False),
                nn.BatchNorm2d(stem // 2),
                nn.ReLU(),
                nn.Conv2d(stem // 2, stem, 3, 2, 1, bias=False),
                nn.BatchNorm2d(stem),
            )
            self.stem1 = nn.Sequential(nn.ReLU(), nn.Conv2d(stem, stem, 3, 2, 1, bias=False), nn.BatchNorm2d(stem))
        else:
            layers, inputs = [], 3
            if kind == "stride4":
                inputs = -(-stem // 2)
                layers = [nn.Conv2d(3, inputs, 3, 2, 1, bias=False), nn.BatchNorm2d(inputs), nn.ReLU()]
            last = nn.Conv2d(inputs, stem, 3, 1 if kind == "cifar" else 2, 1, bias=False)
            self.stem = nn.Sequential(*layers, last, nn.BatchNorm2d(stem))
        self.reductions = (num_cells // 3, 2 * num_cells // 3)
        self.cells = nn.ModuleList()
        widths, halve = [stem, stem], kind == "imagenet"
        for position in range(num_cells):
            reduces = position in self.reductions
            channels *= 2 if reduces else 1
            self.cells.append(PerEdgeCell(num_nodes, (widths[-2], widths[-1]), channels, reduces, halve, k))
            widths.append((num_nodes - 2) * channels)
            halve = reduces
        self.classifier = nn.Linear(widths[-1], num_classes)

    def forward(self, images: Tensor, op_weights: dict[str, Tensor], edge_weights: dict[str, Tensor]) -> Tensor:
        s0 = self.stem0(images) if self.kind == "imagenet" else self.stem(images)
        s1 = self.stem1(s0) if self.kind == "imagenet" else s0
        for position, cell in enumerate(self.cells):
            kind = "reduce" if position in self.reductions else "normal"
            s0, s1 = s1, cell(s0, s1, op_weights[kind], edge_weights[kind])
        return self.classifier(s1.mean(dim=(2, 3)))
