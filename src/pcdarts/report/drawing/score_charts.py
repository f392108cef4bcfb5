"""Charts of the percentile of the cell that a search would have given after each epoch."""

from collections.abc import Sequence
from dataclasses import dataclass

from pcdarts.report.drawing.axes import (
    FROZEN_ENTRY,
    Scale,
    Spans,
    figure,
    fit,
    frozen_band,
    key,
    line_sample,
    marker,
    plot,
    text,
    thinned,
)
from pcdarts.report.drawing.charts import Level, Series, line_chart
from pcdarts.report.drawing.labels import shortened
from pcdarts.report.drawing.style import NUM_SERIES

CHANCE = Level(50.0, "chance: 50")
"""The mean percentile of random cells."""
LIMITS = (0.0, 100.0)
"""Of every percentile."""
_PERCENTILE = "percentile among random cells"
_MOST_SEEDS = 12
_MOST_POINTS = 4800
"""Of all lines of a chart together: some 60 kB."""
_MOST_PANELS = 60

Points = Sequence[tuple[int, float]]
"""Epochs and percentiles."""


@dataclass(frozen=True)
class Curve:
    """The percentile of the cells that the searches of one method would have given after each epoch."""

    name: str
    frozen: Spans
    """The epochs in which α and β were frozen."""
    mean: Points
    """Over the seeds."""
    seeds: Sequence[Points] = ()
    """Of each search, if there are several."""


def percentile_chart(curves: Sequence[Curve], *, title: str, x_label: str) -> str:
    """A line for each curve, and chance; epochs with frozen α and β are shaded, or their end is marked by a ring.

    Up to 12 single searches have thin lines. More than eight curves, which colours cannot distinguish, have panels.
    """
    lines = sum(1 + len(curve.seeds) for curve in curves[:_MOST_PANELS])
    at_most = max(20, _MOST_POINTS // lines)
    thin = [_thinned(curve, at_most) for curve in curves[:_MOST_PANELS]]
    if len(curves) > NUM_SERIES:
        return _panels(thin, title, x_label, left_out=len(curves) - len(thin))
    frozen = {curve.frozen for curve in curves}
    same = frozen.pop() if len(frozen) == 1 else None
    with_seeds = lines - len(curves) <= _MOST_SEEDS
    drawn = []
    for colour, curve in enumerate(thin):
        if with_seeds:
            drawn += [Series(curve.name, _floats(points), colour, thin=True) for points in curve.seeds]
        moves = [last for _, last in curve.frozen] if same is None else []
        drawn.append(Series(curve.name, _floats(curve.mean), colour, moves_after=moves))
    return line_chart(
        drawn,
        title=title,
        x_label=x_label,
        y_label=_PERCENTILE,
        frozen=same or (),
        limits=LIMITS,
        level=CHANCE,
        broad=True,
    )


def _panels(curves: Sequence[Curve], title: str, x_label: str, left_out: int) -> str:
    last = max(epoch for curve in curves for epoch, _ in curve.mean)
    panels = "".join(_panel(curve, last, x_label) for curve in curves)
    has_seeds = any(curve.seeds for curve in curves)
    entries = [
        ("s1", line_sample(0), "mean over seeds" if has_seeds else "a search"),
        *([("s1", '<g><path class="line thin" d="M0 6H26"/></g>', "one seed")] if has_seeds else []),
        CHANCE.entry,
        *([FROZEN_ENTRY] if any(curve.frozen for curve in curves) else []),
    ]
    note = f'<p class="note">{left_out} more are not drawn.</p>' if left_out else ""
    grid = f'<div class="panels" style="--columns:5">{panels}</div>'
    return figure(title, key(entries), note, grid, wide=True)


def _panel(curve: Curve, last: int, x_label: str) -> str:
    """One method, on axes that all panels share."""
    width, top, bottom, left = 180.0, 22.0, 112.0, 26.0
    y = Scale(*LIMITS, bottom, top)
    x = fit([1, last], left, width - 6, margin=0)
    parts = [text(0, 12, shortened(curve.name, width / 1.1), "strong"), *frozen_band(x, curve.frozen, top, bottom)]
    for value in (0, 100):
        parts.append(f'<path class="grid" d="M{left:g} {y(value):.1f}H{x.end:g}"/>')
    for value in (0, 50, 100):
        parts.append(text(left - 5, y(value) + 4, str(value), "muted end"))
    parts.append(f'<path class="level" d="M{left:g} {y(CHANCE.value):.1f}H{x.end:g}"/>')
    lines = ""
    for style, points in [*(("line thin", points) for points in curve.seeds), ("line", curve.mean)]:
        path = "L".join(f"{x(epoch):.1f} {y(percentile):.1f}" for epoch, percentile in points)
        lines += f'<path class="{style}" d="M{path}"/>'
    end_epoch, end = curve.mean[-1]
    parts.append(f'<g class="s1">{lines}{marker(x(end_epoch), y(end), 0)}</g>')
    parts += [text(left, bottom + 15, "1", "muted"), text(x.end, bottom + 15, f"{x_label} {last}", "muted end")]
    return plot(width, 130, f"{curve.name}: {_PERCENTILE} {end:.0f} after {x_label} {end_epoch}", parts)


def _thinned(curve: Curve, at_most: int) -> Curve:
    def chosen(points: Points) -> Points:
        return [points[place] for place in thinned(len(points), at_most)]

    return Curve(curve.name, curve.frozen, chosen(curve.mean), [chosen(points) for points in curve.seeds])


def _floats(points: Points) -> list[tuple[float, float | None]]:
    return [(float(epoch), percentile) for epoch, percentile in points]
