"""The section of a report about searches of NAS-Bench-201, whose cells are looked up in a table of all of them."""

from collections import Counter
from collections.abc import Callable, Sequence
from statistics import fmean, median

from pcdarts.cell.genotype import Genotype
from pcdarts.errors import counted, first_of, listed
from pcdarts.report.drawing.charts import IntervalRow, Level, Series, interval_chart, line_chart
from pcdarts.report.drawing.front import front_chart, front_picture
from pcdarts.report.drawing.score_charts import percentile_chart
from pcdarts.report.drawing.truth_charts import Found, SortedCells, sorted_curve, sorted_picture
from pcdarts.report.scored.score_view import (
    HEADING,
    JOBS,
    Scores,
    ScoreView,
    curves_of,
    epochs_table,
    limits_text,
    scored_points,
    sentence,
    spread,
    stands_since,
)
from pcdarts.report.statistics import Difference, difference
from pcdarts.report.study_tables import Table, filled_table, hours_text, mean_std_text
from pcdarts.report.subject import Subject, row_name
from pcdarts.study.spec import SOURCES
from pcdarts.study.study_outcome import Row, StudyOutcome
from pcdarts.truth.columns import Column, column_called, main_columns
from pcdarts.truth.noise import noise_of
from pcdarts.truth.published import PUBLISHED
from pcdarts.truth.verdict import Standing
from pcdarts.truth.yardstick import TruthYardstick

_REFERENCES = ("random search", "random")
"""Sources of cells with which others are compared, the first that a study has."""
_MOST_SHOWN = 12
_COLUMNS = (
    "Accuracy: of the benchmark's own training, on its test images. Rank: 1 is the best; cells with the same accuracy "
    "have one rank. Regret: points to the best cell that is listed."
)
_OF_SEEDS = (
    "Means, and percentiles with their standard deviation, are over n seeds; intervals: Student's t for the mean, "
    "Welch for a difference (positive: better); of 20 intervals, about one misses the true value."
)


def truth_view(subject: Subject, scores: Scores, truth: TruthYardstick) -> ScoreView:
    """The section of a subject whose cells are looked up."""
    words = list(map(sentence, [*scores.words, *scores.missing]))
    if not scores.cells:
        return ScoreView("How good are the cells?", [*words, *([] if scores.missing else ["No cell is found yet."])])
    curves: list[Table | str] = []
    for job, (step, title) in JOBS.items():
        if found := curves_of(subject.groups, scores, job):
            curves += [percentile_chart(found, title=title, x_label=step), epochs_table(found, step)]
            curves.append(_over_epochs(subject, truth, job, step))
    noise = _noise(truth)
    if subject.outcome is None:
        table = _runs_table(subject, truth)
        cells = _sorted_cells(_of_runs(subject), truth)
        parts = [*([table] if table else []), *map(sorted_curve, cells), *curves]
        heading = HEADING if curves else "How good are the cells?"
        return ScoreView(heading, [*words, *noise], parts, ranks=sorted_picture(cells, subject.title))
    outcome, points = subject.outcome, scored_points(subject.outcome)
    cells = _sorted_cells(_of_study(outcome), truth)
    parts = [
        _overview(outcome, truth),
        *map(sorted_curve, cells),
        *(_study_table(outcome, truth, column) for column in truth.columns),
        _intervals(outcome, truth),
        front_chart(points),
        *curves,
    ]
    shown = [line for column in truth.columns for line in _differences(outcome, truth, column)]
    picture = sorted_picture(cells, subject.title)
    drawn = [part for part in parts if part]
    return ScoreView(HEADING, [*words, *noise, *shown], drawn, front_picture(points), ranks=picture)


def _noise(truth: TruthYardstick) -> list[str]:
    """How far apart cells are that are one network."""
    found = [(column, noise_of(truth.table, column)) for column in truth.columns]
    spreads = [
        f"{noise.median_spread:.2f} points on {column.short} (standard deviation {noise.std:.2f} among the better half)"
        for column, noise in found
        if noise
    ]
    if not spreads:
        return []
    networks = next(noise.networks for _, noise in found if noise)
    return [
        f"Noise floor: {counted(networks, 'network')} of the table are listed as several cells, whose trainings alone "
        f"make them differ: by a median of {listed(spreads, 'and')}. Smaller differences say nothing of cells."
    ]


def _known(genotypes: Sequence[Genotype], truth: TruthYardstick) -> list[Genotype]:
    return [genotype for genotype in genotypes if genotype.form == truth.table.space.form and truth.knows(genotype)]


# Runs


def _of_runs(subject: Subject) -> list[tuple[str, list[Genotype]]]:
    return [(entry.name, [entry.genotype]) for entry in subject.own_cells if entry.genotype]


def _runs_table(subject: Subject, truth: TruthYardstick) -> Table | None:
    """A row for each run and data set."""
    rows = []
    for entry in subject.own_cells:
        if not (entry.genotype and _known([entry.genotype], truth)):
            continue
        for number, column in enumerate(truth.columns):
            [standing] = truth.standings([entry.genotype], column)
            first = number == 0
            rows.append(
                {
                    "run": entry.name,
                    "trained and tested on": column.in_words,
                    "accuracy, %": f"{standing.accuracy:.2f}",
                    f"rank of {len(truth.table.cells):,}": f"{standing.rank:,}",
                    "regret": f"{standing.regret:.2f}",
                    "percentile": f"{standing.percentile:.1f}",
                    "cells of the same network, %": _same_network(standing),
                    "the cell stands since": stands_since(entry) if first else "",
                }
            )
    if not rows:
        return None
    caption = (sentence(truth.explanation), _COLUMNS)
    return filled_table({name: [row[name] for row in rows] for name in rows[0]}, caption)


def _same_network(standing: Standing) -> str:
    if standing.graph_low == standing.graph_high:
        return ""
    return f"{standing.graph_low:.2f} to {standing.graph_high:.2f}"


def _over_epochs(subject: Subject, truth: TruthYardstick, job: str, step: str) -> str:
    """The accuracy of the cell that each epoch would give, a chart for each data set; of the first searches only."""
    charts = []
    named = [
        (colour, entry.name, entry.search)
        for colour, group in enumerate(subject.groups)
        for entry in group.entries[:1]
        if entry.search and entry.search.job == job
    ][:_MOST_SHOWN]
    of_seeds = ", first seeds" * any(len(group.entries) > 1 for group in subject.groups)
    for column in truth.columns:
        best = float(truth.table.ascending[-1, truth.table.columns.index(column)])
        lines = []
        for colour, name, search in named:
            known = {epoch: cell for epoch, cell in search.genotypes.items() if _known([cell], truth)}
            found = truth.standings([*known.values()], column)
            points = [(float(epoch), standing.accuracy) for epoch, standing in zip(known, found, strict=True)]
            lines.append(Series(name, points, colour, step=True))
        least = min((y for line in lines for _, y in line.points if y is not None), default=0.0)
        limits = (least - 0.05 * (best - least) - 0.01, best + 0.05 * (best - least) + 0.01)
        charts.append(
            line_chart(
                lines,
                title=f"{column.in_words}: the cell that each {step} would give{of_seeds}",
                x_label=step,
                y_label="accuracy (%)",
                limits=limits,
                level=Level(best, f"the best cell: {best:.2f}"),
            )
        )
    return f'<div class="charts">{"".join(charts)}</div>'


def _sorted_cells(found: Sequence[tuple[str, list[Genotype]]], truth: TruthYardstick) -> list[SortedCells]:
    columns = []
    for column in truth.columns:
        marks = []
        for name, genotypes in found:
            for genotype, times in Counter(_known(genotypes, truth)).items():
                [standing] = truth.standings([genotype], column)
                marks.append(Found(name, standing.rank, standing.accuracy, times))
        ascending = truth.table.ascending[:, truth.table.columns.index(column)].tolist()
        columns.append(
            SortedCells(f"{column.in_words}: all cells of the table by rank, and those found", ascending, marks)
        )
    return columns


def truth_sentences(subject: Subject) -> list[str]:
    """What searches that had a table have looked up themselves, for a report without one."""
    lines = []
    for entry in subject.entries if subject.outcome is None else []:
        known = (entry.search.result if entry.search else None) or {}
        columns = known["truth"].get("columns") if isinstance(known.get("truth"), dict) else None
        said = []
        for column in main_columns([*map(column_called, columns)]) if isinstance(columns, dict) else []:
            assert entry.search is not None
            accuracy, rank = (entry.search.figure("truth", "columns", column.name, of) for of in ("accuracy", "rank"))
            if accuracy is not None and rank is not None:
                said.append(f"{column.in_words}: {accuracy:.2f} % (rank {rank:,.0f})")
        if said:
            lines.append(f"{entry.name} has looked its cell up: {'; '.join(said)}.")
    return lines


# Studies


def _of_study(outcome: StudyOutcome) -> list[tuple[str, list[Genotype]]]:
    return [(row_name(row), row.scored_genotypes) for row in outcome.rows if row.scored_genotypes]


def _accuracies(row: Row, truth: TruthYardstick, column: Column) -> list[float]:
    return [standing.accuracy for standing in truth.standings(row.scored_genotypes, column)]


def _overview(outcome: StudyOutcome, truth: TruthYardstick) -> Table:
    """The accuracies of every row on all data sets, and below them those that papers report."""
    columns = {column: f"{column.in_words}, %" for column in truth.columns}
    rows = []
    for row in outcome.rows:
        accuracies = {name: mean_std_text(_accuracies(row, truth, column), 2) for column, name in columns.items()}
        times = hours_text([cell.search_hours for cell in row.cells])
        rows.append({"method": row.method, "setting": row.setting or "", "n": _count(row), **accuracies})
        rows[-1] |= {"search time": times, "source": ""}
    ours = len(rows)
    for published in PUBLISHED:
        figures = {name: _figures_text(published.of(column)) for column, name in columns.items()}
        if any(figures.values()):
            known = {"method": published.method, "setting": "published", **figures, "source": published.source}
            rows.append({name: known.get(name, "") for name in rows[0]})
    caption = [
        "Accuracies of the benchmark's own training, on its test images: mean ± standard deviation over n seeds."
    ]
    if len(rows) > ours:
        caption.append(
            "Rows with a source are published figures of other searches (longer ones, on whole images, with seeds of "
            "their own): for orientation, not part of this study."
        )
    if outcome.device:
        caption.append(f"Measured on {outcome.device}.")
    return filled_table({name: [row[name] for row in rows] for name in rows[0]}, tuple(caption))


def _figures_text(figures: tuple[float, float | None] | None) -> str:
    if figures is None:
        return ""
    mean, std = figures
    return f"{mean:.2f}" if std is None else f"{mean:.2f} ± {std:.2f}"


def _count(row: Row) -> str:
    if row.source not in SOURCES:
        return "given"
    found = len(row.scored_genotypes)
    return f"{found} of {len(row.cells)}" if found < len(row.cells) else str(found)


def _study_table(outcome: StudyOutcome, truth: TruthYardstick, column: Column) -> Table:
    """A row for every method and setting: where its cells stand in one column."""
    best = float(truth.table.ascending[-1, truth.table.columns.index(column)])
    comparisons = _comparisons(outcome)
    rows = []
    for row in outcome.rows:
        found = truth.standings(row.scored_genotypes, column)
        accuracies, ranks = [each.accuracy for each in found], [each.rank for each in found]
        rows.append(
            {
                column.in_words: row_name(row),
                "n": _count(row),
                "mean, %": f"{fmean(accuracies):.2f}" if accuracies else "",
                "95 % interval": limits_text(spread(accuracies), 2),
                "regret": f"{best - fmean(accuracies):.2f}" if accuracies else "",
                f"median rank of {len(truth.table.cells):,}": _ranks_text(ranks),
                "percentile": mean_std_text([each.percentile for each in found], 1),
                **{f"difference to {name}": _gap_text(row, of, truth, column) for name, of in comparisons.items()},
            }
        )
    caption = (sentence(truth.explanation), _COLUMNS, _OF_SEEDS)
    return filled_table({name: [row[name] for row in rows] for name in rows[0]}, caption)


def _ranks_text(ranks: Sequence[int]) -> str:
    """`12 (3 to 1,020)`."""
    if not ranks:
        return ""
    return f"{median(ranks):,.0f}" + (f" ({min(ranks):,} to {max(ranks):,})" if len(ranks) > 1 else "")


def _comparisons(outcome: StudyOutcome) -> dict[str, Callable[[Row], Row | None]]:
    """What each row is compared with: random cells of its setting, and its own method in the first setting."""
    found: dict[str, Callable[[Row], Row | None]] = {}
    of_source = {row.source: row.method for row in reversed(outcome.rows)}
    name = next((of_source[source] for source in _REFERENCES if source in of_source), None)
    if name is not None:
        rows = {row.setting: row for row in outcome.rows if row.method == name}
        found[name] = lambda row: None if row.method == name else rows[row.setting]
    first = {row.method: row for row in reversed(outcome.rows)}
    plain = outcome.rows[0].setting
    if plain is not None and len({row.setting for row in outcome.rows}) > 1:
        found[f"the setting {plain}"] = lambda row: None if row.setting == plain else first[row.method]
    return found


def _gap(row: Row, reference: Row | None, truth: TruthYardstick, column: Column) -> Difference | None:
    if reference is None:
        return None
    return difference(_accuracies(row, truth, column), _accuracies(reference, truth, column))


def _gap_text(row: Row, reference_of: Callable[[Row], Row | None], truth: TruthYardstick, column: Column) -> str:
    found = _gap(row, reference_of(row), truth, column)
    return f"{found.mean:+.2f} ({found.low:+.2f} to {found.high:+.2f})".replace("-", "−") if found else ""


def _differences(outcome: StudyOutcome, truth: TruthYardstick, column: Column) -> list[str]:
    """Which rows are shown to be better or worse than what they are compared with: a sentence for each comparison."""
    lines = []
    for name, reference_of in _comparisons(outcome).items():
        known = [(row_name(row), _gap(row, reference_of(row), truth, column)) for row in outcome.rows]
        gaps = [(of, gap) for of, gap in known if gap]
        better = [of for of, gap in gaps if gap.low > 0]
        worse = [of for of, gap in gaps if gap.high < 0]
        words = (("better", better), ("worse", worse))
        said = [f"{word}: {'; '.join(first_of(names, 8))}" for word, names in words if names]
        if gaps:
            these = f"{column.short}, of {counted(len(gaps), 'difference')} to {name}"
            lines.append(f"{these} are shown: {', '.join(said)}." if said else f"{these} none is shown.")
    return lines


def _intervals(outcome: StudyOutcome, truth: TruthYardstick) -> str:
    """A chart for each data set: every seed, mean and interval, beside the best cell."""
    charts = []
    for column in truth.columns:
        best = float(truth.table.ascending[-1, truth.table.columns.index(column)])
        rows = []
        for row in outcome.rows:
            values = _accuracies(row, truth, column)
            interval = spread(values)
            low, high = (interval.low, interval.high) if interval else (None, None)
            rows.append(IntervalRow(row_name(row), values, fmean(values) if values else None, low, high))
        title = f"{column.in_words}: every seed, mean and 95 % interval"
        level = Level(best, f"the best cell: {best:.2f}")
        charts.append(interval_chart(rows, title=title, unit="accuracy (%)", level=level))
    return f'<div class="charts">{"".join(charts)}</div>'
