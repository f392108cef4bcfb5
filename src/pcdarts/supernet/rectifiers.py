"""Which rectifiers of a supernet are on for which image: the linear region that an image lies in (TE-NAS)."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from torch.overrides import TorchFunctionMode

from pcdarts.supernet import reference
from pcdarts.supernet.arch import Mixture

_RECTIFIERS: tuple[Callable[..., Tensor], ...] = (Tensor.relu, torch.relu, F.relu)


class _ByReference(nn.Module):
    """A supernet that `reference.py` computes, one rectifier for each operation that has one."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor, mixture: Mixture, masks: list[Tensor] | None) -> Tensor:
        return reference.supernet(self.network, images, mixture, masks)


class _Recording(TorchFunctionMode):
    """Keeps what rectifiers give, in the order in which they are computed."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Tensor] = []

    def __torch_function__(
        self, function: Any, types: Any, arguments: Any = (), named: Mapping[str, Any] | None = None
    ) -> Any:
        output = function(*arguments, **(named or {}))
        if function in _RECTIFIERS:
            self.found.append(output)
        return output


@torch.no_grad()
def patterns(
    network: nn.Module,
    state: Mapping[str, Tensor],
    images: Tensor,
    mixture: Mixture,
    masks: list[Tensor] | None = None,
) -> Tensor:
    """For each image, boolean [B, units], which numbers of all rectifiers of a supernet are more than zero.

    `state` are the weights and buffers that are taken instead of its own; running statistics that move are among these.
    Images may be of any size.
    """
    with _Recording() as recording:
        functional_call(
            _ByReference(network),
            {f"network.{name}": tensor for name, tensor in state.items()},
            (images, mixture, masks),
        )
    return torch.cat([output.gt(0).flatten(1) for output in recording.found], dim=1)
