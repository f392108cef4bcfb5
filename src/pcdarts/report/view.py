"""The contents of a report about a subject, for the page and for Markdown: tables, sentences and charts."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CELL_KINDS, CellKind, CellSpace
from pcdarts.errors import counted, first_of, listed
from pcdarts.jobs.outcome.error_words import ALONE, error_is_of
from pcdarts.jobs.outcome.sizes import millions
from pcdarts.jobs.status import Status, status_of
from pcdarts.report.agreement import agreement, edge_strengths, rank_agreement
from pcdarts.report.budget_text import WITHOUT, budget_sentence, limited
from pcdarts.report.difference import GenotypeDifference, diff
from pcdarts.report.drawing.charts import IntervalRow, ScatterPoint, interval_chart, scatter_chart
from pcdarts.report.drawing.curves import MOST_LINES, learning_curves, skip_charts
from pcdarts.report.history import History, SearchHistory
from pcdarts.report.of_fit import Lines, lists, summary, tables
from pcdarts.report.scored.score_view import Scores, ScoreView, score_view
from pcdarts.report.scored.truth_view import truth_sentences, truth_view
from pcdarts.report.settings import Settings, environment_of, settings_of
from pcdarts.report.statistics import mean_interval
from pcdarts.report.study_tables import (
    ABSENT,
    Table,
    differences,
    filled_table,
    mean_std_text,
    reference_name,
    setting_table,
    study_table,
)
from pcdarts.report.subject import Entry, Group, Subject, row_name
from pcdarts.report.weaknesses import Weaknesses, weaknesses
from pcdarts.run.display.progress import duration
from pcdarts.run.run_folder import RunFolder
from pcdarts.study.study_outcome import PaperFigure, StudyOutcome
from pcdarts.truth.yardstick import TruthYardstick

_MOST_UNFINISHED = 50


@dataclass(frozen=True)
class View:
    """One subject of a report. Charts are HTML; everything else is text."""

    title: str
    summary: str
    note: str
    remarks: Sequence[str]
    """Sentences: which run trains the cell of which, and which budgets there were."""
    lists: Lines
    """Of a fit or a comparison: its result, and its plan."""
    tables: Sequence[Table]
    comparison: Sequence[str]
    """Charts: methods with their intervals, cost against error."""
    scores: ScoreView | None
    """None without a table of known cells."""
    difference: GenotypeDifference | None
    pair: Sequence[Entry]
    """The two that `difference` is about."""
    agreement: Table | None
    weaknesses: Sequence[Weaknesses]
    curves: Sequence[str]
    skips: Sequence[str]
    skips_note: str
    """Which of these cells are not those that a budget chose, if any."""
    left_out: str
    """Which lines the charts do not show, if any."""
    unfinished: Table | None
    settings: Sequence[Settings]
    environment: Sequence[tuple[str, str]]
    entries: Sequence[Entry]


def view(subject: Subject, scores: Scores | None = None, out: Path | None = None) -> View:
    """Compute the tables and draw the charts of a subject that was read; links are relative to the folder `out`."""
    outcome, whole = subject.outcome, subject.whole
    pair = [entry for entry in subject.own_cells if entry.genotype] if outcome is None else []
    genotypes = [entry.genotype for entry in pair if entry.genotype]
    states = [] if outcome else [(group, status_of(RunFolder(group.path))) for group in subject.groups if group.path]
    lines = sum(len(group.histories) for group in subject.groups)
    scored = None
    if scores is not None:
        truth = scores.yardstick if isinstance(scores.yardstick, TruthYardstick) else None
        scored = truth_view(subject, scores, truth) if truth else score_view(subject, scores)
    return View(
        title=subject.title,
        summary=_study_summary(outcome) if outcome else _runs_summary(subject, [status for _, status in states]),
        note=outcome.note if outcome else "",
        remarks=_remarks(subject, scores is not None),
        lists=lists(whole) if whole else [],
        tables=_study_tables(outcome, scored) if outcome else [*(tables(whole) if whole else []), *_runs_table(states)],
        comparison=[*_intervals(outcome), *_costs(outcome)] if outcome else [],
        scores=scored,
        difference=diff(*genotypes) if len(pair) == 2 else None,
        pair=pair,
        agreement=_agreement(subject),
        weaknesses=weaknesses(subject, out or Path()),
        curves=learning_curves(subject.groups),
        skips=skip_charts(subject.groups),
        skips_note=_skips_note(subject),
        left_out=f"Charts show {MOST_LINES} lines at most: the first seeds of every method." * (lines > MOST_LINES),
        unfinished=_unfinished_cells(outcome) if outcome else _unfinished_runs(states),
        settings=settings_of(subject.groups),
        environment=environment_of(subject.groups),
        entries=subject.entries,
    )


def _remarks(subject: Subject, has_table: bool) -> list[str]:
    """Which runs train the cell of another one, budgets, stages of searches, and what these have looked up."""
    entries = {entry.name: entry for entry in subject.entries}
    again = {} if subject.whole else subject.trained_again  # of a fit its plan says so
    return [
        *(_shared_cell(entries[name], entries[first]) for name, first in again.items()),
        *filter(None, (budget_sentence(group.name, group.searches) for group in subject.groups)),
        *filter(None, map(_stages, subject.groups)),
        *([] if has_table else truth_sentences(subject)),
    ]


def _stages(group: Group) -> str:
    """The stages of a group's searches, in a sentence; empty where they have one."""
    found = dict.fromkeys(filter(None, (search.in_stages for search in group.searches)))
    if not found:
        return ""
    return f"Stages of {group.name}: {' | '.join(found)}."


def _shared_cell(training: Entry, first: Entry) -> str:
    """Says that a training uses the cell of another run, and whether its network has the size that this run counted."""
    said = f"{training.name} trains the cell of {first.name}: they have one cell, so no cells are compared."
    trained = _count_of(training.histories[0], "params")
    counted = _count_of(first.search, "params") if first.search else None
    if trained is None or counted is None or trained == counted:
        return said
    sizes = f"{_millions(trained)} parameters, not {_millions(counted)}"
    return f"{said} Its network is another than the one that the search has counted: {sizes}."


def _skips_note(subject: Subject) -> str:
    names = [group.name for group in subject.groups if any(map(limited, group.searches))]
    return f"Cells after each epoch, {WITHOUT} of {listed(names, 'and')}." if names else ""


def _study_tables(outcome: StudyOutcome, scores: ScoreView | None) -> list[Table]:
    """The tables of test errors; a study that trains nothing has only the table of its scores, if there is one."""
    if not outcome.trains:
        return [] if scores and scores.tables else [study_table(outcome)]
    by_setting = setting_table(outcome)
    return [study_table(outcome), *([by_setting] if by_setting else [])]


def _study_summary(outcome: StudyOutcome) -> str:
    seeds = {len(row.cells) for row in outcome.rows}
    methods, settings = ({getattr(row, part) for row in outcome.rows} for part in ("method", "setting"))
    size = counted(len(methods), "method")
    if len(settings) > 1:
        size += f" in {counted(len(settings), 'setting')}"
    size += f", {counted(max(seeds), 'seed')} each: {_states([cell.state for cell in outcome.cells])}."
    found = differences(outcome)
    if outcome.scale == "smoke" or not found:
        return size
    shown = [f"{row_name(row)} ({gap.mean:+.2f} points)".replace("-", "−") for row, gap in found if gap.shows]
    of_these = f"Of {counted(len(found), 'difference')} to {reference_name(outcome)}"
    if not shown:
        return f"{size} {of_these} none is shown: every interval contains 0."
    return f"{size} {of_these} {len(shown)} {'is' if len(shown) == 1 else 'are'} shown: {', '.join(shown)}."


def _runs_summary(subject: Subject, statuses: Sequence[Status]) -> str:
    if subject.whole:
        return summary(status_of(subject.whole))
    return f"{counted(len(statuses), 'run')}: {_states([status.state for status in statuses])}."


def _states(states: Sequence[str]) -> str:
    if len(set(states)) == 1:
        return f"all {states[0]}" if len(states) > 1 else states[0]
    return ", ".join(f"{number} {state}" for state, number in Counter(sorted(states)).items())


def _runs_table(states: Sequence[tuple[Group, Status]]) -> list[Table]:
    """The table of single runs, in place of a study's; none where a fit has not begun one."""
    skips: dict[CellKind, str] = {"normal": "skip-connections, normal cell", "reduce": "reduction cell"}
    rows = []
    for group, status in states:
        first, *_ = group.histories
        seconds = [history.figure("train_seconds") or 0 for history in group.histories]
        hours = first.figure("search_cost", "hours") or sum(seconds) / 3600
        genotype = group.genotypes[0] if group.genotypes else None
        budget = next(filter(None, map(limited, group.searches)), None)
        rows.append(
            {
                "run": group.name,
                "job": status.job or "",
                "state": status.state,
                "epoch": _epoch(group, status),
                "top-1 error or AP, %": _error(group, status),
                "time": duration(3600 * hours) if hours else "",
                "budget": budget.limits if budget else "",
                "parameters": _millions(_count_of(first, "params")),
                "mult-adds": _millions(_count_of(first, "mult_adds")),
                "predicted ms": _three_digits(first.figure("evaluation_network", "latency_ms")),
                **{name: _skips(genotype, kind) for kind, name in skips.items()},
            }
        )
    caption = (
        "The error of a search is that of the supernet on the arch split; of a training that on the test images, after "
        "the last epoch or the one that validation images have chosen: mean ± standard deviation where there are "
        "several seeds. Parameters and mult-adds of a search are those of the network that it counted for its cell, "
        "which a budget is about, and so are the predicted milliseconds for one image.",
        *_errors_of_cells([group for group, _ in states]),
    )
    return [filled_table({heading: [row[heading] for row in rows] for heading in rows[0]}, caption)] if rows else []


def _skips(genotype: Genotype | None, kind: CellKind) -> str:
    return str(genotype.skip_connects(kind)) if genotype and kind in genotype.kinds else ""


def _errors_of_cells(groups: Sequence[Group]) -> list[str]:
    """Of which searches the error is not that of the whole supernet."""
    names = [group.name for group in groups if any(error_is_of(search.result) for search in group.searches)]
    return [f"The error of {listed(first_of(names, 8), 'and')} is that of {ALONE}."] if names else []


def _count_of(run: History, name: str) -> float | None:
    """A count of a training's network, or of the network that a search counted for its cell."""
    found = run.figure(name)
    return run.figure("evaluation_network", name) if found is None else found


def _epoch(group: Group, status: Status) -> str:
    """How far a run is; the best epoch of each of its trainings that were chosen from."""
    epoch = f"{status.epoch} of {status.epochs}" if status.epochs else str(status.epoch)
    epoch = status.ended_early or epoch
    best = [f"{number:.0f}" for h in group.histories if (number := h.figure("best_epoch")) is not None]
    return f"{epoch}; best: {', '.join(best)}" if best else epoch


def _error(group: Group, status: Status) -> str:
    errors = [error for h in group.histories if (error := h.figure("test_top1_error")) is not None]
    if len(errors) > 1:
        return f"{mean_std_text(errors, 2)} (n = {len(errors)} trainings)"
    if status.error is not None:
        return f"{status.error:.2f} ({(status.error_name or '').removesuffix('_top1_error').replace('_', ' ')})"
    return "" if status.average_precision is None else f"{status.average_precision:.2f} (AP)"


def _three_digits(number: float | None) -> str:
    return "" if number is None else f"{number:.3g}"


def _millions(count: float | None) -> str:
    return "" if count is None else millions(count)


def _intervals(outcome: StudyOutcome) -> list[str]:
    rows = []
    for row in outcome.rows:
        interval = mean_interval(row.errors)
        mean = fmean(row.errors) if row.errors else None
        low, high = (interval.low, interval.high) if interval else (None, None)
        rows.append(IntervalRow(row_name(row), row.errors, mean, low, high, _comparable(outcome, row.paper)))
    if not any(row.values for row in rows):
        return []
    return [interval_chart(rows, title="Test error of every seed, mean and 95 % interval", unit="top-1 test error (%)")]


def _comparable(outcome: StudyOutcome, paper: PaperFigure | None) -> float | None:
    """The paper's error as a number, if it can be compared."""
    printed = re.match(r"\d+(\.\d+)?", paper.error or "") if paper and outcome.scale == "paper" else None
    return float(printed[0]) if printed else None


def _costs(outcome: StudyOutcome) -> list[str]:
    """Cost against error as in Figure 3, if costs differ."""
    known = []
    for colour, row in enumerate(outcome.rows):
        hours = [cell.search_hours for cell in row.cells if cell.search_hours and cell.test_errors]
        if hours and row.errors:
            known.append((row, fmean(hours), colour))
    costs = [hours for _, hours, _ in known]
    if len(known) < 2 or max(costs) < 1.1 * min(costs):
        return []
    unit, scale = ("hours", 1.0) if max(costs) >= 1 else ("minutes", 60.0)
    points = [ScatterPoint(row_name(row), scale * hours, fmean(row.errors), colour) for row, hours, colour in known]
    x_label = f"cost of a search ({unit})"
    return [scatter_chart(points, title="Cost against error", x_label=x_label, y_label="mean top-1 test error (%)")]


def _agreement(subject: Subject) -> Table | None:
    """How far seeds of one method agree; of single runs: all searches, or all trainings if there are no searches."""
    groups = list(subject.groups)
    if subject.outcome is None:
        searches = [entry for entry in subject.own_cells if entry.search]
        groups = [Group("these runs", searches or subject.own_cells)]
    rows = []
    under_budget = any(limited(search) for group in groups for search in group.searches)
    for group in groups:
        space = group.searches[0].space if group.searches else CellSpace()
        found = agreement(group.genotypes, space)
        is_one_given_cell = not group.searches and len(set(group.genotypes)) == 1
        if found is None or is_one_given_cell:
            continue
        finished = [search for search in group.searches if search.result and search.epochs]
        ranks = [_ranks(finished, kind) if kind in space.kinds else None for kind in CELL_KINDS]
        rows.append(
            (
                group.name,
                str(len(group.genotypes)),
                f"{found.edges:.0f} %",
                f"{found.edges_by_chance:.0f} %",
                f"{found.operations:.0f} %",
                f"{found.operations_by_chance:.1f} %",
                *(ABSENT if tau is None else f"{tau:+.2f}".replace("-", "−") for tau in ranks),
            )
        )
    if not rows:
        return None
    columns = ("method", "cells", "same edges", "by chance", "same edges and operations", "by chance")
    caption = (
        "Of the edges that two cells keep, the share that both keep, and the share on which both have the same "
        "operation: means over all pairs of seeds and both kinds of cell. By chance: exact, for two random cells.",
        "Kendall's τ compares in which order two searches rank the edges into each node, by α̂·β̂: 1 is the same order, "
        "0 what chance gives on average, −1 the reverse.",
        "Pairs share seeds, so three pairs of three seeds are not three independent comparisons.",
        *(["Cells are those within the budget; τ is about weights, which no budget changes."] if under_budget else []),
    )
    return Table((*columns, "Kendall's τ, normal cell", "τ, reduction cell"), tuple(rows), caption)


def _ranks(searches: Sequence[SearchHistory], kind: CellKind) -> float | None:
    if len({search.space for search in searches}) != 1:
        return None
    space = searches[0].space
    return rank_agreement(
        space, [edge_strengths(space, s.op_weights[kind][-1], s.edge_weights[kind][-1]) for s in searches]
    )


def _within(path: Path, folder: Path) -> str:
    """A path relative to a study's folder."""
    path, folder = path.resolve(), folder.resolve()
    return str(path.relative_to(folder) if path.is_relative_to(folder) else path)


def _unfinished_cells(outcome: StudyOutcome) -> Table | None:
    missing = [cell for cell in outcome.cells if cell.state != "done"]
    rows = [
        (
            cell.name,
            cell.state,
            cell.message or ABSENT,
            _within(cell.output, outcome.folder) if cell.output.is_file() else ABSENT,
        )
        for cell in sorted(missing, key=lambda cell: cell.state != "failed")
    ]
    more = len(rows) - _MOST_UNFINISHED
    caption = (f"And {more} more: `pcdarts study status {outcome.folder}` lists all.",) if more > 0 else ()
    columns = ("run", "state", "why", "what it printed")
    return Table(columns, tuple(rows[:_MOST_UNFINISHED]), caption) if rows else None


def _unfinished_runs(states: Sequence[tuple[Group, Status]]) -> Table | None:
    rows = tuple(
        (group.name, status.state, status.message or ABSENT, str(RunFolder(group.path).log) if group.path else ABSENT)
        for group, status in states
        if status.state != "done"
    )
    return Table(("run", "state", "why", "its log"), rows) if rows else None
