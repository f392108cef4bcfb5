"""Batch statistics over the images of all processes, where a training with several processes asks for it.

Every process backpropagates the loss of its own images. Its gradients are then those of the sum of all losses, with
respect to this process's images and its copy of the weights. Averaging or summing them over the processes proceeds as
without synchronisation. All processes must make the same passes in the same order. PyTorch's own
`nn.SyncBatchNorm` needs a GPU.
"""

from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn


def process_count() -> int:
    """How many processes compute together; 1 where `torch.distributed` was not initialised."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def process_number() -> int:
    """Which of them this is, from 0."""
    return dist.get_rank() if process_count() > 1 else 0


def sum_over_processes(x: Tensor) -> Tensor:
    """The sum of the x of all processes, of equal shapes. Its gradient is the sum of their gradients."""
    if process_count() == 1:
        return x
    total: Tensor = _SumOverProcesses.apply(x)
    return total


class _SumOverProcesses(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return sum_over_processes(grads[0])


class WholeBatch(NamedTuple):
    """The images that batch statistics are taken of: those of this process, or those of all."""

    images: int
    over_processes: bool

    @classmethod
    def of(cls, images: Tensor, over_processes: bool) -> "WholeBatch":
        """The batch of which this process has `images` [B, C, H, W]."""
        if not over_processes or process_count() == 1:
            return cls(len(images), False)
        return cls(int(sum_over_processes(torch.tensor(len(images), device=images.device))), True)

    def pixels(self, x: Tensor) -> int:
        """Values per channel, of which this process has those of x [B, C, H, W]."""
        return self.images * x.shape[2] * x.shape[3]

    def sums(self, *parts: Tensor) -> tuple[Tensor, ...]:
        """The sums over the batch, from those over the images of this process; in one message."""
        if not self.over_processes:
            return parts
        total = sum_over_processes(torch.cat([part.flatten() for part in parts]))
        pieces = total.split([part.numel() for part in parts])
        return tuple(piece.view_as(part) for piece, part in zip(pieces, parts, strict=True))


class SynchronizedBatchNorm2d(nn.BatchNorm2d):
    """`nn.BatchNorm2d` whose batch is that of all processes in training; the same parameters, buffers and names."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or process_count() == 1:
            return super().forward(x)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        dtype, x = x.dtype, x.to(torch.promote_types(x.dtype, torch.float32))
        count = x.new_full((1,), x.numel() // x.shape[1])
        sums = sum_over_processes(torch.cat([x.sum(dim=(0, 2, 3)), count]))
        pixels = sums[-1].detach()
        mean = sums[:-1] / pixels
        x = x - mean[:, None, None]
        variance = sum_over_processes(x.square().sum(dim=(0, 2, 3))) / pixels
        scale, shift = (variance + self.eps).rsqrt(), torch.zeros_like(mean)
        if self.affine:
            scale, shift = scale * self.weight, self.bias
        momentum = 0.1 if self.momentum is None else self.momentum
        with torch.no_grad():
            unbiased = variance * (pixels / (pixels - 1).clamp(min=1))
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), momentum)
            self.running_var.lerp_(unbiased.to(self.running_var.dtype), momentum)
            self.num_batches_tracked += 1
        return torch.addcmul(shift[:, None, None], x, scale[:, None, None]).to(dtype)


def synchronize_norms(module: nn.Module) -> None:
    """Replace every `nn.BatchNorm2d` inside `module` by a `SynchronizedBatchNorm2d` with its parameters and buffers."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            norm = SynchronizedBatchNorm2d(child.num_features, child.eps, child.momentum, child.affine)
            norm.load_state_dict(child.state_dict())
            setattr(module, name, norm)
        else:
            synchronize_norms(child)
