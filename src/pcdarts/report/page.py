"""`pcdarts report`: one page that needs no network, and its tables as Markdown, about runs and studies."""

from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

import pcdarts
from pcdarts.cell import draw
from pcdarts.errors import InputError
from pcdarts.report import style
from pcdarts.report.detail import Detail, compared, details_of
from pcdarts.report.markdown import GENERATED as MARKDOWN_START
from pcdarts.report.markdown import to_markdown
from pcdarts.report.subject import Subject, read_subjects
from pcdarts.report.view import View, view
from pcdarts.run.files import write_text
from pcdarts.study_config import ReportConfig

LIMIT = 1_000_000
"""Bytes that a page may have."""
GENERATED = '<meta name="generator" content="pcdarts report'
"""By this in its first lines a page is known to be ours, and may be replaced."""
_OWN = {"report.html": GENERATED, "report.md": MARKDOWN_START}


def run_report(config: ReportConfig) -> None:
    """Write `report.html` and `report.md`, and print the tables.

    Raises:
        InputError: a folder is neither a run nor a study or is damaged, or a file of that name is no report of ours.
        RunError: the files cannot be saved.
    """
    out = config.out or (config.runs[0] if len(config.runs) == 1 else Path("report"))
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file, but the report needs a folder: choose another --out")
    subjects = read_subjects(config.runs)
    for name, start in _OWN.items():
        _refuse_foreign(out / name, start)
    views = [view(subject) for subject in subjects]
    markdown = to_markdown(views)
    page = render(subjects, views)
    write_text(out / "report.html", page)
    write_text(out / "report.md", markdown)
    for part in views:
        print(part.title, part.summary, *part.remarks, sep="\n", end="\n\n")
        for table in part.tables:
            print(table.to_markdown())
    print(f"written: {out / 'report.html'} and {out / 'report.md'}")


def render(subjects: Sequence[Subject], views: Sequence[View]) -> str:
    """The page, in less than `LIMIT` bytes.

    It holds every search in detail if there is room for them; else the first one of every group, in part where there is
    no room for the whole of it. Learning curves are left out where not even they fit.

    Raises:
        InputError: the tables alone are too large.
    """
    details = [details_of(subject) for subject in subjects]
    for with_charts in (True, False):
        room = LIMIT - len(_page(views, [[] for _ in views], details, with_charts).encode())
        shown = _that_fit(details, room)
        while room > 0:
            page = _page(views, shown, details, with_charts)
            if len(page.encode()) < LIMIT:
                return page
            next(some for some in reversed(shown) if some).pop()  # the estimate of its size was too small
    raise InputError("so many runs make a page of more than 1 MB: report fewer of them at once")


def _that_fit(details: Sequence[Sequence[Detail]], room: int) -> list[list[Detail]]:
    """All, if they fit; else the first of every group, in part where there is no room for the whole of it."""
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
    views: Sequence[View], shown: Sequence[list[Detail]], details: Sequence[Sequence[Detail]], with_charts: bool
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
        with_charts=with_charts,
        compared=compared,
    )


def _environment() -> Environment:
    """Names come from users' files: everything is escaped but what the template calls `safe`, our own charts."""
    return Environment(
        loader=PackageLoader("pcdarts.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _refuse_foreign(path: Path, start: str) -> None:
    """Make sure that writing `path` replaces nothing but an earlier report.

    Raises:
        InputError: there is something else.
    """
    try:
        if not (path.is_symlink() or path.exists()):
            return
        if path.is_file() and not path.is_symlink():
            with path.open(encoding="utf-8", errors="replace") as file:
                if start in file.read(1000):
                    return
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    raise InputError(f"{path} is there already and no report of ours, so it is not overwritten: choose another --out")
