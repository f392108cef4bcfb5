"""What is searched: the cell's nodes, its ordered edges, the candidate primitives, and the macro plan of the cells."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from pcdarts.errors import InputError, check_whole, listed, wrong_type

CellKind = Literal["normal", "reduce"]
NetworkKind = Literal["cifar", "stride2", "stride4", "imagenet"]
"""How a network begins: its stem. "cifar" and "imagenet" are the paper's, the two between them ours."""

Macro = Literal["darts", "nasbench201"]
"""The network that cells stand in: that of the DARTS papers, or that of NAS-Bench-201."""

CELL_KINDS: tuple[CellKind, ...] = ("normal", "reduce")

STEM_STRIDES: dict[NetworkKind, int] = {"cifar": 1, "stride2": 2, "stride4": 4, "imagenet": 8}
"""How many times smaller than the image, in each direction, the maps are that reach the cells."""

LARGEST_MAP = 32
"""Pixels on a side of the cells' maps up to which a stem suits its images: those of CIFAR; of ImageNet they are 28."""

PRIMITIVES = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
"""The operation space O of Sec. 4.1, in the order of the authors' code: what a `CellSpace` searches by default."""

OPERATIONS = [
    *(name for name in PRIMITIVES if name != "none"),
    *("sep_conv_7x7", "conv_7x1_1x7", "conv_1x1", "bottleneck_3x3", "max_pool_2x2"),
    *("nor_conv_1x1", "nor_conv_3x3"),
]
"""What an edge of a genotype may hold, by name, beside `none`. The paper's space has the first ones, NAS-Bench-201 the
last ones; only published cells need the others.

`none` says that the edge carries nothing. A search may choose it only where all edges are kept.
"""


def _names(what: str, names: object) -> tuple[Any, ...]:
    """Names as a tuple.

    Raises:
        InputError: these are no list or tuple of names.
    """
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise wrong_type(what, names, "a tuple of names", "give names such as those in pcdarts.cell.space")
    return tuple(names)


@dataclass(frozen=True)
class Edge:
    """The edge (i, j) of Sec. 3.1: information flows from node `source` = i to node `target` = j > i."""

    source: int
    target: int


@dataclass(frozen=True)
class CellForm:
    """What the genotypes of a space look like; by default the form that the DARTS papers print.

    A list of kinds is kept as a tuple.

    Raises:
        InputError: no kind of cell or one twice, another number of inputs than 1 or 2, no edges for a node, or an
            argument of another type.
    """

    kinds: tuple[CellKind, ...] = CELL_KINDS
    """The kinds of cell. A network of a space without "reduce" has no reduction cells."""
    num_inputs: int = 2
    """Nodes 0, 1, ... of a cell that are its inputs: the outputs of the last two cells, or of the last one."""
    edges_kept: int | None = 2
    """How many edges a node keeps, or all that enter it if these are fewer. None: a node keeps every edge, and an edge
    that carries nothing holds `none`."""
    macro: Macro = "darts"
    """The network that the cells stand in. In that of NAS-Bench-201 a cell reads the map before it as it is, residual
    blocks halve the maps, and a supernet has no BatchNorm behind its pools and normalises by the batch at all times."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "kinds", _names("kinds", self.kinds))
        check_whole(num_inputs=self.num_inputs)
        if self.edges_kept is not None:
            check_whole(edges_kept=self.edges_kept)
        if not self.kinds or set(self.kinds) - set(CELL_KINDS) or len(set(self.kinds)) < len(self.kinds):
            raise InputError(f'kinds is {self.kinds}, but it must name "normal", "reduce" or both, each once')
        if self.num_inputs not in (1, 2):
            raise InputError(f"num_inputs is {self.num_inputs}, but a cell has 1 or 2: the outputs of the cells before")
        if self.edges_kept is not None and self.edges_kept < 1:
            raise InputError(f"edges_kept is {self.edges_kept}, but a node keeps 1 edge or more: or give None for all")
        if self.macro not in ("darts", "nasbench201"):
            raise InputError(f'macro is {self.macro!r}, but must be "darts" or "nasbench201"')
        if self.macro == "nasbench201" and (self.kinds, self.num_inputs) != (("normal",), 1):
            raise InputError('macro is "nasbench201", whose cells are normal ones with 1 input: give these, or "darts"')

    def edges_of(self, target: int) -> int:
        """How many edges the intermediate node `target` keeps."""
        return target if self.edges_kept is None else min(self.edges_kept, target)

    def stride(self, kind: CellKind, source: int) -> int:
        """The stride of the operations on an edge: 2 on those that leave an input of a reduction cell, else 1."""
        return 2 if kind == "reduce" and source < self.num_inputs else 1


@dataclass(frozen=True)
class CellSpace:
    """The cells that a search chooses from; by default those of the paper, with `num_nodes` nodes (its N).

    The first nodes are inputs, the others are intermediate. Edges are ordered by target node, then source node; every
    tensor with an `edges` axis uses this order, and one with a `primitives` axis the order of `primitives`. Lists are
    kept as tuples.

    Raises:
        InputError: no intermediate node; primitives, or those of an edge, of which none can be kept; or an argument of
            another type.
    """

    num_nodes: int = 6
    form: CellForm = field(default=CellForm(), kw_only=True)
    primitives: tuple[str, ...] = field(default=PRIMITIVES, kw_only=True)
    """What an edge may hold."""
    allowed: tuple[tuple[str, ...], ...] | None = field(default=None, kw_only=True)
    """For each edge, those of the primitives that it may hold; None: all of them on every edge."""
    concatenates: bool = field(default=True, kw_only=True)
    """Whether a cell's output concatenates the intermediate nodes; if not, the last node is the output."""

    def __post_init__(self) -> None:
        check_whole(num_nodes=self.num_nodes)
        if not isinstance(self.form, CellForm):
            raise wrong_type("form", self.form, "a CellForm", "leave it out for that of the DARTS papers")
        object.__setattr__(self, "primitives", _names("primitives", self.primitives))
        if self.num_nodes <= self.form.num_inputs:
            inputs = "two input nodes" if self.form.num_inputs == 2 else "an input node"
            raise InputError(
                f"num_nodes is {self.num_nodes}, but a cell has {inputs} and at least one intermediate node: "
                f"use {self.form.num_inputs + 1} or more (the paper uses 6)"
            )
        if self.concatenates and self.form.macro == "nasbench201":
            raise InputError('a cell in the network of "nasbench201" does not concatenate: give concatenates=False')
        if len(set(self.primitives)) < len(self.primitives) or not self.choices_among(self.primitives):
            raise InputError(
                f"primitives is {self.primitives}, but it must be different names, of which an edge can keep one"
            )
        if self.allowed is None:
            return
        if not isinstance(self.allowed, list | tuple):
            raise wrong_type("allowed", self.allowed, "a tuple", "give the names of primitives for each edge")
        allowed = tuple(_names(f"allowed on edge {edge}", names) for edge, names in enumerate(self.allowed))
        object.__setattr__(self, "allowed", allowed)
        if len(allowed) != self.num_edges:
            raise InputError(f"allowed is for {len(allowed)} edges, but the cell has {self.num_edges}")
        for edge, names in enumerate(allowed):
            if set(names) - set(self.primitives) or not self.choices_among(names):
                raise InputError(
                    f"allowed on edge {edge} is {names}, but it must be some of {listed(self.primitives, 'and')}, of "
                    "which the edge can keep one"
                )

    @property
    def kinds(self) -> tuple[CellKind, ...]:
        return self.form.kinds

    @property
    def num_inputs(self) -> int:
        return self.form.num_inputs

    @property
    def intermediate(self) -> range:
        """The nodes that are not inputs."""
        return range(self.num_inputs, self.num_nodes)

    @property
    def num_intermediate(self) -> int:
        return self.num_nodes - self.num_inputs

    @property
    def outputs(self) -> tuple[int, ...]:
        """The nodes that the output of a cell concatenates."""
        return tuple(self.intermediate) if self.concatenates else (self.num_nodes - 1,)

    @property
    def edges(self) -> tuple[Edge, ...]:
        return tuple(Edge(i, j) for j in self.intermediate for i in range(j))

    @property
    def num_edges(self) -> int:
        return sum(self.intermediate)

    def edges_into(self, target: int) -> list[int]:
        """Indices of the edges that enter `target`: the group over which Eq. (2) normalises."""
        return [index for index, edge in enumerate(self.edges) if edge.target == target]

    def edges_from(self, source: int) -> list[int]:
        """Indices of the edges that leave `source`, by target."""
        return [index for index, edge in enumerate(self.edges) if edge.source == source]

    def choices(self, edge: int) -> tuple[int, ...]:
        """What a genotype may have on an edge, as indices in `primitives`: `none` only where every edge is kept."""
        return self.choices_among(self.primitives if self.allowed is None else self.allowed[edge])

    def choices_among(self, names: Collection[str]) -> tuple[int, ...]:
        """Those of some primitives that a genotype may have on an edge, as indices in `primitives`."""
        return tuple(
            column
            for column, name in enumerate(self.primitives)
            if name in names and (name != "none" or self.form.edges_kept is None)
        )


NASBENCH201 = CellSpace(
    4,
    form=CellForm(kinds=("normal",), num_inputs=1, edges_kept=None, macro="nasbench201"),
    primitives=("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"),
    concatenates=False,
)
"""The space of NAS-Bench-201, the topology space of NATS-Bench: edges and operations are in the benchmark's order."""


def space_of(name: Macro, num_nodes: int) -> CellSpace:
    """The space of a name: that of the paper with so many nodes, or that of NAS-Bench-201, whose cells have 4."""
    return NASBENCH201 if name == "nasbench201" else CellSpace(num_nodes)


def check_space(space: object) -> None:
    """Make sure that it is a `CellSpace`.

    Raises:
        InputError: it is something else, such as a number of nodes.
    """
    if not isinstance(space, CellSpace):
        raise wrong_type("space", space, "a CellSpace", "give pcdarts.CellSpace(num_nodes=6)")


STEM_MULTIPLIER = 3
"""The stem makes 3C channels for cells of C (authors' code), but C in the ImageNet evaluation network."""


def stem_stride(kind: NetworkKind) -> int:
    """The stride of all convolutions of a stem together.

    Raises:
        InputError: there is no such kind.
    """
    if kind not in STEM_STRIDES:
        raise InputError(f"kind is {kind!r}, but a network is of kind {listed([*map(repr, STEM_STRIDES)])}")
    return STEM_STRIDES[kind]


def largest_map(kind: NetworkKind, image_side: int) -> int:
    """Pixels on a side of the maps that reach the first cell."""
    return -(-image_side // stem_stride(kind))


def suggested_kind(image_side: int) -> NetworkKind:
    """The stem with the smallest stride that makes maps no larger than `LARGEST_MAP`; "imagenet" for 224 pixels.

    A rule of ours, which keeps cells at about the size of maps that both searches of the paper had.
    """
    fitting = (kind for kind in STEM_STRIDES if largest_map(kind, image_side) <= LARGEST_MAP)
    return next(fitting, "imagenet")


def evaluation_stem_channels(kind: NetworkKind, channels: int, macro: Macro = "darts") -> int:
    """Channels that the stem of an evaluation network makes for cells of `channels`."""
    return channels if kind == "imagenet" else supernet_stem_channels(channels, macro)


def supernet_stem_channels(channels: int, macro: Macro = "darts") -> int:
    """Channels that the stem of a supernet makes for cells of `channels`: 3C, but C in the network of NAS-Bench-201."""
    return channels if macro == "nasbench201" else STEM_MULTIPLIER * channels


@dataclass(frozen=True)
class CellPlan:
    """Where one cell stands in a network, for searched and derived networks alike."""

    kind: CellKind
    channels: int
    """Channels of each node (C in the authors' code)."""
    in_channels: tuple[int, int]
    """Channels of the outputs of the cell before the last and of the last cell."""
    halve_first_input: bool
    """Whether the first input is twice as large as the second: the cell before reduced, or the stem did."""
    after_block: bool = False
    """Whether a residual block stands before the cell, which halves the map and makes `channels` of it."""


def reduction_positions(num_cells: int) -> frozenset[int]:
    """The cells at 1/3 and 2/3 of the depth are reduction cells (Sec. 4.2: 6 normal and 2 reduction cells of 8)."""
    return frozenset({num_cells // 3, 2 * num_cells // 3})


def macro_plan(
    kind: NetworkKind,
    channels: int,
    num_cells: int,
    concat_sizes: dict[CellKind, int],
    stem_channels: int,
    macro: Macro = "darts",
) -> Iterator[CellPlan]:
    """Yield the plan of every cell: widths double at each reduction cell.

    `concat_sizes` says how many nodes each kind of cell concatenates into its output (without "reduce" there are no
    reduction cells), `stem_channels` how many channels the stem's two outputs have. In the network of NAS-Bench-201
    widths double at residual blocks, which stand where reduction cells would.

    Raises:
        InputError: NAS-Bench-201 has three stages of equally many cells, and there are not so many.
    """
    if macro == "nasbench201":
        yield from _plan_of_stages(channels, num_cells)
        return
    before_last, last = stem_channels, stem_channels
    reductions = reduction_positions(num_cells) if "reduce" in concat_sizes else frozenset[int]()
    halve_first_input = kind == "imagenet"
    for position in range(num_cells):
        cell_kind: CellKind = "reduce" if position in reductions else "normal"
        if cell_kind == "reduce":
            channels *= 2
        yield CellPlan(cell_kind, channels, (before_last, last), halve_first_input)
        before_last, last = last, concat_sizes[cell_kind] * channels
        halve_first_input = cell_kind == "reduce"


def _plan_of_stages(channels: int, num_cells: int) -> Iterator[CellPlan]:
    """The plan of NAS-Bench-201: three stages of N cells, and a residual block before the second and the third."""
    if num_cells < 3 or num_cells % 3:
        raise InputError(
            f"num_cells is {num_cells}, but a network of NAS-Bench-201 has equally many cells in each of three stages: "
            "use 3, 6, 9, ... (the benchmark has 15)"
        )
    for position in range(num_cells):
        width = channels << (3 * position // num_cells)
        after_block = position in reduction_positions(num_cells)
        before = width // 2 if after_block else width
        yield CellPlan("normal", width, (before, before), halve_first_input=False, after_block=after_block)
