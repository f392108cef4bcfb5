"""`pcdarts search --plan`: the memory and hours of a search on this machine, by K and stem, from measured steps."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from rich.table import Table

from pcdarts.bench.probes import Case, Row, Work, measure_rows
from pcdarts.cell.space import LARGEST_MAP, STEM_STRIDES, largest_map, suggested_kind
from pcdarts.cell.stem import smallest_image_side
from pcdarts.config.configs import SearchConfig
from pcdarts.config.groups.method_settings import beside_steps, method_in_words
from pcdarts.config.groups.values import IMAGE_FILES
from pcdarts.data.disk.streaming import StreamedImages
from pcdarts.errors import InputError, counted
from pcdarts.jobs.outcome.evaluation import network_of
from pcdarts.jobs.outcome.under_budget import check_evaluation_network, latencies_of_search
from pcdarts.learn.job_batches import training_data
from pcdarts.learn.kernels import choose_kernels
from pcdarts.learn.networks import make_method
from pcdarts.learn.stages import SearchStage, stages_of
from pcdarts.learn.steps import SearchStep, Setting, search_setting
from pcdarts.run.device import choose_device, describe_device
from pcdarts.run.display.columns import console, make_table, seconds_text
from pcdarts.run.display.progress import duration
from pcdarts.supernet.supernet import Supernet

KS = (1, 2, 4, 8)
KNOWN = {"fashion-mnist": (60_000, 1, 28, 10), "cifar10": (50_000, 3, 32, 10), "cifar100": (50_000, 3, 32, 100)}
"""Training images, their channels and side, and classes of the data sets that a plan need not download."""


def run_plan(config: SearchConfig) -> None:
    """Measure and print the plan; no run folder is made.

    Raises:
        InputError: the data cannot be used, the network is impossible, or nothing can keep to the budget.
        RunError: a measurement failed.
    """
    device = choose_device(config.device, config.threads)
    setting, work, notes = prepare(config)
    budget = check_evaluation_network(config, setting, latencies_of_search(config, setting))
    stages = stages_of(config, make_method(config, config.cell_space).stages())
    parts = [in_stage(setting, work, stage) for stage in stages]
    setting, work = parts[0]
    network, memory = rehearse(setting), free_memory(device)
    tables = console()

    def say(text: str) -> None:
        tables.print(text, markup=False, soft_wrap=True)

    place = config.hub_name or config.data_root if config.data in IMAGE_FILES else None
    say(
        f"search of {config.data}{f' {place}' if place else ''}, recipe {config.recipe or 'your own'}: "
        f"{work.weight_images} weight images of {setting.image_size}x{setting.image_size} pixels, "
        f"{stages_in_words(stages)}, {method_in_words(config)}"
    )
    for line in budget or [f"network to be trained afterwards: {network_of(config, setting)}"]:
        say(line)
    for note in notes:
        say(note)
    precision = "" if setting.amp == "off" else f" in {setting.amp}"
    steps = work.steps(setting.batch_size) * work.epochs
    say(str(choose_kernels(network, config.kernels, setting, steps, say)))
    say(f"on {describe_device(device)}{precision}; measuring single steps (a minute or two) ...")
    where = "all tensors on the GPU" if device.type == "cuda" else "the whole process"
    free = f"; free now: {memory / 1e9:.1f} GB" if memory is not None else ""
    not_measured = "the checkpoints and the final error" + (f"; {beside}" if (beside := beside_steps(config)) else "")
    about = (
        f"time: all steps of all epochs (with data and augmentation; not {not_measured}); "
        f"memory: the peak of {where} with its data{free}"
    )
    if len(stages) > 1:
        of_stages = measure_stages(parts, memory)
        tables.print(table_of_stages(parts, of_stages))
        say(about)
        scaled = any(row.how.startswith("scaled") for row in of_stages)
        say(f"{'scaled: in proportion to the images; ' if scaled else ''}{OF_STAGES}")
        return
    by_k, by_stem = cases_by_k(setting), cases_by_stem(setting)
    rows = measure_rows(setting, [*by_k, *by_stem], work, memory)
    asked = Case(setting.kind, setting.k, setting.batch_size)
    tables.print(plan_table([rows[case] for case in by_k], work, asked))
    say(about)
    if any(row.how.startswith("scaled") for row in rows.values()):
        say("scaled: in proportion to the images, from the largest step that was measured with the same K and stem")
    if len(by_stem) > 1:
        tables.print(stem_table([rows[case] for case in by_stem], work, asked, setting.image_size))
    say(suggestion(setting))


OF_STAGES = (
    "each stage is measured with all operations of the space: one in which the method has left some out takes less; "
    "K and cells are the method's, so that others are not compared"
)


def in_stage(setting: Setting, work: Work, stage: SearchStage) -> tuple[Setting, Work]:
    """A step of one stage of the search, and the work of its epochs."""
    config = stage.config
    return (
        replace(setting, num_cells=config.num_cells, k=config.k),
        replace(work, epochs=config.epochs, arch_epochs=config.epochs - config.arch_frozen_epochs),
    )


def stages_in_words(stages: Sequence[SearchStage]) -> str:
    """Cells, channels and epochs of a search, of all its stages."""
    config = stages[0].config
    epochs, frozen = (sum(getattr(stage.config, name) for stage in stages) for name in ("epochs", "arch_frozen_epochs"))
    cells = " then ".join(dict.fromkeys(str(stage.config.num_cells) for stage in stages))
    several = f" in {len(stages)} stages" if len(stages) > 1 else ""
    return (
        f"{cells} cells of {config.channels} channels, {counted(epochs, 'epoch')}{several} "
        f"({frozen} with α and β frozen)"
    )


def measure_stages(parts: Sequence[tuple[Setting, Work]], memory: int | None) -> list[Row]:
    """A step of each stage; equal ones are measured once."""
    found: dict[tuple[int, int], Row] = {}
    for setting, work in parts:
        case = Case(setting.kind, setting.k, setting.batch_size)
        if (setting.num_cells, setting.k) not in found:
            row = measure_rows(setting, [case], work, memory, share=1 / len(parts))[case]
            found[setting.num_cells, setting.k] = row
    return [found[setting.num_cells, setting.k] for setting, _ in parts]


def table_of_stages(parts: Sequence[tuple[Setting, Work]], rows: Sequence[Row]) -> Table:
    """A line for each stage, and one for the search."""
    table = make_table("stage", "cells", "K", "batch", "epochs", "steps/epoch", *FIGURES)
    for number, ((setting, work), row) in enumerate(zip(parts, rows, strict=True), 1):
        size, steps = setting.batch_size, work.steps(setting.batch_size)
        sizes = [str(each) for each in (number, setting.num_cells, setting.k, size, work.epochs, steps)]
        table.add_row(*sizes, *figures(row, work))
    if all(row.step for row in rows):
        steps_and_works = [(row.step, setting, work) for row, (setting, work) in zip(rows, parts, strict=True)]
        hours = sum(work.seconds(step, setting.batch_size) for step, setting, work in steps_and_works if step)
        most = max(step.total_bytes + work.data_bytes for step, _, work in steps_and_works if step)
        epochs = str(sum(work.epochs for _, work in parts))
        table.add_section()
        table.add_row(
            "all", "", "", "", epochs, "", "", "", duration(hours), f"{most / 1e9:.1f} GB", "this search", style="bold"
        )
    return table


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
        Work(
            weight_images,
            config.epochs,
            config.epochs - config.arch_frozen_epochs,
            copies * pixels,
            arch_every=getattr(config, "arch_every", 1),
        ),
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


def figures(row: Row, work: Work, asked: Case | None = None) -> list[str]:
    """The last columns of a row; one for the case that was asked for says so."""
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
