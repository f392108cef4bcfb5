"""What `pcdarts rank` found, as values, tables and panels of a picture."""

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pcdarts.cell.genotype import Genotype
from pcdarts.rank.correlation import LEVEL, RESAMPLES, RankCorrelation, Resampling
from pcdarts.rank.scores import SCORES, Score
from pcdarts.report.drawing.scatter import Panel
from pcdarts.run.display.columns import aligned
from pcdarts.truth.columns import Column

Numbers = Mapping[str, float]


def correlations_of(
    columns: Sequence[Column], truth: Sequence[Numbers], scores: Sequence[Numbers], seed: int
) -> dict[str, Any]:
    """The correlations of every score with every column, as plain values; None where one is the same for all.

    Of all cells, and of the better half of them by that column alone.
    """
    draws, half = Resampling(len(scores), seed), Resampling(-(-len(scores) // 2), seed)
    of_scores = {score: [_sign(score) * row[score.name] for row in scores] for score in _there(scores)}
    prepared = {score: draws.column(values) for score, values in of_scores.items()}
    correlations = []
    for name in (column.name for column in columns):
        accuracies = [row[name] for row in truth]
        better = sorted(range(len(truth)), key=lambda place: -accuracies[place])[: half.pairs]
        of_all, of_better = draws.column(accuracies), half.column([accuracies[place] for place in better])
        for score, values in of_scores.items():
            chosen = half.column([values[place] for place in better])
            found, within = draws.correlation(prepared[score], of_all), half.correlation(chosen, of_better)
            correlations.append({"score": score.name, "column": name, **_plain(found), "better_half": _plain(within)})
    interval = f"percentile bootstrap of {RESAMPLES} draws of cells, {100 * LEVEL:g} %"
    return {"cells": len(scores), "interval": interval, "correlations": correlations}


def _sign(score: Score) -> int:
    return 1 if score.higher_is_better else -1


def _plain(found: RankCorrelation | None) -> dict[str, Any]:
    return {"kendall": found and asdict(found.kendall), "spearman": found and asdict(found.spearman)}


def tables_of(columns: Sequence[Column], correlations: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A table for each of the columns, as lines."""
    words = {score.name: score.words for score in SCORES}
    for column in columns:
        yield ""
        yield f"rank correlation with {column.in_words} (95 % intervals, by bootstrap over cells)"
        rows: list[tuple[str, ...]] = [("score", "Kendall's tau", "", "Spearman's rho", "", "tau, better half", "")]
        for each in correlations:
            if each["column"] == column.name:
                found = (each["kendall"], each["spearman"], each["better_half"]["kendall"])
                rows.append((words[each["score"]], *(word for one in found for word in _in_words(one))))
        yield from aligned(rows)
    yield ""


def panels_of(
    correlations: Sequence[Mapping[str, Any]], column: str, accuracies: Sequence[float], scores: Sequence[Numbers]
) -> list[Panel]:
    """A panel for each score: the cells by it, and by their true accuracies."""
    known = {each["score"]: each for each in correlations if each["column"] == column}
    panels = []
    for score in _there(scores):
        tau, rho = (" ".join(_in_words(known[score.name][name])) for name in ("kendall", "spearman"))
        values = [score.scale * row[score.name] for row in scores]
        drawn = [math.log10(value) if value > 0 else math.nan for value in values] if score.is_logarithmic else values
        panels.append(
            Panel(
                score.words,
                f"Kendall τ {tau}, Spearman ρ {rho}",
                score.axis,
                [*zip(drawn, accuracies, strict=True)],
            )
        )
    return panels


def csv_text(
    columns: Sequence[Column], truth: Sequence[Numbers], cells: Sequence[Genotype], scores: Sequence[Numbers]
) -> str:
    """A row for each cell: its text, all scores, and the table's accuracies."""
    names = [score.name for score in _there(scores)]
    file = io.StringIO()
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(["cell", *names, *(column.name for column in columns)])
    for cell, of_cell, accuracies in zip(cells, scores, truth, strict=True):
        values = [*(of_cell[name] for name in names), *(accuracies[column.name] for column in columns)]
        rows.writerow([cell.to_text(), *(f"{value:.10g}" for value in values)])
    return file.getvalue()


def _there(scores: Sequence[Numbers]) -> list[Score]:
    """The scores that were measured."""
    return [score for score in SCORES if score.name in scores[0]]


def _in_words(found: Mapping[str, float] | None) -> tuple[str, str]:
    """`0.52` and `[0.44, 0.60]`."""
    if found is None:
        return "-", "the same for all"
    value, low, high = (f"{round(found[name], 2) + 0.0:.2f}".replace("-", "−") for name in ("value", "low", "high"))
    return value, f"[{low}, {high}]"
