"""What `pcdarts compare` says: a table, and sentences about who wins, and where no difference is shown."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from pcdarts.errors import counted, listed
from pcdarts.jobs.outcome.sizes import millions
from pcdarts.report.statistics import Difference, difference
from pcdarts.report.study_tables import Table, filled_table, mean_std_text
from pcdarts.run.display.progress import duration

EQUAL_COST = 0.1
"""Mult-adds that differ by no larger share count as equal."""


@dataclass(frozen=True)
class Row:
    """A network, its seeds, and what it costs."""

    name: str
    accuracies: list[float]
    """In %, of each seed."""
    test_images: int
    params: int
    mult_adds: int
    train_seconds: float
    """The mean of a seed."""
    devices: list[str]
    """On what the seeds were trained."""
    onnx_milliseconds: float | None
    pytorch_milliseconds: float
    said: str
    """How its size was chosen; empty for the run's own network."""
    changes: list[str]
    """What differs from the library's network."""
    pretrained: bool = False
    random: bool = False

    @property
    def mean(self) -> float:
        return fmean(self.accuracies)

    @property
    def milliseconds(self) -> float:
        """As an ONNX model if that is known, else in PyTorch."""
        return self.pytorch_milliseconds if self.onnx_milliseconds is None else self.onnx_milliseconds


def compare_table(rows: Sequence[Row], caption: tuple[str, ...] = ()) -> Table:
    """A row for each network, the run's first."""
    run = rows[0]
    columns = {
        "network": [row.name for row in rows],
        "accuracy, %": [f"{mean_std_text(row.accuracies, 2)} (n = {len(row.accuracies)})" for row in rows],
        f"difference to {run.name}, points": [_interval(_gap(row, run)) if row is not run else "" for row in rows],
        "parameters": [millions(row.params) for row in rows],
        "mult-adds": [millions(row.mult_adds) for row in rows],
        "training of a seed": [duration(row.train_seconds) for row in rows],
        "ONNX, ms": [_milliseconds(row.onnx_milliseconds) for row in rows],
        "PyTorch, ms": [_milliseconds(row.pytorch_milliseconds) for row in rows],
    }
    return filled_table(columns, caption)


def sentences(rows: Sequence[Row], *, tried_pretrained: bool) -> list[str]:
    """Who wins, in plain words; where no difference is shown; and whether a pretrained network is the better choice."""
    run, others = rows[0], rows[1:]
    said = [*_verdict(run, others), *_about_random(run, [row for row in others if row.random])]
    said.append(_about_pretrained(run, [row for row in others if row.pretrained], tried_pretrained))
    for row in others:
        if abs(row.mult_adds / run.mult_adds - 1) > EQUAL_COST:
            times = row.mult_adds / run.mult_adds
            said.append(f"{row.name} has {times:.3g} times the mult-adds of {run.name}: no comparison at equal cost.")
    return said


def notes(rows: Sequence[Row], *, threads: int) -> tuple[str, ...]:
    """What the figures are, how the networks were chosen, and what differs from those of the libraries."""
    run, others = rows[0], rows[1:]
    images = counted(run.test_images, "test image")
    changes = [f"{row.name.removesuffix(' (pretrained)')}: {change}." for row in others for change in row.changes]
    return (
        f"Accuracy: mean ± standard deviation over n seeds, all on the same {images}. Intervals: Welch, 95 %, over "
        "seeds; one that contains 0 shows no difference, and no equality either; of 20, about one misses the truth.",
        f"Images, epochs, augmentation, selection, learning rate and the statistics by which images are normalised are "
        f"those of {run.name} for all; a network might do better with settings of its own.",
        f"Milliseconds: the median for one image on this machine, {counted(threads, 'thread')}, the networks by turns; "
        f"ONNX by onnxruntime. Training times are those of the jobs, which did not take turns{_devices(rows)}.",
        *(f"{row.name}: {row.said}." for row in others if row.said),
        *dict.fromkeys(changes),
    )


def markdown(title: str, table: Table, said: Sequence[str]) -> str:
    """The file `compare.md`."""
    return "\n".join([f"# {title}", "", *(f"* {line}" for line in said), "", table.to_markdown()])


def _gap(row: Row, run: Row) -> Difference | None:
    """None where n = 1, or where equal seeds do not say how far others would be."""
    gap = difference(row.accuracies, run.accuracies)
    return None if gap is None or gap.low == gap.high else gap


def _verdict(run: Row, others: Sequence[Row]) -> list[str]:
    gaps, rows = [(row, _gap(row, run)) for row in others], [run, *others]
    if not any(gap for _, gap in gaps):
        highest = max(row.mean for row in rows)
        names = [row.name for row in rows if row.mean == highest]
        single = any(len(row.accuracies) == 1 for row in rows)
        why = "one seed of a network shows" if single else "seeds that agree to the last image show"
        return [
            f"{listed(names, 'and')} {'has' if len(names) == 1 else 'have'} the highest accuracy here, {highest:.2f} "
            f"%, but {why} nothing: another seed may turn the order round. --seeds 3 or more says how far apart the "
            "networks are."
        ]
    said = []
    for row, gap in gaps:
        if gap is None:
            said.append(f"Between {run.name} and {row.name} nothing is shown: n = 1, or all seeds agree.")
        elif not gap.shows:
            said.append(f"Between {run.name} and {row.name} no difference is shown: {_interval(gap)} points.")
        else:
            better, worse = (row, run) if gap.mean > 0 else (run, row)
            said.append(f"{better.name} is better than {worse.name}: {_interval(_positive(gap))} points.")
    better_ones = [row for row, gap in gaps if gap and gap.shows and gap.mean > 0]
    if better_ones:
        best = max(better_ones, key=lambda row: row.mean)
        cost = f"{_times(best.milliseconds, run.milliseconds)} the time for an image"
        return [f"{best.name} wins: it is better than {run.name}, at {cost}.", *said]
    if all(gap and gap.shows for _, gap in gaps):
        return [f"{run.name} wins: it is better than every other network here.", *said]
    equal = [run, *(row for row, gap in gaps if not (gap and gap.shows))]
    fastest, smallest = min(equal, key=lambda row: row.milliseconds), min(equal, key=lambda row: row.params)
    speed, size = f"{fastest.milliseconds:.3g} ms for an image", f"{millions(smallest.params)} parameters"
    cheapest = f"{fastest.name} is the fastest ({speed}), {smallest.name} the smallest ({size})"
    if fastest is smallest:
        cheapest = f"{fastest.name} is the fastest ({speed}) and the smallest ({size})"
    among = f"Between it and {counted(len(equal) - 1, 'other')} no difference is shown, so cost decides: "
    return [f"No network is shown to be better than {run.name}. {among}{cheapest}.", *said]


def _about_random(run: Row, cells: Sequence[Row]) -> list[str]:
    if len(cells) < 2:
        return []
    gap = difference([cell.mean for cell in cells], run.accuracies)
    together = f"the {len(cells)} random cells together (each counts once)"
    if gap is None or gap.low == gap.high:
        return [f"Between {run.name} and {together} nothing is shown: {run.name} has one seed, or all agree."]
    if not gap.shows:
        return [f"Between {run.name} and {together} no difference is shown: {_interval(gap)} points."]
    if gap.mean > 0:
        return [f"The {together.removeprefix('the ')} are better than {run.name}: {_interval(gap)} points."]
    return [f"{run.name} is better than {together}: {_interval(_positive(gap))} points."]


def _about_pretrained(run: Row, pretrained: Sequence[Row], tried: bool) -> str:
    if not tried:
        return (
            "Pretrained networks were not tried: --pretrained trains the stock networks from weights learnt on "
            "ImageNet too, which is worth trying where images are few and like photographs of everyday things."
        )
    better = [row for row in pretrained if (gap := _gap(row, run)) and gap.shows and gap.mean > 0]
    if not better:
        return f"No pretrained stock network is shown to be better than {run.name}: nothing here speaks for one."
    best = max(better, key=lambda row: row.mean)
    return (
        f"A pretrained stock network is the better choice here: {best.name}, unless {millions(best.mult_adds)} "
        f"mult-adds (beside {millions(run.mult_adds)}) and {best.milliseconds:.3g} ms for an image (beside "
        f"{run.milliseconds:.3g}) are too many."
    )


def _devices(rows: Sequence[Row]) -> str:
    devices = list(dict.fromkeys(device for row in rows for device in row.devices))
    if len(devices) < 2:
        return f", on {devices[0]}" if devices else ""
    return f", and not all on one device ({listed(devices, 'and')}): do not compare them"


def _interval(gap: Difference | None) -> str:
    if gap is None:
        return ""
    return f"{gap.mean:+.2f} ({gap.low:+.2f} to {gap.high:+.2f})".replace("-", "−")


def _positive(gap: Difference) -> Difference:
    """The difference as seen from the better one."""
    return gap if gap.mean > 0 else Difference(-gap.mean, -gap.high, -gap.low, gap.n_b, gap.n_a)


def _times(one: float, other: float) -> str:
    return f"{one / other:.2g} times"


def _milliseconds(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"
