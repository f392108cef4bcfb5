"""What the networks of a space are made of, as far as their latency is a sum; and the ONNX models that time a part."""

from collections import Counter
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from torch import nn

from pcdarts.cell.genotype import Genotype
from pcdarts.cell.primitives import MAKERS, FactorizedReduce, ReluConvBN, make_op
from pcdarts.cell.space import (
    STEM_STRIDES,
    CellKind,
    CellSpace,
    evaluation_stem_channels,
    largest_map,
    macro_plan,
)
from pcdarts.cell.stem import make_stem
from pcdarts.errors import InputError
from pcdarts.network.latency.graph import Graph
from pcdarts.network.network import Network
from pcdarts.network.sizes import NetworkSizes

_FIRST = 16
"""Channels in front of the copies of a part, which onnxruntime can keep in a layout of its own."""


class Part(NamedTuple):
    """What a table has a time of: an operation, its channels, the side of the maps that it reads, and its stride."""

    name: str
    """A primitive, `stem KIND`, or another one of `OTHERS`."""
    inputs: int
    outputs: int
    side: int
    stride: int = 1

    @property
    def addition(self) -> "Part":
        """The addition of two of its outputs."""
        return Part("add", self.outputs, self.outputs, -(-self.side // self.stride))

    def __str__(self) -> str:
        """`sep_conv_3x3, 16 to 16 channels, 32x32, stride 1`."""
        return f"{self.name}, {self.inputs} to {self.outputs} channels, {self.side}x{self.side}, stride {self.stride}"


OTHERS = ("relu_conv_bn", "factorized_reduce", "relu", "add", "concat", "classifier")
NAMES = frozenset([*MAKERS, *OTHERS, *(f"stem {kind}" for kind in STEM_STRIDES)])


@dataclass(frozen=True)
class Sizes(NetworkSizes):
    """Everything that decides the size of a network and of its maps, except its genotype."""

    image_size: int

    def with_weights(self, genotype: Genotype) -> Network:
        """The network with this genotype and some weights, in evaluation mode.

        Raises:
            InputError: there is no such network.
        """
        return Network(genotype, auxiliary=False, **self.arguments).eval()


@dataclass(frozen=True)
class Parts:
    """How often the networks of all genotypes of a space have each part; an addition less is counted as -1."""

    edges: dict[CellKind, list[list[Counter[Part]]]]
    """`[edges][primitives]`: what an operation on an edge adds, in all cells of the kind together."""
    rest: Counter[Part]

    def all(self) -> list[Part]:
        """Every part once."""
        of_edges = [part for rows in self.edges.values() for row in rows for counts in row for part in counts]
        return [*dict.fromkeys([*self.rest, *of_edges])]


def parts_of(space: CellSpace, sizes: Sizes) -> Parts:
    """What networks of these sizes are made of.

    Every edge kept brings its operation and one addition, and a node has one addition less than edges. The ReLU of a
    node counts once, since all that read it share it; nothing reads the last node.

    Raises:
        InputError: they are networks of NAS-Bench-201.
    """
    if space.form.macro != "darts":
        raise InputError("latencies are those of networks of the DARTS papers, not of NAS-Bench-201: leave them out")
    stem_channels = evaluation_stem_channels(sizes.kind, sizes.channels)
    stem = Part(f"stem {sizes.kind}", sizes.image_channels, stem_channels, sizes.image_size, STEM_STRIDES[sizes.kind])
    rest = Counter([stem])
    edges = {kind: [[Counter[Part]() for _ in space.primitives] for _ in space.edges] for kind in space.kinds}
    side, outputs = largest_map(sizes.kind, sizes.image_size), len(space.outputs)
    before = -(-sizes.image_size // 4) if sizes.kind == "imagenet" else side
    concat_sizes = dict.fromkeys(space.kinds, outputs)
    for plan in macro_plan(sizes.kind, sizes.channels, sizes.num_cells, concat_sizes, stem_channels):
        reduced, channels = -(-side // 2) if plan.kind == "reduce" else side, plan.channels
        if space.num_inputs == 2:
            name = "factorized_reduce" if plan.halve_first_input else "relu_conv_bn"
            rest[Part(name, plan.in_channels[0], channels, before, 2 if plan.halve_first_input else 1)] += 1
        rest[Part("relu_conv_bn", plan.in_channels[1], channels, side)] += 1
        rest[Part("relu", channels, channels, side)] += space.num_inputs
        rest[Part("relu", channels, channels, reduced)] += space.num_intermediate - 1
        rest[Part("concat", channels, outputs * channels, reduced)] += 1
        addition = Part("add", channels, channels, reduced)
        rest[addition] -= space.num_intermediate
        for of_edge, edge in zip(edges[plan.kind], space.edges, strict=True):
            stride = space.form.stride(plan.kind, edge.source)
            read = side if edge.source < space.num_inputs else reduced
            for counts, primitive in zip(of_edge, space.primitives, strict=True):
                if primitive == "none":
                    continue
                counts[addition] += 1
                if primitive != "skip_connect" or stride == 2:
                    counts[Part(primitive, channels, channels, read, stride)] += 1
        before, side = side, reduced
    rest[Part("classifier", outputs * channels, sizes.num_classes, side)] += 1
    return Parts(edges, rest)


def model_of(part: Part, copies: int) -> bytes:
    """So many copies of a part, which read the same maps and of which the outputs are added up.

    They stand between convolutions and additions as in a network. What onnxruntime merges must stay apart (see
    `timing.make_session`).
    """
    graph = Graph()
    name, inputs, outputs, side, stride = part
    if name.startswith("stem "):
        pixels = graph.input(1, inputs, side, side)
        kind: Any = name.removeprefix("stem ")
        stem = make_stem(kind, outputs, inputs).eval()
        return graph.model(graph.sum(graph.stem(stem, inputs, pixels)[1] for _ in range(copies)))
    images = graph.input(1, _FIRST, side, side)
    maps = [
        graph.layers([nn.Conv2d(_FIRST, inputs, 1)], images)
        for _ in range(outputs // inputs if name == "concat" else 1)
    ]

    @cache
    def rectified() -> str:
        return graph.add("Relu", maps[0])

    def copy() -> str:
        if name == "classifier":
            return graph.head(nn.Linear(inputs, outputs), rectified())
        if name == "concat":
            return graph.add("Relu", graph.add("Concat", *maps, axis=1))
        if name == "relu":
            return graph.add("Relu", maps[0])
        if name == "add":
            return maps[0]
        if name in ("relu_conv_bn", "factorized_reduce"):
            layer = ReluConvBN if name == "relu_conv_bn" else FactorizedReduce
            return graph.after_relu(layer(inputs, outputs, affine=True).eval(), rectified())
        return graph.operation(make_op(name, inputs, stride, affine=True).eval(), maps[0], rectified)

    total = graph.sum(copy() for _ in range(copies))
    return graph.model(total if name == "classifier" else graph.add("GlobalAveragePool", total))
