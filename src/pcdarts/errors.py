"""The two ways a job can end badly; every message is one line that names the thing, the expectation and the remedy."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from numbers import Integral
from os import PathLike


class InputError(ValueError):
    """Wrong usage, configuration or input (a file, a flag, a genotype, a checkpoint, a data set): exit code 2."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n  ".join(map(in_one_line, lines)))


class RunError(RuntimeError):
    """A job that started well and then failed (a full disk, for instance): exit code 1."""

    def __init__(self, line: str) -> None:
        super().__init__(in_one_line(line))


def in_one_line(text: str) -> str:
    """`text` as one printable line of bounded length, whatever the file names and values that went into it hold."""
    line = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
    return line if len(line) <= 1800 else f"{line[:1200]} ... {line[-500:]}"


def did_you_mean(name: str, choices: Iterable[str], others: Iterable[str] = (), about_others: str = "") -> str:
    """The remedy for a misspelt name: the closest choice if one is close, and all of them in any case.

    There may be `others` too, too many to list: words about them stand in their place.
    """
    known, more = list(choices), list(others)
    close = get_close_matches(name, known + more, n=1)
    listing = f"use one of {', '.join(known)}" + (f", or {about_others}" if more else "")
    return f"did you mean {close[0]!r}? ({listing})" if close else listing


def closest(name: str, known: Iterable[str]) -> str:
    """`: did you mean ...?` if a known name is close, else nothing."""
    close = get_close_matches(name, list(known), n=1)
    return f": did you mean {close[0]}?" if close else ""


def shown(value: object, length: int = 80) -> str:
    """A value as the user wrote it, on one line of at most `length` characters."""
    try:
        text = str(value).lower() if isinstance(value, bool) else str(value)
    except ValueError:  # Python prints no integer of more than 4300 digits
        return "a huge number"
    text = text if text.isprintable() and text.strip() else repr(text)
    return text if len(text) <= length else f"{text[: length - 3]}..."


def listed(names: Iterable[str], joint: str = "or") -> str:
    """`a, b or c`, joined by `joint`."""
    *first, last = names
    return f"{', '.join(first)} {joint} {last}" if first else last


def first_of(names: Sequence[str], at_most: int) -> list[str]:
    """The names; of more than `at_most` the first ones, and `3 more` in place of the others."""
    more = len(names) - at_most
    return [*names[:at_most], f"{more} more"] if more > 0 else list(names)


def in_short(names: Sequence[str]) -> str:
    """`a, b`; of more than five names `a, b, c, d, e and 3 more`."""
    return listed(first_of(names, 5), "and") if len(names) > 5 else ", ".join(names)


def wrong_type(what: str, value: object, wanted: str, remedy: str) -> InputError:
    """What to say of an argument of another type than the `wanted` one."""
    kind = type(value).__name__
    is_ = "missing" if value is None else f"of type {kind}"
    return InputError(f"{what} is {is_}, but it must be {wanted}: {remedy}")


def check_path(name: str, path: object, wanted: str) -> None:
    """Make sure that an argument is a path, as text or as a `Path`.

    Raises:
        InputError: it is something else.
    """
    if not isinstance(path, str | PathLike):
        raise wrong_type(name, path, "a path", f"give {wanted}")


def check_whole(**numbers: object) -> None:
    """Make sure that arguments, given by name, are whole numbers.

    Raises:
        InputError: naming one that is none.
    """
    for name, number in numbers.items():
        if not isinstance(number, Integral) or isinstance(number, bool):
            raise wrong_type(name, number, "a whole number", "give one such as 4")


def counted(number: int, one: str, many: str | None = None) -> str:
    """`1 image`, `2,400 images`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
