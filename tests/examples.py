"""The examples of `docs/extending.md`, run as they are printed."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from pcdarts.cell.primitives import MAKERS
from pcdarts.cell.space import OPERATIONS
from pcdarts.config.groups.method_settings import METHOD_SETTINGS
from pcdarts.config.groups.values import DATA_NAMES
from pcdarts.data.sources import READERS
from pcdarts.methods.methods import METHODS

PAGE = Path(__file__).parent.parent / "docs" / "extending.md"
TABLES: tuple[Any, ...] = (METHODS, METHOD_SETTINGS, MAKERS, OPERATIONS, READERS, DATA_NAMES)


@contextlib.contextmanager
def example(heading: str) -> Iterator[Any]:
    """Run the code below a heading as a module; afterwards all tables are as they were."""
    before = [table.copy() for table in TABLES]
    found = ModuleType(heading.removeprefix("A ").replace(" ", "_"))
    try:
        exec(compile(code_below(heading), str(PAGE), "exec"), found.__dict__)
        yield found
    finally:
        for table, entries in zip(TABLES, before, strict=True):
            table.clear()
            (table.extend if isinstance(table, list) else table.update)(entries)


def code_below(heading: str) -> str:
    """The Python below a heading, each line with the number that it has in the page."""
    lines, kept, here, code = PAGE.read_text("utf-8").splitlines(), [], False, False
    for line in lines:
        here = line == f"## {heading}" if line.startswith("## ") else here
        fence = line.startswith("```")
        kept.append(line if here and code and not fence else "")
        code = line == "```python" if fence else code
    assert any(kept), f"{PAGE} has no example below {heading}"
    return "\n".join(kept)
