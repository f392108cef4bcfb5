"""An exponential moving average of a network's weights over the steps of its training, by PyTorch."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

Net = TypeVar("Net", bound=nn.Module)


class AverageWeights:
    """The average: a network of its own, of the same kind, which is never trained.

    Running statistics are averaged too. After step t, counted from 1, the decay is the smaller one of `decay` and
    (1 + t) / (10 + t): a long memory of the first random weights would spoil a short training.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = deepcopy(network).requires_grad_(False).eval()
        self._decay = decay
        self.note = f"an average of the weights over the steps (decay {decay:g}) is measured and kept"

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Take in the weights of `network` after so many steps."""
        decay = min(self._decay, (1 + step) / (10 + step))
        ours, theirs = _tensors(self.network), _tensors(network)
        floats = [name for name, tensor in ours.items() if tensor.is_floating_point()]
        average: Any = get_ema_multi_avg_fn(decay)
        average([ours[name] for name in floats], [theirs[name] for name in floats], step)
        for name in ours.keys() - set(floats):  # BatchNorm counts its batches
            ours[name].copy_(theirs[name])

    def state_dict(self) -> dict[str, Any]:
        return self.network.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.network.load_state_dict(state)


def _tensors(network: nn.Module) -> dict[str, Tensor]:
    return dict((*network.named_parameters(), *network.named_buffers()))
