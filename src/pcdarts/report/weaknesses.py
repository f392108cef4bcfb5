"""What trained networks are bad at, class by class, as far as their runs have measured it."""

from collections.abc import Sequence
from dataclasses import dataclass

from pcdarts.errors import listed
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


def weaknesses(subject: Subject) -> list[Weaknesses]:
    """Of each run that says so; trainings of a study are not looked at one by one."""
    if subject.outcome is not None:
        return []
    return [found for group in subject.groups if (found := _of(group)) is not None]


def _of(group: Group) -> Weaknesses | None:
    finished = [history for history in group.histories if history.result]
    details = of_results([history.result for history in finished])
    if details is None:
        return None
    heading, *rows = details.table()
    count, over_seeds = len(details.worst), f" Means over {details.seeds} seeds." if details.seeds > 1 else ""
    which = f"The {MOST_LISTED} worst of {count:,} classes." if count > MOST_LISTED else "The worst class first."
    caption = f"{which} Accuracy is the part of a class that is recognised.{over_seeds}"
    words = [f"{sentence[0].upper()}{sentence[1:]}." for sentence in details.sentences()]
    return Weaknesses(
        group.name, [*words, *_sheets(finished)], confusion_chart(details), Table(heading, tuple(rows), (caption,))
    )


def _sheets(finished: Sequence[History]) -> list[str]:
    """Where the surest mistakes are: pictures of the user's images, which are no part of a report."""
    paths = [str(history.run.mistakes) for history in finished if history.run.mistakes.is_file()]
    return [f"The surest mistakes are drawn in {listed(paths, 'and')}."] if paths else []
