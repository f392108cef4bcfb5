"""A supernet that samples more channels begins with the weights of one that sampled fewer (net2wider, as in DrNAS).

Operations of the wider supernet have more channels (C/K with a smaller K); each new channel is a copy of one of the old
ones, drawn at random, in all weights that read or write it, and so are its running statistics and its momentum.
Nothing is rescaled and no noise is added (DrNAS's released code).
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pcdarts.supernet.supernet import Supernet


def widen(
    narrow: Supernet,
    wide: Supernet,
    chance: torch.Generator,
    optimizers: tuple[torch.optim.Optimizer, torch.optim.Optimizer] | None = None,
) -> None:
    """Give `wide` the weights and running statistics of `narrow`, and its optimiser the state of the narrow one's.

    Supernets of the same K get exact copies.

    Args:
        narrow, wide: supernets that differ in nothing but K.
        chance: which old channels the new ones are copies of; on the CPU.
        optimizers: of the weights of `narrow` and of those of `wide`, in this order.

    Raises:
        ValueError: the supernets differ in more than K.
    """
    old, new = narrow.state_dict(), wide.state_dict()
    if old.keys() != new.keys() or any(old[name].dim() != new[name].dim() for name in old):
        raise ValueError("supernets that share weights differ in K alone: their cells, channels and stem are the same")
    sources = _Sources(chance)
    wide.load_state_dict({name: sources.copied(name, old[name], new[name].shape) for name in new})
    if optimizers is None:
        return
    before, after = optimizers
    shapes = {name: weight.shape for name, weight in wide.named_parameters()}
    own: Mapping[Any, Any] = before.state
    for (name, weight), target in zip(narrow.named_parameters(), wide.parameters(), strict=True):
        after.state[target] = {
            key: sources.copied(name, value, shapes[name]) if torch.is_tensor(value) and value.dim() else value
            for key, value in own.get(weight, {}).items()
        }


class _Sources:
    """Which old channel each new one is a copy of: the same for all tensors of a cell, so that they fit together."""

    def __init__(self, chance: torch.Generator) -> None:
        self.chance = chance
        self._drawn: dict[tuple[str, int, int], Tensor] = {}

    def copied(self, name: str, old: Tensor, shape: torch.Size) -> Tensor:
        """The old tensor, with copies of channels along every axis that is longer in `shape`."""
        cell = ".".join(name.split(".")[:2])
        new = old
        for axis, length in enumerate(shape):
            if (before := old.shape[axis]) != length:
                new = new.index_select(axis, self._of(cell, before, length).to(old.device))
        return new.clone()

    def _of(self, cell: str, before: int, after: int) -> Tensor:
        place = (cell, before, after)
        if before > after:
            raise ValueError(f"{cell} has {before} channels before and {after} afterwards: K only becomes smaller")
        if place not in self._drawn:
            more = torch.randint(before, (after - before,), generator=self.chance)
            self._drawn[place] = torch.cat([torch.arange(before), more])
        return self._drawn[place]
