"""Charts of a search: the weights of every operation and edge by epoch, and what a derived cell would have kept.

They are small panels in a grid, one for each edge or node, so that text keeps its size on a phone, and need
`style.stylesheet()`.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import OPERATIONS, CellForm, CellKind, CellSpace
from pcdarts.report.drawing.axes import (
    FROZEN_ENTRY,
    Scale,
    Spans,
    drawable,
    figure,
    fit,
    frozen_band,
    in_epochs,
    key,
    line_sample,
    marker,
    plot,
    rect,
    series,
    spread,
    text,
    thinned,
)

_KINDS: dict[CellKind, str] = {"normal": "normal cell", "reduce": "reduction cell"}
_MOST_EPOCHS = 60
_WIDTH = 160
_ROW, _BAR, _NAMES = 22, 17, 34


def op_weights_chart(
    space: CellSpace,
    weights: Sequence[Sequence[Sequence[float]]],
    epochs: Sequence[int],
    kind: CellKind,
    *,
    frozen: Spans = (),
) -> str:
    """A panel for every edge: the softmaxed weights α̂ of its operations, stacked, over the epochs.

    `weights` is [epochs][edges][primitives]; the last of them name the strongest operation other than `none` in the
    panel's heading. The `frozen` epochs are pale. Of more than 60 epochs 60 are drawn.
    """
    chosen = thinned(len(epochs), _MOST_EPOCHS)
    grids = []
    for target in space.intermediate:
        panels = [
            _operations(space, edge, [(epochs[at], weights[at][edge]) for at in chosen], frozen)
            for edge in space.edges_into(target)
        ]
        grids.append(_grid(panels, columns=space.num_nodes - 1))
    entries = [("", rect(primitive, 6, 0, 14, 12), spoken(primitive)) for primitive in reversed(space.primitives)]
    note = (
        "A panel for each edge, a row for each node that edges enter. Bands lie from top to bottom in the order of the "
        "key; the heading names the operation that is strongest at the end."
    )
    if frozen:
        note += f" Pale: α was frozen {in_epochs(frozen)}."
    title = f"Weights of the operations (α̂), {_KINDS[kind]}"
    return figure(title, key(entries), f'<p class="note">{note}</p>', *grids, wide=True)


def edge_weights_chart(
    space: CellSpace, weights: Sequence[Sequence[float]], epochs: Sequence[int], kind: CellKind, *, frozen: Spans = ()
) -> str:
    """A panel for every node: the softmaxed weights β̂ of the edges that enter it, over the epochs.

    `weights` is [epochs][edges]. All panels show as much of the scale, around the weight at which all edges are equal.
    """
    chosen = thinned(len(epochs), _MOST_EPOCHS)
    groups = [space.edges_into(target) for target in space.intermediate]
    around = [weights[at][edge] - 1 / len(group) for at in chosen for group in groups for edge in group]
    reach = max([0.02, *(abs(distance) for distance in around if drawable(distance))])
    panels = []
    for target, group in zip(space.intermediate, groups, strict=True):
        lines = [[(epochs[at], weights[at][edge]) for at in chosen if drawable(weights[at][edge])] for edge in group]
        panels.append(_edges(space.form, target, lines, 1 / len(group), 1.1 * reach, frozen))
    entries = [
        (series(source), line_sample(source), f"from {named(source, space.form)}")
        for source in range(space.num_nodes - 1)
    ]
    if frozen:
        entries.append(FROZEN_ENTRY)
    title = f"Weights of the edges (β̂), {_KINDS[kind]}"
    return figure(title, key(entries), _grid(panels, columns=space.num_intermediate), wide=True)


def genotype_timeline(genotypes: dict[int, Genotype], kind: CellKind, *, frozen: Spans = ()) -> str:
    """A panel for every node: which edges it would keep, and with which operation, after each epoch.

    A row for each source, a bar as long as an operation is kept, a notch wherever something new begins.
    """
    epochs = sorted(genotypes)
    edges = {epoch: genotypes[epoch].placed_edges(kind) for epoch in epochs}
    targets = sorted({target for kept in edges.values() for target, _, _ in kept})
    panels = [
        _kept(
            genotypes[epochs[0]].form,
            target,
            [(epoch, [(p, s) for t, p, s in edges[epoch] if t == target]) for epoch in epochs],
            frozen,
        )
        for target in targets
    ]
    present = {primitive for kept in edges.values() for _, primitive, _ in kept}
    order = ["none", *OPERATIONS]
    entries = [("", rect(primitive, 6, 0, 14, 12), spoken(primitive)) for primitive in sorted(present, key=order.index)]
    entries.append(("", f'<path class="new" d="{_notch(13, 2)}"/>', "new"))
    if frozen:
        entries.append(FROZEN_ENTRY)
    grid = f'<div class="panels broad">{"".join(panels)}</div>'
    return figure(f"Edges and operations kept, {_KINDS[kind]}", key(entries), grid, wide=True)


def spoken(primitive: str) -> str:
    """A primitive's name as short as a chart needs it: sep 3×3, max pool, skip."""
    words = {"skip_connect": "skip", "max_pool_3x3": "max pool", "avg_pool_3x3": "avg pool"}
    name = words.get(primitive, primitive.replace("_conv", "").replace("_", " "))
    return re.sub(r"(\d)x(\d)", r"\1×\2", name)


def named(node: int, form: CellForm) -> str:
    """A node's name: the inputs are the outputs of the cell before the last (k−2) and of the last (k−1)."""
    return f"k−{form.num_inputs - node}" if node < form.num_inputs else str(node)


def _operations(space: CellSpace, edge: int, weights: list[tuple[int, Sequence[float]]], frozen: Spans) -> str:
    """The panel of one edge; `weights` holds an epoch and its weights [primitives] each."""
    top, bottom = 18.0, 106.0
    arrow = " → ".join(named(node, space.form) for node in (space.edges[edge].source, space.edges[edge].target))
    known = [(epoch, row) for epoch, row in weights if all(map(drawable, row)) and sum(row) > 0]
    parts = [text(0, 12, arrow, "strong")]
    if not known:
        return plot(_WIDTH, 124, f"{arrow}: nothing yet", [*parts, text(_WIDTH, 12, "nothing yet", "muted end")])
    x = fit([epoch for epoch, _ in known], 0, _WIDTH, margin=0)
    places = [x(epoch) for epoch, _ in known] if len(known) > 1 else [0.0, float(_WIDTH)]
    heights = [[0.0, *accumulate(row)] for _, row in known] * (1 if len(known) > 1 else 2)
    # Every band reaches down to the axis, and the next one is painted over it: only its upper line costs bytes.
    for index, primitive in reversed(list(enumerate(space.primitives))):
        line = _tenths(places, [bottom + (top - bottom) * height[index + 1] / height[-1] for height in heights])
        parts.append(f'<path class="band {primitive}" d="{line}V{10 * bottom:.0f}H0z" transform="scale(.1)"/>')
    parts += frozen_band(x, frozen, top, bottom, "veil")
    final = known[-1][1]
    best = max(space.choices(edge), key=final.__getitem__)
    parts.append(text(_WIDTH, 12, f"{spoken(space.primitives[best])} {100 * final[best]:.0f} %", "end"))
    said = ", ".join(f"{spoken(p)} {100 * weight:.0f} %" for p, weight in zip(space.primitives, final, strict=True))
    return plot(_WIDTH, 124, f"{arrow}: {said}", [*parts, *_ends(x, bottom + 14, known[0][0], known[-1][0])])


def _edges(
    form: CellForm, target: int, lines: list[list[tuple[int, float]]], equal: float, reach: float, frozen: Spans
) -> str:
    """The panel of one node: a line for each source, around the weight `equal`, give or take `reach`."""
    top, bottom, left, right = 22.0, 122.0, 34.0, 122.0
    lowest = max(0.0, equal - reach)
    y = Scale(lowest, lowest + 2 * reach, bottom, top)
    shown = [epoch for line in lines for epoch, _ in line]
    x = fit(shown, left, right, margin=0)
    parts = [text(0, 12, f"into node {target}", "strong"), *frozen_band(x, frozen, top, bottom)]
    for value, tick in y.ticks(at_most=4):
        parts.append(f'<path class="grid" d="M{left:g} {y(value):.1f}H{right:g}"/>')
        parts.append(text(left - 5, y(value) + 4, tick, "muted end"))
    ends = spread([y(line[-1][1]) if line else bottom for line in lines], gap=13, top=top, bottom=bottom)
    for source, (line, end) in enumerate(zip(lines, ends, strict=True)):
        if line:
            path = "L".join(f"{x(epoch):.1f} {y(value):.1f}" for epoch, value in line)
            mark = marker(x(line[-1][0]), y(line[-1][1]), source)
            parts.append(f'<g class="{series(source)}"><path class="line" d="M{path}"/>{mark}</g>')
            parts.append(text(right + 8, end + 4, named(source, form)))
    said = ", ".join(f"from {named(source, form)} {line[-1][1]:.3f}" for source, line in enumerate(lines) if line)
    if shown:
        parts += _ends(x, bottom + 15, min(shown), max(shown))
    return plot(_WIDTH, 140, f"Edges into node {target}: {said or 'nothing yet'}", parts)


def _kept(form: CellForm, target: int, kept: list[tuple[int, list[tuple[str, int]]]], frozen: Spans) -> str:
    """The panel of one node; `kept` holds an epoch and the node's edges (primitive, source) each."""
    width, top = 340, 22
    last = kept[-1][0] + 1
    bottom = top + _ROW * target
    x = Scale(kept[0][0], last, _NAMES, width)
    # A bar reaches from its epoch to the next one, and so does the shade.
    parts = frozen_band(x, tuple((first + 1, end + 1) for first, end in frozen), top, bottom)
    for source in range(target):
        parts.append(f'<path class="grid" d="M{_NAMES} {top + _ROW * (source + 1)}H{width}"/>')
        parts.append(text(0, top + _ROW * source + 15, named(source, form)))
    bars = list(_bars(kept, last))
    for bar in bars:
        left, wide, high = x(bar.first), x(bar.end) - x(bar.first), _BAR / bar.shares
        y = top + _ROW * bar.source + (_ROW - _BAR) / 2 + high * bar.share
        parts.append(rect(f"bar {bar.primitive}", left, y, wide, high))
        words = spoken(bar.primitive)
        if 6.6 * len(words) + 8 < wide and bar.shares == 1:
            parts.append(text(left + 7, y + 13, words, f"on-{bar.primitive}"))
        if bar.first > kept[0][0]:
            parts.append(f'<path class="new" d="{_notch(left, y - 2)}"/>')
    moments = sorted({bar.first for bar in bars} - {kept[0][0]})
    said = "never changed"
    if moments:
        said = f"{len(moments)} change{'s' * (len(moments) > 1)}, last after epoch {moments[-1]}"
    final = " and ".join(f"{spoken(primitive)} from {named(source, form)}" for primitive, source in kept[-1][1])
    heading = [text(0, 12, f"node {target}", "strong"), text(width, 12, said, "muted end")]
    parts += _ends(x, bottom + 15, kept[0][0], kept[-1][0])
    return plot(width, bottom + 18, f"Node {target} keeps {final}; {said}", [*heading, *parts])


class _Bar(NamedTuple):
    """A stretch of epochs, from `first` to before `end`, in which an edge stays as it is.

    An edge taken twice, with two operations, is two bars that share a row: then `share` is 0 or 1 of 2 `shares`.
    """

    first: int
    end: int
    primitive: str
    source: int
    share: int
    shares: int


def _bars(kept: list[tuple[int, list[tuple[str, int]]]], last: int) -> Iterator[_Bar]:
    """The bars of one node, by source; `last` is the epoch at which those still kept end."""
    starts = [epoch for epoch, _ in kept]
    for source in sorted({source for _, pair in kept for _, source in pair}):
        held = [tuple(sorted(primitive for primitive, at in pair if at == source)) for _, pair in kept]
        turns = [0, *(index for index in range(1, len(held)) if held[index] != held[index - 1]), len(held)]
        for begin, end in pairwise(turns):
            for share, primitive in enumerate(held[begin]):
                yield _Bar(starts[begin], [*starts, last][end], primitive, source, share, len(held[begin]))


def _notch(x: float, y: float) -> str:
    return f"M{x - 4:.1f} {y:g}h8l-4 6z"


def _grid(panels: Iterable[str], columns: int) -> str:
    return f'<div class="panels" style="--columns:{columns}">{"".join(panels)}</div>'


def _ends(x: Scale, y: float, first: int, last: int) -> list[str]:
    """The first and the last epoch, below the ends of a panel's axis."""
    end = [text(x.end, y, str(last), "muted end")] if last > first else []
    return [text(x.start, y, f"epoch {first}", "muted"), *end]


def _tenths(x: Sequence[float], y: Sequence[float]) -> str:
    """A line as an SVG path in tenths of a unit: whole numbers, each relative to the one before, in few bytes."""
    across, down = ([round(10 * value) for value in values] for values in (x, y))
    steps = "".join(
        f" {to_x - from_x}{'' if to_y < from_y else ' '}{to_y - from_y}"
        for (from_x, to_x), (from_y, to_y) in zip(pairwise(across), pairwise(down), strict=True)
    )
    return f"M{across[0]} {down[0]}l{steps[1:]}"
