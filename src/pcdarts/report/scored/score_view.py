"""The section of a report about scores: how good cells are, at what cost, and when searches found them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from pcdarts.cell.canonical import canonical
from pcdarts.errors import InputError, counted, first_of, in_short, listed
from pcdarts.jobs.outcome.scoring import RunScores, scores_of
from pcdarts.jobs.score import in_words
from pcdarts.report.drawing.axes import Spans, in_epochs, thinned
from pcdarts.report.drawing.charts import IntervalRow, interval_chart
from pcdarts.report.drawing.front import FrontPoint, front, front_chart, front_picture
from pcdarts.report.drawing.score_charts import CHANCE, LIMITS, Curve, Points, percentile_chart
from pcdarts.report.statistics import Interval, percentile_interval
from pcdarts.report.study_tables import ABSENT, Table, count_text, filled_table, hours_text, mean_std_text
from pcdarts.report.subject import Entry, Group, Subject, row_name
from pcdarts.run.run_folder import RunFolder
from pcdarts.score.yardstick import PERCENTILE
from pcdarts.study.spec import SOURCES
from pcdarts.study.study_outcome import Row, StudyOutcome
from pcdarts.truth.yardstick import Judge

HEADING = "How good are the cells, and when were they found?"
_MOST_COLUMNS = 8
_MOST_NAMES = 8
_SCALE = (
    "Accuracies are on the table's scale, of its networks, training and images, not of yours. Listed: the cell is in "
    "the table. Predicted: by a regressor that was fitted on the table"
)
_OF_ONE = f"{_SCALE}; the true accuracy of 95 % of the cells lies within the interval beside it."
_OF_SEEDS = (
    "Intervals: Student's t for the mean over the seeds that have a score, cut at 0 and 100, without the regressor's "
    "error. A method is shown to differ from chance only if its interval does not contain 50; of 20 intervals, about "
    "one misses the true mean."
)
JOBS = {
    "search": ("epoch", "Percentile of the cell that each epoch would give"),
    "random search": ("cell tried", "Random search: percentile of the best cell so far"),
}
"""The jobs that derive a cell repeatedly: the name of their epochs, and the title of their chart."""


@dataclass(frozen=True)
class Scores:
    """The scores of a subject's cells."""

    words: Sequence[str] = ()
    """Sentences about the yardstick."""
    cells: Mapping[str, RunScores] = field(default_factory=dict)
    """By the name of the entry, for entries with a genotype."""
    missing: Sequence[str] = ()
    """Which cells have no score, and why."""
    yardstick: Judge | None = None


@dataclass(frozen=True)
class ScoreView:
    """The section about scores."""

    heading: str
    words: Sequence[str]
    """Sentences: how good the yardstick is, and which cells it cannot score."""
    parts: Sequence[Table | str] = ()
    """Tables, and charts as HTML, in their order."""
    picture: str = ""
    """The front as an SVG file of its own, if there is one."""
    ranks: str = ""
    """The same of all cells by rank, with those found, of a table that knows all."""

    @property
    def tables(self) -> list[Table]:
        return [part for part in self.parts if isinstance(part, Table)]


def read_scores(subject: Subject, yardstick: Judge | None) -> Scores | None:
    """The scores that a study already has, or those of runs by `yardstick`; None without a table."""
    if subject.outcome is None:
        return None if yardstick is None else _of_runs(subject, yardstick)
    outcome = subject.outcome
    if outcome.table is None:
        return None
    found = {cell.name: outcome.run_scores(cell) for cell in outcome.cells}
    cells = {name: scores for name, scores in found.items() if scores and (scores.final or scores.epochs)}
    return Scores(
        outcome.yardstick.words() if outcome.yardstick else (),
        cells,
        [*outcome.remarks, *_left_out(cells)],
        outcome.yardstick,
    )


def _of_runs(subject: Subject, yardstick: Judge) -> Scores:
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
    return Scores(yardstick.words(), cells, [*missing, *_left_out(cells)], yardstick)


def _left_out(cells: Mapping[str, RunScores]) -> list[str]:
    """Of which searches the table does not know the cell of every epoch."""
    return [
        f"{name}: the table does not list the cells of {counted(scores.left_out, 'epoch')}, which are left out"
        for name, scores in cells.items()
        if scores.left_out
    ]


def score_view(subject: Subject, scores: Scores) -> ScoreView:
    """The section of a subject that has a table."""
    words = list(map(sentence, [*scores.words, *scores.missing]))
    if not scores.cells:
        return ScoreView("How good are the cells?", words if scores.missing else [*words, "There is no score yet."])
    curves: list[Table | str] = []
    for job, (step, title) in JOBS.items():
        if found := curves_of(subject.groups, scores, job):
            curves += [percentile_chart(found, title=title, x_label=step), epochs_table(found, step)]
    if subject.outcome is None:
        heading = HEADING if curves else "How good are the cells?"
        return ScoreView(heading, words, [*curves[:1], _runs_table(subject, scores), *curves[1:]])
    rows = [ScoredRow(row) for row in subject.outcome.rows]
    points = scored_points(subject.outcome)
    parts = [front_chart(points), _study_table(subject.outcome, rows, points), _intervals(rows), *curves]
    return ScoreView(
        HEADING,
        [*words, *against_chance(rows)],
        [part for part in parts if part],
        front_picture(points),
    )


@dataclass(frozen=True)
class ScoredRow:
    """A method and a setting of a study."""

    row: Row

    @property
    def name(self) -> str:
        return row_name(self.row)

    @property
    def is_given(self) -> bool:
        """Whether all its seeds have the same cell, which then counts as one value."""
        return self.row.source not in SOURCES

    @property
    def percentiles(self) -> list[float]:
        return self.row.percentiles

    @property
    def interval(self) -> Interval | None:
        return spread(self.percentiles)

    @property
    def hours(self) -> list[float]:
        """Of the searches whose cells have a score."""
        return [cell.search_hours for cell in self.row.cells if cell.search_hours and cell.score]

    @property
    def point(self) -> FrontPoint | None:
        """Its place on the front; None if it has no score yet, or a search without a time."""
        is_free = self.is_given or self.row.source == "random"
        if not self.percentiles or not (self.hours or is_free):
            return None
        low, high = (self.interval.low, self.interval.high) if self.interval else (None, None)
        return FrontPoint(self.name, None if is_free else 60 * fmean(self.hours), fmean(self.percentiles), low, high)


def scored_points(outcome: StudyOutcome) -> list[FrontPoint]:
    """The methods of a study that have a score, with their places in the picture of the front."""
    return [point for row in outcome.rows if (point := ScoredRow(row).point)]


def _study_table(outcome: StudyOutcome, rows: Sequence[ScoredRow], points: Sequence[FrontPoint]) -> Table:
    best = {point.name for point in front(points)}
    columns = {
        "method": [row.row.method for row in rows],
        "setting": [row.row.setting or "" for row in rows],
        "percentile": [_percentile(row) for row in rows],
        "95 % interval": [limits_text(row.interval, 1) for row in rows],
        "accuracy, %": [mean_std_text(row.row.accuracies, 2) for row in rows],
        "interval of the accuracy": [limits_text(spread(row.row.accuracies), 2) for row in rows],
        "by": [_source(row) for row in rows],
        "search time": [hours_text(row.hours) for row in rows],
        "on the front": ["yes" if row.name in best else "" for row in rows],
    }
    caption = [sentence(PERCENTILE), f"{_SCALE}.", "Mean ± standard deviation over n seeds. " + _OF_SEEDS]
    if any(point.minutes is not None for point in points):
        caption.append(
            "On the front: the mean percentile is higher than chance (50) and than that of every search that costs no "
            "more. This compares means: with wide intervals other seeds may give another front. Times are means over "
            "seeds, of searches alone."
        )
    if outcome.device:
        caption.append(f"Measured on {outcome.device}.")
    return filled_table(columns, tuple(caption))


def _percentile(row: ScoredRow) -> str:
    """`62.1 ± 30.4 (n = 5)`; `n = 2 of 5` if seeds are missing."""
    count = "(a given cell)" if row.is_given and row.percentiles else count_text(row.percentiles, row.row)
    return f"{mean_std_text(row.percentiles, 1) or ABSENT} {count}"


def spread(values: Sequence[float]) -> Interval | None:
    """The interval of their mean; None if all values are equal, which does not show how far others would be."""
    found = percentile_interval(values)
    return found if found and found.low < found.high else None


def limits_text(interval: Interval | None, decimals: int) -> str:
    return "" if interval is None else f"{interval.low:.{decimals}f} to {interval.high:.{decimals}f}"


def _source(row: ScoredRow) -> str:
    scores = row.row.scores
    known = sum(score.listed for score in scores)
    if not scores:
        return ""
    return "predicted" if not known else "listed" if known == len(scores) else f"{known} listed, others predicted"


def against_chance(rows: Sequence[ScoredRow]) -> list[str]:
    """Which methods are shown to differ from random cells; random cells themselves are not tested."""
    known = [(row.name, row.interval) for row in rows if row.row.source != "random" and row.interval]
    if not known:
        return []
    better = [name for name, interval in known if interval.low > CHANCE.value]
    worse = [name for name, interval in known if interval.high < CHANCE.value]
    parts = [f"better than chance: {'; '.join(first_of(better, _MOST_NAMES))}"] if better else []
    parts += [f"worse than chance: {'; '.join(first_of(worse, _MOST_NAMES))}"] if worse else []
    left = len(known) - len(better) - len(worse)
    if not parts:
        return ["No method is shown to differ from chance: every interval contains 50."]
    contain = "contains 50, which shows" if left == 1 else "contain 50, which show"
    others = [f"{counted(left, 'other interval')} {contain} neither."] if left else []
    return [" ".join([*(f"Shown to be {part}." for part in parts), *others])]


def _intervals(rows: Sequence[ScoredRow]) -> str:
    drawn = []
    for row in rows:
        low, high = (row.interval.low, row.interval.high) if row.interval else (None, None)
        mean = fmean(row.percentiles) if row.percentiles else None
        drawn.append(IntervalRow(row.name, row.percentiles, mean, low, high))
    chart = interval_chart(
        drawn,
        title="Percentile of every seed, mean and 95 % interval",
        unit="percentile among random cells",
        decimals=1,
        limits=LIMITS,
        level=CHANCE,
    )
    return f'<div class="charts">{chart}</div>'


def curves_of(groups: Sequence[Group], scores: Scores, job: str) -> list[Curve]:
    """A curve for each group with searches of this job: the mean over the finished ones, or over all if none is."""
    curves = []
    for group in groups:
        entries = [entry for entry in group.entries if entry.search and entry.search.job == job]
        known = [(entry, points) for entry in entries if (points := _points(entry, scores))]
        if not known:
            continue
        done = [points for entry, points in known if entry.search and entry.search.result]
        mean = _mean_of(done or [points for _, points in known])
        frozen = {entry.search.frozen for entry, _ in known if entry.search}
        if mean:
            still = frozen.pop() if len(frozen) == 1 and job == "search" else ()
            curves.append(Curve(group.name, still, mean, [points for _, points in known] if len(known) > 1 else []))
    return curves


def _points(entry: Entry, scores: Scores) -> Points:
    known = scores.cells.get(entry.name)
    return [(epoch, score.percentile) for epoch, score in known.epochs] if known else []


def _mean_of(seeds: Sequence[Points]) -> Points:
    """Over the seeds, at the epochs that all of them have."""
    known = [dict(points) for points in seeds]
    common = sorted(set.intersection(*(set(points) for points in known)))
    return [(epoch, fmean(points[epoch] for points in known)) for epoch in common]


def _runs_table(subject: Subject, scores: Scores) -> Table:
    rows = []
    for entry in subject.entries:
        if not (known := scores.cells.get(entry.name)):
            continue
        accuracy, interval, percentile = in_words(known.final) if known.final else ("", "", "")
        rows.append((entry.name, percentile, accuracy, interval, stands_since(entry)))
    headings = ("run", "percentile", "accuracy", "95 % interval", "the cell stands since")
    return filled_table(dict(zip(headings, zip(*rows, strict=True), strict=True)), (sentence(PERCENTILE), _OF_ONE))


def stands_since(entry: Entry) -> str:
    """The epoch since which a search would have given its final cell; empty without epochs."""
    search = entry.search
    if not (search and search.genotypes and entry.genotype):
        return ""
    final = canonical(entry.genotype)
    since = None
    for epoch, genotype in sorted(search.genotypes.items(), reverse=True):
        if canonical(genotype) != final:
            break
        since = epoch
    if since is None:  # a budget chose another cell
        return ""
    return f"{JOBS[search.job][0]} {since} of {max(search.genotypes)}"


def epochs_table(curves: Sequence[Curve], step: str) -> Table:
    """The curves as numbers, at some of the epochs."""
    epochs = sorted({epoch for curve in curves for epoch, _ in curve.mean})
    shown = [epochs[place] for place in thinned(len(epochs), _MOST_COLUMNS)]
    rows = []
    for curve in curves:
        known = dict(curve.mean)
        rows.append((curve.name, *(f"{known[epoch]:.0f}" if epoch in known else ABSENT for epoch in shown)))
    means = ["Means over seeds."] if any(curve.seeds for curve in curves) else []
    return Table((f"percentile after {step}", *map(str, shown)), tuple(rows), (*means, *_frozen(curves)))


def _frozen(curves: Iterable[Curve]) -> list[str]:
    """In which epochs α and β were frozen, in a sentence."""
    names: dict[Spans, list[str]] = {}
    for curve in curves:
        names.setdefault(curve.frozen, []).append(curve.name)
    spans = []
    for epochs, found in sorted(names.items()):
        if epochs:
            spans.append(in_epochs(epochs) + (f" of {in_short(found)}" if len(names) > 1 else ""))
    if not spans:
        return []
    frozen = f"α and β were frozen {listed(spans, 'and')}"
    if any(len(epochs) > 1 for epochs in names):
        return [f"{frozen}: nothing is learnt about the cell there."]
    return [f"{frozen}: what is derived there comes from the random numbers of the start."]


def sentence(words: str) -> str:
    return words[:1].upper() + words[1:] + ("" if words.endswith((".", ":")) else ".")
