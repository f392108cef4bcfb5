"""Which operations of PyTorch a piece of code calls, on `meta` those of a GPU without one; which tensors are alive."""

import gc
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class Operations(TorchDispatchMode):
    """A context that notes the name of every operation in `names`, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(function._schema.name)
        return function(*args, **(kwargs or {}))


def sizes_alive() -> list[int]:
    """The number of elements of every tensor that this process holds in Python."""
    gc.collect()
    return [each.numel() for each in gc.get_objects() if type(each) is torch.Tensor]
