"""`pcdarts status`: the state and the progress of runs, from their files."""

import json
import math
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from pcdarts.errors import InputError, shown
from pcdarts.run.display.columns import aligned
from pcdarts.run.display.progress import duration
from pcdarts.run.ended_early import how_it_ended
from pcdarts.run.lock import is_locked
from pcdarts.run.run_folder import RUNS, RunFolder, State

if TYPE_CHECKING:
    from pcdarts.config.configs import StatusConfig

ERRORS = {
    "search": ("arch_top1_error", "weight_top1_error"),
    "random search": ("best_arch_top1_error", "arch_top1_error"),
    "train": ("test_top1_error", "validation_top1_error"),
}
"""The errors to show, by job: the first that a record has (while α and β are frozen there is none of the arch split).

The result of a random search has the error of its best candidate under the plain name.
"""

PRECISIONS = {"detect train": ("AP",)}
"""A detector has an average precision instead."""


@dataclass(frozen=True)
class Status:
    """One run as `--json` prints it; None is unknown. Errors and precision are in %, times in seconds and UTC."""

    run: str
    job: str | None
    phase: str | None
    """That a fit is in: the name of a run folder inside its own, or planning or export; the training that a comparison
    is at, and how many there are. None for other jobs."""
    state: Literal[State, "done"]
    seed: int | None
    """The seed, counted from 1, of `epoch` and `error`; None with a single seed."""
    seeds: int
    epoch: int
    epochs: int | None
    error: float | None
    error_name: str | None
    average_precision: float | None
    seconds_left: float | None
    updated: str
    message: str | None
    kernels: str | None
    """Those of a search that has chosen its kernels: "native" or "plain"."""
    latency_ms: float | None
    """That predicted for the network of a finished search that has a table of latencies, in milliseconds."""
    ended_early: str | None
    """`31 of 69 epochs: --max-minutes` of a finished training that did not make all its epochs."""


def run_status(config: "StatusConfig") -> None:
    """Print a table of the runs (all in runs/ if none is given), or a list of objects.

    Raises:
        InputError: some are not run folders; the others are printed first.
    """
    wanted = config.runs or sorted(path.parent for path in RUNS.glob("*/config.yaml"))
    found, problems = [], []
    for path in wanted:
        try:
            found.append(status_of(RunFolder.open(path)))
        except InputError as error:
            problems.append(str(error))
        except OSError as error:
            problems.append(f"cannot read the run folder {shown(path)}: {error.strerror}")
    if config.as_json:
        print(json.dumps([asdict(status) for status in found], indent=2))
    elif found:
        print(*_table(found), sep="\n")
    elif not wanted:
        print(f"there are no runs in {RUNS}/: `pcdarts search` makes one")
    if problems:
        raise InputError(*problems)


def status_of(run: RunFolder) -> Status:
    """The status of one run; damaged files count as missing.

    Raises:
        OSError: the folder cannot be read.
    """
    plan, whole = run.read_plan(), run
    phase = plan["phase"] if isinstance(plan.get("phase"), str) else None
    settings = _settings(run)
    job = settings.get("job")
    if job in ("fit", "compare"):  # their phases are runs of their own
        parts = (RunFolder(run.path / name) for name in (phase or "train", "train"))
        run = next((part for part in parts if part.config.is_file()), run)
        settings = _settings(run)
    epochs = _count(settings.get("epochs"))
    if epochs is not None and job == "random search":  # of each candidate
        epochs *= _count(settings.get("candidates")) or 1
    work = [stage["num_cells"] for stage in run.read_stages() for _ in range(stage["epochs"])]
    epochs = len(work) or epochs
    seeds = _count(settings.get("seeds")) or 1
    seed, current = _current_seed(run, _count(settings.get("seed")) or 0, seeds)
    said, records = current.read_state(), _records(current)
    state = _state(whole)
    done = max([record["epoch"] for record in records], default=0)
    if epochs is not None and settings.get("max_minutes", "null") != "null":  # its time decides about them
        epochs = max(done, epochs if state == "done" else _count(said.get("epochs")) or epochs)
    told = _count(said.get("epoch"))
    if state == "running":
        left = _number(said.get("seconds_left"))
    else:
        left = None if state == "done" else _estimate(records, _epochs_left(work, epochs, done))
    if left is not None and seeds > seed:
        later = _estimate(records, (epochs or done) * (seeds - seed))
        left = None if later is None else left + later
    learning = settings.get("job") or ""
    if job == "compare":
        phase, later = _place_among(plan, phase)
        later_left = _estimate(records, (epochs or done) * seeds * later)
        left = None if left is None or later_left is None else left + later_left
    elif plan:
        after = _number(plan.get("after"))
        if state == "done":
            left = None
        elif phase == "train" and left is not None and after is not None:
            left += after
        else:
            left = _left_of(plan, state)
    error_name, error = _newest(ERRORS.get(learning, ()), run, records, state)
    _, precision = _newest(PRECISIONS.get(learning, ()), run, records, state)
    return Status(
        run=str(whole.path),
        job=job,
        phase=phase,
        state=state,
        seed=seed if seeds > 1 else None,
        seeds=seeds,
        epoch=done if told is None or state == "done" else told,
        epochs=epochs,
        error=error,
        error_name=error_name,
        average_precision=precision,
        seconds_left=left,
        updated=_updated(whole, run, current),
        message=str(whole.read_state().get("message", "")) or None if state == "failed" else None,
        kernels=_kernels(run, said, state),
        latency_ms=_latency(run, state),
        ended_early=_end(current, state),
    )


def _place_among(plan: dict[str, Any], phase: str | None) -> tuple[str | None, int]:
    """`NAME, 3 of 5` of the training that a comparison is at, and how many come later."""
    trainings = plan.get("trainings")
    known = trainings if isinstance(trainings, list) else []
    names = [one.get("folder") for one in known if isinstance(one, dict)]
    if phase not in names:
        return phase, 0
    number = names.index(phase) + 1
    return f"{phase}, {number} of {len(names)}", len(names) - number


def _left_of(plan: dict[str, Any], state: str) -> float | None:
    """The seconds left of the time that a fit may take; unknown where they are over."""
    whole, began = _number(plan.get("whole")), _number(plan.get("began"))
    used = plan.get("seconds")
    if whole is None or not isinstance(used, dict):
        return None
    running = time.time() - began if began is not None and state == "running" else 0.0
    left = whole - running - sum(filter(None, map(_number, used.values())))
    return left if left > 0 else None


def _kernels(run: RunFolder, said: dict[str, Any], state: str) -> str | None:
    """The kernels of a search, from its state or result."""
    if state == "done":
        said = {}
        with suppress(InputError):
            cost = run.read_result().get("search_cost")
            said = cost if isinstance(cost, dict) else {}
    return next((name for name in ("native", "plain") if said.get("kernels") == name), None)


def _latency(run: RunFolder, state: str) -> float | None:
    """The milliseconds that a finished search predicts for its network."""
    if state == "done":
        with suppress(InputError):
            network = run.read_result().get("evaluation_network")
            return _number(network.get("latency_ms")) if isinstance(network, dict) else None
    return None


def _end(run: RunFolder, state: str) -> str | None:
    """How a finished training ended that did not make all its epochs."""
    if state == "done":
        with suppress(InputError):
            return how_it_ended(run.read_result())
    return None


def _state(run: RunFolder) -> Literal[State, "done"]:
    if run.is_finished:
        return "done"
    said = run.read_state().get("state")
    locked = is_locked(run)
    if not locked and run.path.name.startswith("seed-"):  # its job has locked the folder above
        locked = is_locked(RunFolder(run.path.parent))
    if locked or (locked is None and said == "running"):
        return "running"
    return "failed" if said == "failed" else "interrupted"


def _current_seed(run: RunFolder, first: int, seeds: int) -> tuple[int, RunFolder]:
    """The first unfinished seed, else the last one: its number, counted from 1, and its folder."""
    if seeds == 1:
        return 1, run
    folders = (RunFolder(run.path / f"seed-{seed}") for seed in range(first, first + seeds))
    return next(
        ((number, folder) for number, folder in enumerate(folders, 1) if number == seeds or not _is_done(folder, run))
    )


def _is_done(seed: RunFolder, run: RunFolder) -> bool:
    """Whether a seed is finished with all epochs of the run, which may have been trained on."""
    if not (seed.is_finished and seed.config.is_file()):
        return seed.is_finished
    return _settings(seed).get("epochs") == _settings(run).get("epochs")


def _settings(run: RunFolder) -> dict[str, str]:
    """The settings needed here, as text; a YAML parser would take longer than everything else."""
    text = run.config.read_text("utf-8", errors="replace")
    return dict(re.findall(r"^(job|epochs|max_minutes|candidates|seed|seeds): ([\w.]+(?: \w+)?)$", text, re.MULTILINE))


def _records(run: RunFolder) -> list[dict[str, Any]]:
    with suppress(InputError):
        return [record for record in run.read_metrics() if _count(record["epoch"])]
    return []


def _newest(
    names: Sequence[str], run: RunFolder, records: Sequence[dict[str, Any]], state: str
) -> tuple[str | None, float | None]:
    """The newest value with one of these names, and its name."""
    results = []
    if state == "done":
        with suppress(InputError):
            results.append(run.read_result())
    for record in [*results, *reversed(records)]:
        for name in names:
            if (figure := _number(record.get(name))) is not None:
                return name, figure
    return None, None


def _estimate(records: Sequence[dict[str, Any]], epochs: float) -> float | None:
    """The seconds of so many more epochs, from the finished ones."""
    seconds = _number(records[-1].get("seconds")) if records else None
    return None if seconds is None else epochs * seconds / records[-1]["epoch"]


def _epochs_left(work: Sequence[float], epochs: int | None, done: int) -> float:
    """How many epochs like the mean of those done are left; `work` is that of each, where they differ."""
    if not (0 < done < len(work)):
        return max(0, (epochs or done) - done)
    return done * sum(work[done:]) / sum(work[:done])


def _updated(*folders: RunFolder) -> str:
    """When one of them last changed."""
    files = [file for run in folders for file in (run.config, run.state, run.log, run.metrics, run.result)]
    newest = max(file.stat().st_mtime for file in files if file.exists())
    return datetime.fromtimestamp(newest, UTC).isoformat(timespec="seconds")


def _table(found: Sequence[Status]) -> Iterator[str]:
    rows = [("run", "job", "state", "epoch", "top-1 error or AP", "time left", "updated"), *map(_row, found)]
    if any(status.latency_ms is not None for status in found):
        rows = [(*row, text) for row, text in zip(rows, ["predicted latency", *map(_latency_text, found)], strict=True)]
    for number, line in enumerate(aligned(rows)):
        yield line
        if number and (message := found[number - 1].message):
            yield f"  {shown(message, 500)}"


def _row(status: Status) -> tuple[str, ...]:
    epoch = f"{status.epoch}/{status.epochs}" if status.epochs else str(status.epoch or "-")
    epoch = status.ended_early or epoch
    if status.seed is not None and status.state != "done":
        epoch = f"seed {status.seed} of {status.seeds}, epoch {epoch}"
    measured = "-"
    if status.error is not None:
        measured = f"{status.error:.2f} % ({(status.error_name or '').removesuffix('_top1_error')})"
    elif status.average_precision is not None:
        measured = f"{status.average_precision:.2f} % AP"
    return (
        shown(status.run, 200),
        f"{status.job}, {status.phase}" if status.phase else status.job or "-",
        status.state,
        epoch,
        measured,
        "-" if status.seconds_left is None else duration(status.seconds_left),
        _ago(time.time() - datetime.fromisoformat(status.updated).timestamp()),
    )


def _latency_text(status: Status) -> str:
    return "-" if status.latency_ms is None else f"{status.latency_ms:.3g} ms"


def _ago(seconds: float) -> str:
    days = int(seconds // 86400)
    return f"{days} days ago" if days > 1 else f"{duration(max(seconds, 0))} ago"


def _count(value: Any) -> int | None:
    """A whole number of sensible size, as a number or text; None for anything else."""
    text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _number(value: Any) -> float | None:
    """A finite number that is not negative; None for anything else."""
    with suppress(OverflowError):
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0:
            return float(value)
    return None
