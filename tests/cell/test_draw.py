import random
import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from xml.etree import ElementTree

import pytest

from pcdarts.cell.draw import STYLE, draw_inline, draw_svg, draw_text
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CELL_KINDS, OPERATIONS, CellKind
from pcdarts.cell.zoo import PUBLISHED, published

SVG = "{http://www.w3.org/2000/svg}"
Point = tuple[float, float]


@dataclass(frozen=True)
class Box:
    left: float
    top: float
    right: float
    bottom: float

    @property
    def middle(self) -> float:
        return (self.top + self.bottom) / 2


@dataclass(frozen=True)
class Arrow:
    words: str
    label: Box | None
    tip: Point
    line: list[Point]
    """Points along the line, without the stretch under the label."""


@dataclass(frozen=True)
class Drawing:
    """What can be read off an SVG; coordinates from the top left corner of the page."""

    width: float
    height: float
    nodes: list[Box]
    arrows: list[Arrow]
    faint: list[bool]
    """For each node."""


@lru_cache
def drawn(genotype: Genotype, kind: CellKind = "normal") -> Drawing:
    svg = ElementTree.fromstring(draw_svg(genotype, kind))
    body = next(svg.iter(f"{SVG}g"))
    shift = [float(number) for number in re.findall(r"[\d.]+", body.attrib["transform"])]
    groups = [child for child in body if child.find(f"{SVG}path") is not None]
    boxes = {rectangle: box_of(rectangle, shift) for rectangle in body.iter(f"{SVG}rect")}
    in_arrows = {rectangle for group in groups for rectangle in group.iter(f"{SVG}rect")}
    in_faint = {
        rectangle for group in body if "idle" in group.attrib["class"] for rectangle in group.iter(f"{SVG}rect")
    }
    nodes = [rectangle for rectangle in boxes if rectangle not in in_arrows]
    return Drawing(
        width=float(svg.attrib["width"]),
        height=float(svg.attrib["height"]),
        nodes=[boxes[node] for node in nodes],
        arrows=[arrow_of(group, shift) for group in groups],
        faint=[node in in_faint for node in nodes],
    )


def box_of(rectangle: ElementTree.Element, shift: list[float]) -> Box:
    x, y, width, height = (float(rectangle.attrib[name]) for name in ("x", "y", "width", "height"))
    return Box(x + shift[0], y + shift[1], x + width + shift[0], y + height + shift[1])


def arrow_of(group: ElementTree.Element, shift: list[float]) -> Arrow:
    line, head = (path.attrib["d"] for path in group.iter(f"{SVG}path"))
    label, words = group.find(f"{SVG}rect"), group.find(f"{SVG}text")
    tip = [float(number) for number in re.findall(r"[\d.-]+", head)[:2]]
    return Arrow(
        words="" if words is None else words.text or "",
        label=None if label is None else box_of(label, shift),
        tip=(tip[0] + shift[0], tip[1] + shift[1]),
        line=[(x + shift[0], y + shift[1]) for x, y in points_along(line)],
    )


def points_along(path: str) -> list[Point]:
    points: list[Point] = []
    here: Point = (0.0, 0.0)
    for command, arguments in re.findall(r"([MmCH])([^MmCH]*)", path):
        numbers = [float(number) for number in arguments.split()]
        if command in "Mm":
            here = (numbers[0], numbers[1]) if command == "M" else (here[0] + numbers[0], here[1] + numbers[1])
            continue
        end = (numbers[-2], numbers[-1]) if command == "C" else (numbers[0], here[1])
        bend = [(numbers[0], numbers[1]), (numbers[2], numbers[3])] if command == "C" else [here, end]
        points += [bezier([here, *bend, end], step / 40) for step in range(41)]
        here = end
    return points


def bezier(controls: list[Point], t: float) -> Point:
    weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3)
    x, y = (sum(weight * point[axis] for weight, point in zip(weights, controls, strict=True)) for axis in (0, 1))
    return x, y


def random_cell(num_intermediate: int, seed: int) -> Genotype:
    choose = random.Random(seed)
    nodes = range(2, 2 + num_intermediate)
    edges = tuple((choose.choice(OPERATIONS), choose.randrange(node)) for node in nodes for _ in "ab")
    concat = tuple(choose.sample(nodes, choose.randint(1, num_intermediate)))
    return Genotype(edges, concat, edges, concat)


CELLS = [pytest.param(published(name), kind, id=f"{name}-{kind}") for name in PUBLISHED for kind in CELL_KINDS]
CELLS += [pytest.param(random_cell(1 + seed % 9, seed), "normal", id=f"random-{seed}") for seed in range(9)]


@pytest.mark.parametrize(("genotype", "kind"), CELLS)
def test_nodes_and_labels_lie_apart_and_no_line_runs_through_one(genotype: Genotype, kind: CellKind) -> None:
    picture = drawn(genotype, kind)
    boxes = [*picture.nodes, *(arrow.label for arrow in picture.arrows if arrow.label)]
    for one, other in combinations(boxes, 2):
        gap = max(one.left - other.right, other.left - one.right, one.top - other.bottom, other.top - one.bottom)
        assert gap > 10
    for arrow in picture.arrows:
        for x, y in arrow.line:
            assert 0 < x < picture.width
            assert 50 < y < picture.height - 20
            assert not any(b.left + 1 < x < b.right - 1 and b.top + 1 < y < b.bottom - 1 for b in boxes)


@pytest.mark.parametrize(("genotype", "kind"), CELLS)
def test_every_edge_is_an_arrow_from_its_source_to_its_node_that_names_its_operation(
    genotype: Genotype, kind: CellKind
) -> None:
    picture = drawn(genotype, kind)
    assert len(picture.nodes) == genotype.num_nodes(kind) + 1
    edges = [(primitive, source, target) for target, primitive, source in genotype.placed_edges(kind)]
    edges = [edge for edge in edges if edge[0] != "none"]
    edges += [("", node, len(picture.nodes) - 1) for node in sorted(genotype.concat(kind))]
    for (primitive, source, target), arrow in zip(edges, picture.arrows, strict=True):
        assert arrow.words == spoken(primitive)
        assert arrow.line[0] == pytest.approx((picture.nodes[source].right, picture.nodes[source].middle), abs=0.2)
        assert arrow.tip[0] == pytest.approx(picture.nodes[target].left, abs=0.2)
        assert picture.nodes[target].top < arrow.tip[1] < picture.nodes[target].bottom
    assert len({arrow.tip for arrow in picture.arrows}) == len(edges)


def spoken(primitive: str) -> str:
    for written, said in (("skip_connect", "skip"), ("_", " "), ("x1", "×1"), ("x2", "×2"), ("x3", "×3"), ("x5", "×5")):
        primitive = primitive.replace(written, said)
    return primitive.replace("x7", "×7")


def test_arrows_flow_from_left_to_right_with_the_inputs_first_and_the_output_last() -> None:
    nodes = drawn(published("pc_darts_imagenet")).nodes
    assert nodes[0].left == nodes[1].left == min(node.left for node in nodes)
    assert nodes[0].bottom < nodes[1].top
    assert nodes[-1].left > max(node.right for node in nodes[:-1])


def test_the_same_source_twice_is_drawn_as_two_arrows() -> None:
    first, second = drawn(published("nasnet_a")).arrows[6:8]
    assert first.words == second.words == "avg pool 3×3"
    assert first.line[0] == second.line[0]
    assert first.label != second.label


def test_what_the_output_does_not_depend_on_is_drawn_faintly_and_named_unused() -> None:
    edges = (("sep_conv_3x3", 1), ("skip_connect", 1), ("max_pool_3x3", 1), ("skip_connect", 2))
    genotype = Genotype(edges, (2,), edges, (3,))
    assert drawn(genotype, "normal").faint == [True, False, False, True, False]
    assert drawn(genotype, "reduce").faint == [True, False, False, False, False]
    assert "3 (unused)" in draw_text(genotype, "normal")
    assert "unused" not in draw_text(genotype, "reduce")


def test_the_picture_grows_with_the_depth_of_the_cell_and_is_a_readme_wide() -> None:
    shallow, deep = drawn(published("pc_darts_cifar10")), drawn(published("pc_darts_imagenet"))
    assert shallow.width < deep.width < 900


def test_the_picture_is_one_self_contained_document_that_says_what_it_shows() -> None:
    text = draw_svg(published("pc_darts_cifar10"), "reduce")
    svg = ElementTree.fromstring(text)
    assert svg.find(f"{SVG}title").text == "Reduction cell"  # type: ignore[union-attr]
    assert "node 2 = sep_conv_5x5(c_{k-1}) + max_pool_3x3(c_{k-2})" in svg.find(f"{SVG}desc").text  # type: ignore[union-attr, operator]
    assert not re.search(r"href|url\(|@import|@font-face|<script|<image|<foreignObject", text)
    assert text.count("http") == 1  # the name space


def test_the_picture_has_its_own_background_in_light_and_dark() -> None:
    style = next(ElementTree.fromstring(draw_svg(published("darts_v1"), "normal")).iter(f"{SVG}style")).text or ""
    light, dark = style.split("@media (prefers-color-scheme:dark)")
    assert ".pcdarts .page{color:#ffffff}" in light
    assert ".pcdarts .page{color:#0d1117}" in dark
    assert set(re.findall(r"\.(\w+)\{color", light)) == set(re.findall(r"\.(\w+)\{color", dark))


def edges_into_nodes(genotype: Genotype, kind: CellKind) -> list[tuple[int, str, int]]:
    return [(2 + index // 2, primitive, source) for index, (primitive, source) in enumerate(genotype.edges(kind))]


@pytest.mark.parametrize("seed", range(3))
def test_marked_edges_and_no_others_are_drawn_boldly_and_named(seed: int) -> None:
    genotype = random_cell(3, seed)
    edges = edges_into_nodes(genotype, "normal")
    marked = {edges[1], edges[4], (9, "sep_conv_3x3", 0)}
    svg = ElementTree.fromstring(draw_svg(genotype, "normal", marked))
    arrows = [group for group in next(svg.iter(f"{SVG}g")) if group.find(f"{SVG}path") is not None]
    bold = ["marked" in arrow.attrib["class"].split() for arrow in arrows[: len(edges)]]
    assert bold == [edge in marked for edge in edges]
    assert not any("marked" in arrow.attrib["class"] for arrow in arrows[len(edges) :])
    assert (svg.findtext(f"{SVG}desc") or "").count("marked: ") == bold.count(True)
    assert ".marked" in (next(svg.iter(f"{SVG}style")).text or "")


def test_without_marks_nothing_in_a_drawing_speaks_of_them() -> None:
    assert "marked" not in draw_svg(random_cell(2, seed=0), "normal")


def test_an_inline_drawing_is_the_same_without_the_style_sheet_that_the_page_brings() -> None:
    genotype = random_cell(2, seed=0)
    marked = edges_into_nodes(genotype, "normal")[:1]
    alone, inline = draw_svg(genotype, "normal", marked), draw_inline(genotype, "normal", marked)
    assert alone.replace(f"<style>{STYLE}</style>\n", "") == inline
    assert "<style" not in inline
    assert ElementTree.fromstring(inline).find(f"{SVG}title").text == "Normal cell"  # type: ignore[union-attr]


def test_the_same_cell_always_gives_the_same_picture() -> None:
    genotype = published("amoebanet_a")
    assert draw_svg(genotype, "reduce") == draw_svg(Genotype.from_json(genotype.to_json()), "reduce")


def test_a_cell_of_a_hundred_nodes_is_drawn_too() -> None:
    assert len(drawn(random_cell(100, seed=1)).nodes) == 103


def test_the_text_form_shows_every_edge_and_the_output() -> None:
    assert draw_text(published("pc_darts_imagenet"), "normal") == (
        "Normal cell\n"
        "  c_{k-1} ── skip_connect ──┬─▶ 2\n"
        "  c_{k-2} ── sep_conv_3x3 ──┘\n"
        "  c_{k-2} ── sep_conv_3x3 ──┬─▶ 3\n"
        "  c_{k-1} ── skip_connect ──┘\n"
        "  c_{k-1} ── sep_conv_3x3 ──┬─▶ 4\n"
        "        3 ── sep_conv_3x3 ──┘\n"
        "  c_{k-1} ── sep_conv_3x3 ──┬─▶ 5\n"
        "        4 ── dil_conv_5x5 ──┘\n"
        "  c_{k} = concat(2, 3, 4, 5)\n"
    )


def test_the_text_form_lines_its_arrows_up_within_a_hundred_columns() -> None:
    lines = draw_text(random_cell(100, seed=0), "normal").splitlines()
    assert max(map(len, lines)) <= 100
    assert len({line.index("┬") for line in lines if "┬" in line}) == 1
