"""Step times, memory, launches and kernels of a search step on a GPU; run by `gpu_session.py`, or by hand.

    python benchmarks/gpu_steps.py --output c.json --seconds 200 --device cuda
    python benchmarks/gpu_steps.py --output c.json --seconds 60 --device cpu --tiny     # a rehearsal

A row times the per-edge yardstick and ours by turns (medians of up to `ROUNDS`, with device events) and lists the
kernels of their steps; then it captures ours in CUDA graphs and times all three. FILE.json is written anew after every
row and before every capture. A row that fails keeps its traceback and the next one follows, as one form does in a row;
rows whose turn comes too late are named in "skipped".

The first use of every shape costs cuDNN about 0.1 s. With `--rows NAME` and `--turns FOLDER --sharers N`, N processes
with a row each get ready side by side, and then measure one after the other.
"""

import argparse
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch

from gpu_steps_profile import (
    NEEDS_CUDA,
    kernels,
    layouts,
    memory_of,
    seconds_of,
    synchronisations,
    written_bytes,
)
from gpu_steps_report import Report, Turns, free
from gpu_steps_variants import EagerStep, GraphedStep, PerEdgeStep, Precision, check_graph, computing_in
from pcdarts.bench.timing import forward_backward_flops
from pcdarts.learn.steps import Setting
from pcdarts.run.device import choose_device

ROUNDS, FEWEST_ROUNDS = 20, 3
ROUNDS_SECONDS = 10.0
"""Time for the rounds of a row."""
CEILINGS, LAYOUTS = "ceilings", "convolutions of one source node"
PER_EDGE, EAGER, GRAPH = "per edge", "ours, eager", "ours, CUDA graphs"
FLOOR = (
    "the larger of two times: the operations of the per-edge network's convolutions (three times those of the forward "
    "pass for a weight step, twice for an arch step, whose weights need no gradient) at the rate of a large product "
    "in that precision; and every output of a convolution or pooling of the per-edge network written once and read "
    "once in the forward pass, its gradient likewise, at the rate of a large copy. No version that keeps these maps "
    "in memory is faster; one that fuses or recomputes may be."
)


@dataclass(frozen=True)
class Row:
    name: str
    setting: Setting
    precision: Precision
    channels_last: bool = False
    """Whether the yardstick is, which is all that is timed then."""


def rows(device: str, tiny: bool) -> list[Row]:
    """All rows, by worth."""
    main = Setting(batch_size=256, device=device)
    imagenet = replace(main, kind="imagenet", image_size=224, k=2, num_classes=1000, batch_size=256)
    if tiny:
        main = replace(main, channels=8, num_cells=3, num_nodes=3, batch_size=2, image_size=8)
        imagenet = replace(main, kind="imagenet", image_size=64, k=2)
    bf16 = replace(main, amp="bf16")
    found = [Row("K=4, float32", main, "float32"), Row("K=4, bf16", bf16, "bf16"), Row("K=4, TF32", main, "tf32")]
    found += [Row(f"K={k}, float32", replace(main, k=k), "float32") for k in (1, 2, 8)]
    found.append(Row("ImageNet cells at 28x28, K=2, float32", imagenet, "float32"))
    found.append(Row("ImageNet cells at 28x28, K=2, bf16", replace(imagenet, amp="bf16"), "bf16"))
    found += [Row(f"K={k}, bf16", replace(bf16, k=k), "bf16") for k in (1, 2, 8)]
    found += [Row(f"K={k}, TF32", replace(main, k=k), "tf32") for k in (1, 2, 8)]
    last = Row("K=4, float32, yardstick channels-last", main, "float32", channels_last=True)
    return [found[0], found[7], last] if tiny else [*found, last]  # every kind of row once


def by_turns(
    parts: dict[str, Callable[[], object]], device: torch.device, rounds: int, until: float
) -> dict[str, dict[str, Any]]:
    """Milliseconds of every part, of forms that have made steps before, by turns; fewer rounds if time runs out."""
    taken: dict[str, list[float]] = {name: [] for name in parts}
    for done in range(rounds):
        if done >= FEWEST_ROUNDS and time.monotonic() > until:
            break
        for name, part in parts.items():
            taken[name].append(1e3 * seconds_of(part, device))
    return {
        name: {"median_ms": median(ms), "min_ms": min(ms), "max_ms": max(ms), "n": len(ms)}
        for name, ms in taken.items()
    }


@contextmanager
def failing_alone(row: dict[str, Any], what: str) -> Iterator[None]:
    """What fails here is kept, and leaves the rest alone."""
    try:
        yield
    except Exception:
        row["errors"][what] = traceback.format_exc()


def step_row(row: dict[str, Any], wanted: Row, report: Report) -> None:
    """Everything about one setting. A capture comes last: where it fails, it may leave the device unusable."""
    setting, device, started = wanted.setting, report.device, time.monotonic()
    row |= {"setting": asdict(setting), "precision": wanted.precision, "forms": {}, "errors": {}}
    builders: dict[str, Callable[[], Any]] = {PER_EDGE: lambda: PerEdgeStep(setting, wanted.channels_last)}
    if not wanted.channels_last:
        builders[EAGER] = lambda: EagerStep(setting)
    with computing_in(wanted.precision):
        forms: dict[str, Any] = {}
        for name, build in builders.items():
            with failing_alone(row, name):
                forms[name], memory = memory_of(build, device)
                row["forms"][name] = {"bytes": memory}
        with report.alone():
            row["alone_after_seconds"] = time.monotonic() - started
            with failing_alone(row, "times"):
                row["by_turns"] = time_forms(row["forms"], forms, builders, report)
            for name, form in forms.items():
                with failing_alone(row, f"{name}: kernels"):
                    look_at(row["forms"][name], form, report)
            report.write()
            if not wanted.channels_last:
                graph = partial(GraphedStep, setting, device.type == "cuda")
                with failing_alone(row, GRAPH):
                    row["graph_check"] = checked(graph, setting, wanted.precision, report.tiny)
                    free(device)
                    forms[GRAPH], memory = memory_of(graph, device)
                    row["forms"][GRAPH] = {"bytes": memory}
                    time_beside_graphs(row, forms, builders | {GRAPH: graph}, report)
                    look_at(row["forms"][GRAPH], forms[GRAPH], report)
    if "ceilings" in report.known:
        row["floor"] = floor(setting, wanted.precision, report.known["ceilings"], row["forms"])
    if device.type != "cuda":
        row["cuda_graphs"] = NEEDS_CUDA + ": the same functions on fixed places, not captured"


def time_forms(
    figures: dict[str, dict[str, Any]], forms: dict[str, Any], builders: dict[str, Callable[[], Any]], report: Report
) -> bool:
    """Note the times of all forms by turns, and return whether that was possible.

    Where there is no room for all of them at once, one form after the other is timed, and `forms` has the last one.
    """
    rounds, until = (1, 0.0) if report.tiny else (ROUNDS, time.monotonic() + min(report.left() / 3, ROUNDS_SECONDS))
    together = True
    try:
        times = by_turns(parts_of(forms), report.device, rounds, until)
    except torch.OutOfMemoryError:
        together, times, names = False, {}, list(forms)
        for name in names:
            forms.clear()
            free(report.device)
            forms[name] = builders[name]()
            times |= by_turns(parts_of(forms), report.device, rounds, until)
    for each, found in times.items():
        name, part = each.split("/")
        figures.setdefault(name, {})[part] = found
    return together


def time_beside_graphs(
    row: dict[str, Any], forms: dict[str, Any], builders: dict[str, Callable[[], Any]], report: Report
) -> None:
    """The times of all three forms by turns: those of the first two once more, beside what is known of them."""
    beside: dict[str, dict[str, Any]] = {}
    time_forms(beside, forms, builders, report)
    row["forms"][GRAPH] |= beside.pop(GRAPH)
    row["again_beside_graphs"] = beside


def look_at(figures: dict[str, Any], form: Any, report: Report) -> None:
    """Waits, work of the host, kernels and idle time of a whole search step."""
    device = report.device
    figures["synchronisations"] = synchronisations(form.search_step, device)
    figures["host_ms_per_step"] = host_milliseconds(form.search_step, device, 1)
    figures["kernels"] = kernels(form.search_step, device, 1)
    figures["idle_share"] = NEEDS_CUDA
    if device.type == "cuda":
        figures["idle_share"] = 1 - figures["kernels"]["busy_us_per_step"] / (1e3 * figures["search_step"]["median_ms"])


def checked(build: Callable[[], Any], setting: Setting, precision: Precision, tiny: bool) -> dict[str, Any]:
    """What `check_graph` finds.

    Raises:
        ArithmeticError: the graph computes something else.
    """
    found = check_graph(setting, build(), precision, *((2,) if tiny else ()))
    if not found["equal"]:
        raise ArithmeticError(f"the graph differs from eager steps by more than rounding, so it has no figure: {found}")
    return found


def parts_of(forms: dict[str, Any]) -> dict[str, Callable[[], object]]:
    """The halves of each form's step on batches drawn before, and its whole step."""
    parts: dict[str, Callable[[], object]] = {}
    for name, form in forms.items():
        kept = form.data()
        parts[f"{name}/arch_step"] = lambda form=form, kept=kept: form.arch_step(kept)
        parts[f"{name}/weight_step"] = lambda form=form, kept=kept: form.weight_step(kept)
        parts[f"{name}/search_step"] = form.search_step
    return parts


def floor(
    setting: Setting, precision: Precision, rates: dict[str, Any], forms: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """The times that no version falls below (see `FLOOR`), and the share of them that each form reaches."""
    flops = forward_backward_flops(replace(setting, amp="off"))
    moved = 4 * written_bytes(setting, 2 if precision == "bf16" else 4)
    found: dict[str, Any] = {"forward_backward_flops": flops, "bytes": moved, "shares": {}}
    by_copy = 1e3 * moved / rates["copy_bytes_per_second"]
    for part, share in (("weight_step", 1.0), ("arch_step", 2 / 3)):
        by_product = 1e3 * share * flops / rates[precision]
        found[part] = {"ms_of_arithmetic": by_product, "ms_of_memory": by_copy, "ms": max(by_product, by_copy)}
        for name, figures in forms.items():
            if part in figures:
                found["shares"].setdefault(name, {})[part] = found[part]["ms"] / figures[part]["median_ms"]
    return found


def measure(report: Report, only: Sequence[str] = ()) -> None:
    report.known["floor"] = FLOOR
    report.known["note"] = (
        "float32 is without TF32 in convolutions too, which PyTorch allows by default; the graphs are without the "
        "check for finite numbers; a search step is the data, the arch step and the weight step"
    )

    def measure_ceilings(row: dict[str, Any]) -> None:
        with report.alone():
            row["ceilings"] = report.known["ceilings"]

    def time_layouts(row: dict[str, Any]) -> None:
        with report.alone():
            row["convolutions"] = layouts(report.device, report.tiny)

    every: dict[str, Callable[[dict[str, Any]], None]] = {CEILINGS: measure_ceilings}
    for wanted in rows(report.device.type, report.tiny):
        every[wanted.name] = lambda row, wanted=wanted: fitting_row(row, wanted, report)
    every[LAYOUTS] = time_layouts
    fill_rows(report, every, only)


def fill_rows(report: Report, every: dict[str, Callable[[dict[str, Any]], None]], only: Sequence[str]) -> None:
    """The rows that are asked for, in order; all of them where none is."""
    if unknown := sorted(set(only) - set(every)):
        sys.exit(f"gpu_steps.py: there is no row {', '.join(unknown)}; there are: {'; '.join(every)}")
    for name, fill in every.items():
        if not only or name in only:
            report.row(name, fill)
            free(report.device)


def fitting_row(row: dict[str, Any], wanted: Row, report: Report) -> None:
    """`step_row` with the largest batch, halved down to 64, of which our own step fits."""
    setting = wanted.setting
    while True:
        step_row(row, replace(wanted, setting=setting), report)
        too_large = any("OutOfMemoryError" in error for name, error in row["errors"].items() if name != PER_EDGE)
        if not too_large or setting.batch_size <= 64:
            return
        row.setdefault("did_not_fit", []).append({"batch_size": setting.batch_size, "errors": row["errors"]})
        setting = replace(setting, batch_size=setting.batch_size // 2)


def host_milliseconds(part: Callable[[], object], device: torch.device, steps: int) -> dict[str, float]:
    """What a call costs the host before anyone waits for the device: on the clock, and of all its threads together."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    clock, processor = time.perf_counter(), time.process_time()
    for _ in range(steps):
        part()
    taken = {"clock": time.perf_counter() - clock, "processor": time.process_time() - processor}
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return {name: 1e3 * seconds / steps for name, seconds in taken.items()}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="file to write the figures to, after every row")
    parser.add_argument("--seconds", type=float, required=True, help="time for all of it")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="tiny sizes: a rehearsal")
    parser.add_argument("--rows", nargs="+", default=[], metavar="NAME", help="only these")
    parser.add_argument("--turns", type=Path, help="folder, the same for processes that measure one after the other")
    parser.add_argument("--sharers", type=int, default=1, help="how many processes these are")
    asked = parser.parse_args(arguments)
    device = choose_device(asked.device, None)
    turns = Turns(asked.turns, asked.sharers, asked.seconds / 2) if asked.turns else None
    report = Report(asked.output, asked.seconds, device, asked.tiny, turns)
    try:
        measure(report, asked.rows)
    finally:
        if turns is not None:
            turns.ready()  # also where it failed before
    skipped = report.known["skipped"]
    if skipped:
        print(f"no time for {len(skipped)} rows: {'; '.join(skipped)}")
    report.known["ended"] = "done"
    report.write()
    return 0


if __name__ == "__main__":
    warnings.simplefilter("default")
    sys.exit(main())
