"""A genotype: what a search finds and a network is built from, and its written forms (text and JSON)."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Self, TypeGuard

from pcdarts.cell.arch_string import STRING, read_string, unique_string, write_string
from pcdarts.cell.genotype_file import FoundGenotype, find_in_file
from pcdarts.cell.printed import (
    CALL,
    FIELDS,
    check_complete,
    check_field,
    check_length,
    plain,
    read_printed,
    shown_value,
)
from pcdarts.cell.space import NASBENCH201, OPERATIONS, CellForm, CellKind, CellSpace
from pcdarts.errors import InputError, check_path, did_you_mean

_Edges = tuple[tuple[str, int], ...]
_FORM = CellForm()
_MAX_INTERMEDIATE = 100
_SPACES = {"nasbench201": NASBENCH201}
"""What a genotype's JSON may name as its space; without a name it has the form of the DARTS papers."""


@dataclass(frozen=True)
class Genotype:
    """The normal and the reduction cell of a network (Secs. 3.1 and 4.2).

    Nodes 0 and 1 of a cell are its inputs: the outputs of the cell before the last and of the last cell. Intermediate
    node j = 2, 3, ... sums two edges, entries 2(j - 2) and 2(j - 2) + 1 of `normal` or `reduce`: each is a pair
    (primitive, input node). The cell's output concatenates the nodes named in `normal_concat` or `reduce_concat`.

    Lists and ranges are accepted for tuples and kept as tuples. An edge may also be (primitive, input node, weight), as
    some scripts print it: the weight, a number, is dropped. The edges may be grouped in pairs, one for each node.

    An edge may hold `none`, as some scripts print it: it carries nothing, so that its node has one edge or none.

    All this is said of the form of the DARTS papers. In another `form`, nodes have other numbers of edges, which follow
    each other node by node all the same, and a kind of cell that there is not has neither edges nor nodes.

    Raises:
        InputError: an inconsistent cell (a primitive that does not exist, an input from a later node, ...).
    """

    normal: tuple[tuple[str, int], ...]
    normal_concat: tuple[int, ...]
    reduce: tuple[tuple[str, int], ...]
    reduce_concat: tuple[int, ...]
    form: CellForm = field(default=_FORM, kw_only=True, repr=False)

    def __new__(cls, *members: Any, **named: Any) -> Self:
        if len(members) == 1 and isinstance(members[0], str) and not named:
            raise InputError(
                "a Genotype is made of normal, normal_concat, reduce and reduce_concat, not of a text: "
                "give it to Genotype.from_text, Genotype.from_json, Genotype.from_file or pcdarts.published"
            )
        return super().__new__(cls)

    def __post_init__(self) -> None:
        for kind in self.kinds:
            edges = _checked_edges(kind, getattr(self, kind), self.form)
            object.__setattr__(self, kind, edges)
            concat = _checked_concat(kind, getattr(self, f"{kind}_concat"), self.form, self.num_nodes(kind))
            object.__setattr__(self, f"{kind}_concat", concat)
            self._check_output(kind)
            if self.form.macro == "nasbench201" and concat != (self.num_nodes(kind) - 1,):
                raise InputError(
                    f"{kind} cell, concat: names nodes {list(concat)}, but the output of a cell of NAS-Bench-201 is "
                    f"its last node: give [{self.num_nodes(kind) - 1}]"
                )
        if "reduce" not in self.kinds and (self.reduce or self.reduce_concat):
            raise InputError("there is a reduction cell, but this form has normal cells alone: leave it empty")
        if "normal" not in self.kinds and (self.normal or self.normal_concat):
            raise InputError("there is a normal cell, but this form has reduction cells alone: leave it empty")

    def _check_output(self, kind: CellKind) -> None:
        if self.form.edges_kept is None:
            return  # a search of such a space may find nothing
        fed = set(range(self.form.num_inputs))
        for node, edges in self.entering(kind).items():
            if any(primitive != "none" and source in fed for primitive, source in edges):
                fed.add(node)
        if not fed.intersection(self.concat(kind)):
            raise InputError(f"{kind} cell: only 'none' leads to its output, which would be zeros: give it other edges")

    @classmethod
    def of_space(cls, space: CellSpace, edges: Mapping[CellKind, _Edges]) -> Self:
        """The genotype of a space that has these edges in each of its kinds of cell."""
        concat = dict.fromkeys(edges, space.outputs)
        return cls(
            edges.get("normal", ()),
            concat.get("normal", ()),
            edges.get("reduce", ()),
            concat.get("reduce", ()),
            form=space.form,
        )

    @property
    def kinds(self) -> tuple[CellKind, ...]:
        return self.form.kinds

    def edges(self, kind: CellKind) -> tuple[tuple[str, int], ...]:
        """The edges (primitive, input node) of one cell, those of each intermediate node in turn."""
        return self.normal if kind == "normal" else self.reduce

    def entering(self, kind: CellKind) -> dict[int, tuple[tuple[str, int], ...]]:
        """For every intermediate node of one cell, its edges (primitive, input node)."""
        edges, found = self.edges(kind), dict[int, _Edges]()
        node, start = self.form.num_inputs, 0
        while start < len(edges):
            stop = start + self.form.edges_of(node)
            found[node] = edges[start:stop]
            node, start = node + 1, stop
        return found

    def placed_edges(self, kind: CellKind) -> list[tuple[int, str, int]]:
        """The edges of one cell as (target, primitive, source)."""
        return [(node, *edge) for node, edges in self.entering(kind).items() for edge in edges]

    def skip_connects(self, kind: CellKind) -> int:
        """How many edges of one cell are skip-connections."""
        return sum(primitive == "skip_connect" for primitive, _ in self.edges(kind))

    def concat(self, kind: CellKind) -> tuple[int, ...]:
        """The nodes that one cell's output concatenates, in that order."""
        return self.normal_concat if kind == "normal" else self.reduce_concat

    def idle(self, kind: CellKind) -> set[int]:
        """The nodes of one cell that its output does not depend on, inputs among them."""
        needed = set(self.concat(kind))
        for node, edges in reversed(self.entering(kind).items()):
            if node in needed:
                needed.update(source for primitive, source in edges if primitive != "none")
        return set(range(self.num_nodes(kind))) - needed

    def num_nodes(self, kind: CellKind) -> int:
        """Nodes of one cell: its inputs and the intermediate nodes (the paper's N)."""
        return self.form.num_inputs + len(self.entering(kind))

    def to_text(self) -> str:
        """One line in the form that papers and the authors' scripts print; `from_text` reads it back.

        A cell of NAS-Bench-201 has the benchmark's form, `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`.

        Raises:
            InputError: a genotype of another form than theirs.
        """
        if self.form == NASBENCH201.form and (text := write_string(self.normal)):
            return text
        if self.form != _FORM:
            raise InputError(
                "only genotypes of the form of the DARTS papers, and cells of NAS-Bench-201, have a printed form: use "
                "to_json"
            )
        return (
            f"Genotype(normal={list(self.normal)}, normal_concat={_printed_nodes(self.normal_concat)}, "
            f"reduce={list(self.reduce)}, reduce_concat={_printed_nodes(self.reduce_concat)})"
        )

    def unique_text(self) -> str:
        """By which text NAS-Bench-201 tells cells apart that are different graphs: see `unique_string`.

        Raises:
            InputError: this is no cell of NAS-Bench-201.
        """
        if self.form != NASBENCH201.form:
            raise InputError("only cells of NAS-Bench-201 have its text of a graph: use pcdarts.cell.canonical")
        return unique_string(self.normal)

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read the printed form, whatever stands around it (a log's time stamp, `PC_DARTS_cifar = `); never evaluated.

        `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|` is a cell of NAS-Bench-201.

        Raises:
            InputError: no printed genotype, or more than one, or anything in it but names, numbers, lists, tuples and
                ranges, or an inconsistent cell.
        """
        check_length(text)
        text = plain(text)
        if not CALL.search(text) and STRING.search(text):
            return cls.of_space(NASBENCH201, {"normal": read_string(text)})
        return cls(**read_printed(text))

    def to_json(self) -> str:
        """A JSON object with one edge a line, the same text for equal genotypes; `from_json` reads it back."""
        members = [f'  "space": "{name}"' for name, space in _SPACES.items() if space.form == self.form]
        for kind in self.kinds:
            members.append(f'  "{kind}": {_json_edges(self.edges(kind))}')
            members.append(f'  "{kind}_concat": {json.dumps(self.concat(kind))}')
        return "{\n" + ",\n".join(members) + "\n}\n"

    @classmethod
    def from_json(cls, text: str, form: CellForm = _FORM) -> Self:
        """Read what `to_json` writes: an object with exactly the fields of the form, edges as [primitive, input node].

        Args:
            text: the object; where it names its space ("nasbench201"), it has the form of that.
            form: the form of one that names none.

        Raises:
            InputError: not JSON, other keys than those, or an inconsistent cell.
        """
        members = _read_json(text)
        if "space" in members:
            form = _named_form(members.pop("space"))
        fields = tuple(name for kind in form.kinds for name in (kind, f"{kind}_concat"))
        empty = dict.fromkeys(FIELDS, ())
        _check_members(members, fields)
        return cls(**(empty | members), form=form)

    @classmethod
    def from_file(cls, path: Path | str, which: str | None = None) -> Self:
        """Read a file that holds genotypes in JSON or in the printed form; its content decides which.

        Of a log with several the last one is read, or that of the epoch that `which` names; of a Python file the one
        with the name `which`, which may be left out if there is only one. See `find_in_file`.

        Raises:
            InputError: naming the file, when it cannot be read or holds no consistent genotype.
        """
        check_path("path", path, "a file that holds a genotype")
        return cls.from_found(find_in_file(Path(path), which))

    @classmethod
    def from_found(cls, found: FoundGenotype) -> Self:
        """Read what `find_in_file` has found.

        Raises:
            InputError: naming the file and the line, when it is no consistent genotype.
        """
        try:
            return cls.from_json(found.text) if found.text.startswith("{") else cls.from_text(found.text)
        except InputError as error:
            raise InputError(f"{found.where}: {error}") from None


def _checked_sequence(where: str, value: object) -> tuple[object, ...]:
    if not isinstance(value, list | tuple | range):
        raise InputError(f"{where}: expected a list, not {shown_value(value)}")
    # Slicing first: the length of a huge range does not fit an index, and its items do not fit the memory.
    if len(value[: 2 * _MAX_INTERMEDIATE + 1]) > 2 * _MAX_INTERMEDIATE:
        raise InputError(f"{where}: too long: a cell has at most {_MAX_INTERMEDIATE} intermediate nodes")
    return tuple(value)


def _checked_edges(kind: str, value: object, form: CellForm) -> _Edges:
    items = _checked_sequence(f"{kind} cell", value)
    if items and all(_is_pair_of_edges(item) for item in items):
        items = tuple(edge for item in items for edge in item)  # type: ignore[attr-defined]  # sequences, all of them
    targets: list[int] = []
    while len(targets) < len(items):
        target = targets[-1] + 1 if targets else form.num_inputs
        targets += [target] * form.edges_of(target)
    if not items or len(targets) > len(items):
        raise InputError(f"{kind} cell: {len(items)} edges, but {_edges_wanted(form)} edges")
    edges = tuple(_checked_edge(kind, target, item, form) for target, item in zip(targets, items, strict=True))
    if form.edges_kept is None and [source for _, source in edges] != [
        i for j in sorted(set(targets)) for i in range(j)
    ]:
        raise InputError(f"{kind} cell: every node takes all earlier ones: list their edges in this order, each once")
    return edges


def _edges_wanted(form: CellForm) -> str:
    if form == _FORM:
        return "every intermediate node takes two: give 2, 4, 6, ..."
    counts = accumulate(form.edges_of(form.num_inputs + node) for node in range(3))
    return f"the nodes of this form take {', '.join(map(str, counts))}, ... together: give so many"


def _is_pair_of_edges(value: object) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2 and all(isinstance(edge, list | tuple) for edge in value)


def _checked_edge(kind: str, target: int, value: object, form: CellForm) -> tuple[str, int]:
    where = f"{kind} cell, node {target}"
    if isinstance(value, list | tuple) and len(value) == 3 and _is_number(value[2]):
        value = value[:2]
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise InputError(f"{where}: an edge is a pair (primitive, input node), not {shown_value(value)}")
    primitive, source = value
    if not isinstance(primitive, str):
        raise InputError(f"{where}: a primitive is a name such as 'sep_conv_3x3', not {shown_value(primitive)}")
    if primitive not in OPERATIONS and primitive != "none":
        raise InputError(
            f"{where}: unknown primitive {shown_value(primitive)}: {did_you_mean(primitive[:40], OPERATIONS)}"
        )
    if not _is_whole(source):
        raise InputError(f"{where}: an input node is a whole number, not {shown_value(source)}")
    if not 0 <= source < target:
        fault = "itself" if source == target else f"node {shown_value(source)}"
        raise InputError(f"{where}: takes input from {fault}: use an earlier node, 0 to {target - 1}")
    return str(primitive), int(source)


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _checked_concat(kind: str, value: object, form: CellForm, num_nodes: int) -> tuple[int, ...]:
    first, where = form.num_inputs, f"{kind} cell, concat"
    nodes: list[int] = []
    for node in _checked_sequence(where, value):
        if not _is_whole(node):
            raise InputError(f"{where}: a node is a whole number, not {shown_value(node)}")
        if not first <= node < num_nodes:
            fault = f"input node {node}" if 0 <= node < first else f"node {shown_value(node)}"
            raise InputError(f"{where}: names {fault}: use the intermediate nodes, {first} to {num_nodes - 1}")
        if node in nodes:
            raise InputError(f"{where}: names node {node} twice: name each node once")
        nodes.append(int(node))
    if not nodes:
        raise InputError(f"{where}: empty, so the cell has no output: name nodes from {first} to {num_nodes - 1}")
    return tuple(nodes)


def _json_edges(edges: tuple[tuple[str, int], ...]) -> str:
    return "[\n" + ",\n".join(f"    {json.dumps(edge)}" for edge in edges) + "\n  ]"


def _named_form(name: object) -> CellForm:
    if not isinstance(name, str) or name not in _SPACES:
        known = ", ".join(_SPACES)
        raise InputError(f"the genotype is of the space {shown_value(name)}: use {known}, or leave it out for DARTS")
    return _SPACES[name].form


def _read_json(text: str) -> dict[str, Any]:
    check_length(text)
    try:
        value = json.loads(text, object_pairs_hook=_without_repeats)
    except InputError:
        raise
    except (ValueError, RecursionError) as error:
        reason = error if isinstance(error, json.JSONDecodeError) else "nested too deeply or a number too long"
        raise InputError(f"the genotype is not JSON ({reason}): use what to_json writes") from None
    if not isinstance(value, dict):
        raise InputError(f"the genotype is not a JSON object with {', '.join(FIELDS)}, but {shown_value(value)}")
    return value


def _check_members(members: dict[str, Any], fields: Sequence[str]) -> None:
    for key in members:
        check_field(key, fields)
    check_complete(members, fields)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for key, value in pairs:
        if key in members:
            raise InputError(f"the genotype has {shown_value(key)} twice: keep one of them")
        members[key] = value
    return members


def _printed_nodes(nodes: tuple[int, ...]) -> str:
    span = range(nodes[0], nodes[-1] + 1)
    return repr(span) if nodes == tuple(span) else repr(list(nodes))
