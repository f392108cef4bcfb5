"""Sends tensors that were made on the CPU to the device that computes with them."""

import torch
from torch import Tensor


def send(values: Tensor, device: torch.device) -> Tensor:
    """`values`, which are on the CPU, on `device`: the same tensor if that is the CPU.

    The caller does not wait for a GPU, which copies from page-locked memory once it has finished its earlier work.
    """
    if device.type == "cuda":
        values = values.pin_memory()
    return values.to(device, non_blocking=True)
