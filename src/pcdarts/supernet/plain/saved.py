"""What a cell saves for its backward pass; and nested tuples of tensors for `save_for_backward`.

That takes a flat list, and frees it as the backward pass goes.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor

from pcdarts.supernet.plain.source import SourceWeights, Trace


class Saved(NamedTuple):
    """What the backward pass of a cell needs."""

    nodes: tuple[Tensor, ...]
    """The input nodes [B, C, H, W]."""
    bypassed: tuple[Tensor, ...]
    """The source nodes as they cross to their targets: as they are, or halved by stride-2 edges."""
    halved: tuple[Tensor, ...]
    """The indices of the pixels that crossed stride-2 edges."""
    traces: tuple[tuple[Trace, ...], ...]
    """Of the groups of each source."""
    weights: tuple[SourceWeights, ...]
    op_weights: Tensor
    edge_weights: Tensor
    bypass: Tensor
    """[edges, C]: see `sampling.py`."""


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
