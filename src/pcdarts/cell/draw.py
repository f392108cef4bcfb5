"""A picture of a cell in the manner of the paper's Figure 2, and a form for the terminal."""

import re
from collections.abc import Collection
from textwrap import wrap

from pcdarts.cell.genotype import Genotype
from pcdarts.cell.layout import LABEL_HEIGHT, LABEL_WIDTH, Layout, Node, Wire, lay_out
from pcdarts.cell.space import CellForm, CellKind

_TITLES: dict[CellKind, str] = {"normal": "Normal cell", "reduce": "Reduction cell"}
_FAMILIES = {"sep": "separable", "dil": "dilated", "max": "pooling", "avg": "pooling", "skip": "skip"}
"""The family of an operation, and so its colour, by the first word of its name; all others are plain."""

_MARGIN = 24.0
_HEADING = 32.0
_ARROW = 8.0
_LIGHT = {
    "page": "#ffffff",
    "frame": "#d8dee4",
    "ink": "#28323f",
    "muted": "#8a95a3",
    "separable": "#1d5fc4",
    "dilated": "#8431b8",
    "pooling": "#b4540a",
    "skip": "#13784c",
    "plain": "#b32457",
}
_DARK = {
    "page": "#0d1117",
    "frame": "#30363d",
    "ink": "#dbe2ea",
    "muted": "#7d8896",
    "separable": "#79b0ff",
    "dilated": "#d0a0f5",
    "pooling": "#f2ab68",
    "skip": "#68cf9c",
    "plain": "#f58fb0",
}
_RULES = (
    ".pcdarts text{font:600 12px system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;text-anchor:middle}"
    ".pcdarts .large{font-size:14px}"
    ".pcdarts .small{font-size:10px}"
    ".pcdarts .heading{font-size:15px;text-anchor:start}"
    ".pcdarts .line{fill:none;stroke:currentColor;stroke-width:1.7}"
    ".pcdarts .solid{fill:currentColor}"
    ".pcdarts .idle{opacity:.35}"
    ".pcdarts .tint{fill:currentColor;fill-opacity:.09;stroke:currentColor;stroke-width:1.3}"
)
_MARKED_RULES = ".pcdarts .marked .line{stroke-width:3.6}.pcdarts .marked .tint{fill-opacity:1}"


def _colours(theme: dict[str, str]) -> str:
    return "".join(f".pcdarts .{name}{{color:{colour}}}" for name, colour in theme.items())


_PLAIN_STYLE = f"{_RULES}{_colours(_LIGHT)}@media (prefers-color-scheme:dark){{{_colours(_DARK)}}}"
STYLE = _PLAIN_STYLE + _MARKED_RULES
"""The style sheet of all drawings in a page that shows them with `draw_inline`."""


def draw_svg(genotype: Genotype, kind: CellKind, marked: Collection[tuple[int, str, int]] = ()) -> str:
    """Draw one cell as a self-contained SVG document: inputs left, output right, an arrow for every edge.

    It brings its own background and follows the reader's light or dark colour scheme. What the output does not depend
    on is drawn faintly; those of the cell's edges that are among `marked`, as (target, primitive, source), have bold
    lines and solid labels. Write it to a file as UTF-8.
    """
    return _draw(genotype, kind, marked, STYLE if marked else _PLAIN_STYLE)


def draw_inline(genotype: Genotype, kind: CellKind, marked: Collection[tuple[int, str, int]] = ()) -> str:
    """Draw one cell as `draw_svg` does, for a page that brings `STYLE` itself, once for all of its drawings."""
    return _draw(genotype, kind, marked, "")


def draw_together(genotype: Genotype) -> str:
    """Draw all cells of a genotype below one another, as one SVG document like those of `draw_svg`."""
    parts, width, height = [], 0, 0
    for kind in genotype.kinds:
        parts.append(f'<svg y="{height}"{draw_svg(genotype, kind).removeprefix("<svg")}')
        own_width, own_height = _size(lay_out(genotype, kind))
        width, height = max(width, own_width), height + own_height
    return f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">\n{"".join(parts)}</svg>\n'


def _size(layout: Layout) -> tuple[int, int]:
    """Width and height of a drawing."""
    return round(layout.width + 2 * _MARGIN), round(layout.height + 2 * _MARGIN + _HEADING)


def _draw(genotype: Genotype, kind: CellKind, marked: Collection[tuple[int, str, int]], style: str) -> str:
    layout = lay_out(genotype, kind)
    idle = [layout.nodes[node] for node in genotype.idle(kind)]
    width, height = _size(layout)
    title = _TITLES[kind]
    said = "; ".join([*_sums(genotype, kind), *_marks(genotype, kind, marked)])
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="pcdarts" role="img" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}">',
        f"<title>{title}</title>",
        f"<desc>{said}.</desc>",
        *([f"<style>{style}</style>"] if style else []),
        f'<rect class="page solid" width="{width}" height="{height}" rx="12"/>',
        f'<rect class="frame line" x="1" y="1" width="{width - 2}" height="{height - 2}" rx="11"/>',
        f'<text class="heading muted solid" x="{_MARGIN:g}" y="33">{title}</text>',
        f'<g transform="translate({_MARGIN:g} {_MARGIN + _HEADING:g})">',
        *(_wire(wire, wire.target in idle, _edge(layout, wire) in marked) for wire in layout.wires),
        *_nodes(layout, idle),
        "</g>",
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def draw_text(genotype: Genotype, kind: CellKind) -> str:
    """Draw one cell with box characters, a line for each edge and one for the output, at most 100 columns wide."""
    lines = [_TITLES[kind]]
    longest = max(len(primitive) for primitive, _ in genotype.edges(kind))
    idle = genotype.idle(kind)
    for node, edges in genotype.entering(kind).items():
        joints = ["┬", *"┤" * (len(edges) - 2), "┘"] if len(edges) > 1 else ["─"]
        joints[0] += f"─▶ {node}{' (unused)' if node in idle else ''}"
        for (primitive, source), joint in zip(edges, joints, strict=True):
            name = node_name(source, genotype.form)
            lines.append(f"  {name:>7} ── {primitive} {'─' * (longest - len(primitive))}──{joint}")
    output = _output(genotype, kind)
    lines.extend(wrap(output, width=100, initial_indent="  ", subsequent_indent=" " * 17))
    return "\n".join(lines) + "\n"


def _sums(genotype: Genotype, kind: CellKind) -> list[str]:
    """What every node computes, as a formula in words, for readers who do not see the picture."""
    sums = []
    for node, edges in genotype.entering(kind).items():
        terms = [f"{primitive}({node_name(source, genotype.form)})" for primitive, source in edges]
        sums.append(f"node {node} = {' + '.join(terms)}")
    return [*sums, f"output {_output(genotype, kind)}"]


def _output(genotype: Genotype, kind: CellKind) -> str:
    if genotype.form.macro == "nasbench201":
        return f"c_{{k}} = {genotype.concat(kind)[0]}"
    return f"c_{{k}} = concat({', '.join(map(str, genotype.concat(kind)))})"


def _marks(genotype: Genotype, kind: CellKind, marked: Collection[tuple[int, str, int]]) -> list[str]:
    """The marked edges in words."""
    return [
        f"marked: {edge[1]}({node_name(edge[2], genotype.form)}) of node {edge[0]}"
        for edge in genotype.placed_edges(kind)
        if edge in marked
    ]


def node_name(node: int, form: CellForm) -> str:
    """A node's name: its number, but an input is called after the cell that it comes from, `c_{k-1}` the last one."""
    return f"c_{{k-{form.num_inputs - node}}}" if node < form.num_inputs else str(node)


def _edge(layout: Layout, wire: Wire) -> tuple[int, str | None, int]:
    """A wire as (target, primitive, source)."""
    return layout.nodes.index(wire.target), wire.primitive, layout.nodes.index(wire.source)


def _wire(wire: Wire, idle: bool, marked: bool) -> str:
    """The line of an edge with its arrowhead, and its label on the line."""
    family = _FAMILIES.get(wire.primitive.split("_")[0], "plain") if wire.primitive else "muted"
    x, y = wire.source.x + wire.source.width / 2, wire.source.y
    tip_x, tip_y = wire.target.x - wire.target.width / 2, wire.target.y + wire.port
    path = f"M{x:.1f} {y:.1f}"
    if wire.columns:
        path += _bend(x, y, wire.left, wire.y)
        if wire.primitive:
            path += f"H{wire.label_x - LABEL_WIDTH / 2:.1f}m{LABEL_WIDTH:g} 0"
        path += f"H{wire.right:.1f}"
        x, y = wire.right, wire.y
    path += _bend(x, y, tip_x - _ARROW, tip_y)
    arrowhead = f"M{tip_x:.1f} {tip_y:.1f}l{-_ARROW - 1:g} -4.5v9z"
    label = _label(wire, wire.primitive, "page solid" if marked else "solid") if wire.primitive else ""
    style = family + " idle" * idle + " marked" * marked
    return f'<g class="{style}"><path class="line" d="{path}"/><path class="solid" d="{arrowhead}"/>{label}</g>'


def _bend(x: float, y: float, to_x: float, to_y: float) -> str:
    """An S-shaped curve that leaves and arrives level."""
    middle = (x + to_x) / 2
    return f"C{middle:.1f} {y:.1f} {middle:.1f} {to_y:.1f} {to_x:.1f} {to_y:.1f}"


def _label(wire: Wire, primitive: str, style: str) -> str:
    words = "skip" if primitive == "skip_connect" else primitive.replace("_", " ")
    words = re.sub(r"(\d)x(\d)", r"\1×\2", words)
    box = _box("tint", wire.label_x, wire.y, LABEL_WIDTH, LABEL_HEIGHT)
    return box + _text(style, wire.label_x, wire.y, words)


def _nodes(layout: Layout, idle: list[Node]) -> list[str]:
    parts = []
    inputs = sum(node.column == 0 for node in layout.nodes)
    ends = {len(layout.nodes) - 1: "k"} | {node: f"k−{inputs - node}" for node in range(inputs)}
    for number, node in enumerate(layout.nodes):
        box, text, content = "ink tint", "ink solid large", str(number)
        if number in ends:
            box, text, content = "ink solid", "page solid large", f'c<tspan class="small" dy="4">{ends[number]}</tspan>'
        shape = _box(box, node.x, node.y, node.width, node.height) + _text(text, node.x, node.y, content)
        parts.append(f'<g class="idle">{shape}</g>' if node in idle else shape)
    return parts


def _box(style: str, x: float, y: float, width: float, height: float) -> str:
    return (
        f'<rect class="{style}" x="{x - width / 2:.1f}" y="{y - height / 2:.1f}" '
        f'width="{width:g}" height="{height:g}" rx="{min(width, height) / 2:g}"/>'
    )


def _text(style: str, x: float, y: float, content: str) -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y + 4.5:.1f}">{content}</text>'
