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


def closest(name: str, known: Iterable[str]) -> str:
    """`: did you mean ...?` if a known name is close, else nothing."""
    close = get_close_matches(name, list(known), n=1)
    return f": did you mean {close[0]}?" if close else ""


def shown(value: object) -> str:
    """A value as the user wrote it, on one line of bounded length."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    text = text if text.isprintable() and text.strip() else repr(text)
    return text if len(text) <= 80 else f"{text[:77]}..."


def listed(names: Iterable[str], joint: str = "or") -> str:
    """`a, b or c`, joined by `joint`."""
    *first, last = names
    return f"{', '.join(first)} {joint} {last}" if first else last
