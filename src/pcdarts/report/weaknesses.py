"""What trained networks are bad at, class by class, as far as their runs have measured it."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pcdarts.data.leak_words import leak_sentences
from pcdarts.detect.by_class import read_precisions
from pcdarts.learn.by_class import MOST_LISTED, of_results
from pcdarts.report.drawing.confusion import confusion_chart
from pcdarts.report.history import History
from pcdarts.report.study_tables import Table
from pcdarts.report.subject import Group, Subject


@dataclass(frozen=True)
class Weaknesses:
    """What one run (all its seeds) is bad at. The chart is HTML; everything else is text."""

    name: str
    words: Sequence[str]
    chart: str
    """The confusion matrix; empty where it would be too large."""
    table: Table
    sheets: Sequence[str]
    """Where the surest mistakes are, relative to the page: pictures of the user's images, which are no part of it."""


def weaknesses(subject: Subject, out: Path) -> list[Weaknesses]:
    """Of each run that says so; trainings of a study are not looked at one by one."""
    if subject.outcome is not None:
        return []
    return [found for group in subject.groups if (found := _of(group, out)) is not None]


def _of(group: Group, out: Path) -> Weaknesses | None:
    finished = [history for entry in group.entries for history in entry.trainings if history.result]
    details = of_results([history.result for history in finished])
    if details is None:
        return _of_detector(group.name, finished)
    over_seeds = f" Means over {details.seeds} seeds." if details.seeds > 1 else ""
    caption = f"{_order(len(details.worst))} Accuracy is the part of a class that is recognised.{over_seeds}"
    table = _table(details.table(), caption)
    leaks = leak_sentences((finished[0].result or {}).get("leaks"))
    words = _whole([*leaks, *details.sentences()])
    return Weaknesses(group.name, words, confusion_chart(details), table, _sheets(finished, out))


def _of_detector(name: str, finished: Sequence[History]) -> Weaknesses | None:
    found = [read_precisions((history.result or {}).get("test_details")) for history in finished]
    if len(found) != 1 or found[0] is None or not found[0].known:
        return None
    caption = f"{_order(len(found[0].known))} AP is COCO's average precision, AP50 that at an overlap of one half."
    return Weaknesses(name, _whole(found[0].sentences()), "", _table(found[0].table(), caption), ())


def _order(count: int) -> str:
    return f"The {MOST_LISTED} worst of {count:,} classes." if count > MOST_LISTED else "The worst class first."


def _whole(sentences: Sequence[str]) -> list[str]:
    return [f"{sentence[0].upper()}{sentence[1:]}." for sentence in sentences]


def _table(rows: Sequence[tuple[str, ...]], caption: str) -> Table:
    heading, *others = rows
    return Table(heading, tuple(others), (caption,))


def _sheets(finished: Sequence[History], out: Path) -> list[str]:
    sheets = [history.run.mistakes.absolute() for history in finished if history.run.mistakes.is_file()]
    try:
        return [Path(os.path.relpath(sheet, out.absolute())).as_posix() for sheet in sheets]
    except ValueError:  # on another drive of Windows
        return [sheet.as_posix() for sheet in sheets]
