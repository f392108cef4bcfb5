"""Which weights of a training are its result: those after the last epoch, or those that a validation set has chosen.

With `--ema` both are averages over the steps.
"""

import copy
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from pcdarts.config.configs import TrainConfig


class Best:
    """The weights after the epoch with the lowest validation error so far; of equal ones the latest epoch's.

    (Its learning rate was the lowest.)
    """

    def __init__(self) -> None:
        self.epoch = 0
        """Whose weights they are, counted from 1; 0 before the first measurement."""
        self.errors: dict[str, float] = {}
        """Those on the validation images, in %: `top1_error` and, of more than 5 classes, `top5_error`."""
        self.since = 0
        """The epoch since which no error was lower, from which patience counts."""
        self.weights: dict[str, Tensor] | None = None

    def offer(self, epoch: int, errors: Mapping[str, float], network: nn.Module) -> None:
        """The validation errors after an epoch: keep its weights if they are the best so far."""
        error, least = errors["top1_error"], self.errors.get("top1_error", float("inf"))
        if error < least:
            self.since = epoch
        if error <= least:
            self.epoch, self.errors = epoch, dict(errors)
            self.weights = {name: weight.detach().cpu().clone() for name, weight in network.state_dict().items()}

    def has_waited(self, epochs: int, patience: int | None) -> bool:
        """Whether, with so many epochs done, `patience` of them have passed without a lower error."""
        return patience is not None and epochs - self.since >= patience

    def stop_line(self, epochs: int) -> str:
        """Why a training of which so many epochs are done ends before its last one."""
        return (
            f"stopped after epoch {epochs}: no validation error was lower in the {epochs - self.since} epochs since "
            f"epoch {self.since} (--patience)"
        )

    def result(self) -> dict[str, Any]:
        """What a result says of the choice."""
        return {**{f"validation_{name}": error for name, error in self.errors.items()}, "best_epoch": self.epoch}

    def copy_into(self, network: nn.Module) -> nn.Module:
        """A network of its own like `network`, with the best weights."""
        chosen = copy.deepcopy(network)
        chosen.load_state_dict(self.weights or {})
        return chosen.eval()

    def state_dict(self) -> dict[str, Any]:
        return dict(vars(self))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        vars(self).update({name: state[name] for name in vars(self)})


def when(result: Mapping[str, Any], epochs: int) -> str:
    """In words, whose weights a result is of, with the validation error beside a test error."""
    validated = result.get("validation_top1_error") if "test_top1_error" in result else None
    words = "after the last epoch" if "best_epoch" not in result else f"after epoch {result['best_epoch']} of {epochs}"
    return words if validated is None else f"{words} (validation error {validated:.2f} %)"


def weights_to_use(state: Mapping[str, Any], config: TrainConfig) -> dict[str, Tensor]:
    """The weights in the state of a training's checkpoint that are the run's network, finished or not.

    Raises:
        LookupError, TypeError, ValueError: it is no such state.
    """
    best = state["best"]["weights"] if config.select == "best" else None
    return dict(state["ema" if config.ema else "network"] if best is None else best)
