"""`pcdarts report`: one page that needs no network, and its tables as Markdown, about runs and studies."""

import re
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

import pcdarts
from pcdarts.cell import draw
from pcdarts.config.study_config import ReportConfig
from pcdarts.errors import InputError, listed
from pcdarts.report.detail import Detail, compared, details_of
from pcdarts.report.drawing import style
from pcdarts.report.drawing.front import GENERATED as PICTURE_START
from pcdarts.report.markdown import GENERATED as MARKDOWN_START
from pcdarts.report.markdown import to_markdown
from pcdarts.report.scored.score_view import read_scores
from pcdarts.report.study_tables import Table
from pcdarts.report.subject import Subject, read_subjects
from pcdarts.report.view import View, view
from pcdarts.run.whole_files import write_text
from pcdarts.truth.yardstick import make_judge

LIMIT = 1_000_000
"""Bytes that a page may have."""
GENERATED = '<meta name="generator" content="pcdarts report'
"""Marks a page as ours in its first lines: such a page may be replaced."""
_MARKS = {".html": GENERATED, ".md": MARKDOWN_START, ".svg": PICTURE_START}
"""The mark in the first lines of our files, by suffix."""


def run_report(config: ReportConfig) -> None:
    """Write `report.html`, `report.md` and pictures of their own (`front.svg`, `ranks.svg`), and print the tables.

    Raises:
        InputError: a folder is neither a run nor a study or is damaged, a file of that name is no report of ours, or
            the table of known cells cannot be used.
        RunError: the files cannot be saved.
    """
    out = config.out or (config.runs[0] if len(config.runs) == 1 else Path("report"))
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file, but the report needs a folder: choose another --out")
    yardstick = None if config.table is None else make_judge(config.table, config.kind, config.column)
    subjects = read_subjects(config.runs, yardstick)
    for name in ("report.html", "report.md"):
        _refuse_foreign(out / name)
    scores = [read_scores(subject, yardstick) for subject in subjects]
    missing = [why for known in scores if known for why in known.missing]
    if yardstick and missing and not any(known.cells for known in scores if known):
        raise InputError(f"{yardstick.table.path} scores no cell here; {missing[0]}: give another --table, or none")
    views = [view(subject, known, out) for subject, known in zip(subjects, scores, strict=True)]
    files = {"report.html": render(subjects, views), "report.md": to_markdown(views)}
    for name, pictures in (
        ("front", [part.scores.picture for part in views if part.scores and part.scores.picture]),
        ("ranks", [part.scores.ranks for part in views if part.scores and part.scores.ranks]),
    ):
        files |= {f"{name}{f'-{number}' * (number > 1)}.svg": svg for number, svg in enumerate(pictures, start=1)}
    for name in files:
        _refuse_foreign(out / name)
    for name, content in files.items():
        write_text(out / name, content)
    for part in views:
        lists = [line for heading, lines in part.lists for line in (f"{heading}:", *(f"  {line}" for line in lines))]
        _print([part.title, part.summary, *lists, *part.remarks], part.tables)
        if part.scores:
            _print([part.scores.heading, *part.scores.words], part.scores.tables)
    print(f"written: {listed([str(out / name) for name in files], 'and')}")
    if "front.svg" not in files and (out / "front.svg").exists():
        print(f"not written: {out / 'front.svg'}, which is older than this report")


def _print(lines: Sequence[str], tables: Sequence[Table]) -> None:
    print(*lines, sep="\n", end="\n\n")
    for table in tables:
        print(table.to_markdown())


def render(subjects: Sequence[Subject], views: Sequence[View]) -> str:
    """The page, in less than `LIMIT` bytes.

    It shows every search in detail if there is room; otherwise the first one of every group, or a part of it.
    What networks are bad at, and then learning curves, are left out if even they do not fit.

    Raises:
        InputError: the tables alone are too large.
    """
    details = [details_of(subject) for subject in subjects]
    for without in ((), ("weaknesses",), ("weaknesses", "curves")):
        room = LIMIT - len(_page(views, [[] for _ in views], details, without).encode())
        shown = _selected(details, room)
        while room > 0:
            page = _page(views, shown, details, without)
            if len(page.encode()) < LIMIT:
                return page
            next(some for some in reversed(shown) if some).pop()  # the estimated size was too small
    raise InputError("so many runs make a page of more than 1 MB: report fewer of them at once")


def _selected(details: Sequence[Sequence[Detail]], room: int) -> list[list[Detail]]:
    """The details to show: all if they fit, otherwise the first of every group, or a part of it."""
    if sum(detail.size for some in details for detail in some) < room:
        return [list(some) for some in details]
    shown: list[list[Detail]] = []
    for some in details:
        shown.append([])
        for part in (detail.in_part() for detail in some if detail.is_first):
            if part.size < room:
                shown[-1].append(part)
                room -= part.size
    for every, parts in zip(details, shown, strict=True):
        for place, part in enumerate(parts):
            whole = next(detail for detail in every if detail.name == part.name)
            if whole.size - part.size < room:
                parts[place] = whole
                room -= whole.size - part.size
    return shown


def _page(
    views: Sequence[View], shown: Sequence[list[Detail]], details: Sequence[Sequence[Detail]], without: Sequence[str]
) -> str:
    omitted = [
        [detail for detail in every if detail.name not in [one.name for one in some if one.is_whole]]
        for every, some in zip(details, shown, strict=True)
    ]
    template = _environment().get_template("page.html.j2")
    return template.render(
        generated=Markup(f'{GENERATED} {pcdarts.__version__}">'),
        styles=Markup(style.stylesheet() + draw.STYLE),
        parts=list(zip(views, shown, omitted, map(len, details), strict=True)),
        without=without,
        compared=compared,
        with_flags=_with_flags,
    )


def _with_flags(line: str) -> Markup:
    """A line of text in which no flag is broken at its hyphens."""
    return Markup(re.sub(r"--[a-z][a-z0-9-]*", r"<code>\g<0></code>", str(escape(line))))


def _environment() -> Environment:
    """Everything is escaped, since names come from users, except our own charts, which the template marks `safe`."""
    return Environment(
        loader=PackageLoader("pcdarts.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _refuse_foreign(path: Path) -> None:
    """Refuse to replace anything but an earlier report.

    Raises:
        InputError: `path` is something else.
    """
    try:
        if not (path.is_symlink() or path.exists()):
            return
        if path.is_file() and not path.is_symlink():
            with path.open(encoding="utf-8", errors="replace") as file:
                if _MARKS[path.suffix] in file.read(1000):
                    return
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    raise InputError(f"{path} is there already and no report of ours, so it is not overwritten: choose another --out")
