"""`torch.compile` for the modules that it makes faster, and a decorator that excludes the others."""

import logging
from collections.abc import Callable, Iterable
from typing import TypeVar, cast

from torch import nn
from torch._compile import _disable_dynamo

BACKEND = "inductor"
"""PyTorch's own compiler, which takes minutes."""

_VARIANTS = 64
"""Kinds of cells, by sizes and strides, that one network may have; PyTorch gives up after 8."""

_Function = TypeVar("_Function", bound=Callable[..., object])


def compile_modules(modules: Iterable[nn.Module], backend: str) -> None:
    """Let each of `modules` be compiled at its next call, anew for every shape; their state dicts keep their names."""
    import torch._dynamo  # here, because it takes as long to import as all of PyTorch

    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, _VARIANTS)
    # It warns wherever there is a compiler for GPUs, but no GPU.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    for module in modules:
        module.compile(backend=backend, dynamic=False)


def never_compiled(function: _Function) -> _Function:
    """As `torch.compiler.disable`, which would import the compiler even if nothing is compiled."""
    return cast(_Function, _disable_dynamo(function))
