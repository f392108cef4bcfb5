"""Charts of learning curves and of the numbers of skip-connections, by epoch."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from pcdarts.cell.space import CellKind
from pcdarts.report.drawing.axes import Spans, thinned
from pcdarts.report.drawing.charts import Series, line_chart
from pcdarts.report.history import History, SearchHistory
from pcdarts.report.subject import Group

MOST_LINES = 60
_MOST_POINTS = 2400
"""Of all lines of a chart together: some 30 kB."""


class Quantity(NamedTuple):
    """A figure that jobs save for every epoch."""

    name: str
    title: str
    unit: str


_ERROR, _LOSS = "top-1 error (%)", "loss"
QUANTITIES: dict[str, tuple[Quantity, ...]] = {
    "search": (
        Quantity("arch_top1_error", "Search: error on the arch split", _ERROR),
        Quantity("weight_top1_error", "Search: error on the weight split", _ERROR),
        Quantity("arch_loss", "Search: loss on the arch split", _LOSS),
        Quantity("weight_loss", "Search: loss on the weight split", _LOSS),
    ),
    "random search": (
        Quantity("best_arch_top1_error", "Random search: error of the best cell so far on the arch split", _ERROR),
    ),
    "train": (
        Quantity("validation_top1_error", "Training: error on the validation images", _ERROR),
        Quantity("test_top1_error", "Training: error on the test images", _ERROR),
        Quantity("train_top1_error", "Training: error on the training images", _ERROR),
        Quantity("train_loss", "Training: loss on the training images", _LOSS),
    ),
    "detect train": (
        Quantity("AP", "Detection: average precision on the test images", "AP (%)"),
        Quantity("train_loss", "Detection: loss on the training images", _LOSS),
    ),
}
"""By job, in the order of the page."""

_SKIPS: dict[CellKind, str] = {
    "normal": "Skip-connections in the normal cell",
    "reduce": "Skip-connections in the reduction cell",
}


def learning_curves(groups: Sequence[Group]) -> list[str]:
    """A chart for every quantity that a run has saved: a line for each search and training."""
    charts = []
    for job, quantities in QUANTITIES.items():
        for quantity in quantities:

            def points(history: History, job: str = job, name: str = quantity.name) -> _Points:
                return history.curve(name) if history.job == job else []

            lines = _lines(groups, points)
            if lines:
                title, unit = quantity.title, quantity.unit
                frozen = _frozen(groups) if job == "search" else ()
                charts.append(line_chart(lines, title=title, x_label="epoch", y_label=unit, frozen=frozen))
    return charts


def skip_charts(groups: Sequence[Group]) -> list[str]:
    """The numbers of skip-connections of the derived cells by epoch: a chart for each kind of cell."""
    charts = []
    for kind, title in _SKIPS.items():

        def points(history: History, kind: CellKind = kind) -> _Points:
            genotypes = history.genotypes.items() if isinstance(history, SearchHistory) else ()
            return [(float(epoch), float(g.skip_connects(kind))) for epoch, g in genotypes if kind in g.kinds]

        if lines := _lines(groups, points, step=True):
            charts.append(
                line_chart(lines, title=title, x_label="epoch", y_label="skip-connections", frozen=_frozen(groups))
            )
    return charts


_Points = list[tuple[float, float | None]]


def _lines(groups: Sequence[Group], points: Callable[[History], _Points], step: bool = False) -> list[Series]:
    """The lines of a chart, all seeds of a group in one colour; at most 60, the first seeds first."""
    found = [
        (number, colour, group.name, drawn)
        for colour, group in enumerate(groups)
        for number, history in enumerate(group.histories)
        if (drawn := points(history))
    ]
    kept = sorted(sorted(found, key=lambda line: line[0])[:MOST_LINES], key=lambda line: line[1])
    at_most = _MOST_POINTS // max(len(kept), 1)
    return [
        Series(name, [line[index] for index in thinned(len(line), at_most)], colour, step)
        for _, colour, name, line in kept
    ]


def _frozen(groups: Iterable[Group]) -> Spans:
    """The epochs with frozen α and β, if they are the same in all searches."""
    frozen = {search.frozen for group in groups for search in group.searches if search.epochs}
    return frozen.pop() if len(frozen) == 1 else ()
