"""Interrupts real jobs at random moments, and compares their ends with that of the same job left alone.

    python benchmarks/kill_harness.py --kills 25 --damages 10 --signals 6 --losses 4 --json kill_harness.json

A search and a training are done once undisturbed and then, in several series, interrupted and resumed until they end:

* SIGKILL, by turns at any moment of the process's life, imports included, and inside a save;
* SIGKILL, whereupon the newest checkpoint is truncated, emptied, or has some of its bits flipped;
* SIGTERM and SIGINT by turns;
* SIGKILL to one of two processes that torchrun started; one alone ends what is left.

A job runs as on the command line, and notes what it does in a file of the harness, so that after every interruption the
checkpoint can be held against it (`interrupted_run.py`). Ends are compared bit by bit, but for times; those of the last
series need not be equal. All that is wrong is printed, and then the exit code is 1.
"""

import argparse
import json
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from interrupted_run import InterruptedRun, Series
from pcdarts.run.environment import describe_environment
from traced_job import Calm, undisturbed

JOBS = {
    "search": "search --train-images 960 --batch-size 24 --epochs 4 --arch-frozen-epochs 1 --checkpoint-minutes 0.01",
    "train": "train --genotype pc-darts-cifar10 --train-images 960 --batch-size 32 --num-cells 3 --epochs 4 "
    "--test-every 2 --checkpoint-minutes 0.01",
}
"""Four epochs of twenty and of thirty steps, with a checkpoint every 0.6 s."""
PROCESSES = 2
PART = 1 / 4
"""A process, once it has started, may live for this part of an undisturbed run."""


def main() -> None:
    options = parse()
    folder = Path(tempfile.mkdtemp(prefix="kill-harness-"))
    numbers = random.Random(options.seed)
    figures: dict[str, Any] = {"machine": describe_environment("cpu", 1), "seed": options.seed, "jobs": {}}
    problems: list[str] = []
    for job in JOBS if options.job == "both" else (options.job,):
        data = ("--data", "cifar10", "--data-root", str(options.data_root.absolute())) if options.data_root else ()
        calm = undisturbed((*JOBS[job].split(), *data), folder / job / "undisturbed")
        print(f"{job}: {calm.seconds:.0f} s undisturbed, {calm.save_seconds:.3f} s a save", flush=True)
        every_series = [
            killed(calm, folder / job, options.kills, numbers),
            damaged(calm, folder / job, options.damages, numbers),
            asked_to_end(calm, folder / job, options.signals, numbers),
            process_lost(calm, folder / job, options.losses, numbers),
        ]
        figures["jobs"][job] = {
            "command": calm.command,
            "seconds": calm.seconds,
            "save_seconds": calm.save_seconds,
            "checkpoint_bytes": calm.checkpoint_bytes,
            "series": {series.name: series.figures() for series in every_series if series.interruptions},
        }
        problems += [problem for series in every_series for problem in series.problems]
    if options.json:
        options.json.write_text(json.dumps(figures | {"problems": problems}, indent=2) + "\n")
    print(table(figures))
    if problems:
        sys.exit("\n".join([f"{len(problems)} problems, in {folder}:", *problems]))
    shutil.rmtree(folder)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--job", choices=(*JOBS, "both"), default="both")
    parser.add_argument("--kills", type=int, default=25, help="SIGKILLs to each job, half of them in a save (25)")
    parser.add_argument("--damages", type=int, default=10, help="checkpoints of each job to damage (10)")
    parser.add_argument("--signals", type=int, default=6, help="SIGTERMs and SIGINTs to each job (6)")
    parser.add_argument("--losses", type=int, default=0, help="SIGKILLs to one of two processes of each job (0)")
    parser.add_argument("--seed", type=int, default=0, help="of moments and damages (0)")
    parser.add_argument("--data-root", type=Path, help="folder of CIFAR-10, instead of the data in the package")
    parser.add_argument("--json", type=Path, help="file for the figures")
    return parser.parse_args()


def killed(calm: Calm, folder: Path, kills: int, numbers: random.Random) -> Series:
    """SIGKILL, by turns at any moment and in a save: anywhere in it, or while its file is written."""
    series = Series("killed")

    def once(run: InterruptedRun) -> None:
        job = run.start()
        match len(series.interruptions) % 4:
            case 1:
                run.wait_for(job, "save", times=numbers.randint(1, 5))
                time.sleep(numbers.uniform(0, calm.save_seconds))
            case 3:
                run.wait_for(job, "saved", times=numbers.randint(1, 5))
                run.wait_for_file(job)
            case _:
                time.sleep(numbers.uniform(0, calm.startup_seconds + part_of(calm)))
        run.interrupt(job, signal.SIGKILL)

    return repeated(calm, folder / "killed", series, lambda: len(series.interruptions) >= kills, once)


def damaged(calm: Calm, folder: Path, damages: int, numbers: random.Random) -> Series:
    """SIGKILL after two saves or more, and then the newest checkpoint is damaged."""
    series = Series("damaged")

    def once(run: InterruptedRun) -> None:
        job = run.start()
        run.wait_for(job, "saved", times=numbers.randint(2, 5))
        run.interrupt(job, signal.SIGKILL)
        if not run.run.is_finished:
            run.damage(numbers)

    return repeated(calm, folder / "damaged", series, lambda: series.damaged >= damages, once)


def asked_to_end(calm: Calm, folder: Path, signals: int, numbers: random.Random) -> Series:
    """SIGTERM and SIGINT by turns, at any moment after the first step."""
    series = Series("asked to end")

    def once(run: InterruptedRun) -> None:
        job = run.start()
        run.wait_for(job, "step", times=1)
        time.sleep(numbers.uniform(0, part_of(calm)))
        run.interrupt(job, (signal.SIGTERM, signal.SIGINT)[len(series.interruptions) % 2])

    return repeated(calm, folder / "asked", series, lambda: len(series.interruptions) >= signals, once)


def process_lost(calm: Calm, folder: Path, losses: int, numbers: random.Random) -> Series:
    """SIGKILL to one of several processes, at any moment after a save."""
    series = Series("process lost", alike=False)

    def once(run: InterruptedRun) -> None:
        before = saved_at(run)
        torchrun = run.start(PROCESSES)
        while torchrun.poll() is None and saved_at(run) == before:
            time.sleep(0.01)
        time.sleep(numbers.uniform(0, part_of(calm)))
        run.lose_process(torchrun, numbers)

    def enough() -> bool:
        return len(series.interruptions) >= losses or bool(series.problems)

    return repeated(calm, folder / "lost", series, enough, once)


def repeated(
    calm: Calm, folder: Path, series: Series, enough: Callable[[], bool], once: Callable[[InterruptedRun], None]
) -> Series:
    """Interrupt a run, `once` and again, until it was `enough`; one that has ended meanwhile is followed by another."""
    while not enough():
        run = InterruptedRun(calm, folder / f"{series.ends + 1}", series)
        while not (enough() or run.run.is_finished):
            once(run)
        run.finish()
    return series


def part_of(calm: Calm) -> float:
    """The seconds that a process may live after its start."""
    return PART * (calm.seconds - calm.startup_seconds)


def saved_at(run: InterruptedRun) -> int | None:
    """When the newest checkpoint was saved, in nanoseconds."""
    checkpoint = run.run.checkpoint
    return checkpoint.stat().st_mtime_ns if checkpoint.exists() else None


COLUMNS = {
    "interruptions": "interruptions",
    "inside_a_save": "in a save",
    "unfinished_files": "half-written files",
    "resumed": "resumed",
    "most_steps_lost": "most steps lost",
    "longest_end_seconds": "slowest end, s",
    "damaged": "damaged",
    "recovered": "recovered",
    "ends": "ends",
    "equal_ends": "equal",
}


def table(figures: dict[str, Any]) -> str:
    """The figures for a page."""
    rows = [["job", "series", *COLUMNS.values()], ["---"] * (2 + len(COLUMNS))]
    for job, about in figures["jobs"].items():
        rows += [[job, name, *(cell(one[key]) for key in COLUMNS)] for name, one in about["series"].items()]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
