"""A genotype: what a search finds and a network is built from, and its two written forms (printed and JSON)."""

import ast
import json
import re
import reprlib
import warnings
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

from pcdarts.cell.space import OLDER_PRIMITIVES, PRIMITIVES, CellKind
from pcdarts.errors import InputError, did_you_mean

OPERATIONS = tuple(primitive for primitive in (*PRIMITIVES, *OLDER_PRIMITIVES) if primitive != "none")
"""What an edge of a genotype may hold: `none` says that there is no edge, so it cannot be one."""

_MAX_INTERMEDIATE = 100
_MAX_CHARACTERS = 100_000
_MAX_NESTING = 10
_PRINTED = "Genotype(normal=[...], normal_concat=range(2, 6), reduce=[...], reduce_concat=range(2, 6))"


@dataclass(frozen=True)
class Genotype:
    """The normal and the reduction cell of a network (Secs. 3.1 and 4.2).

    Nodes 0 and 1 of a cell are its inputs: the outputs of the cell before the last and of the last cell. Intermediate
    node j = 2, 3, ... sums two edges, entries 2(j - 2) and 2(j - 2) + 1 of `normal` or `reduce`: each is a pair
    (primitive, input node). The cell's output concatenates the nodes named in `normal_concat` or `reduce_concat`.

    Lists and ranges are accepted for tuples and kept as tuples.

    Raises:
        InputError: an inconsistent cell (a primitive that does not exist, an input from a later node, ...).
    """

    normal: tuple[tuple[str, int], ...]
    normal_concat: tuple[int, ...]
    reduce: tuple[tuple[str, int], ...]
    reduce_concat: tuple[int, ...]

    def __post_init__(self) -> None:
        for kind in ("normal", "reduce"):
            edges = _checked_edges(kind, getattr(self, kind))
            concat = _checked_concat(kind, getattr(self, f"{kind}_concat"), num_nodes=2 + len(edges) // 2)
            object.__setattr__(self, kind, edges)
            object.__setattr__(self, f"{kind}_concat", concat)

    def edges(self, kind: CellKind) -> tuple[tuple[str, int], ...]:
        """The edges (primitive, input node) of one cell, two for every intermediate node in turn."""
        return self.normal if kind == "normal" else self.reduce

    def skip_connects(self, kind: CellKind) -> int:
        """How many edges of one cell are skip-connections."""
        return sum(primitive == "skip_connect" for primitive, _ in self.edges(kind))

    def concat(self, kind: CellKind) -> tuple[int, ...]:
        """The nodes that one cell's output concatenates, in that order."""
        return self.normal_concat if kind == "normal" else self.reduce_concat

    def num_nodes(self, kind: CellKind) -> int:
        """Nodes of one cell: its two inputs and the intermediate nodes (the paper's N)."""
        return 2 + len(self.edges(kind)) // 2

    def to_text(self) -> str:
        """One line in the form that papers and the authors' scripts print; `from_text` reads it back."""
        return (
            f"Genotype(normal={list(self.normal)}, normal_concat={_printed_nodes(self.normal_concat)}, "
            f"reduce={list(self.reduce)}, reduce_concat={_printed_nodes(self.reduce_concat)})"
        )

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read the printed form, whatever stands around it (a log's time stamp, `PC_DARTS_cifar = `); never evaluated.

        Raises:
            InputError: no printed genotype, or more than one, or anything in it but names, numbers, lists, tuples and
                ranges, or an inconsistent cell.
        """
        return cls(**_read_printed(text))

    def to_json(self) -> str:
        """A JSON object with one edge a line, the same text for equal genotypes; `from_json` reads it back."""
        members = [
            f'  "normal": {_json_edges(self.normal)}',
            f'  "normal_concat": {json.dumps(self.normal_concat)}',
            f'  "reduce": {_json_edges(self.reduce)}',
            f'  "reduce_concat": {json.dumps(self.reduce_concat)}',
        ]
        return "{\n" + ",\n".join(members) + "\n}\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` writes: an object with exactly the four fields, edges as [primitive, input node].

        Raises:
            InputError: not JSON, other keys than the four, or an inconsistent cell.
        """
        return cls(**_read_json(text))

    @classmethod
    def from_file(cls, path: Path | str) -> Self:
        """Read a file that holds a genotype in JSON or in the printed form; its content decides which.

        Raises:
            InputError: naming the file, when it cannot be read or holds no consistent genotype.
        """
        try:
            text = _read_text(Path(path))
            return cls.from_json(text) if text.lstrip().startswith("{") else cls.from_text(text)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None


_FIELDS = tuple(field.name for field in fields(Genotype))


def _shown(value: object) -> str:
    """A short picture of a value from outside, on one line."""
    try:
        return " ".join(reprlib.repr(value).split())
    except ValueError:  # Python prints no integer of more than 4300 digits
        return "a huge number"


def _checked_sequence(where: str, value: object) -> tuple[object, ...]:
    if not isinstance(value, list | tuple | range):
        raise InputError(f"{where}: expected a list, not {_shown(value)}")
    # Slicing first: the length of a huge range does not fit an index, and its items do not fit the memory.
    if len(value[: 2 * _MAX_INTERMEDIATE + 1]) > 2 * _MAX_INTERMEDIATE:
        raise InputError(f"{where}: too long: a cell has at most {_MAX_INTERMEDIATE} intermediate nodes")
    return tuple(value)


def _checked_edges(kind: str, value: object) -> tuple[tuple[str, int], ...]:
    items = _checked_sequence(f"{kind} cell", value)
    if not items or len(items) % 2:
        raise InputError(
            f"{kind} cell: {len(items)} edges, but every intermediate node takes two: give 2, 4, 6, ... edges"
        )
    return tuple(_checked_edge(kind, 2 + index // 2, item) for index, item in enumerate(items))


def _checked_edge(kind: str, target: int, value: object) -> tuple[str, int]:
    where = f"{kind} cell, node {target}"
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise InputError(f"{where}: an edge is a pair (primitive, input node), not {_shown(value)}")
    primitive, source = value
    if not isinstance(primitive, str):
        raise InputError(f"{where}: a primitive is a name such as 'sep_conv_3x3', not {_shown(primitive)}")
    if primitive == "none":
        raise InputError(f"{where}: primitive 'none' means that there is no edge: choose the node's two other edges")
    if primitive not in OPERATIONS:
        raise InputError(f"{where}: unknown primitive {_shown(primitive)}: {did_you_mean(primitive[:40], OPERATIONS)}")
    if type(source) is not int:
        raise InputError(f"{where}: an input node is a whole number, not {_shown(source)}")
    if not 0 <= source < target:
        fault = "itself" if source == target else f"node {_shown(source)}"
        raise InputError(f"{where}: takes input from {fault}: use an earlier node, 0 to {target - 1}")
    return primitive, source


def _checked_concat(kind: str, value: object, num_nodes: int) -> tuple[int, ...]:
    where = f"{kind} cell, concat"
    nodes: list[int] = []
    for node in _checked_sequence(where, value):
        if type(node) is not int:
            raise InputError(f"{where}: a node is a whole number, not {_shown(node)}")
        if not 2 <= node < num_nodes:
            fault = f"input node {node}" if node in (0, 1) else f"node {_shown(node)}"
            raise InputError(f"{where}: names {fault}: use the intermediate nodes, 2 to {num_nodes - 1}")
        if node in nodes:
            raise InputError(f"{where}: names node {node} twice: name each node once")
        nodes.append(node)
    if not nodes:
        raise InputError(f"{where}: empty, so the cell has no output: name nodes from 2 to {num_nodes - 1}")
    return tuple(nodes)


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_CHARACTERS + 1)
    except (OSError, ValueError) as error:  # ValueError: a path that no file can have
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"{reason}: give a file that holds a genotype") from None
    if len(content) > _MAX_CHARACTERS:
        raise InputError(f"more than {_MAX_CHARACTERS} bytes: keep only the genotype in it")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError("not a text file: give a genotype as JSON or in its printed form") from None


def _check_length(text: object) -> None:
    if not isinstance(text, str):
        raise InputError(f"the text of a genotype is a string, not {_shown(text)}")
    if len(text) > _MAX_CHARACTERS:
        raise InputError(f"the text of a genotype has at most {_MAX_CHARACTERS} characters, not {len(text)}")


def _json_edges(edges: tuple[tuple[str, int], ...]) -> str:
    return "[\n" + ",\n".join(f"    {json.dumps(edge)}" for edge in edges) + "\n  ]"


def _read_json(text: str) -> dict[str, Any]:
    _check_length(text)
    try:
        value = json.loads(text, object_pairs_hook=_without_repeats)
    except InputError:
        raise
    except (ValueError, RecursionError) as error:
        reason = error if isinstance(error, json.JSONDecodeError) else "nested too deeply or a number too long"
        raise InputError(f"the genotype is not JSON ({reason}): use what to_json writes") from None
    if not isinstance(value, dict):
        raise InputError(f"the genotype is not a JSON object with {', '.join(_FIELDS)}, but {_shown(value)}")
    for key in value:
        _check_field(key)
    _check_complete(value)
    return value


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for key, value in pairs:
        if key in members:
            raise InputError(f"the genotype has {_shown(key)} twice: keep one of them")
        members[key] = value
    return members


def _check_field(name: str) -> None:
    if name not in _FIELDS:
        raise InputError(f"a genotype has no {_shown(name)}: {did_you_mean(name[:40], _FIELDS)}")


def _check_complete(members: dict[str, Any]) -> None:
    missing = [name for name in _FIELDS if name not in members]
    if missing:
        raise InputError(f"the genotype lacks {', '.join(missing)}: give all of {', '.join(_FIELDS)}")


def _printed_nodes(nodes: tuple[int, ...]) -> str:
    span = range(nodes[0], nodes[-1] + 1)
    return repr(span) if nodes == tuple(span) else repr(list(nodes))


def _read_printed(text: str) -> dict[str, Any]:
    source = _printed_call(text)
    call = _parsed(source)
    members: dict[str, Any] = {}
    if len(call.args) > len(_FIELDS):
        raise InputError(f"Genotype(...) has {len(call.args)} arguments: give {', '.join(_FIELDS)}")
    for name, node in zip(_FIELDS, call.args, strict=False):
        members[name] = _literal(node, source)
    for keyword in call.keywords:
        name = keyword.arg or "**"
        _check_field(name)
        if name in members:
            raise InputError(f"the genotype has {name!r} twice: keep one of them")
        members[name] = _literal(keyword.value, source)
    _check_complete(members)
    return members


def _printed_call(text: str) -> str:
    """Cut the one `Genotype(...)` out of the text around it."""
    _check_length(text)
    starts = [match.start() for match in re.finditer(r"\bGenotype\s*\(", text)]
    if not starts:
        raise InputError(f"the text holds no genotype: expected {_PRINTED}")
    if len(starts) > 1:
        raise InputError(f"the text holds {len(starts)} genotypes: keep only the one you mean")
    return text[starts[0] : _end_of_call(text, starts[0])]


def _parsed(source: str) -> ast.Call:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python's remarks about odd numbers and escapes: both are refused later
            call = ast.parse(source, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        call = None
    if not isinstance(call, ast.Call):
        raise InputError(f"the genotype is not well formed: expected {_PRINTED}")
    return call


_TOKEN = re.compile(r"""'[^'\n]*'|"[^"\n]*"|\#[^\n]*|(?P<open>[(\[{])|(?P<close>[)\]}])""")


def _end_of_call(text: str, start: int) -> int:
    """Where the bracket closes that the call opens, strings and comments aside; also bounds the nesting."""
    depth = 0
    for token in _TOKEN.finditer(text, start):
        depth += (token["open"] is not None) - (token["close"] is not None)
        if depth > _MAX_NESTING:
            raise InputError(f"the genotype is nested too deeply: expected {_PRINTED}")
        if token["close"] and depth == 0:
            return token.end()
    raise InputError(f"the genotype breaks off before its closing bracket: expected {_PRINTED}")


def _literal(node: ast.expr, source: str) -> object:
    """The value of a name in quotes, a number, a list, a tuple or a range; anything else is refused, unevaluated."""
    match node:
        case ast.Constant(value):
            return value
        case ast.UnaryOp(ast.USub(), ast.Constant(int(value))):
            return -value
        case ast.List(items) | ast.Tuple(items):
            return tuple(_literal(item, source) for item in items)
        case ast.Call(ast.Name("range"), [*bounds], []):
            return _range([_literal(bound, source) for bound in bounds])
    refused = _shown(ast.get_source_segment(source, node))
    raise InputError(
        f"the genotype holds {refused}: only quoted names, whole numbers, lists, tuples and ranges are read"
    )


def _range(bounds: list[object]) -> range:
    integers = [bound for bound in bounds if type(bound) is int]
    if len(integers) != len(bounds) or not 1 <= len(bounds) <= 3 or (len(bounds) == 3 and integers[2] == 0):
        raise InputError(f"range({', '.join(map(_shown, bounds))}) is not a range of nodes: write range(2, 6)")
    return range(*integers)
