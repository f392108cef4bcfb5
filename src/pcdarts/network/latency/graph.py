"""Networks and their parts as ONNX models, node for node as an export writes them, but in milliseconds.

PyTorch's exporter takes seconds for an operation and half a minute for a network; a table needs a hundred models.
"""

from collections.abc import Callable, Iterable
from functools import cache, reduce
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from pcdarts.cell.primitives import FactorizedReduce, MaxPool2x2, ReluFirst, Zero
from pcdarts.cell.stem import ImageNetStem, SingleStem
from pcdarts.errors import InputError
from pcdarts.extras import import_extra
from pcdarts.network.network import Network
from pcdarts.network.parts import Cell

_OPSET, _FORMAT = 20, 10
"""Those of an export."""


class Graph:
    """An ONNX graph under construction, of modules in evaluation mode. A tensor is its name."""

    def __init__(self) -> None:
        self._onnx: Any = import_extra("onnx", "onnx", "measuring latency")
        self._nodes: list[Any] = []
        self._weights: list[Any] = []
        self._inputs: list[Any] = []
        self._widths: dict[str, int] = {}
        self._numbers: dict[tuple[int, ...], str] = {}

    def input(self, *shape: int) -> str:
        """A new input of the model, float32."""
        name = f"input{len(self._inputs)}"
        self._inputs.append(self._onnx.helper.make_tensor_value_info(name, self._onnx.TensorProto.FLOAT, shape))
        self._widths[name] = shape[-1]
        return name

    def model(self, output: str) -> bytes:
        """The model that computes `output`."""
        helper = self._onnx.helper
        out = helper.make_tensor_value_info(output, self._onnx.TensorProto.FLOAT, None)
        graph = helper.make_graph(self._nodes, "pcdarts", self._inputs, [out], self._weights)
        opset = [helper.make_opsetid("", _OPSET)]
        content: bytes = helper.make_model(graph, opset_imports=opset, ir_version=_FORMAT).SerializeToString()
        return content

    def add(self, kind: str, *inputs: str, stride: int = 1, **attributes: Any) -> str:
        """A new node with one output; its maps are `stride` times less wide (rounded up) than those it reads."""
        name = f"{kind}{len(self._nodes)}"
        self._nodes.append(self._onnx.helper.make_node(kind, inputs, [name], **attributes))
        self._widths[name] = -(-self._widths[inputs[0]] // stride)
        return name

    def constant(self, values: Any) -> str:
        """A tensor, or whole numbers, of which equal ones are the same tensor: onnxruntime then merges equal slices."""
        if not isinstance(values, Tensor) and (known := self._numbers.get(tuple(values))):
            return known
        name = f"weight{len(self._weights)}"
        if not isinstance(values, Tensor):
            self._numbers[tuple(values)] = name
        array = values.detach().numpy() if isinstance(values, Tensor) else np.array(values, dtype=np.int64)
        self._weights.append(self._onnx.numpy_helper.from_array(array, name))
        return name

    def sum(self, outputs: Iterable[str]) -> str:
        return reduce(lambda one, other: self.add("Add", one, other), outputs)

    def network(self, network: Network, pixels: str) -> str:
        """The logits for `pixels` in [0, 1], which are normalised first, as in an export (with any mean here).

        Raises:
            InputError: it is a network of NAS-Bench-201.
        """
        if not network.rectifies:
            raise InputError("the latency of networks of NAS-Bench-201 is not measured here: give one of another cell")
        before_last, last = self.stem(network.stem, network.image_channels, pixels)
        for cell in network.cells:
            output = self.cell(cell, before_last, last)
            before_last, last = last, self.add("Relu", output)
        return self.head(network.classifier, output)

    def stem(self, stem: ImageNetStem | SingleStem, image_channels: int, pixels: str) -> tuple[str, str]:
        """Both inputs of the first cell, after ReLU."""
        halves = self.constant(torch.full((image_channels, 1, 1), 0.5))
        images = self.add("Div", self.add("Sub", pixels, halves), halves)
        if isinstance(stem, ImageNetStem):
            rectified = self.add("Relu", self.layers(stem.quarter, images))
            return rectified, self.add("Relu", self.layers(list(stem.eighth)[1:], rectified))
        output = self.add("Relu", self.layers(stem, images))
        return output, output

    def cell(self, cell: Cell, before_last: str, last: str) -> str:
        """The concatenated nodes of a cell, from its inputs after ReLU."""
        nodes = [self.after_relu(cell.preprocess0, before_last)] if cell.num_inputs == 2 else []
        nodes.append(self.after_relu(cell.preprocess1, last))

        @cache
        def rectified(source: int) -> str:
            return self.add("Relu", nodes[source])

        edges = iter(zip(cell.ops, cell.sources, strict=True))
        for count in cell.entering:
            of_node = [next(edges) for _ in range(count)]
            outputs = [self.operation(op, nodes[source], lambda: rectified(source)) for op, source in of_node]  # noqa: B023  # called at once
            nodes.append(self.sum(outputs))
        return self.add("Concat", *(nodes[node] for node in cell.concat), axis=1)

    def operation(self, op: nn.Module, x: str, rectified: Callable[[], str]) -> str:
        """What an operation of a cell makes of `x`; `rectified` gives relu(x)."""
        if isinstance(op, ReluFirst | FactorizedReduce):
            return self.after_relu(op, rectified())
        if isinstance(op, Zero):
            every = self.every_other(x, 0) if op.stride == 2 else x
            return self.add("Mul", every, self.constant(torch.zeros(())))
        return self.layers([op], x)

    def after_relu(self, op: nn.Module, rectified: str) -> str:
        """What an operation that begins with a ReLU makes of relu(x)."""
        if not isinstance(op, FactorizedReduce):
            return self.layers(list(op.children())[1:], rectified)
        halves = [self.layers([op.conv_1], self.every_other(rectified, 0))]
        if op.conv_2 is not None:
            halves.append(self.layers([op.conv_2], self.every_other(rectified, 1)))
        return self.layers([op.bn], self.add("Concat", *halves, axis=1) if len(halves) > 1 else halves[0])

    def every_other(self, x: str, first: int) -> str:
        """Every other row and column, from the `first` one; zeros stand in for the last odd one of odd maps."""
        is_short = first == 1 and self._widths[x] % 2 == 1
        begin, end, step = (self.constant([number]) for number in (first, 2**31 - 1, 2))
        for axis in (2, 3):
            x = self.add("Slice", x, begin, end, self.constant([axis]), step, stride=axis - 1)
        return self.add("Pad", x, self.constant([0, 0, 0, 0, 0, 0, 1, 1])) if is_short else x

    def layers(self, layers: Iterable[nn.Module], x: str) -> str:
        """Layers one after the other; a BatchNorm behind a convolution is folded into it.

        Raises:
            InputError: there is a layer of which no ONNX node is known here.
        """
        waiting = [layer for layer in layers if not isinstance(layer, nn.Identity)]
        while waiting:
            layer = waiting.pop(0)
            if isinstance(layer, nn.Conv2d):
                if waiting and isinstance(norm := waiting[0], nn.BatchNorm2d):
                    layer = fuse_conv_bn_eval(layer, norm)
                    del waiting[0]
                x = self._convolution(layer, x)
            elif isinstance(layer, nn.BatchNorm2d):
                numbers = [layer.weight, layer.bias, layer.running_mean, layer.running_var]
                x = self.add("BatchNormalization", x, *map(self.constant, numbers), epsilon=layer.eps)
            elif isinstance(layer, nn.ReLU):
                x = self.add("Relu", x)
            elif isinstance(layer, nn.MaxPool2d | nn.AvgPool2d):
                x = self._pool(layer, x)
            elif isinstance(layer, MaxPool2x2):
                missing, stride = layer.padding(self._widths[x]), layer.stride
                sizes = {"kernel_shape": [2, 2], "strides": [stride, stride], "pads": [0, 0, missing, missing]}
                x = self.add("MaxPool", x, stride=stride, **sizes)
            else:
                raise InputError(
                    f"the latency of {type(layer).__name__} cannot be measured: network/latency/graph.py knows "
                    "convolutions, BatchNorm, ReLU and pooling"
                )
        return x

    def _convolution(self, conv: nn.Conv2d, x: str) -> str:
        inputs = [x, self.constant(conv.weight), *([] if conv.bias is None else [self.constant(conv.bias)])]
        pads = [*conv.padding, *conv.padding]
        shape = {"kernel_shape": conv.kernel_size, "strides": conv.stride, "dilations": conv.dilation, "pads": pads}
        return self.add("Conv", *inputs, stride=conv.stride[1], group=conv.groups, **shape)

    def _pool(self, pool: nn.MaxPool2d | nn.AvgPool2d, x: str) -> str:
        kernel, stride, padding = (
            [sizes, sizes] if isinstance(sizes, int) else [*sizes]
            for sizes in (pool.kernel_size, pool.stride, pool.padding)
        )
        shape: dict[str, Any] = {"kernel_shape": kernel, "strides": stride, "pads": [*padding, *padding]}
        if isinstance(pool, nn.MaxPool2d):
            return self.add("MaxPool", x, stride=stride[1], **shape)
        return self.add("AveragePool", x, stride=stride[1], count_include_pad=int(pool.count_include_pad), **shape)

    def head(self, classifier: nn.Linear, features: str) -> str:
        """Global average pooling and the classifier."""
        mean = self.add("ReduceMean", features, self.constant([2, 3]), keepdims=0)
        assert classifier.bias is not None
        return self.add("Gemm", mean, self.constant(classifier.weight), self.constant(classifier.bias), transB=1)


def network_model(network: Network, image_size: int) -> bytes:
    """The ONNX model of a whole network in evaluation mode, for one image of pixels in [0, 1].

    Raises:
        InputError: the library `onnx` is missing, or an operation is none that can be measured.
    """
    graph = Graph()
    return graph.model(graph.network(network, graph.input(1, network.image_channels, image_size, image_size)))
