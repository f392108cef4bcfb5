"""The supernet computed by the native kernels: autograd functions of tensors [blocks, C, H, W, lanes].

The images of a batch are split into blocks, each of as many images as a vector of the processor has lanes (`lanes.h`);
these lie innermost. An incomplete block is filled up with zeros. Single and double precision, on the CPU.
"""

import ctypes
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from pcdarts.cell.primitives import FactorizedReduce, ReluConvBN
from pcdarts.cell.space import CellSpace
from pcdarts.errors import InputError
from pcdarts.ops.compiling import never_compiled
from pcdarts.supernet.arch import Mixture
from pcdarts.supernet.masks import selected_channels
from pcdarts.supernet.native.build import load
from pcdarts.supernet.native.protocol import (
    NORMS,
    STAGES,
    CellGradients,
    CellParameters,
    CellShape,
    CellSizes,
    CellTensors,
    PreprocessGradients,
    PreprocessShape,
    PreprocessTensors,
    fill,
)
from pcdarts.supernet.parameters import SupernetCell, SupernetParts

_NAMES = {torch.float32: "float32", torch.float64: "float64"}


@never_compiled
def available() -> bool:
    """Whether the kernels can be used on this machine; compiles them when they never were."""
    return load() is not None


def images_per_block() -> int:
    """How many images the kernels that were compiled here put side by side."""
    lanes: int = _kernels().pcdarts_lanes()
    return lanes


def description() -> str:
    """The instructions, lanes and tiles that the kernels were compiled for, in words."""
    function = _kernels().pcdarts_description
    function.restype = ctypes.c_char_p
    words: bytes = function()
    return words.decode()


def _kernels() -> ctypes.CDLL:
    kernels = load()
    assert kernels is not None, "there is no compiler"
    return kernels


def has_kernels_for(space: CellSpace) -> bool:
    """Whether the kernels compute the cells of a space: those of the paper alone, of any number of nodes."""
    return space == CellSpace(space.num_nodes)


def can_compute(x: Tensor) -> bool:
    """Whether the kernels know the device and the precision of a tensor."""
    return x.device.type == "cpu" and x.dtype in _NAMES


@never_compiled
def logits(network: SupernetParts, images: Tensor, mixture: Mixture, masks: list[Tensor] | None) -> Tensor:
    """The logits [B, num_classes] of a supernet, for checked images, mixture and masks.

    Raises:
        InputError: images on another device than the CPU, or in half precision.
    """
    if not can_compute(images):
        raise InputError(
            f"the native kernels compute float32 and float64 on a CPU, not {images.dtype} on {images.device}: "
            'use kernels="plain"'
        )
    with torch.autocast("cpu", enabled=False):
        return _logits(network, images, mixture, masks)


def _logits(network: SupernetParts, images: Tensor, mixture: Mixture, masks: list[Tensor] | None) -> Tensor:
    batch = len(images)
    before_last, last = network.stem(images.contiguous())  # the kernels take planes
    shared = before_last is last
    before_last = pack(before_last)
    last = before_last if shared else pack(last)
    active = {kind: torch.tensor(mixture.computed(kind), dtype=torch.int64) for kind in mixture.op_weights}
    for position, cell in enumerate(network.cells):
        kind = cell.plan.kind
        node0, node1 = preprocess(cell.preprocess0, before_last, batch), preprocess(cell.preprocess1, last, batch)
        width = cell.plan.channels // cell.k
        first = torch.arange(width).expand(cell.space.num_edges, -1)
        selected = first if masks is None else selected_channels(masks[position], width)
        weights = mixture.op_weights[kind], mixture.edge_weights[kind]
        output = _Cell.apply(
            cell, batch, selected, active[kind], masks is None, node0, node1, *weights, *cell_parameters(cell)
        )
        before_last, last = last, output
    features = last.mean(dim=(2, 3)).transpose(1, 2).flatten(0, 1)[:batch]
    return network.classifier(features)


def pack(x: Tensor) -> Tensor:
    """[B, C, H, W] to [blocks, C, H, W, lanes]."""
    lanes = images_per_block()
    blocks = -(-len(x) // lanes)
    padded = F.pad(x, (0, 0, 0, 0, 0, 0, 0, blocks * lanes - len(x)))
    return padded.unflatten(0, (blocks, lanes)).permute(0, 2, 3, 4, 1).contiguous()


def preprocess(module: ReluConvBN | FactorizedReduce, x: Tensor, batch: int) -> Tensor:
    """ReLU, 1x1 convolution(s) and BatchNorm of x [blocks, C, H, W, lanes]; halves H and W in a `FactorizedReduce`."""
    if isinstance(module, FactorizedReduce):
        convolutions = [module.conv_1] if module.conv_2 is None else [module.conv_1, module.conv_2]
        return _Preprocess.apply(x, batch, 2, module.bn, *(convolution.weight for convolution in convolutions))
    return _Preprocess.apply(x, batch, 1, module[2], module[1].weight)


def cell_parameters(cell: SupernetCell) -> list[Tensor | None]:
    """The parameters of `CellParameters`, field by field."""
    operations = cell.operations
    stages = _stages(cell)
    skip = [operations.reduced_skip.even, operations.reduced_skip.odd] if cell.strided_edges else [None, None]
    return [*(stage.depthwise for stage in stages), *(stage.pointwise for stage in stages), *skip]


def _structured(tensors: Sequence[Tensor | None], dtype: torch.dtype) -> CellParameters:
    """What `cell_parameters` lists, or its gradients, as a structure."""
    *stages, even, odd = tensors
    return fill(CellParameters, dtype, depthwise=stages[:STAGES], pointwise=stages[STAGES:], even=even, odd=odd)


def _stages(cell: SupernetCell) -> list[Any]:
    operations = cell.operations
    separable = (operations.sep_conv_3x3, operations.sep_conv_5x5)
    pairs = [stage for op in separable for stage in (op.first, op.second)]
    return [*pairs, operations.dil_conv_3x3, operations.dil_conv_5x5]


def _running(cell: SupernetCell, name: str) -> list[Tensor | None]:
    """A running statistic of every normalisation."""
    operations = cell.operations
    norms = [*(stage.norm for stage in _stages(cell)), operations.max_pool_norm, operations.avg_pool_norm]
    skip = getattr(operations.reduced_skip.norm, name) if cell.strided_edges else None
    return [*(getattr(norm, name) for norm in norms), skip]


def _call(name: str, dtype: torch.dtype, *structures: ctypes.Structure) -> None:
    """Call a function of kernels.cpp.

    Raises:
        MemoryError: there is not enough memory; what the function has written must not be used.
    """
    function = getattr(load(), f"{name}_{_NAMES[dtype]}")
    function.restype = ctypes.c_bool
    if not function(*(ctypes.byref(structure) for structure in structures)):
        raise MemoryError("the native kernels found no memory for what they compute with")


class _Workspace:
    """Memory for what a cell keeps until its backward pass, reused from step to step.

    New memory of this size would come from the system page by page, which takes a third of the forward pass.
    """

    _free: ClassVar[dict[tuple[torch.dtype, int], list[Tensor]]] = {}
    _last_use: ClassVar[dict[tuple[torch.dtype, int], int]] = {}
    _requests: ClassVar[Iterator[int]] = count()
    _KEPT_FOR = 1000
    """After so many requests, three per cell and step, memory of a size that is no longer requested is freed."""

    def __init__(self, size: int, dtype: torch.dtype) -> None:
        self._key = (dtype, size)
        now = self._last_use[self._key] = next(self._requests)
        if now % self._KEPT_FOR == 0:
            for key in [key for key, last_use in self._last_use.items() if now - last_use > self._KEPT_FOR]:
                self._free.pop(key, None)
                del self._last_use[key]
        free = self._free.get(self._key)
        self.memory = free.pop() if free else torch.empty(size, dtype=dtype)

    def __del__(self) -> None:
        if hasattr(self, "memory"):  # else the system had none
            self._free.setdefault(self._key, []).append(self.memory)


def give_back_memory() -> None:
    """Free the memory that is kept for later steps."""
    _Workspace._free.clear()
    _Workspace._last_use.clear()


class _Cell(torch.autograd.Function):
    """The nodes of one cell, [blocks, intermediate nodes · C, H', W', lanes], from its two preprocessed inputs."""

    @staticmethod
    def forward(
        ctx: Any,
        cell: SupernetCell,
        batch: int,
        selected: Tensor,
        active: Tensor,
        shuffles: bool,
        node0: Tensor,
        node1: Tensor,
        op_weights: Tensor,
        edge_weights: Tensor,
        *parameters: Tensor | None,
    ) -> Tensor:
        blocks, channels, height, width, lanes = node0.shape
        stride = 2 if cell.strided_edges else 1
        dtype = node0.dtype
        parameters = tuple(None if parameter is None else parameter.contiguous() for parameter in parameters)
        op_weights, edge_weights = op_weights.to(dtype).contiguous(), edge_weights.to(dtype).contiguous()
        selected = selected.contiguous()
        shape = fill(
            CellShape, dtype, batch=batch, nodes=cell.space.num_nodes, channels=channels,
            sampled=channels // cell.k, height=height, width=width, stride=stride, shuffles=shuffles,
            training=cell.training, weight_gradients=False, mixture_gradients=False, input_gradients=False,
        )  # fmt: skip
        sizes = CellSizes()
        _call("cell_sizes", dtype, shape, sizes)
        workspace, ctx.hidden_size = _Workspace(sizes.saved, dtype), sizes.hidden
        output = node0.new_empty(
            blocks, cell.space.num_intermediate * channels, -(-height // stride), -(-width // stride), lanes
        )
        tensors = fill(
            CellTensors, dtype, nodes=[node0, node1], parameters=_structured(parameters, dtype),
            running_mean=_running(cell, "running_mean"), running_var=_running(cell, "running_var"),
            op_weights=op_weights, edge_weights=edge_weights, selected=selected, active=active, output=output,
            saved=workspace.memory,
        )  # fmt: skip
        _call("cell_forward", dtype, shape, tensors)
        ctx.shape, ctx.workspace = shape, workspace
        ctx.save_for_backward(node0, node1, op_weights, edge_weights, selected, active, output, *parameters)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Any:
        node0, node1, op_weights, edge_weights, selected, active, output, *parameters = ctx.saved_tensors
        shape: CellShape = ctx.shape
        dtype = output.dtype
        shape.mixture_gradients = any(ctx.needs_input_grad[7:9])
        shape.weight_gradients = any(ctx.needs_input_grad[9:])
        shape.input_gradients = shape.weight_gradients or any(ctx.needs_input_grad[5:7])
        node_gradients, hidden = _Workspace(output.numel(), dtype), _Workspace(ctx.hidden_size, dtype)
        node_gradients.memory.view_as(output).copy_(grads[0])
        inputs = [torch.empty_like(node) if shape.input_gradients else None for node in (node0, node1)]
        weights: list[Tensor | None] = [
            None if parameter is None or not shape.weight_gradients else torch.zeros_like(parameter)
            for parameter in parameters
        ]
        mixture: list[Tensor | None] = [None, None]
        if shape.mixture_gradients:
            mixture = [torch.zeros_like(op_weights), torch.zeros_like(edge_weights)]
        nowhere = [None] * NORMS
        tensors = fill(
            CellTensors, dtype, nodes=[node0, node1], parameters=_structured(parameters, dtype),
            running_mean=nowhere, running_var=nowhere, op_weights=op_weights, edge_weights=edge_weights,
            selected=selected, active=active, output=output, saved=ctx.workspace.memory,
        )  # fmt: skip
        gradients = fill(
            CellGradients, dtype, output=node_gradients.memory, nodes=inputs, parameters=_structured(weights, dtype),
            op_weights=mixture[0], edge_weights=mixture[1], hidden=hidden.memory,
        )  # fmt: skip
        _call("cell_backward", dtype, shape, tensors, gradients)
        return None, None, None, None, None, *inputs, *mixture, *weights


class _Preprocess(torch.autograd.Function):
    """`preprocess` for one weight [out, in, 1, 1] at stride 1, or those of the even and the odd pixels at stride 2."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, batch: int, stride: int, norm: torch.nn.BatchNorm2d, *weights: Tensor) -> Tensor:
        x = x.contiguous()
        weights = tuple(weight.contiguous() for weight in weights)
        blocks, channels, height, width, lanes = x.shape
        out_channels = sum(len(weight) for weight in weights)
        shape = fill(
            PreprocessShape, x.dtype, batch=batch, in_channels=channels, out_channels=out_channels, height=height,
            width=width, stride=stride, training=norm.training, weight_gradients=False,
        )  # fmt: skip
        output = x.new_empty(blocks, out_channels, -(-height // stride), -(-width // stride), lanes)
        statistics = x.new_empty(2, out_channels)
        if norm.training and norm.num_batches_tracked is not None:
            norm.num_batches_tracked.add_(1)
        tensors = fill(
            PreprocessTensors, x.dtype, input=x, weights=_two(weights), output=output, statistics=statistics,
            running_mean=norm.running_mean, running_var=norm.running_var,
        )  # fmt: skip
        _call("preprocess_forward", x.dtype, shape, tensors)
        ctx.shape = shape
        ctx.save_for_backward(x, output, statistics, *weights)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Any:
        x, output, statistics, *weights = ctx.saved_tensors
        ctx.shape.weight_gradients = any(ctx.needs_input_grad[4:])
        input_gradient = torch.empty_like(x)
        gradients: list[Tensor | None] = [
            torch.empty_like(weight) if ctx.shape.weight_gradients else None for weight in weights
        ]
        tensors = fill(
            PreprocessTensors, x.dtype, input=x, weights=_two(weights), output=output, statistics=statistics,
            running_mean=None, running_var=None,
        )  # fmt: skip
        gradient = grads[0].contiguous()
        wanted = fill(PreprocessGradients, x.dtype, output=gradient, input=input_gradient, weights=_two(gradients))
        _call("preprocess_backward", x.dtype, ctx.shape, tensors, wanted)
        return input_gradient, None, None, None, *gradients


def _two(weights: Sequence[Tensor | None]) -> list[Tensor | None]:
    """One or two weights, or their gradients, and None for the second of one."""
    return [*weights, None][:2]
