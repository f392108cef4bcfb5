"""The results of a study as tables of text: the same for Markdown, the page and the terminal."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, mode

from pcdarts.report.statistics import (
    Difference,
    difference,
    mean_interval,
    mean_std,
    pooled_std,
    smallest_visible_difference,
)
from pcdarts.run.display.progress import duration
from pcdarts.study.study_outcome import Row, StudyOutcome

REFERENCE = "random"
"""The source of the cells with which others are compared; a study without it compares with its first method."""

ABSENT = "–"

_Columns = dict[str, Callable[[Row], str]]
"""Headings, and the text of a row under each."""


@dataclass(frozen=True)
class Table:
    """Rows of text under headings, and the sentences below."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: tuple[str, ...] = ()

    def to_markdown(self) -> str:
        """The table, an empty line and the caption, if there is one."""
        lines = [_line(self.columns), "|" + "---|" * len(self.columns), *map(_line, self.rows)]
        if self.caption:
            lines += ["", *self.caption]
        return "\n".join(lines) + "\n"


def filled_table(columns: Mapping[str, Sequence[str]], caption: tuple[str, ...] = ()) -> Table:
    """A table of columns, without those that are empty in every row; other empty cells show a dash."""
    filled = {heading: column for heading, column in columns.items() if any(column)}
    rows = zip(*([text or ABSENT for text in column] for column in filled.values()), strict=True)
    return Table(tuple(filled), tuple(rows), caption)


def study_table(outcome: StudyOutcome) -> Table:
    """A row for every method and setting."""
    beside, apart = _paper_columns(outcome)
    columns: _Columns = {
        "method": lambda row: row.method,
        "setting": lambda row: row.setting or "",
        "test error, %": error_text if outcome.trains else lambda row: "",
        "95 % interval of the mean": _interval,
        f"difference to {reference_name(outcome)}, points": lambda row: _difference(row, _reference(outcome, row)),
        **beside,
        "search cost": lambda row: hours_text([cell.search_hours for cell in row.cells]),
        "training cost": lambda row: hours_text([cell.train_hours for cell in row.cells]),
        "parameters": lambda row: _millions([cell.params for cell in row.cells]),
        "mult-adds": lambda row: _millions([cell.mult_adds for cell in row.cells]),
        "skips, normal cell": _skips,
        **apart,
    }
    texts = {heading: [text(row) for row in outcome.rows] for heading, text in columns.items()}
    return filled_table(texts, caption(outcome))


def setting_table(outcome: StudyOutcome) -> Table | None:
    """Methods against settings, as in Table 4 of the paper; None for a study with a single setting."""
    settings = list(dict.fromkeys(row.setting for row in outcome.rows))
    if len(settings) < 2:
        return None
    texts = {(row.method, row.setting): error_text(row) for row in outcome.rows}
    methods = dict.fromkeys(row.method for row in outcome.rows)
    rows = [(method, *(texts.get((method, setting), ABSENT) for setting in settings)) for method in methods]
    return Table(("test error, %", *(setting or ABSENT for setting in settings)), tuple(rows))


def error_text(row: Row) -> str:
    """`16.20 ± 0.45 (n = 3)`, in %; `n = 2 of 3` if seeds are missing."""
    return f"{mean_std_text(row.errors, 2) or ABSENT} {count_text(row.errors, row)}"


def mean_std_text(values: Sequence[float], decimals: int) -> str:
    """`16.20 ± 0.45`; without ± for a single value, empty without values."""
    if not values:
        return ""
    mean, std = mean_std(values)
    return f"{mean:.{decimals}f}" if std is None else f"{mean:.{decimals}f} ± {std:.{decimals}f}"


def count_text(values: Sequence[float], row: Row) -> str:
    """`(n = 3)`, or `(n = 2 of 3)` if there are fewer values than seeds."""
    n, seeds = len(values), len(row.cells)
    return f"(n = {n})" if n == seeds else f"(n = {n} of {seeds})"


def caption(outcome: StudyOutcome) -> tuple[str, ...]:
    """What the figures are, what they can show, and what is missing."""
    if not outcome.trains:
        return ("Nothing is trained in this study. Costs are means over seeds.",)
    sentences = [
        "Top-1 test error after the last epoch (or the one that validation images have chosen): mean ± standard "
        "deviation over n seeds, each a search of its own (of a given cell: a training); several trainings of one "
        "search are averaged first.",
        *_what_they_show(outcome),
    ]
    if outcome.scale != "paper" and any(row.paper for row in outcome.rows):
        sentences.append("The paper's figures are those of its own scale: not comparable with ours.")
    if outcome.device:
        sentences.append(f"Costs are means over seeds, on {outcome.device}.")
    missing = [cell for cell in outcome.cells if not cell.test_errors]
    if missing:
        failed = sum(cell.state == "failed" for cell in missing)
        words = f" ({failed} failed)" if failed else ""
        sentences.append(f"Not done: {len(missing)} of {len(outcome.cells)} seeds{words}.")
    return tuple(sentences)


def _what_they_show(outcome: StudyOutcome) -> list[str]:
    searched = [row for row in outcome.rows if any(cell.search is not None for cell in row.cells)]
    samples = [row.errors for row in searched or outcome.rows if len(row.errors) > 1]
    std = pooled_std(samples)
    if std is None:
        return ["No method has more than one seed: how far another seed would be from these figures is not known."]
    if std == 0:
        return ["The seeds of every method agree to the last test image: how far others would be is not known."]
    n = mode(map(len, samples))
    visible = smallest_visible_difference(std, n) or 0.0
    digits = 1 if visible >= 1 else 2
    return [
        "Intervals: Student's t for a mean, Welch for a difference (negative: fewer errors). One that contains 0 shows "
        "no difference, and no equality either; of 20 intervals, about one misses the true value.",
        f"With n = {n} seeds each and the spread seen here (std {std:.2f} points, pooled) only true differences of "
        f"about {visible:.{digits}f} points or more would show reliably (in four of five such studies).",
        *(["An interval that goes below 0 or above 100 % says that n is too small."] if _impossible(outcome) else []),
    ]


def _impossible(outcome: StudyOutcome) -> bool:
    """Whether an interval leaves 0 to 100 %."""
    intervals = [interval for row in outcome.rows if (interval := mean_interval(row.errors))]
    return any(interval.low < 0 or interval.high > 100 for interval in intervals)


def _interval(row: Row) -> str:
    interval = mean_interval(row.errors)
    if interval is None or interval.low == interval.high:  # equal seeds do not show how far others are
        return ""
    return f"{interval.low:.2f} to {interval.high:.2f}".replace("-", "−")


def differences(outcome: StudyOutcome) -> list[tuple[Row, Difference]]:
    """The rows that can be compared with the reference of their setting, with their differences."""
    found = []
    for row in outcome.rows:
        reference = _reference(outcome, row)
        if reference is not None and reference is not row:
            found.append((row, difference(row.errors, reference.errors)))
    return [(row, gap) for row, gap in found if gap is not None]


def reference_name(outcome: StudyOutcome) -> str:
    """The method that others are compared with."""
    return next((row.method for row in outcome.rows if row.source == REFERENCE), outcome.rows[0].method)


def _reference(outcome: StudyOutcome, row: Row) -> Row | None:
    """The row to compare with: of the same setting."""
    name = reference_name(outcome)
    return next((other for other in outcome.rows if other.method == name and other.setting == row.setting), None)


def _difference(row: Row, reference: Row | None) -> str:
    if reference is None or reference is row:
        return ""
    found = difference(row.errors, reference.errors)
    return f"{_signed(found.mean)} ({_signed(found.low)} to {_signed(found.high)})" if found else ""


def _paper_columns(outcome: StudyOutcome) -> tuple[_Columns, _Columns]:
    """The paper's figures: beside ours if they can be compared, otherwise in the last column."""
    return ({"paper": _paper}, {}) if outcome.scale == "paper" else ({}, {"paper, at its scale": _paper})


def _paper(row: Row) -> str:
    figures = (row.paper.error, row.paper.cost) if row.paper else ()
    return ", ".join(figure for figure in figures if figure)


def hours_text(hours: Sequence[float | None]) -> str:
    """The mean of those that are known, as `2 min 30 s`; empty if none is."""
    known = [value for value in hours if value is not None]
    return duration(3600 * fmean(known)) if known else ""


def _millions(counts: Sequence[int | None]) -> str:
    """`3.63 M`, or `3.41 to 3.87 M` where seeds differ; three digits."""
    known = [count for count in counts if count is not None]
    if not known:
        return ""
    low, high = (f"{count / 1e6:.0f}" if count >= 1e8 else f"{count / 1e6:.3g}" for count in (min(known), max(known)))
    return f"{low} M" if low == high else f"{low} to {high} M"


def _skips(row: Row) -> str:
    known = [cell.skip_connects["normal"] for cell in row.cells if cell.skip_connects is not None]
    return f"{fmean(known):.1f}" if known else ""


def _signed(points: float) -> str:
    """With a sign (a real minus), except 0.00."""
    text = f"{points:+.2f}"
    return "0.00" if float(text) == 0 else text.replace("-", "−")


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells) + " |"
