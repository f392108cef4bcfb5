"""What Python gives to the kernels: the structures of protocol.h, field by field, and a check that they are equal.

A field is given by its name, never by its position. `layout` says where every field lies; a library with another
layout was made from other headers, and `build.py` does not use it.
"""

import ctypes
from typing import Any, TypeVar

import torch
from torch import Tensor

STAGES, NORMS = 6, 9
"""Stages of the convolutions of a cell, and normalisations: those of the stages, of two pools, of the strided skip."""

_Structure = TypeVar("_Structure", bound=ctypes.Structure)
_Pointer = ctypes.c_void_p


def _numbers(*names: str) -> list[tuple[str, type]]:
    return [(name, ctypes.c_int64) for name in names]


class CellShape(ctypes.Structure):
    """Sizes of a cell, and what is wanted of it."""

    _fields_ = _numbers(
        "batch", "nodes", "channels", "sampled", "height", "width", "stride", "shuffles",
        "training", "weight_gradients", "mixture_gradients", "input_gradients",
    )  # fmt: skip


class CellSizes(ctypes.Structure):
    """How many numbers the forward pass saves, and how many more the backward pass works with."""

    _fields_ = _numbers("saved", "hidden")


class CellParameters(ctypes.Structure):
    """The parameters of a cell, or their gradients."""

    _fields_ = [
        ("depthwise", _Pointer * STAGES),
        ("pointwise", _Pointer * STAGES),
        ("even", _Pointer),
        ("odd", _Pointer),
    ]


class CellTensors(ctypes.Structure):
    """What a cell computes with, and its output."""

    _fields_ = [
        ("nodes", _Pointer * 2),
        ("parameters", CellParameters),
        ("running_mean", _Pointer * NORMS),
        ("running_var", _Pointer * NORMS),
        ("op_weights", _Pointer),
        ("edge_weights", _Pointer),
        ("selected", _Pointer),
        ("active", _Pointer),
        ("output", _Pointer),
        ("saved", _Pointer),
    ]


class CellGradients(ctypes.Structure):
    """The gradient of a cell's output, and those that are wanted."""

    _fields_ = [
        ("output", _Pointer),
        ("nodes", _Pointer * 2),
        ("parameters", CellParameters),
        ("op_weights", _Pointer),
        ("edge_weights", _Pointer),
        ("hidden", _Pointer),
    ]


class PreprocessShape(ctypes.Structure):
    """Sizes of what a cell does to an input, and what is wanted of it."""

    _fields_ = _numbers(
        "batch", "in_channels", "out_channels", "height", "width", "stride", "training", "weight_gradients"
    )


class PreprocessTensors(ctypes.Structure):
    """What preprocessing computes with, and its output."""

    _fields_ = [
        ("input", _Pointer),
        ("weights", _Pointer * 2),
        ("output", _Pointer),
        ("running_mean", _Pointer),
        ("running_var", _Pointer),
        ("statistics", _Pointer),
    ]


class PreprocessGradients(ctypes.Structure):
    """The gradient of the output of preprocessing, and those that are wanted."""

    _fields_ = [("output", _Pointer), ("input", _Pointer), ("weights", _Pointer * 2)]


_STRUCTURES = (
    CellShape,
    CellSizes,
    CellParameters,
    CellTensors,
    CellGradients,
    PreprocessShape,
    PreprocessTensors,
    PreprocessGradients,
)


def fill(structure: type[_Structure], dtype: torch.dtype, **fields: Any) -> _Structure:
    """A structure all of whose fields are given: numbers, other structures, tensors or None, or lists of the latter.

    The tensors must outlive it, because it only holds their addresses.

    Raises:
        TypeError: a field is missing or unknown, or a tensor is not a contiguous one of `dtype` on the CPU (`selected`
            and `active`: of whole numbers).
    """
    names = [name for name, *_ in structure._fields_]
    if sorted(names) != sorted(fields):
        raise TypeError(f"{structure.__name__} has the fields {sorted(names)}, not {sorted(fields)}")
    filled = structure()
    for name, value in fields.items():
        wanted = torch.int64 if name in ("selected", "active") else dtype
        if isinstance(value, list):
            array = getattr(filled, name)
            if len(value) != len(array):
                raise TypeError(f"{structure.__name__}.{name} takes {len(array)} tensors, not {len(value)}")
            array[:] = [_address(name, tensor, wanted) for tensor in value]
        else:
            setattr(filled, name, _address(name, value, wanted) if isinstance(value, Tensor) else value)
    return filled


def _address(name: str, tensor: Tensor | None, dtype: torch.dtype) -> int | None:
    if tensor is None:
        return None
    if tensor.dtype != dtype or not tensor.is_contiguous() or tensor.device.type != "cpu":
        raise TypeError(f"{name} must be contiguous, of {dtype} and on the CPU: {tensor.dtype}, {tensor.device}")
    return tensor.data_ptr()


def layout() -> str:
    """Name and size of every structure; name, offset, size and kind of its fields. As `layout` in protocol.h."""
    lines = []
    for structure in _STRUCTURES:
        lines.append(f"{structure.__name__} {ctypes.sizeof(structure)}")
        for name, kind, *_ in structure._fields_:
            at = getattr(structure, name)
            lines.append(f"{name} {at.offset} {at.size} {_kind(kind)}")
    return "".join(f"{line}\n" for line in lines)


def _kind(kind: Any) -> str:
    kind = getattr(kind, "_type_", kind) if issubclass(kind, ctypes.Array) else kind
    if issubclass(kind, ctypes.Structure):
        return "structure"
    return "pointer" if kind is _Pointer else "number"


def is_ours(library: ctypes.CDLL) -> bool:
    """Whether the structures of a library are those of this module."""
    try:
        function = library.pcdarts_layout
    except AttributeError:
        return False
    function.restype = ctypes.c_char_p
    return function() == layout().encode()
