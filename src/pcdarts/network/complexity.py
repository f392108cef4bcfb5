"""Parameters and mult-adds of a network, counted as in the paper's tables."""

import copy
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import nn

from pcdarts.errors import check_whole, wrong_type

ModuleKind = TypeVar("ModuleKind", bound=nn.Module)


@dataclass(frozen=True)
class Complexity:
    """The cost of inference on one image."""

    params: int
    """Learnable parameters, without those of the auxiliary head, which inference does not use."""
    mult_adds: int
    """Multiply-adds of the convolutions and linear layers; BatchNorm, ReLU, pooling and additions are not counted.

    Table 2 of the paper gives 2 to 3 % more for the PC-DARTS cells; its figures result if a BatchNorm counts two
    operations per output and a ReLU one.
    """


def complexity(model: nn.Module, input_shape: tuple[int, int, int] = (3, 32, 32)) -> Complexity:
    """Count the parameters and mult-adds of `model` for one image of `input_shape` (channels, height, width).

    Works on a copy without data (on the `meta` device): nothing is computed and `model` is not changed. A submodule
    named `auxiliary_head` does not count.

    Raises:
        InputError: `model` is not a module, or `input_shape` not the shape of an image.
    """
    if not isinstance(model, nn.Module):
        raise wrong_type("model", model, "a module", "give a network, such as pcdarts.Network(genotype)")
    if not isinstance(input_shape, list | tuple) or len(input_shape) != 3:
        raise wrong_type(
            "input_shape", input_shape, "three numbers (channels, height, width)", "give one such as (3, 32, 32)"
        )
    check_whole(**dict(zip(("channels", "height", "width"), input_shape, strict=True)))
    skeleton = skeleton_of(model)
    params = [(name, param) for name, param in skeleton.named_parameters() if not name.startswith("auxiliary_head.")]
    dtype = params[0][1].dtype if params else torch.get_default_dtype()
    from torch.utils.flop_counter import FlopCounterMode  # slow to import, and only needed here

    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        skeleton(torch.empty(1, *input_shape, dtype=dtype, device="meta"))
    # PyTorch counts a multiplication and an addition as two operations.
    return Complexity(sum(param.numel() for _, param in params), counter.get_total_flops() // 2)


def skeleton_of(model: ModuleKind) -> ModuleKind:
    """A copy of `model` for counting: without data (on the `meta` device), in evaluation mode.

    Its BatchNorms do nothing: they are not counted, and are the slowest modules on this device.
    """
    skeleton = copy.deepcopy(model).to("meta").eval()
    for module in skeleton.modules():
        if isinstance(module, nn.modules.batchnorm._NormBase):
            module.forward = nn.Identity().forward
    return skeleton
