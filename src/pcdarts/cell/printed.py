"""A genotype in printed form, as papers and scripts show it, read from the text around it and never evaluated."""

import ast
import re
import reprlib
import warnings
from collections.abc import Sequence
from typing import Any

from pcdarts.errors import InputError, did_you_mean

FIELDS = ("normal", "normal_concat", "reduce", "reduce_concat")
MAX_CHARACTERS = 100_000
"""Of the text of one genotype."""

CALL = re.compile(r"\bGenotype\s*\(")
EXPECTED = "Genotype(normal=[...], normal_concat=range(2, 6), reduce=[...], reduce_concat=range(2, 6))"

_MAX_NESTING = 10
_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_TOKEN = re.compile(r"""'[^'\n]*'|"[^"\n]*"|\#[^\n]*|(?P<open>[(\[{])|(?P<close>[)\]}])""")
_NUMPY = re.compile(r"(?:u?int(?:8|16|32|64|c|p|_)?|float(?:16|32|64|_)?|str_?|tensor)")
"""What the numbers and texts of NumPy and PyTorch call themselves, as in `np.int64(1)`."""


def shown_value(value: object) -> str:
    """A short picture of a value from outside, on one line."""
    try:
        return " ".join(reprlib.repr(value).split())
    except ValueError:  # Python prints no integer of more than 4300 digits
        return "a huge number"


def plain(text: str) -> str:
    """The text without the colours of a terminal."""
    return _ANSI.sub("", text) if "\x1b" in text else text


def check_length(text: object) -> None:
    """Refuse what is not a text, or too long for the text of a genotype.

    Raises:
        InputError: it is not a text, or too long.
    """
    if not isinstance(text, str):
        raise InputError(f"the text of a genotype is a string, not {shown_value(text)}")
    if len(text) > MAX_CHARACTERS:
        raise InputError(f"the text of a genotype has at most {MAX_CHARACTERS} characters, not {len(text)}")


def check_field(name: str, fields: Sequence[str] = FIELDS) -> None:
    """Refuse a name that is none of the four, or of other fields.

    Raises:
        InputError: with the closest one.
    """
    if name not in fields:
        raise InputError(f"a genotype has no {shown_value(name)}: {did_you_mean(name[:40], fields)}")


def check_complete(members: dict[str, object], fields: Sequence[str] = FIELDS) -> None:
    """Refuse a genotype without all four members, or those of other fields.

    Raises:
        InputError: naming those that are missing.
    """
    missing = [name for name in fields if name not in members]
    if missing:
        raise InputError(f"the genotype lacks {', '.join(missing)}: give all of {', '.join(fields)}")


def read_printed(text: str) -> dict[str, Any]:
    """The four members, not yet checked, of the one printed genotype in `text`.

    Raises:
        InputError: there is none or more than one, or it holds anything but names in quotes, numbers (NumPy's too),
            lists, tuples and ranges.
    """
    source = _call_in(text)
    call = _parsed(source)
    members: dict[str, Any] = {}
    if len(call.args) > len(FIELDS):
        raise InputError(f"Genotype(...) has {len(call.args)} arguments: give {', '.join(FIELDS)}")
    for name, node in zip(FIELDS, call.args, strict=False):
        members[name] = _literal(node, source)
    for keyword in call.keywords:
        name = keyword.arg or "**"
        check_field(name)
        if name in members:
            raise InputError(f"the genotype has {name!r} twice: keep one of them")
        members[name] = _literal(keyword.value, source)
    check_complete(members)
    return members


def end_of_call(text: str, start: int) -> int | None:
    """Where the bracket closes that the call opens, strings and comments aside; None if it does not.

    Raises:
        InputError: it is nested more deeply than any genotype.
    """
    depth = 0
    for token in _TOKEN.finditer(text, start):
        depth += (token["open"] is not None) - (token["close"] is not None)
        if depth > _MAX_NESTING:
            raise InputError(f"the genotype is nested too deeply: expected {EXPECTED}")
        if token["close"] and depth == 0:
            return token.end()
    return None


def _call_in(text: str) -> str:
    """Cut the one `Genotype(...)` out of the text around it."""
    check_length(text)
    text = plain(text)
    starts = [match.start() for match in CALL.finditer(text)]
    if not starts:
        raise InputError(f"the text holds no genotype: expected {EXPECTED}")
    if len(starts) > 1:
        raise InputError(f"the text holds {len(starts)} genotypes: keep only the one you mean")
    end = end_of_call(text, starts[0])
    if end is None:
        raise InputError(f"the genotype breaks off before its closing bracket: expected {EXPECTED}")
    return text[starts[0] : end]


def _parsed(source: str) -> ast.Call:
    for spelling in (source, source.replace("\n", "")):  # a terminal may have broken a line within a name
        try:
            with warnings.catch_warnings():  # Python's remarks about odd numbers and escapes: both are refused later
                warnings.simplefilter("ignore")
                call = ast.parse(spelling, mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        if isinstance(call, ast.Call):
            return call
    raise InputError(f"the genotype is not well formed: expected {EXPECTED}")


def _literal(node: ast.expr, source: str) -> object:
    """The value of a name in quotes, a number, a list, a tuple or a range; anything else is refused, unevaluated."""
    match node:
        case ast.Constant(value):
            return value
        case ast.UnaryOp(ast.USub(), ast.Constant(int(value) | float(value))):
            return -value
        case ast.List(items) | ast.Tuple(items):
            return tuple(_literal(item, source) for item in items)
        case ast.Call(ast.Name("range"), [*bounds], []):
            return _range([_literal(bound, source) for bound in bounds])
        case ast.Call(function, [ast.Constant() | ast.UnaryOp() as value], []) if _NUMPY.fullmatch(_name(function)):
            return _literal(value, source)
    refused = shown_value(ast.get_source_segment(source, node))
    raise InputError(
        f"the genotype holds {refused}: only quoted names, whole numbers, lists, tuples and ranges are read"
    )


def _name(function: ast.expr) -> str:
    match function:
        case ast.Name(name) | ast.Attribute(ast.Name("np" | "numpy" | "torch"), name):
            return name
    return ""


def _range(bounds: list[object]) -> range:
    integers = [bound for bound in bounds if type(bound) is int]
    if len(integers) != len(bounds) or not 1 <= len(bounds) <= 3 or (len(bounds) == 3 and integers[2] == 0):
        raise InputError(f"range({', '.join(map(shown_value, bounds))}) is not a range of nodes: write range(2, 6)")
    return range(*integers)
