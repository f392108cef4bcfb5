"""The backward pass of depthwise convolutions: PyTorch's own beside `depthwise_conv2d`, in milliseconds.

    python benchmarks/depthwise.py

Both gradients (of input and weight), batch 64, 16 channels, 32x32, float32, channels-last, one thread; the fastest of
`REPEATS` after three that do not count.
"""

import time

import torch
from torch import Tensor

from pcdarts.ops.depthwise import convolve, depthwise_conv2d

REPEATS = 25


def main() -> None:
    torch.set_num_threads(1)
    print("| kernel | dilation | stride | PyTorch | ours |\n|---|---|---|---|---|")
    for stride, dilation, size in [(s, d, k) for s in (1, 2) for d in (1, 2) for k in (3, 5)]:
        x = torch.randn(64, 16, 32, 32).contiguous(memory_format=torch.channels_last).requires_grad_()
        weight = torch.randn(16, 1, size, size, requires_grad=True)
        outputs = (function(x, weight, stride, dilation) for function in (convolve, depthwise_conv2d))
        plain, ours = (fastest(out, x, weight) for out in outputs)
        print(f"| {size}x{size} | {dilation} | {stride} | {plain:.2f} | {ours:.2f} |")


def fastest(out: Tensor, x: Tensor, weight: Tensor) -> float:
    """Milliseconds of the fastest of `REPEATS` backward passes from `out` to `x` and `weight`."""
    grad, seconds = torch.randn_like(out), []
    for _ in range(3 + REPEATS):
        started = time.perf_counter()
        torch.autograd.grad(out, (x, weight), grad, retain_graph=True)
        seconds.append(time.perf_counter() - started)
    return 1e3 * min(seconds[3:])


if __name__ == "__main__":
    main()
