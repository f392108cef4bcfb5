"""Which weights of a training are its result: those after the last epoch, or those that a validation set has chosen.

With `--ema` both are averages over the steps.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from pcdarts.config.configs import TrainConfig


def weights_to_use(state: Mapping[str, Any], config: TrainConfig) -> dict[str, Tensor]:
    """The weights in the state of a training's checkpoint that are the run's network, finished or not.

    Raises:
        LookupError, TypeError, ValueError: it is no such state.
    """
    best = state["best"]["weights"] if config.select == "best" else None
    return dict(state["ema" if config.ema else "network"] if best is None else best)
