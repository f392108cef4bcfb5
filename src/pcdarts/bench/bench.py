"""`pcdarts bench`: the supernet side by side with the plain per-edge one, by turns in one process."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import torch

from pcdarts.bench.bench_tables import BenchTables
from pcdarts.bench.equality import check_equality, check_network
from pcdarts.bench.other_checkout import ForeignNetwork
from pcdarts.bench.targets import verdicts
from pcdarts.bench.timing import (
    Times,
    by_turns,
    copy_gb_per_second,
    forward_backward_flops,
    matrix_product_gflops,
)
from pcdarts.config.bench_config import BenchConfig
from pcdarts.errors import InputError
from pcdarts.learn.child import measure_in_child
from pcdarts.learn.steps import Kernels, SearchStep, Setting
from pcdarts.run.device import choose_device
from pcdarts.run.environment import describe_environment
from pcdarts.run.whole_files import write_text
from pcdarts.supernet.native import cells as native
from pcdarts.supernet.supernet import Supernet

SHAPES: dict[str, dict[str, Any]] = {
    "K = 1 (DARTS)": {"k": 1, "num_cells": 3},
    "K = 2, ImageNet cells at 28x28": {"k": 2, "kind": "imagenet", "image_size": 224, "num_cells": 3},
    "5 nodes": {"num_nodes": 5},
    "7 nodes": {"num_nodes": 7, "num_cells": 3},
    "3 channels, K = 1": {"channels": 3, "k": 1},
    "64 channels": {"channels": 64, "num_cells": 3},
    "batch 16": {"batch_size": 16},
    "batch 256": {"batch_size": 256, "num_cells": 3},
}
"""The other shapes, by what they change; the slow ones have three cells (one normal, two that reduce), not eight."""

SHAPE_REPEATS = 3
OTHER = "other"
"""How the figures call the network of another checkout."""


def run_bench(config: BenchConfig) -> None:
    """Check that the supernet computes what it should, time it, and print what came out.

    Raises:
        InputError: the folder to compare with has no search network of the DARTS interface, or the kernels, the
            device or the file for the figures cannot be had.
        RunError: the supernet differs from the yardstick or from the literal equations: nothing is timed then.
    """
    if config.json_file is not None and not config.json_file.absolute().parent.is_dir():
        raise InputError(f"cannot write {config.json_file}: there is no folder {config.json_file.parent}")
    environment = describe_environment(config.device, config.threads)
    setting = setting_of(config, environment["threads"])
    settings: dict[str, Setting] = {name: replace(setting, kernels=name) for name in chosen_kernels(config, setting)}
    tables = BenchTables(environment, setting, list(settings))
    tables.header()
    foreign = ForeignNetwork(config.compare_with, setting) if config.compare_with else None
    try:
        checked = sum(map(check_equality, settings.values()))
        tables.equal(checked)
        figures: dict[str, Any] = {
            "machine": {name: value for name, value in environment.items() if name != "command"},
            "native_kernels": native.description() if "native" in settings else None,
            "setting": without_kernels(setting),
            "compared_with": str(config.compare_with) if config.compare_with else None,
            "networks_found_equal": checked,
            **measure(setting, settings, config.repeats, foreign),
        }
    finally:
        if foreign is not None:
            foreign.close()
    found = verdicts(figures, list(settings))
    figures["targets"] = [verdict.named() for verdict in found]
    tables.results(figures, found)
    if config.shapes:
        figures["shapes"] = []
        for name, changes in SHAPES.items():
            tables.say(f"timing {name} ...")
            shape = replace(setting, **changes)
            figures["shapes"].append(shape_row(name, shape, settings, min(config.repeats, SHAPE_REPEATS)))
        tables.shapes(figures["shapes"])
    if config.json_file is not None:
        write_text(config.json_file, json.dumps(figures, indent=2) + "\n")
        tables.say(f"written to {config.json_file}")


def setting_of(config: BenchConfig, threads: int) -> Setting:
    """What is timed, with the settings of the search's recipe for CIFAR-10 where `config` says nothing."""
    names = ("kind", "channels", "num_cells", "num_nodes", "k", "batch_size", "image_size", "device")
    return Setting(**{name: getattr(config, name) for name in names}, threads=threads)


def chosen_kernels(config: BenchConfig, setting: Setting) -> list[Kernels]:
    """The kernels to time: "auto" as the supernet understands it on this machine.

    Raises:
        InputError: they cannot be had here.
    """
    device = choose_device(config.device, config.threads)
    check_kernels(config.kernels, device)
    if config.kernels in ("native", "both") and not native.available():
        raise InputError(
            f"kernels is {config.kernels}, but no C++ compiler works here: install g++ or clang, or run "
            "pip install 'pcdarts[native]', or use --kernels plain"
        )
    if config.kernels == "both":
        return ["native", "plain"]
    network = replace(setting, kernels=config.kernels).network().to(device)
    assert isinstance(network, Supernet)
    return [network.kernels]


def check_kernels(kernels: str, device: torch.device) -> None:
    """Refuse native kernels where they cannot compute.

    Raises:
        InputError: just that.
    """
    if kernels in ("native", "both") and device.type != "cpu":
        raise InputError(
            f"kernels is {kernels}, but the native kernels compute on a CPU, not on {device.type}: "
            "use --kernels plain, or --device cpu"
        )


def measure(
    setting: Setting, settings: dict[str, Setting], repeats: int, foreign: ForeignNetwork | None
) -> dict[str, Any]:
    """All figures at one setting, every part of every supernet by turns."""
    device = choose_device(setting.device, setting.threads)
    ceilings = {
        "matrix_product_gflops": matrix_product_gflops(device),
        "copy_gb_per_second": copy_gb_per_second(device),
    }
    every = {"per edge": replace(setting, kernels="per edge"), **settings}
    memory = {name: measure_in_child(each, timed=False) for name, each in every.items()}
    peaks = {name: taken.step_bytes if taken else None for name, taken in memory.items()}

    calls: dict[tuple[str, str], Callable[[], float]] = {}
    for name, each in every.items():
        step = SearchStep(each)
        calls["forward_backward", name] = timer(step, step.forward_backward)
        calls["search_step", name] = timer(step, step.search_step)
        if name != "per edge":
            calls["one_operation", name] = timer(step, step.one_operation)
            calls["data", name] = timer(step, step.data)
            calls["weight_step", name] = timer(step, step.weight_step)
            second_order = SearchStep(replace(each, method_settings={"second_order": True}))
            calls["second_order_step", name] = timer(second_order, second_order.both_steps)
    if foreign is not None:
        calls["forward_backward", OTHER] = foreign.seconds
        peaks[OTHER] = foreign.step_bytes
    times = by_turns(calls, repeats)

    seconds: dict[str, dict[str, Any]] = {}
    for (part, name), taken_by_it in times.items():
        yardstick = times.get((part, "per edge"))
        faster = {"ratio": yardstick.median / taken_by_it.median} if yardstick else {}
        seconds.setdefault(part, {})[name] = {**taken_by_it.named(), **faster}
    return {
        "ceilings": ceilings,
        "forward_backward_flops": forward_backward_flops(setting),
        "seconds": seconds,
        "peak_memory_bytes": peaks,
        "one_operation_against_all": {
            name: quotient(times, name, "forward_backward", "one_operation") for name in settings
        },
        "data_share": {name: quotient(times, name, "data", "search_step") for name in settings},
        "second_order_step_in_weight_steps": {
            name: quotient(times, name, "second_order_step", "weight_step") for name in settings
        },
    }


def shape_row(shape: str, setting: Setting, settings: dict[str, Setting], repeats: int) -> dict[str, Any]:
    """The forward and backward pass at another shape, after the check that it is right there too."""
    every = {"per edge": replace(setting, kernels="per edge")}
    for supernet, each in settings.items():
        every[supernet] = replace(setting, kernels=each.kernels)
        check_network(every[supernet])
    steps = {supernet: SearchStep(each) for supernet, each in every.items()}
    times = by_turns({supernet: timer(step, step.forward_backward) for supernet, step in steps.items()}, repeats)
    yardstick = times["per edge"].median
    return {
        "shape": shape,
        "setting": without_kernels(setting),
        "seconds": {name: {**each.named(), "ratio": yardstick / each.median} for name, each in times.items()},
    }


def timer(step: SearchStep, part: Callable[[], object]) -> Callable[[], float]:
    """A part of a step as something that returns its seconds."""
    return lambda: step.seconds(part)


def quotient(times: dict[tuple[str, str], Times], name: str, part: str, unit: str) -> float:
    """The median of a part in units of another, of the same supernet."""
    return times[part, name].median / times[unit, name].median


def without_kernels(setting: Setting) -> dict[str, Any]:
    """What all supernets of a comparison share."""
    return {name: value for name, value in asdict(setting).items() if name != "kernels"}
