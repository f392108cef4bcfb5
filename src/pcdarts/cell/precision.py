"""Mixed precision: what a network computes in bfloat16 while it learns."""

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch

from pcdarts.errors import InputError

Amp = Literal["off", "bf16"]
"""Automatic mixed precision: none, or convolutions (and what PyTorch's autocast counts in) in bfloat16."""


def mixed_precision(amp: Amp, device_type: str) -> AbstractContextManager[object]:
    """The context in which a forward pass runs; weights, running statistics and losses stay float32 in any case.

    Raises:
        InputError: another name than "off" or "bf16", or a device without bfloat16 arithmetic.
    """
    if amp == "off":
        return nullcontext()
    check_amp(amp, device_type)
    return torch.autocast(device_type, dtype=torch.bfloat16)


def check_amp(amp: str, device_type: str) -> None:
    """Refuse a precision that does not exist, or that devices of this type here do not have.

    Raises:
        InputError: just that.
    """
    if amp not in ("off", "bf16"):
        raise InputError(f"amp is {amp!r}, but it must be off or bf16")
    if amp == "bf16" and not has_bf16(device_type):
        raise InputError(f"amp is bf16, but this {device_type} device has no bfloat16 arithmetic: use --amp off")


def has_bf16(device_type: str) -> bool:
    """Whether convolutions can be computed in bfloat16: on a CPU it takes AVX-512, or Arm's BF16 instructions."""
    if device_type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device_type == "cpu":
        return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return False
