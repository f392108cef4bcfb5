"""Executes the tutorial notebook and keeps what comes out: `python docs/make_notebook.py` (`tests/test_notebook.py`).

Cells tagged `varies` print times, or figures that depend on the processor.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

NOTEBOOK = Path(__file__).with_name("own-images.ipynb")
_SECONDS = 600
"""The most that a cell may take; a hang, not slowness."""


def executed(folder: Path) -> Any:
    """The notebook with what its cells give now, in an empty folder that they do not name."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=_SECONDS, resources=resources, coalesce_streams=True).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # when it was executed
        for output in cell.get("outputs", []):
            if "text" in output:
                output.text = output.text.replace(f"{folder.resolve()}/", "")
    return notebook


if __name__ == "__main__":
    import nbformat

    with TemporaryDirectory() as place:
        made = executed(Path(place))
    nbformat.write(made, NOTEBOOK)
    print(f"written: {NOTEBOOK}")
