"""A second, literal network with the module names of the authors' scripts, to hold ours against.

One module per operation, nothing shared with `pcdarts` but the meaning of a genotype, and only the image sizes that the
scripts assume. Its state dict has the keys that these scripts save.
"""

import torch
from torch import nn


def conv(inputs, outputs, size, stride=1, padding=0, **options):
    return nn.Conv2d(inputs, outputs, size, stride, padding, bias=False, **options)


def depthwise_then_pointwise(channels, size, stride, dilation=1):
    padding = dilation * (size - 1) // 2
    return [
        nn.ReLU(),
        conv(channels, channels, size, stride, padding, dilation=dilation, groups=channels),
        conv(channels, channels, 1),
        nn.BatchNorm2d(channels),
    ]


class Chain(nn.Module):
    """Layers under the name `op`."""

    def __init__(self, *layers):
        super().__init__()
        self.op = nn.Sequential(*layers)

    def forward(self, x):
        return self.op(x)


class Halve(nn.Module):
    """Two strided 1x1 convolutions, the second on the map without its first row and column."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv_1 = conv(inputs, outputs // 2, 1, stride=2)
        self.conv_2 = conv(inputs, outputs // 2, 1, stride=2)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x):
        x = x.relu()
        return self.bn(torch.cat([self.conv_1(x), self.conv_2(x[:, :, 1:, 1:])], dim=1))


class Nothing(nn.Module):
    def __init__(self, stride):
        super().__init__()
        self.stride = stride

    def forward(self, x):
        return x[:, :, :: self.stride, :: self.stride] * 0


def operation(name, channels, stride):
    if name == "skip_connect":
        return Halve(channels, channels) if stride == 2 else nn.Identity()
    if name == "max_pool_3x3":
        return nn.MaxPool2d(3, stride, 1)
    if name == "avg_pool_3x3":
        return nn.AvgPool2d(3, stride, 1, count_include_pad=False)
    if name == "conv_7x1_1x7":
        row = conv(channels, channels, (1, 7), (1, stride), (0, 3))
        column = conv(channels, channels, (7, 1), (stride, 1), (3, 0))
        return nn.Sequential(nn.ReLU(), row, column, nn.BatchNorm2d(channels))
    if name == "none":
        return Nothing(stride)
    if name == "conv_1x1":
        return nn.Sequential(nn.ReLU(), conv(channels, channels, 1, stride), nn.BatchNorm2d(channels))
    if name == "max_pool_2x2":
        return nn.MaxPool2d(2, stride)
    if name == "bottleneck_3x3":
        narrow = channels // 4
        layers = [nn.ReLU(), conv(channels, narrow, 1), nn.BatchNorm2d(narrow)]
        layers += [nn.ReLU(), conv(narrow, narrow, 3, stride, 1), nn.BatchNorm2d(narrow)]
        return nn.Sequential(*layers, nn.ReLU(), conv(narrow, channels, 1), nn.BatchNorm2d(channels))
    size = int(name[-1])
    if name.startswith("dil_conv"):
        return Chain(*depthwise_then_pointwise(channels, size, stride, dilation=2))
    return Chain(*depthwise_then_pointwise(channels, size, stride), *depthwise_then_pointwise(channels, size, 1))


def relu_conv_bn(inputs, outputs):
    return Chain(nn.ReLU(), conv(inputs, outputs, 1), nn.BatchNorm2d(outputs))


class AuthorsCell(nn.Module):
    def __init__(self, edges, concat, inputs, channels, reduces, after_reduction):
        super().__init__()
        self.preprocess0 = (Halve if after_reduction else relu_conv_bn)(inputs[0], channels)
        self.preprocess1 = relu_conv_bn(inputs[1], channels)
        self._ops = nn.ModuleList(
            operation(name, channels, 2 if reduces and source in (0, 1) else 1) for name, source in edges
        )
        self.edges, self.concat = edges, concat

    def forward(self, s0, s1):
        states = {0: self.preprocess0(s0), 1: self.preprocess1(s1)}
        for node in range(2, 2 + len(self.edges) // 2):
            left, right = 2 * (node - 2), 2 * (node - 2) + 1
            states[node] = self._ops[left](states[self.edges[left][1]]) + self._ops[right](states[self.edges[right][1]])
        return torch.cat([states[node] for node in self.concat], dim=1)


class AuthorsHead(nn.Module):
    def __init__(self, channels, num_classes, imagenet):
        super().__init__()
        last_norm = [] if imagenet else [nn.BatchNorm2d(768)]
        self.features = nn.Sequential(
            nn.ReLU(),
            nn.AvgPool2d(5, 2 if imagenet else 3),
            conv(channels, 128, 1),
            nn.BatchNorm2d(128),
            nn.ReLU(),
            conv(128, 768, 2),
            *last_norm,
            nn.ReLU(),
        )
        self.classifier = nn.Linear(768, num_classes)

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


class AuthorsNetwork(nn.Module):
    """Returns (logits, auxiliary logits); the second is None in evaluation and without an auxiliary head."""

    def __init__(self, genotype, *, kind, channels, num_cells, num_classes, auxiliary):
        super().__init__()
        self.imagenet = kind == "imagenet"
        if self.imagenet:
            half = channels // 2
            self.stem0 = nn.Sequential(
                conv(3, half, 3, 2, 1),
                nn.BatchNorm2d(half),
                nn.ReLU(),
                conv(half, channels, 3, 2, 1),
                nn.BatchNorm2d(channels),
            )
            self.stem1 = nn.Sequential(nn.ReLU(), conv(channels, channels, 3, 2, 1), nn.BatchNorm2d(channels))
            widths = [channels, channels]
        else:
            self.stem = nn.Sequential(conv(3, 3 * channels, 3, 1, 1), nn.BatchNorm2d(3 * channels))
            widths = [3 * channels, 3 * channels]
        reductions = [num_cells // 3, 2 * num_cells // 3]
        self.auxiliary_position = reductions[1]
        self.cells = nn.ModuleList()
        after_reduction = self.imagenet
        for position in range(num_cells):
            reduces = position in reductions
            channels *= 2 if reduces else 1
            edges, concat = (
                (genotype.reduce, genotype.reduce_concat) if reduces else (genotype.normal, genotype.normal_concat)
            )
            self.cells.append(AuthorsCell(edges, concat, widths[-2:], channels, reduces, after_reduction))
            widths.append(len(concat) * channels)
            after_reduction = reduces
        if auxiliary:
            self.auxiliary_head = AuthorsHead(widths[2 + self.auxiliary_position], num_classes, self.imagenet)
        self.classifier = nn.Linear(widths[-1], num_classes)

    def forward(self, images):
        s0 = self.stem0(images) if self.imagenet else self.stem(images)
        s1 = self.stem1(s0) if self.imagenet else s0
        auxiliary_logits = None
        for position, cell in enumerate(self.cells):
            s0, s1 = s1, cell(s0, s1)
            if position == self.auxiliary_position and self.training and hasattr(self, "auxiliary_head"):
                auxiliary_logits = self.auxiliary_head(s1)
        pooled = nn.functional.avg_pool2d(s1, 7) if self.imagenet else s1.mean((2, 3), keepdim=True)
        return self.classifier(pooled.flatten(1)), auxiliary_logits


def with_random_statistics(network):
    """Make every BatchNorm of `network` look trained: other scales, shifts and running statistics everywhere."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.normal_(module.bias)
    return network
