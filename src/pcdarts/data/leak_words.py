"""How many images are in two of the sets, as results hold it and in words. Nothing here imports PyTorch."""

from typing import Any

from pcdarts.errors import counted

Leaks = dict[str, int]
"""How many images of a set are in another one too, by `test in training` and the like; empty: none were found."""

SETS = ("training", "validation", "test")


def leaked(count: int, one: str, other: str, of: int | None = None) -> str:
    """`30 of 60 test images are among the training images too, so the test error says too little`."""
    images = f"{count:,} of {counted(of, f'{other} image')}" if of is not None else counted(count, f"{other} image")
    verb = "is" if count == 1 else "are"
    return f"{images} {verb} among the {one} images too, so the {other} error says too little"


def leak_sentences(leaks: Any) -> list[str]:
    """What to say of the `leaks` of a result; nothing where none were found, nobody looked, or it is damaged."""
    known = leaks if isinstance(leaks, dict) else {}
    pairs = [(one, other, known.get(f"{other} in {one}")) for one in SETS for other in SETS if one != other]
    return [leaked(count, one, other) for one, other, count in pairs if type(count) is int and count > 0]
