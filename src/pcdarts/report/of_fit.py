"""What a page says of a fit or a comparison: its state, its result, its plan, and the files to ship."""

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pcdarts.errors import InputError, counted
from pcdarts.jobs.status import Status
from pcdarts.report.study_tables import Table, filled_table
from pcdarts.run.run_folder import RunFolder

SETTINGS, FLOAT, INT8 = "config.json", "model.onnx", "model-int8.onnx"
"""Files of an export. The modules that write them import PyTorch, which no report needs."""

Lines = Sequence[tuple[str, Sequence[str]]]
"""Lists with their headings."""


def summary(status: Status) -> str:
    """How far a fit or a comparison is."""
    phase = f", in its phase {status.phase}" if status.phase and status.state != "done" else ""
    what = "comparison" if status.job == "compare" else "fit"
    return f"The {what} is {status.state}{phase}."


def lists(run: RunFolder) -> list[tuple[str, list[str]]]:
    """Its result, if it has one, and its plan; nothing where `plan.json` is damaged."""
    plan = run.read_plan()
    planned = [] if (run.path / "compare.json").is_file() else _lines(plan, "lines")  # the notes of its table say it
    found = [("Result", _result(_lines(plan, "result_lines"))), ("Plan", [*planned, *_planned_anew(plan)])]
    return [(heading, lines) for heading, lines in found if lines]


def tables(run: RunFolder) -> list[Table]:
    """The exported files, and the networks that were compared."""
    compared = [table for path in sorted(run.path.glob("**/compare.json")) if (table := _compared(path))]
    return [*_files(run), *compared]


def _lines(plan: dict[str, Any], name: str) -> list[str]:
    lines = plan.get(name)
    return [line for line in lines if isinstance(line, str)] if isinstance(lines, list) else []


def _result(lines: list[str]) -> list[str]:
    """Without the commands that were next where the fit ended, one of which makes this page."""
    return [line for line in lines if not line.startswith("next: ")]


def _planned_anew(plan: dict[str, Any]) -> list[str]:
    """The epochs of the training, which are fixed when a search is over."""
    first, training = plan.get("plan"), plan.get("train")
    searched = isinstance(first, dict) and isinstance(first.get("search"), dict)
    epochs = training.get("epochs") if isinstance(training, dict) else None
    if not searched or not isinstance(epochs, int):
        return []
    return [f"training, planned anew for the time that was left after the search: {counted(epochs, 'epoch')}"]


def _files(run: RunFolder) -> list[Table]:
    """The exported files with their sizes; accuracy and time of ONNX models, as the export has measured them."""
    folder = run.path / "export"
    with suppress(OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, InputError):
        known = json.loads((folder / SETTINGS).read_text("utf-8"))["files"]
        int8: dict[str, Any] = next((file["int8"] for file in known.values() if "int8" in file), {})
        right = {FLOAT: int8.get("float_accuracy"), INT8: int8.get("int8_accuracy")}
        times = _times(run)
        if int8:
            times = {FLOAT: int8["float_milliseconds"], INT8: int8["int8_milliseconds"]}
        files = [path for path in (folder / Path(name).name for name in sorted(known)) if path.is_file()]
        columns = {
            "file": [path.name for path in files],
            "size": [f"{path.stat().st_size / 1e6:.2f} MB" for path in files],
            "test accuracy, %": [_two_digits(right.get(path.name)) for path in files],
            "ms for one image": [_two_digits(times.get(path.name)) for path in files],
        }
        return [filled_table(columns, _caption(int8, bool(times)))] if files else []
    return []


def _caption(int8: dict[str, Any], timed: bool) -> tuple[str, ...]:
    said = ["The files to ship, in the folder export; its README.md says how to load them."]
    if int8:
        said.append(
            f"Accuracy is that on {counted(int8['images'], 'test image')}, of the float model and of that of 8-bit "
            f"integers, calibrated on {counted(int8['calibration_images'], 'training image')}{_decided(int8)}."
        )
    if timed:
        where = f" of {int8['processor']}" if int8.get("processor") else ""
        said.append(
            f"Times are medians for one image, with one thread{where}, the files by turns. Times in another table were "
            "measured at another moment: compare those of one table."
        )
    return tuple(said)


def _decided(int8: dict[str, Any]) -> str:
    """By how many others the calibration was chosen; earlier versions did not say it."""
    return f" in a way that {counted(int8['deciding_images'], 'other')} decided" if "deciding_images" in int8 else ""


def _times(run: RunFolder) -> dict[str, Any]:
    times = run.read_result().get("onnx_ms") if run.is_finished else None
    return times if isinstance(times, dict) else {}


def _two_digits(number: float | None) -> str:
    return "" if number is None else f"{number:.2f}"


def _compared(path: Path) -> Table | None:
    """The table of a comparison that is done; None if the file is damaged."""
    try:
        table = json.loads(path.read_text("utf-8"))["table"]
        columns, caption = (tuple(map(str, table[name])) for name in ("columns", "caption"))
        rows = [tuple(map(str, row)) for row in table["rows"]]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
    return Table(columns, tuple(rows), caption) if all(len(row) == len(columns) for row in rows) else None
