"""How numbers that were made on the CPU get to the device that computes with them."""

import torch
from torch import Tensor


def send(values: Tensor, device: torch.device) -> Tensor:
    """`values`, which are on the CPU, on `device`: themselves if that is the CPU.

    Nobody waits for a GPU: it copies from page-locked memory when it has done what it was given before.
    """
    if device.type == "cuda":
        values = values.pin_memory()
    return values.to(device, non_blocking=True)
