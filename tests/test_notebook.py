"""The tutorial runs, and gives what it shows."""

import re
from pathlib import Path
from typing import Any

from make_notebook import NOTEBOOK, executed


def texts(cell: Any) -> list[str]:
    """What a cell prints and returns, as text."""
    return [output.get("text") or output.data["text/plain"] for output in cell.outputs]


def kinds(cell: Any) -> list[tuple[str, list[str]]]:
    return [(output.output_type, sorted(output.get("data", {}))) for output in cell.outputs]


def beginnings(cell: Any) -> set[str]:
    """The words that its lines begin with. Drawn cells and the choice of kernels depend on the processor."""
    lines = [line for text in texts(cell) for line in text.splitlines() if " kernels" not in line]
    return {str(re.match(r"[A-Za-z_ -]*", line)[0]) for line in lines if not line.startswith("  ")}  # type: ignore[index]


def test_the_notebook_runs_and_gives_what_it_shows(tmp_path: Path) -> None:
    """After a change of what jobs print: `python docs/make_notebook.py`."""
    import nbformat

    shown = [cell for cell in nbformat.read(NOTEBOOK, as_version=4).cells if cell.cell_type == "code"]
    found = [cell for cell in executed(tmp_path).cells if cell.cell_type == "code"]
    assert len(shown) > 10
    for before, now in zip(shown, found, strict=True):
        assert kinds(now) == kinds(before), now.source
        if "varies" in now.metadata.get("tags", []):
            assert beginnings(now) == beginnings(before), now.source
        else:
            assert texts(now) == texts(before), now.source
    assert sum("image/svg+xml" in kind for cell in shown for _, kind in kinds(cell)) == 2
    assert str(Path.home()) not in NOTEBOOK.read_text()
