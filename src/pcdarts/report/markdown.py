"""A report as Markdown: its tables and its genotypes as text, without pictures."""

import re
from collections.abc import Sequence
from urllib.parse import quote

from pcdarts.errors import listed
from pcdarts.report.study_tables import Table
from pcdarts.report.view import View

GENERATED = "<!-- pcdarts report -->"
"""The first line of our files: such a file may be replaced."""


def to_markdown(views: Sequence[View]) -> str:
    """All subjects, one after the other."""
    return "\n".join([GENERATED, *(line for part in views for line in _lines(part))])


def _lines(part: View) -> list[str]:
    lines = [f"# {_plain(part.title)}", "", _plain(part.summary), ""]
    if part.note:
        lines += [f"> {_plain(part.note)}", ""]
    lines += [line for remark in part.remarks for line in (_plain(remark), "")]
    for heading, some in part.lists:
        lines += [f"## {heading}", "", *(f"- {_plain(line)}" for line in some), ""]
    lines += map(_table, part.tables)
    if part.scores:
        lines += [f"## {part.scores.heading}", ""]
        lines += [line for words in part.scores.words for line in (_plain(words), "")]
        lines += map(_table, part.scores.tables)
    if part.difference:
        first, second = (_plain(entry.name) for entry in part.pair)
        lines += [f"## From {first} to {second}", "", f"```\n{part.difference.to_text()}```", ""]
    for run in part.weaknesses:
        lines += [f"## What {_plain(run.name)} is bad at", ""]
        lines += [line for words in run.words for line in (_plain(words), "")]
        if run.sheets:
            links = [f"[{_plain(path)}](<{quote(path)}>)" for path in run.sheets]
            lines += [f"The surest mistakes are drawn in {listed(links, 'and')}.", ""]
        lines.append(_table(run.table))
    if part.agreement:
        lines += ["## Agreement between seeds", "", _table(part.agreement)]
    genotypes = [entry for entry in part.entries if entry.genotype]
    if genotypes:
        lines += ["## Genotypes", ""]
        lines += [f"- {_plain(entry.name)}: `{entry.genotype.to_text()}`" for entry in genotypes if entry.genotype]
        lines.append("")
    if part.unfinished:
        lines += ["## Not done", "", _table(part.unfinished)]
    return lines


def _table(table: Table) -> str:
    columns, *rows = (tuple(map(_plain, row)) for row in (table.columns, *table.rows))
    return Table(columns, tuple(rows), tuple(map(_plain, table.caption))).to_markdown()


def _plain(text: str) -> str:
    """Text from outside on one line, escaped so that Markdown shows it as it is."""
    return re.sub(r"[\\`<>\[\]*_&]", r"\\\g<0>", " ".join(text.split()))
