"""Where the parts of a drawn cell stand: a layered layout from left to right with straight long wires.

Columns of nodes alternate with columns of labels; the longest path that leads to a node decides its column. A wire runs
level through every column between its source and its target, at a height of its own, with its label in one of them.
So it bends, and crosses others, only in the gap after its source and in the gap before its target, where nothing else
is drawn: no label or node is ever overlapped. One vertical order of all nodes and wires is chosen so that few cross
(global sifting: Bachmaier, Brandenburg, Brunner, Hübner 2010); their heights follow by constrained least squares.
"""

import random
from bisect import bisect_right, insort
from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellKind

NODE_SIZE = 36.0
INPUT_WIDTH = 52.0
LABEL_WIDTH, LABEL_HEIGHT = 106.0, 24.0
"""All lengths are SVG user units (pixels), x to the right and y downwards."""
_PORT_PITCH = 13.0
_SPACING = 13.0
_MIN_GAP, _MAX_GAP = 44.0, 110.0
_SIFTINGS = 10
_SIFTING_BUDGET = 800_000
"""How many links between parts may be looked at in all: a fraction of a second, however large the cell."""
_SOFTNESS = 0.5
_LEVELLING_ROUNDS, _PROJECTION_ROUNDS = 300, 8


@dataclass(eq=False)
class Node:
    """A node of the cell, or its output; (x, y) is the centre."""

    column: int
    width: float
    height: float
    x: float = 0.0
    y: float = 0.0


@dataclass(eq=False)
class Wire:
    """An edge of the genotype, or a node's way into the output (then without primitive and label)."""

    primitive: str | None
    source: Node
    target: Node
    label_column: int | None = None
    y: float = 0.0
    """The height at which the wire runs level, from `left` to `right`."""
    left: float = 0.0
    right: float = 0.0
    label_x: float = 0.0
    port: float = 0.0
    """Where it enters the target, measured downwards from the target's centre."""

    @property
    def columns(self) -> range:
        """The columns that it passes through; none for a node next to the output."""
        return range(self.source.column + 1, self.target.column)


_Part = Node | Wire
_Link = tuple[_Part, _Part]
_Cost = tuple[bool, int, int]
_Ends = dict[_Part, dict[tuple[int, str], list[_Part]]]


@dataclass(frozen=True)
class Layout:
    """The drawing reaches from (0, 0) to (width, height)."""

    nodes: list[Node]
    """By number; the cell's output comes last."""
    wires: list[Wire]
    width: float
    height: float


@lru_cache(maxsize=64)
def lay_out(genotype: Genotype, kind: CellKind) -> Layout:
    """Place the nodes, labels and wires of one cell: a fifth of a second's work, so the last ones are kept."""
    nodes, wires = _nodes_and_wires(genotype, kind)
    order = _vertical_order(nodes, wires)
    columns: list[list[_Part]] = [[] for _ in range(nodes[-1].column + 1)]
    for part in order:
        for column in [part.column] if isinstance(part, Node) else part.columns:
            columns[column].append(part)
    _assign_ports(wires, order)
    height = _place_vertically(order, columns, wires)
    width = _place_horizontally(nodes, wires)
    return Layout(nodes, wires, width, height)


def _nodes_and_wires(genotype: Genotype, kind: CellKind) -> tuple[list[Node], list[Wire]]:
    """Even columns hold nodes, odd ones labels; a label goes where the fewest are, rather near its target."""
    nodes = [Node(0, INPUT_WIDTH, NODE_SIZE) for _ in range(genotype.form.num_inputs)]
    wires: list[Wire] = []
    labels_in: dict[int, int] = defaultdict(int)
    for edges in genotype.entering(kind).values():
        drawn = [edge for edge in edges if edge[0] != "none"]
        node = Node(2 + max((nodes[source].column for _, source in drawn), default=0), NODE_SIZE, NODE_SIZE)
        for primitive, source in drawn:
            wire = Wire(primitive, nodes[source], node)
            wire.label_column = min(wire.columns[::2], key=lambda column: (labels_in[column], -column))
            labels_in[wire.label_column] += 1
            wires.append(wire)
        nodes.append(node)
    concat = sorted(genotype.concat(kind))
    output = Node(1 + max(node.column for node in nodes), NODE_SIZE, max(NODE_SIZE, _PORT_PITCH * (len(concat) + 1)))
    wires.extend(Wire(None, nodes[node], output) for node in concat)
    return [*nodes, output], wires


def _vertical_order(nodes: list[Node], wires: list[Wire]) -> list[_Part]:
    """All nodes and wires from top to bottom, with few crossings: the best of several siftings."""
    order: list[_Part] = []
    for node in nodes:
        order += [wire for wire in wires if wire.target is node and wire.columns]
        order.append(node)
    links = _links(nodes, wires)
    ends = _ends_of(order, links)
    budget = _SIFTING_BUDGET // sum(map(len, links))
    shuffle = random.Random(0).shuffle
    best, lowest = order, _cost(order, links, nodes)
    for _ in range(_SIFTINGS):
        order, cost, budget = _sifted(order, links, ends, nodes, budget)
        if cost < lowest:
            best, lowest = order, cost
        order = list(order)
        shuffle(order)
    return best


def _sifted(
    order: list[_Part], links: list[list[_Link]], ends: _Ends, nodes: list[Node], budget: int
) -> tuple[list[_Part], _Cost, int]:
    """Take every part out in turn and put it back where it costs least; also the cost, and what is left to spend."""
    cost = _cost(order, links, nodes)
    improved = True
    while improved:
        improved = False
        for part in list(order):
            budget -= len(order)
            if budget < 0:
                return order, cost, budget
            others = [other for other in order if other is not part]
            costs = _costs_by_place(part, others, links, ends, nodes)
            if min(costs) < cost:
                cost, improved = min(costs), True
                place = costs.index(cost)
                order = [*others[:place], part, *others[place:]]
    return order, cost, budget


def _costs_by_place(
    part: _Part, others: list[_Part], links: list[list[_Link]], ends: _Ends, nodes: list[Node]
) -> list[_Cost]:
    """The `_cost` of all orders with a part somewhere among the others, from top to bottom.

    From one to the next it changes places with the part below, and only what these two are linked with counts anew.
    """
    order = [part, *others]
    rank = {one: place for place, one in enumerate(order)}
    costs = [_cost(order, links, nodes)]
    _, crossings, distance = costs[0]
    for place, below in enumerate(others):
        pair = (part, below)
        for side, far_from_part in ends[part].items():
            for end in far_from_part:
                if end not in pair:
                    distance += 2 * (place - rank[end]) + 1
            for other_end in ends[below].get(side, ()):
                for end in far_from_part:
                    if end is not other_end and not (end in pair and other_end in pair):
                        crossings += 1 if rank[end] < rank[other_end] else -1
        for far_from_other in ends[below].values():
            for end in far_from_other:
                if end not in pair:
                    distance -= 2 * (place - rank[end]) + 1
        rank[part], rank[below] = place + 1, place
        costs.append((_upside_down(rank, nodes), crossings, distance))
    return costs


def _links(nodes: list[Node], wires: list[Wire]) -> list[list[_Link]]:
    """For every gap between two columns, what the wires connect across it."""
    links: list[list[_Link]] = [[] for _ in range(nodes[-1].column)]
    for wire in wires:
        through: list[_Part] = [wire.source, *[wire] * len(wire.columns), wire.target]
        for gap, link in enumerate(pairwise(through), start=wire.source.column):
            links[gap].append(link)
    return links


def _ends_of(parts: list[_Part], links: list[list[_Link]]) -> _Ends:
    """What every part is linked with, by gap and side of the gap."""
    ends: _Ends = {part: {} for part in parts}
    for gap, some in enumerate(links):
        for left, right in some:
            ends[left].setdefault((gap, "left"), []).append(right)
            ends[right].setdefault((gap, "right"), []).append(left)
    return ends


def _cost(order: list[_Part], links: list[list[_Link]], nodes: list[Node]) -> _Cost:
    """Inputs upside down, crossings, and the total way up and down."""
    rank = {part: place for place, part in enumerate(order)}
    crossings = distance = 0
    for gap in links:
        arrivals: list[int] = []
        for start, end in sorted((rank[left], rank[right]) for left, right in gap):
            crossings += len(arrivals) - bisect_right(arrivals, end)
            insort(arrivals, end)
            distance += (start - end) ** 2
    return _upside_down(rank, nodes), crossings, distance


def _upside_down(rank: dict[_Part, int], nodes: list[Node]) -> bool:
    """Whether the second of two inputs would be drawn above the first."""
    return nodes[1].column == 0 and rank[nodes[0]] > rank[nodes[1]]


def _assign_ports(wires: list[Wire], order: list[_Part]) -> None:
    rank = {part: place for place, part in enumerate(order)}
    entering: dict[Node, list[Wire]] = defaultdict(list)
    for wire in sorted(wires, key=lambda wire: rank[wire if wire.columns else wire.source]):
        entering[wire.target].append(wire)
    for arriving in entering.values():
        for place, wire in enumerate(arriving):
            wire.port = (place - (len(arriving) - 1) / 2) * _PORT_PITCH


def _height(part: _Part, column: int) -> float:
    if isinstance(part, Node):
        return part.height
    return LABEL_HEIGHT if part.label_column == column else 0.0


def _place_vertically(order: list[_Part], columns: list[list[_Part]], wires: list[Wire]) -> float:
    """Pull the ends of wires together, at the distances that the columns ask for; returns the height of all."""
    distances: dict[_Link, float] = {}
    for column, parts in enumerate(columns):
        for above, below in pairwise(parts):
            distance = (_height(above, column) + _height(below, column)) / 2 + _SPACING
            distances[above, below] = max(distance, distances.get((above, below), 0.0))
    pulls: dict[_Part, list[tuple[_Part, float]]] = defaultdict(list)
    for wire in wires:
        for before, after, port in _ends(wire):
            pulls[before].append((after, port))
            pulls[after].append((before, -port))
    pushes = dict.fromkeys(distances, 0.0)
    for _ in range(_LEVELLING_ROUNDS):
        wanted = {part: _wanted(part, pulls[part]) for part in order}
        for part in order:
            part.y = wanted[part]
        _keep_distances(distances, pushes)
    for (above, below), distance in sorted(distances.items(), key=lambda item: order.index(item[0][1])):
        below.y = max(below.y, above.y + distance)  # the little that the projection left undone, from top to bottom
    spans = [(part.y, _height(part, column) / 2) for column, parts in enumerate(columns) for part in parts]
    top = min(y - half for y, half in spans)
    for part in order:
        part.y -= top
    return max(y + half for y, half in spans) - top


def _wanted(part: _Part, pulls: list[tuple[_Part, float]]) -> float:
    """The weighted mean of where its wires pull it; far ends weigh less, so that near ones come out exactly level."""
    if not pulls:
        return part.y
    heights = [other.y + offset for other, offset in pulls]
    weights = [1 / (_SOFTNESS + abs(height - part.y)) for height in heights]
    return sum(weight * height for weight, height in zip(weights, heights, strict=True)) / sum(weights)


def _ends(wire: Wire) -> list[tuple[_Part, _Part, float]]:
    """The pairs that a wire would like to see level, and at which port of the second it enters."""
    if not wire.columns:
        return [(wire.source, wire.target, wire.port)]
    return [(wire.source, wire, 0.0), (wire, wire.target, wire.port)]


def _keep_distances(distances: dict[_Link, float], pushes: dict[_Link, float]) -> None:
    """Move everything as little as possible, in least squares, until the distances are kept (Hildreth's method)."""
    for (above, below), push in pushes.items():
        above.y -= push
        below.y += push
    for _ in range(_PROJECTION_ROUNDS):
        for (above, below), distance in distances.items():
            push = max(-pushes[above, below], (distance - (below.y - above.y)) / 2)
            pushes[above, below] += push
            above.y -= push
            below.y += push


def _place_horizontally(nodes: list[Node], wires: list[Wire]) -> float:
    """Columns as wide as their widest part, gaps the wider the steeper their wires; returns the width of all."""
    widths = [LABEL_WIDTH if column % 2 else NODE_SIZE for column in range(nodes[-1].column + 1)]
    widths[0], widths[-1] = INPUT_WIDTH, NODE_SIZE
    steepest = [0.0] * len(widths)
    for wire in wires:
        level = wire.y if wire.columns else wire.target.y + wire.port
        for gap, rise in (
            (wire.source.column, level - wire.source.y),
            (wire.target.column - 1, wire.target.y + wire.port - level),
        ):
            steepest[gap] = max(steepest[gap], abs(rise))
    starts = [0.0]
    for width, rise in zip(widths, steepest, strict=True):
        starts.append(starts[-1] + width + min(max(_MIN_GAP, 0.6 * rise), _MAX_GAP))
    for node in nodes:
        node.x = starts[node.column] + widths[node.column] / 2
    for wire in wires:
        if wire.columns:
            wire.left, wire.right = starts[wire.columns[0]], starts[wire.columns[-1]] + widths[wire.columns[-1]]
        if wire.label_column is not None:
            wire.label_x = starts[wire.label_column] + widths[wire.label_column] / 2
    return starts[nodes[-1].column] + widths[-1]
