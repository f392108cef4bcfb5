"""Nested tuples of tensors for `save_for_backward`, which takes a flat list and frees it as the backward pass goes."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class _Taken:
    number: int


def take_tensors(value: Any, tensors: list[Tensor]) -> Any:
    """Move the tensors out of nested tuples to the end of `tensors`; return what is left."""
    if isinstance(value, Tensor):
        tensors.append(value)
        return _Taken(len(tensors) - 1)
    if isinstance(value, tuple):
        items = [take_tensors(item, tensors) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    return value


def put_tensors(value: Any, tensors: tuple[Tensor, ...]) -> Any:
    """The inverse of `take_tensors`."""
    if isinstance(value, _Taken):
        return tensors[value.number]
    if isinstance(value, tuple):
        items = [put_tensors(item, tensors) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    return value
