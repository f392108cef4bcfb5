"""One search in detail: its cells, their changes, and α̂ and β̂ of every edge by epoch."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pcdarts.cell.draw import draw_inline
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellKind
from pcdarts.report.budget_text import WITHOUT, Limited, limited
from pcdarts.report.difference import GenotypeDifference, changes
from pcdarts.report.drawing.axes import thinned
from pcdarts.report.drawing.cell_charts import edge_weights_chart, genotype_timeline, op_weights_chart
from pcdarts.report.history import SearchHistory
from pcdarts.report.subject import Entry, Subject

_MOST_DRAWINGS = 6
_ALLOWANCE = 2000
"""Bytes of the page around the charts of one search."""


@dataclass(frozen=True)
class Drawing:
    """A cell with words below it; `svg` is HTML."""

    svg: str
    caption: str


@dataclass(frozen=True)
class Detail:
    """What the page shows of one search, or of a genotype that was not searched. Charts are HTML, `name` is text."""

    name: str
    folder: str
    genotype: Genotype | None
    cells: Sequence[Drawing]
    budget: Sequence[str]
    """Sentences about the budget of the search, if it had one."""
    changes: str
    """What the budget changed in the cell, in lines, if anything."""
    steps: Sequence[tuple[str, Sequence[Drawing]]]
    """For each kind of cell: how often it changed, in words, and drawings of some changes. Only if `is_first`."""
    timelines: Sequence[str]
    op_weights: Sequence[str]
    edge_weights: Sequence[str]
    is_first: bool
    """Whether it is the first of its group."""
    is_whole: bool = True

    def in_part(self) -> "Detail":
        """Only its cells, and the edges kept by epoch: about 30 kB."""
        return replace(self, steps=[], op_weights=[], edge_weights=[], is_whole=False)

    @property
    def size(self) -> int:
        """About its size in bytes on the page."""
        drawings = [drawing for _, some in self.steps for drawing in some]
        parts = [drawing.svg for drawing in (*self.cells, *drawings)]
        return _ALLOWANCE + sum(
            len(part.encode()) for part in (*parts, *self.timelines, *self.op_weights, *self.edge_weights)
        )


def details_of(subject: Subject) -> list[Detail]:
    """Every search of a subject, and every cell that was not searched, once for each group."""
    details = []
    elsewhere = subject.trained_again
    for group in subject.groups:
        shown: list[Genotype | None] = [None]
        is_first = True
        for entry in (entry for entry in group.entries if entry.name not in elsewhere):
            genotype = entry.search.genotype if entry.search else entry.genotype
            if entry.search or genotype not in shown:
                details.append(_detail(entry, genotype, is_first))
                shown.append(genotype)
                is_first = False
    return details


def compared(difference: GenotypeDifference, pair: Sequence[Entry]) -> list[Drawing]:
    """Both cells of two genotypes side by side; the edges that differ are marked."""
    return [
        Drawing(draw_inline(entry.genotype, kind, difference.marked(kind)[side]), entry.name)
        for kind in difference.edges
        for side, entry in enumerate(pair)
        if entry.genotype
    ]


def _detail(entry: Entry, genotype: Genotype | None, is_first: bool) -> Detail:
    search = entry.search
    history = search or (entry.trainings[0] if entry.trainings else None)
    known = limited(search) if search else None
    cells = [_drawing(genotype, kind, known) for kind in genotype.kinds] if genotype else []
    timelines, op_weights, edge_weights = _charts(search) if search else ([], [], [])
    return Detail(
        name=entry.name,
        folder=str(history.run.path) if history else "",
        genotype=genotype,
        cells=cells,
        budget=known.sentences if known else [],
        changes=known.changes if known else "",
        steps=[_steps(search, kind) for kind in search.space.kinds] if search and search.genotypes and is_first else [],
        timelines=timelines,
        op_weights=op_weights,
        edge_weights=edge_weights,
        is_first=is_first,
    )


def _drawing(genotype: Genotype, kind: CellKind, known: Limited | None) -> Drawing:
    """The final cell of a run; the edges that are there because of a budget are marked."""
    marked = known.marked(kind) if known else frozenset()
    return Drawing(draw_inline(genotype, kind, marked), "bold: what the budget changed" if marked else "")


def _steps(search: SearchHistory, kind: CellKind) -> tuple[str, list[Drawing]]:
    found = changes(search.genotypes, kind)
    of_budget = f" ({WITHOUT})" if limited(search) else ""
    name = "normal cell" if kind == "normal" else "reduction cell"
    if len(found) == 1:
        return f"The {name} was the same after every epoch{of_budget}.", []
    chosen = [found[index] for index in thinned(len(found), _MOST_DRAWINGS)]
    drawings = [
        Drawing(draw_inline(change.genotype, kind, change.new), _step_text(change.epoch, len(change.new)))
        for change in chosen
    ]
    shown = "all drawn here" if len(chosen) == len(found) else f"{len(chosen)} of its forms are drawn here"
    return f"The {name} changed {len(found) - 1} times{of_budget}; {shown}, new edges bold.", drawings


def _step_text(epoch: int, new: int) -> str:
    return f"after epoch {epoch}" + (f": {new} new edge{'s' * (new != 1)}" if new else "")


def _charts(search: SearchHistory) -> tuple[list[str], list[str], list[str]]:
    """For each kind of cell: the edges kept by epoch, α̂ and β̂; nothing where a search has none of them."""
    space, epochs, frozen = search.space, search.epochs, search.frozen
    timelines, op_weights, edge_weights = [], [], []
    for kind in space.kinds:
        if len(search.genotypes) > 1:
            timelines.append(genotype_timeline(search.genotypes, kind, frozen=frozen))
        if epochs:
            op_weights.append(op_weights_chart(space, search.op_weights[kind], epochs, kind, frozen=frozen))
        if epochs and search.edge_normalization:
            edge_weights.append(edge_weights_chart(space, search.edge_weights[kind], epochs, kind, frozen=frozen))
    return timelines, op_weights, edge_weights
