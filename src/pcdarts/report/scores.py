"""The scores of a report's cells, by a table of known cells."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pcdarts.errors import InputError, in_short
from pcdarts.jobs.outcome.scoring import RunScores, scores_of
from pcdarts.report.subject import Subject
from pcdarts.run.run_folder import RunFolder
from pcdarts.score.yardstick import Yardstick


@dataclass(frozen=True)
class Scores:
    """The scores of a subject's cells."""

    words: Sequence[str] = ()
    """Sentences about the yardstick."""
    cells: Mapping[str, RunScores] = field(default_factory=dict)
    """By the name of the entry, for entries with a genotype."""
    missing: Sequence[str] = ()
    """Which cells have no score, and why."""


def read_scores(subject: Subject, yardstick: Yardstick | None) -> Scores | None:
    """The scores that a study already has, or those of runs by `yardstick`; None without a table."""
    if subject.outcome is None:
        return None if yardstick is None else _of_runs(subject, yardstick)
    outcome = subject.outcome
    if outcome.table is None:
        return None
    found = {cell.name: outcome.run_scores(cell) for cell in outcome.cells}
    cells = {name: scores for name, scores in found.items() if scores and (scores.final or scores.epochs)}
    return Scores(outcome.yardstick.words() if outcome.yardstick else (), cells, outcome.remarks)


def _of_runs(subject: Subject, yardstick: Yardstick) -> Scores:
    cells: dict[str, RunScores] = {}
    refused: dict[str, list[str]] = {}
    elsewhere = subject.trained_again
    for group in subject.groups:
        if group.path is None or group.name in elsewhere:
            continue
        try:
            scores = scores_of(RunFolder(group.path), yardstick)
        except InputError as error:
            refused.setdefault(str(error), []).append(group.name)
        else:
            if scores.final or scores.epochs:
                cells[group.name] = scores
    missing = [f"not scored: {in_short(names)} ({why})" for why, names in refused.items()]
    return Scores(yardstick.words(), cells, missing)
