"""Old checkpoints live on: what the DARTS and PC-DARTS scripts saved, its key names translated into ours."""

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from pcdarts.errors import InputError, listed, shown

WRAPPINGS = ("state_dict", "model_state_dict", "model", "net", "network", "weights")
"""Under which of these names a checkpoint keeps its weights, the first that is there."""

AVERAGED = ("state_dict_ema", "model_ema", "ema_state_dict", "ema")
"""The same of weights averaged over training, which count if there are no others."""

_PREFIXES = ("module.", "model.", "net.", "network.")
_COUNTERS = ("total_ops", "total_params", "n_averaged")
"""What tools that count or average leave among the weights."""


def translate_key(key: str) -> str:
    """Our name of the authors' `key`: `cells.0._ops.3.op.1.weight` is our `cells.0.ops.3.1.weight`, and so on.

    The prefixes that wrappers of a module add (`module.`, `_orig_mod.`) are left out.
    """
    key = bare_key(key)
    for theirs, ours in (("stem0.", "stem.quarter."), ("stem1.", "stem.eighth.")):
        if key.startswith(theirs):
            key = ours + key.removeprefix(theirs)
    return key.replace("._ops.", ".ops.").replace(".op.", ".")


def bare_key(key: str) -> str:
    """The key without what nn.DataParallel, torch.compile and classes around the network put before it."""
    key = key.replace("_orig_mod.", "")
    while key.startswith(_PREFIXES):
        key = key.partition(".")[2]
    return key


def unwrapped(state: Any) -> tuple[Mapping[str, Any], str]:
    """The state dict inside a checkpoint, and the names of the wrappings that it was found under, joined by dots.

    Raises:
        InputError: it is no mapping, but a whole module for instance.
    """
    if isinstance(state, nn.Module):
        kind = type(state).__name__
        raise InputError(f"a state dict is needed, but this is a whole module ({kind}): give its state_dict()")
    found: list[str] = []
    while True:
        if not isinstance(state, Mapping):
            raise InputError(
                f"a state dict is needed, a mapping of names to tensors, but this is of type {type(state).__name__}: "
                "give what model.state_dict() returns, or the checkpoint that it was saved in"
            )
        inner = next((name for name in (*WRAPPINGS, *AVERAGED, "module") if _is_wrapping(state.get(name))), None)
        if inner is None or len(found) > 3:
            return state, ".".join(found)
        state = state[inner]
        found.append(inner)


def _is_wrapping(value: Any) -> bool:
    return isinstance(value, Mapping) and len(value) > 0


def weights_in(state: Any) -> Iterator[tuple[str, Any]]:
    """Keys and values of the state dict in a checkpoint, without what counters have left there.

    Raises:
        InputError: as `unwrapped`.
    """
    for key, value in unwrapped(state)[0].items():
        if str(key).rpartition(".")[2] not in _COUNTERS:
            yield str(key), value


def translate_state(state: Any) -> dict[str, Tensor]:
    """The tensors of an authors' state dict under our names; a whole checkpoint that holds one will do.

    Raises:
        InputError: it is no mapping but a module, for instance, or a value is not a tensor.
    """
    translated: dict[str, Tensor] = {}
    for key, value in weights_in(state):
        if not isinstance(value, Tensor):
            raise InputError(
                f"{shown(key)} in the authors' state dict is of type {type(value).__name__}, expected a tensor: "
                f"give what their script saved with model.state_dict(), alone or as {listed(WRAPPINGS)} of a checkpoint"
            )
        translated[translate_key(key)] = value
    return translated


def load_translated(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Copy `state`, translated already, into `module`; batch counters that PyTorch 0.3 did not save may be absent.

    Raises:
        InputError: a key is missing, unexpected or of another shape; `module` is left as it was.
    """
    own = module.state_dict()
    problems = misfits(own, state)
    if problems:
        raise InputError(
            f"the authors' state dict does not fit this network: {told(problems)}; "
            "make the network with the genotype and the sizes that the script used"
        )
    module.load_state_dict(own | dict(state))


def misfits(
    own: Mapping[str, Tensor], state: Mapping[str, Tensor], names: Mapping[str, str] | None = None
) -> list[str]:
    """What keeps `state` from being the state of a network with the state `own`, in words.

    Args:
        own: the state dict of the network.
        state: what it is to take, under our names.
        names: what to call its tensors, by our names; these where it says nothing.
    """
    called = names or {}
    missing = [key for key in own if key not in state and not key.endswith(".num_batches_tracked")]
    unexpected = [key for key in state if key not in own]
    misshapen = [key for key in own if key in state and own[key].shape != state[key].shape]
    return [
        *(f"{key} is missing" for key in missing),
        *(f"{shown(called.get(key, key))} is unexpected" for key in unexpected),
        *(f"{called.get(key, key)} is {list(state[key].shape)} instead of {list(own[key].shape)}" for key in misshapen),
    ]


def told(problems: list[str]) -> str:
    """The first three, and how many more there are."""
    more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
    return ", ".join(problems[:3]) + more
