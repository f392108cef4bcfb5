"""The two ways a job can end badly; every message is one line that names the thing, the expectation and the remedy."""

from collections.abc import Iterable
from difflib import get_close_matches


class InputError(ValueError):
    """Wrong usage, configuration or input (a file, a flag, a genotype, a checkpoint, a data set): exit code 2."""


class RunError(RuntimeError):
    """A job that started well and then failed (a full disk, for instance): exit code 1."""


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """The remedy for a misspelt name: the closest choice if one is close, and all of them in any case."""
    known = list(choices)
    close = get_close_matches(name, known, n=1)
    listing = f"use one of {', '.join(known)}"
    return f"did you mean {close[0]!r}? ({listing})" if close else listing
