"""Which genotype of a file is meant: the only one of a JSON file, that of an epoch of a log, one by name of Python."""

import ast
import re
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from io import StringIO, TextIOWrapper
from itertools import chain
from pathlib import Path

from pcdarts.cell.arch_string import STRING
from pcdarts.cell.printed import CALL, EXPECTED, MAX_CHARACTERS, end_of_call, plain
from pcdarts.errors import InputError, did_you_mean, shown

_MAX_PYTHON = 1_000_000
"""Characters of a Python file; it is parsed as a whole, while a log of any length is read line by line."""

_MAX_LINE = 1_000_000
_MAX_LINES = 1000
"""Of one genotype."""

_MAX_FILE = 2**32
"""Characters, so that reading a device ends."""

_MARK = re.compile(rf"(?i:\bepoch)[\s:,=#\[(]{{0,4}}(?P<epoch>\d{{1,9}})|(?P<string>{STRING.pattern})|{CALL.pattern}")
"""Where a log says which epoch it is in, where a genotype begins, and where a cell of NAS-Bench-201 stands."""


@dataclass(frozen=True)
class FoundGenotype:
    """The text of one genotype (a JSON object, or printed), where it was found, and a remark on the choice."""

    text: str
    where: str
    remark: str | None = None


def find_in_file(path: Path, which: str | None = None) -> FoundGenotype:
    """Find the genotype of a file, of which only the file's form is checked.

    Args:
        path: JSON, a text with a printed genotype, a log with many of them, or Python that gives them names; in UTF-8,
            or UTF-16 if it begins with a byte-order mark.
        which: an epoch of a log (none: the last genotype), or a name in a Python file (none: the only one).

    Raises:
        InputError: naming the file: it cannot be read, holds no genotype, or not the one that is wanted.
    """
    try:
        with path.open("rb") as raw:
            encoding = "utf-16" if raw.peek(2)[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
            with TextIOWrapper(raw, encoding, errors="replace") as file:
                return _find(path, file, which)
    except (OSError, ValueError) as error:  # ValueError: a path that no file can have
        if isinstance(error, InputError):
            raise
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"{path}: {reason}: give a file that holds a genotype") from None


def _find(path: Path, file: TextIOWrapper, which: str | None) -> FoundGenotype:
    beginning = file.read(_MAX_PYTHON)
    rest = file.readline(_MAX_LINE)
    if not (rest or CALL.search(beginning)) and re.search("[\0\ufffd]", beginning):
        raise InputError(f"{path}: not a text file: give a genotype as JSON or in its printed form")
    if (json := beginning.lstrip()).startswith("{"):
        if which is not None:
            raise InputError(f"{path} holds one genotype, as JSON: leave out {shown(which)}")
        if rest or len(json) > MAX_CHARACTERS:
            raise InputError(f"{path}: more than {MAX_CHARACTERS} characters of JSON: keep only the genotype in it")
        return FoundGenotype(json, str(path))
    is_python = path.suffix.lower() == ".py"
    if is_python and rest:
        raise InputError(f"{path}: more than {_MAX_PYTHON} characters of Python: keep only the genotypes in it")
    if not rest and (is_python or CALL.search(beginning)):
        names = _named(path, beginning, must=is_python)
        if names:
            return _by_name(path, names, which)
    lines = chain(StringIO(beginning + rest), iter(lambda: file.readline(_MAX_LINE), ""))
    return _of_log(path, lines, which)


# A Python file


@dataclass(frozen=True)
class _Named:
    name: str
    call: ast.Call


def _named(path: Path, text: str, must: bool) -> dict[str, _Named]:
    """The genotypes that Python code gives names to, aliases (`DARTS = DARTS_V2`) included; nothing is evaluated.

    Empty for text that is no Python file unless it `must` be one: no Python at all, or lines of a log, which give one
    name again and again.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        if not must:
            return {}
        line = f" in line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        raise InputError(f"{path} is no Python that can be read{line}: give the genotype in a text file") from None
    names: dict[str, _Named] = {}
    given = 0
    assignments = [node for node in ast.walk(tree) if isinstance(node, ast.Assign | ast.AnnAssign)]
    for node in sorted(assignments, key=lambda node: node.lineno):
        left = node.targets if isinstance(node, ast.Assign) else [node.target]
        targets = [target.id for target in left if isinstance(target, ast.Name)]
        match node.value:
            case ast.Call(ast.Name("Genotype") | ast.Attribute(attr="Genotype")) as call:
                named: _Named | None = _Named(targets[0], call) if targets else None
                given += 1
            case ast.Name(other):
                named = names.get(other)
            case _:
                named = None
        for target in targets:
            names.pop(target, None)
            if named:
                names[target] = named
    if must and not names:
        raise InputError(f"{path} gives no genotype a name: expected lines such as NAME = {EXPECTED}")
    return names if must or given == len({named.call for named in names.values()}) else {}


def _by_name(path: Path, names: dict[str, _Named], which: str | None) -> FoundGenotype:
    if which is None:
        if len({named.call for named in names.values()}) > 1:
            example = next(reversed(names))
            raise InputError(
                f"{path} holds several genotypes: name one, as in {path}:{example} (there are {', '.join(names)})"
            )
        which = next(iter(names))
    if which not in names:
        alike = [name for name in names if name.lower() == which.lower().replace("-", "_")]
        if len(alike) != 1:
            raise InputError(f"{path} has no genotype called {shown(which)}: {did_you_mean(which[:40], names)}")
        which = alike[0]
    named = names[which]
    where = f"{path}, line {named.call.lineno} ({which})"
    try:
        text = ast.unparse(named.call)  # without comments, in which others may stand
    except (RecursionError, ValueError):
        raise InputError(f"{where}: the genotype is not well formed: expected {EXPECTED}") from None
    remark = f"{path}: {which} is {named.name}" if which != named.name else None
    return FoundGenotype(text, where, remark)


# A log


@dataclass(frozen=True)
class _Printed:
    line: int
    epoch: int | None
    text: str


def _of_log(path: Path, lines: Iterable[str], which: str | None) -> FoundGenotype:
    """The last genotype of a log, or that of the epoch `which`: by the log's own numbers, or else the so many-th."""
    if which is not None and not re.fullmatch(r"[0-9]{1,9}", which):
        raise InputError(f"{path} gives no genotype the name {shown(which)}: of a log, name an epoch, as in {path}:12")
    wanted = None if which is None else int(which)
    count = matches = 0
    epochs: list[int] = []  # the first and the largest
    last = numbered = ordinal = None
    for last in _printed(path, lines):
        count += 1
        if last.epoch is not None:
            epochs = [epochs[0], max(epochs[1], last.epoch)] if epochs else [last.epoch] * 2
        if last.epoch is not None and last.epoch == wanted:
            numbered = last
            matches += 1
        if count == wanted:
            ordinal = last
    if last is None:
        raise InputError(f"{path}: the text holds no genotype: expected {EXPECTED}")
    if wanted is None:
        remark = f"{path}: the last of {count} genotypes, {_described(last)}" if count > 1 else None
        return _found(path, last, remark)
    counted = f"its epochs are {epochs[0]} to {epochs[1]}" if epochs else f"it numbers no epochs, and holds {count}"
    chosen = numbered if epochs else ordinal
    if chosen is None:
        remedy = "" if epochs else ", counted from 1"
        raise InputError(f"{path} has no genotype of epoch {wanted}: {counted}{remedy}")
    if epochs:
        several = f", the last of {matches}" if matches > 1 else ""
        return _found(path, chosen, f"{path}: the genotype of epoch {wanted}{several}, line {chosen.line}; {counted}")
    return _found(path, chosen, f"{path} numbers no epochs: genotype {wanted} of {count}, counted from 1, is taken")


def _described(printed: _Printed) -> str:
    epoch = "" if printed.epoch is None else f"of epoch {printed.epoch}, "
    return f"{epoch}line {printed.line}"


def _found(path: Path, printed: _Printed, remark: str | None) -> FoundGenotype:
    epoch = "" if printed.epoch is None else f" (epoch {printed.epoch})"
    return FoundGenotype(printed.text, f"{path}, line {printed.line}{epoch}", remark)


def _printed(path: Path, lines: Iterable[str]) -> Iterator[_Printed]:
    """The printed genotypes of a text in their order, each with the last epoch that was named before it."""
    epoch: int | None = None
    begun: _Printed | None = None  # one whose closing bracket is yet to come
    characters = begun_at = 0
    for number, line in enumerate(lines, 1):
        characters += len(line)
        if characters > _MAX_FILE:
            raise InputError(f"{path}: more than {_MAX_FILE} characters: keep only the genotypes in it")
        if not (begun or "enotype" in line or "poch" in line.lower() or "~" in line):
            continue
        line = plain(line)
        if begun and (_MARK.search(line) or len(begun.text) > MAX_CHARACTERS or number > begun.line + _MAX_LINES):
            yield begun  # it breaks off
            begun = None
        if begun:
            begun = replace(begun, text=begun.text + line)
        else:
            for mark in _MARK.finditer(line):
                if mark["epoch"]:
                    epoch = int(mark["epoch"])
                    continue
                if mark["string"]:
                    yield _Printed(number, epoch, mark["string"])
                    continue
                if begun:
                    yield replace(begun, text=begun.text[: mark.start() - begun_at])
                begun, begun_at = _Printed(number, epoch, line[mark.start() :]), mark.start()
        if begun and _is_whole(begun.text):
            yield begun
            begun = None
    if begun:
        yield begun


def _is_whole(text: str) -> bool:
    try:
        return end_of_call(text, 0) is not None
    except InputError:  # it says so when it is read
        return True
