"""Old checkpoints live on: what the DARTS and PC-DARTS scripts saved, its key names translated into ours."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from pcdarts.errors import InputError


def translate_key(key: str) -> str:
    """Our name of the authors' `key`: `cells.0._ops.3.op.1.weight` is our `cells.0.ops.3.1.weight`, and so on."""
    key = key.removeprefix("module.")  # of nn.DataParallel
    for theirs, ours in (("stem0.", "stem.quarter."), ("stem1.", "stem.eighth.")):
        if key.startswith(theirs):
            key = ours + key.removeprefix(theirs)
    return key.replace("._ops.", ".ops.").replace(".op.", ".")


def translate_state(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of an authors' state dict under our names; a whole checkpoint with a `state_dict` inside will do.

    Raises:
        InputError: a value is not a tensor.
    """
    inner = state.get("state_dict")
    translated: dict[str, Tensor] = {}
    for key, value in (inner if isinstance(inner, Mapping) else state).items():
        if not isinstance(value, Tensor):
            raise InputError(
                f"{key} in the authors' state dict is of type {type(value).__name__}, expected a tensor: "
                "give what their script saved with model.state_dict()"
            )
        translated[translate_key(key)] = value
    return translated


def load_translated(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Copy `state`, translated already, into `module`; batch counters that PyTorch 0.3 did not save may be absent.

    Raises:
        InputError: a key is missing, unexpected or of another shape; `module` is left as it was.
    """
    own = module.state_dict()
    missing = [key for key in own if key not in state and not key.endswith(".num_batches_tracked")]
    unexpected = [key for key in state if key not in own]
    misshapen = [key for key in own if key in state and own[key].shape != state[key].shape]
    problems = [
        *(f"{key} is missing" for key in missing),
        *(f"{key} is unexpected" for key in unexpected),
        *(f"{key} is {list(state[key].shape)} instead of {list(own[key].shape)}" for key in misshapen),
    ]
    if problems:
        more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
        raise InputError(
            f"the authors' state dict does not fit this network: {', '.join(problems[:3])}{more}; "
            "make the network with the genotype and the sizes that the script used"
        )
    module.load_state_dict(own | dict(state))
