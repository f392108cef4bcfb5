"""Mixed precision: what a network computes in bfloat16 or float16 while it learns."""

from contextlib import AbstractContextManager, nullcontext
from typing import Literal, get_args

import torch
from torch import Tensor

from pcdarts.errors import InputError

Amp = Literal["off", "bf16", "fp16"]
"""Automatic mixed precision: none, or convolutions (and what PyTorch's autocast counts in) in bfloat16 or float16.

float16 has no number above 65,504 and hardly any below 6e-8: so the loss must be scaled up before the backward pass,
and the gradients down after it (`torch.amp.GradScaler`). Sums over pixels and statistics are float32 in any case.
"""

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def mixed_precision(amp: Amp, device_type: str) -> AbstractContextManager[object]:
    """The context in which a forward pass runs; weights, running statistics and losses stay float32 in any case.

    Raises:
        InputError: another name than those of `Amp`, or a device without such arithmetic.
    """
    if amp == "off":
        return nullcontext()
    check_amp(amp, device_type)
    return torch.autocast(device_type, dtype=_DTYPES[amp])


def autocast_dtype(x: Tensor) -> torch.dtype:
    """What x is computed with here: the precision of the surrounding context, or its own."""
    device = x.device.type
    enabled = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
    return torch.get_autocast_dtype(device) if enabled else x.dtype


def without_autocast(x: Tensor) -> AbstractContextManager[object]:
    """The context in which everything with tensors like x is computed in the precision that they have."""
    device = x.device.type
    return torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()


def check_amp(amp: str, device_type: str) -> None:
    """Refuse a precision that does not exist, or that devices of this type here do not have.

    Raises:
        InputError: there is no such precision, or not on this device.
    """
    if amp not in get_args(Amp):
        raise InputError(f"amp is {amp!r}, but it must be off, bf16 or fp16")
    if amp == "bf16" and not has_bf16(device_type):
        raise InputError(f"amp is bf16, but this {device_type} device has no bfloat16 arithmetic: use --amp off")
    if amp == "fp16" and not has_fp16(device_type):
        raise InputError(f"amp is fp16, but a {device_type} device has no float16 arithmetic here: use --amp off")


def has_bf16(device_type: str) -> bool:
    """Whether convolutions can be computed in bfloat16: on a CPU it takes AVX-512, or Arm's BF16 instructions."""
    if device_type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device_type == "cpu":
        return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return False


def has_fp16(device_type: str) -> bool:
    """Whether everything here can be computed in float16: by GPUs, and by every CPU, though by most of them slowly."""
    return device_type in ("cuda", "cpu")


def onednn_convolves(x: Tensor) -> bool:
    """Whether oneDNN's convolutions, PyTorch's fast ones on a CPU, take x: bfloat16 only on processors that have it.

    Those of its operators that PyTorch does not choose by itself raise an error for what the processor does not have.
    """
    if x.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    return x.dtype == torch.float32 or (x.dtype == torch.bfloat16 and has_bf16("cpu"))
