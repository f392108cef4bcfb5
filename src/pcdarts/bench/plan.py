"""`pcdarts search --plan`: the memory and hours of a search on this machine, by K and stem, from measured steps."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch
from rich.table import Table

from pcdarts.cell.space import LARGEST_MAP, STEM_STRIDES, NetworkKind, largest_map, stem_stride, suggested_kind
from pcdarts.cell.stem import smallest_image_side
from pcdarts.config.configs import SearchConfig
from pcdarts.config.groups.method_settings import method_in_words
from pcdarts.config.groups.values import IMAGE_FILES
from pcdarts.data.disk.streaming import StreamedImages
from pcdarts.errors import InputError, counted
from pcdarts.jobs.outcome.evaluation import network_of
from pcdarts.jobs.outcome.under_budget import check_evaluation_network, latencies_of_search
from pcdarts.learn.child import Measured, measure_in_child
from pcdarts.learn.job_batches import training_data
from pcdarts.learn.kernels import choose_kernels
from pcdarts.learn.steps import SearchStep, Setting, search_setting
from pcdarts.run.device import choose_device, describe_device
from pcdarts.run.display.columns import console, make_table, seconds_text
from pcdarts.run.display.progress import duration
from pcdarts.supernet.supernet import Supernet

KS = (1, 2, 4, 8)
PROBE_BATCH = 16
"""Images of the step that is measured for every K, however slow."""
BUDGET_SECONDS = 90.0
"""For all measurements; whatever would go beyond it is scaled."""
PROBE_LIMIT = 60.0
"""Seconds after which a single small step is given up."""

KNOWN = {"fashion-mnist": (60_000, 1, 28, 10), "cifar10": (50_000, 3, 32, 10), "cifar100": (50_000, 3, 32, 100)}
"""Training images, their channels and side, and classes of the data sets that a plan need not download."""


@dataclass(frozen=True)
class Work:
    """What a search has to do, whatever its K and batch size."""

    weight_images: int
    epochs: int
    arch_epochs: int
    """Epochs in which α and β are no longer frozen."""
    data_bytes: int

    def steps(self, batch_size: int) -> int:
        """Steps in an epoch."""
        return math.ceil(self.weight_images / batch_size)

    def seconds(self, step: Measured, batch_size: int) -> float:
        """The time of all steps: a weight step each, and an α step where α and β are not frozen."""
        return self.steps(batch_size) * (self.epochs * step.weight_seconds + self.arch_epochs * step.arch_seconds)


@dataclass(frozen=True)
class Probe:
    """A measured step, with the seconds its process took besides."""

    batch_size: int
    step: Measured
    start_seconds: float

    def scaled(self, batch_size: int) -> Measured:
        """What a step of another batch size should take: in proportion, but for what the process holds anyway."""
        factor = batch_size / self.batch_size
        step_bytes = round(factor * self.step.step_bytes)
        return Measured(
            step_bytes=step_bytes,
            total_bytes=self.step.total_bytes - self.step.step_bytes + step_bytes,
            weight_seconds=factor * self.step.weight_seconds,
            arch_seconds=factor * self.step.arch_seconds,
        )

    def expected_seconds(self, batch_size: int) -> float:
        """How long the measurement of such a step should take."""
        step = self.scaled(batch_size)
        return self.start_seconds + 2 * (step.weight_seconds + step.arch_seconds)


class Case(NamedTuple):
    """What a line of the plan is about."""

    kind: NetworkKind
    k: int
    batch_size: int


@dataclass(frozen=True)
class Row:
    """A line of the plan."""

    case: Case
    step: Measured | None
    """None where not even a small step could be measured."""
    how: str
    """measured, scaled, or why this cannot be had."""


def run_plan(config: SearchConfig) -> None:
    """Measure and print the plan; no run folder is made.

    Raises:
        InputError: the data cannot be used, the network is impossible, or nothing can keep to the budget.
        RunError: a measurement failed.
    """
    device = choose_device(config.device, config.threads)
    setting, work, notes = prepare(config)
    budget = check_evaluation_network(config, setting, latencies_of_search(config, setting))
    network, memory = rehearse(setting), free_memory(device)
    tables = console()

    def say(text: str) -> None:
        tables.print(text, markup=False, soft_wrap=True)

    place = config.hub_name or config.data_root if config.data in IMAGE_FILES else None
    say(
        f"search of {config.data}{f' {place}' if place else ''}, recipe {config.recipe or 'your own'}: "
        f"{work.weight_images} weight images of {setting.image_size}x{setting.image_size} pixels, {config.num_cells} "
        f"cells of {config.channels} channels, {counted(config.epochs, 'epoch')} "
        f"({config.arch_frozen_epochs} with α and β frozen), {method_in_words(config)}"
    )
    for line in budget or [f"network to be trained afterwards: {network_of(config, setting)}"]:
        say(line)
    for note in notes:
        say(note)
    precision = "" if setting.amp == "off" else f" in {setting.amp}"
    steps = work.steps(setting.batch_size) * config.epochs
    say(str(choose_kernels(network, config.kernels, setting, steps, say)))
    say(f"on {describe_device(device)}{precision}; measuring single steps (a minute or two) ...")
    by_k, by_stem = cases_by_k(setting), cases_by_stem(setting)
    rows = measure_rows(setting, [*by_k, *by_stem], work, memory)
    asked = Case(setting.kind, setting.k, setting.batch_size)
    whole = "all tensors on the GPU" if device.type == "cuda" else "the whole process"
    tables.print(plan_table([rows[case] for case in by_k], work, asked))
    say(
        "time: all steps of all epochs (with data and augmentation; not the checkpoints and the final error); "
        f"memory: the peak of {whole} with its data"
        + (f"; free now: {memory / 1e9:.1f} GB" if memory is not None else "")
    )
    if any(row.how.startswith("scaled") for row in rows.values()):
        say("scaled: in proportion to the images, from the largest step that was measured with the same K and stem")
    if len(by_stem) > 1:
        tables.print(stem_table([rows[case] for case in by_stem], work, asked, setting.image_size))
    say(suggestion(setting))


def suggestion(setting: Setting) -> str:
    """Which stem the rule recommends for the images of `setting`, in words."""
    kind, side = suggested_kind(setting.image_size), setting.image_size
    reached = f"its cells see {largest_map(kind, side)}x{largest_map(kind, side)}"
    rule = f"the first stem of which they see {LARGEST_MAP}x{LARGEST_MAP} or less"
    if kind == "imagenet" and largest_map(kind, side) > LARGEST_MAP:
        rule = "the largest stride that there is"
    return (
        f"suggested for images of {side}x{side}: --kind {kind}{', as here' if kind == setting.kind else ''} "
        f"({reached}: {rule}; a rule about cost and size of maps, no comparison of errors)"
    )


def prepare(config: SearchConfig) -> tuple[Setting, Work, tuple[str, ...]]:
    """The step of the search that `config` describes, the work to be done by such steps, and notes about the data.

    Raises:
        InputError: the data cannot be used, or is too small for a batch.
    """
    notes: tuple[str, ...]
    if config.data in KNOWN:
        whole, image_channels, side, num_classes = KNOWN[config.data]
        count, side = min(whole, config.train_images or whole), config.image_size or side
        is_streamed, notes = False, (f"{num_classes} classes, {count:,} of {whole:,} training images",)
    else:
        data = training_data(config, torch.device("cpu"))
        count, image_channels, side = len(data.train), data.image_channels, data.image_size
        num_classes, notes = data.num_classes, data.notes
        is_streamed = isinstance(data.train, StreamedImages)
    weight_images = max(1, int(config.weight_fraction * count))
    arch_images = max(1, int((config.arch_fraction or 1 - config.weight_fraction) * count))
    batch_size = min(config.batch_size, weight_images, arch_images)
    if batch_size < 2:
        raise InputError(f"the smaller split has {batch_size} image, but BatchNorm needs two: give more images")
    setting = search_setting(
        config, batch_size=batch_size, image_size=side, image_channels=image_channels, num_classes=num_classes
    )
    pixels = count * image_channels * side * side
    # As they were read, in two splits, and once more where batches are cut from them: these alone are on a GPU.
    copies = 0 if is_streamed else 1 if choose_device(config.device, None).type == "cuda" else 3
    return (
        setting,
        Work(weight_images, config.epochs, config.epochs - config.arch_frozen_epochs, copies * pixels),
        notes,
    )


def rehearse(setting: Setting) -> Supernet:
    """Make one tiny pass, for which kernels are compiled where they have to be; return the network.

    Raises:
        InputError: the images are too small for the network, or the kernels cannot be had.
    """
    step = SearchStep(replace(setting, batch_size=2))
    step.forward_backward()
    assert isinstance(step.network, Supernet)
    return step.network


def batch_sizes(batch_size: int) -> list[int]:
    """The batch size asked for, half and a quarter of it, ascending."""
    return sorted({max(2, batch_size // divisor) for divisor in (1, 2, 4)})


def cases_by_k(setting: Setting) -> list[Case]:
    """The search asked for with other K and batch sizes."""
    ks = [k for k in sorted({*KS, setting.k}) if setting.channels % k == 0]
    return [Case(setting.kind, k, size) for k in ks for size in batch_sizes(setting.batch_size)]


def cases_by_stem(setting: Setting) -> list[Case]:
    """The search asked for with every stem that its images and channels allow."""
    fitting = [
        kind
        for kind in STEM_STRIDES
        if smallest_image_side(kind, setting.num_cells) <= setting.image_size
        and not (kind == "imagenet" and setting.channels % 2)
    ]
    return [Case(kind, setting.k, setting.batch_size) for kind in fitting]


def measure_rows(setting: Setting, cases: Sequence[Case], work: Work, memory: int | None) -> dict[Case, Row]:
    """Measure a small step of every K and stem, then what there is time for: as asked, with the stem suggested, others.

    A stem whose small step should take too long, by that of the stem asked for, is not tried.
    """
    deadline = time.monotonic() + BUDGET_SECONDS
    asked = Case(setting.kind, setting.k, setting.batch_size)
    enough = max(PROBE_BATCH, 2 * setting.gradient_accumulation_steps)  # to have as many parts as larger ones
    small = min(enough, *(case.batch_size for case in cases))
    found: dict[tuple[NetworkKind, int], list[Probe]] = {}
    for kind, k in dict.fromkeys((case.kind, case.k) for case in cases):
        own = found.get((setting.kind, setting.k), [])
        pixels = (stem_stride(setting.kind) // stem_stride(kind)) ** 2  # of its maps for one of those asked for
        is_hopeless = pixels > 1 and not (own and own[0].expected_seconds(pixels * small) < PROBE_LIMIT)
        probe = None if is_hopeless else measure_probe(varied(setting, Case(kind, k, small)), PROBE_LIMIT)
        found[kind, k] = [probe] if probe else []

    expected = {
        case: probe.expected_seconds(case.batch_size)
        for case in dict.fromkeys(cases)
        for probe in found[case.kind, case.k]
        if case.batch_size > probe.batch_size and fits(probe.scaled(case.batch_size), work, memory)
    }
    suggested = asked._replace(kind=suggested_kind(setting.image_size))
    for case in sorted(expected, key=lambda case: (case != asked, case != suggested, expected[case])):
        if time.monotonic() + expected[case] <= deadline:
            larger_step = measure_probe(varied(setting, case), 2 * expected[case])
            found[case.kind, case.k] += [larger_step] if larger_step else []
    return {case: row_of(case, found[case.kind, case.k], work, memory) for case in cases}


def varied(setting: Setting, case: Case) -> Setting:
    """The same search with the stem, the K and the batch size of `case`."""
    return replace(setting, **case._asdict())


def measure_probe(setting: Setting, limit: float) -> Probe | None:
    """A step in a process of its own; None if it takes too long or too much memory."""
    started = time.monotonic()
    step = measure_in_child(setting, timed=True, limit=limit)
    if step is None:
        return None
    spent = time.monotonic() - started - 2 * (step.weight_seconds + step.arch_seconds)
    return Probe(setting.batch_size, step, max(spent, 0.0))


def row_of(case: Case, probes: list[Probe], work: Work, memory: int | None) -> Row:
    """A line of the plan from what was measured with this K and stem: the step itself, or the largest one, scaled."""
    if not probes:
        return Row(case, None, "not measured: even a small step takes over a minute, or too much memory")
    largest = max(probes, key=lambda probe: probe.batch_size)
    exact = next((probe.step for probe in probes if probe.batch_size == case.batch_size), None)
    step = exact or largest.scaled(case.batch_size)
    if not fits(step, work, memory):
        return Row(case, step, "scaled; does not fit into the memory that is free")
    return Row(case, step, "measured" if exact else "scaled")


def fits(step: Measured, work: Work, memory: int | None) -> bool:
    """Whether a search of such steps finds the memory it needs, as far as that is known."""
    return memory is None or step.total_bytes + work.data_bytes <= memory


def plan_table(rows: list[Row], work: Work, asked: Case) -> Table:
    """The plan for K and batch sizes; the search asked for is marked."""
    table = make_table("K", "batch", "steps/epoch", *FIGURES)
    last = None
    for row in rows:
        if row.case.k != last:
            table.add_section()
        last = row.case.k
        first = [str(row.case.k), str(row.case.batch_size), str(work.steps(row.case.batch_size))]
        table.add_row(*first, *figures(row, work, asked), style="bold" if row.case == asked else None)
    return table


def stem_table(rows: list[Row], work: Work, asked: Case, image_side: int) -> Table:
    """The search asked for with each stem."""
    table = make_table("--kind", "cells see", *FIGURES)
    for row in rows:
        side = largest_map(row.case.kind, image_side)
        first = [row.case.kind, f"{side}x{side}"]
        table.add_row(*first, *figures(row, work, asked), style="bold" if row.case == asked else None)
    return table


FIGURES = ("weight step", "α step", "search", "memory", "")
"""The last columns of both tables."""


def figures(row: Row, work: Work, asked: Case) -> list[str]:
    """The last columns of a row."""
    how = f"{row.how}, this search" if row.case == asked else row.how
    if row.step is None:
        return ["", "", "", "", how]
    return [
        seconds_text(row.step.weight_seconds),
        seconds_text(row.step.arch_seconds),
        duration(work.seconds(row.step, row.case.batch_size)),
        f"{(row.step.total_bytes + work.data_bytes) / 1e9:.1f} GB",
        how,
    ]


def free_memory(device: torch.device) -> int | None:
    """Bytes that a new process may take; None where the system does not say.

    On Linux what is available without swapping, within the limit of a container.
    """
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = 1024 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return None
    try:
        group = Path("/sys/fs/cgroup")
        free = min(free, int((group / "memory.max").read_text()) - int((group / "memory.current").read_text()))
    except (OSError, ValueError):  # no container, or one without a limit ("max")
        pass
    return free
