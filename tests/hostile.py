"""What the fuzz tests share: how many cases they try, what they do to good text and bytes, and how a case may end.

`PCDARTS_FUZZ=1` tries three times as many cases, 10 thirty times, and other ones every time; without it the cases are
always the same.
"""

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from hypothesis import HealthCheck, Phase, currently_in_test_context, event, settings
from hypothesis import strategies as st

from pcdarts.errors import InputError

TIMES = os.environ.get("PCDARTS_FUZZ")

Result = TypeVar("Result")


def cases(count: int, *, slow: bool = False) -> settings:
    """Try a third of `count` cases, or as many times `count` as PCDARTS_FUZZ says.

    A slow one that fails is not made smaller.
    """
    return settings(
        max_examples=count * int(TIMES) if TIMES else count // 3,
        derandomize=TIMES is None,
        deadline=None,
        phases=(Phase.explicit, Phase.generate) if slow else settings.default.phases,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )


def outcome(action: Callable[[], Result], name: str = "") -> Result | None:
    """What `action` returns; None if it ends in a clear refusal that names the thing. Nothing else may happen."""
    try:
        result = action()
    except InputError as error:
        _count("refused")
        check_words(str(error), name)
        return None
    _count("accepted")
    return result


def _count(end: str) -> None:
    """For `pytest --hypothesis-show-statistics`."""
    if currently_in_test_context():
        event(end)


def check_words(message: str, name: str = "") -> None:
    """A refusal is one line of bounded length; several problems of a configuration are a heading and a line each."""
    heading, *problems = message.split("\n")
    assert heading.strip()
    assert name in message
    if problems:
        assert heading == f"{len(problems)} problems with the configuration:"
        assert all(problem.startswith("  ") for problem in problems)
    for line in (heading, *problems):
        assert line.isprintable(), line
        assert len(line) < 2000, line


@contextlib.contextmanager
def new_folder() -> Iterator[Path]:
    """A folder of its own for one case."""
    with tempfile.TemporaryDirectory(prefix="pcdarts-fuzz-") as folder:
        yield Path(folder)


def mutated(good: str, pieces: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """`good` after a few insertions, deletions, replacements and repetitions, of characters and of longer stretches."""
    places = st.integers(0, len(good))
    lengths = st.one_of(st.just(0), st.just(1), st.integers(0, 30))
    edits = st.tuples(places, lengths, st.one_of(st.just(""), pieces), st.integers(1, 2))
    return st.lists(edits, min_size=1, max_size=4).map(lambda edits: _edited(good, edits))


def _edited(text: str, edits: list[tuple[int, int, str, int]]) -> str:
    for place, length, piece, repeats in edits:
        removed = text[place : place + length]
        text = text[:place] + (piece or removed * (repeats - 1) * 2) + text[place + length :]
    return text


def damaged(good: bytes) -> st.SearchStrategy[bytes]:
    """`good` cut short, with flipped bytes, a block of zeros, a block from elsewhere or garbage behind it."""
    places = st.integers(0, max(len(good) - 1, 0))
    cut = places.map(lambda place: good[:place])
    blocks = st.one_of(
        st.binary(min_size=1, max_size=8),
        st.integers(1, 600).map(bytes),
        st.tuples(places, st.integers(1, 200)).map(lambda block: good[block[0] : block[0] + block[1]]),
    )
    changes = st.lists(st.tuples(places, blocks), min_size=1, max_size=3)
    overwritten = changes.map(lambda changes: _overwritten(good, changes))
    longer = st.binary(min_size=1, max_size=200).map(lambda garbage: good + garbage)
    return st.one_of(cut, overwritten, longer)


def _overwritten(content: bytes, changes: list[tuple[int, bytes]]) -> bytes:
    for place, block in changes:
        content = content[:place] + block + content[place + len(block) :]
    return content
