"""Small steps on channels-last images [B, C, H, W], and their gradients."""

import torch
import torch.nn.functional as F
from torch import Tensor


def channels_last(image: Tensor) -> Tensor:
    """`image` with its channels innermost, copied only if they are not."""
    return image.contiguous(memory_format=torch.channels_last)


def rectify_gradient(grad: Tensor, rectified: Tensor) -> Tensor:
    """The gradient of x from that of x.relu() = `rectified`; overwrites `grad`."""
    return torch.ops.aten.threshold_backward.grad_input(grad, rectified, 0, grad_input=grad)


def shifted_grids(x: Tensor, parts: int) -> Tensor:
    """The pixels of even rows and columns beside those of odd ones, with zeros for missing ones.

    [B, parts · C, H, W] to [B, parts · 2C, ⌈H/2⌉, ⌈W/2⌉]: each part has its even grid first, then its odd one.
    """
    height, width = x.shape[2:]
    odd = F.pad(x[:, :, 1::2, 1::2], (0, width % 2, 0, height % 2))
    grids = torch.stack([x[:, :, ::2, ::2].unflatten(1, (parts, -1)), odd.unflatten(1, (parts, -1))], dim=2)
    return channels_last(grids.flatten(1, 3))


def shifted_grids_gradient(grad: Tensor, like: Tensor, parts: int) -> Tensor:
    """The gradient of x, shaped as `like`, from that of `shifted_grids(x, parts)`."""
    height, width = like.shape[2:]
    result = torch.zeros_like(like)
    grids = grad.unflatten(1, (parts, 2, -1))
    result[:, :, ::2, ::2] = grids[:, :, 0].flatten(1, 2)
    result[:, :, 1::2, 1::2] = grids[:, :, 1].flatten(1, 2)[:, :, : height // 2, : width // 2]
    return result
