"""What `pcdarts bench` prints."""

import sys
from dataclasses import asdict
from typing import Any

import torch

from pcdarts.bench.targets import Verdict, has_targets, is_main, speed_target
from pcdarts.learn.steps import Setting
from pcdarts.run.display.columns import console, make_table, seconds_text
from pcdarts.supernet.native import cells as native

PARTS = {
    "forward_backward": "forward + backward",
    "one_operation": "with one operation per edge",
    "search_step": "search step",
    "weight_step": "weight step",
    "second_order_step": "second-order step",
    "data": "data of a step",
}


class BenchTables:
    """The lines and tables of one run."""

    def __init__(self, environment: dict[str, Any], setting: Setting, supernets: list[str]) -> None:
        self.environment, self.setting, self.supernets = environment, setting, supernets
        self._console = console()

    def say(self, text: str) -> None:
        """A line of its own."""
        self._console.print(text, markup=False, soft_wrap=not sys.stdout.isatty())

    def header(self) -> None:
        """Machine, versions, and what is timed."""
        machine, setting = self.environment, self.setting
        processor = f"{machine['cpu'] or machine['platform']}, {machine['cores']} cores"
        self.say(f"{processor}; computing on {machine['device']}; torch {machine['torch']}")
        precision = "float32"
        if not has_targets(asdict(setting)) and torch.backends.cudnn.allow_tf32:
            precision += ", which cuDNN may round to TF32 in convolutions, as PyTorch lets it"
        self.say(f"{described(setting)}; {precision}; kernels: {' and '.join(self.supernets)}")
        if "native" in self.supernets and native.available():
            self.say(f"native kernels made for {native.description()}")

    def equal(self, networks: int) -> None:
        """The equality check has passed."""
        self.say(
            f"equal: {networks} small networks give the logits and gradients of the per-edge supernet and of the "
            "literal equations; timing ..."
        )

    def results(self, figures: dict[str, Any], verdicts: list[Verdict]) -> None:
        """The figures at the setting asked for, the targets beside them, and the ceilings."""
        goals = {(each.measure, each.supernet): each for each in verdicts}
        table = make_table("", "supernet", "median", "min - max", "n", "", "target", "")
        for part, title in PARTS.items():
            for name, times in figures["seconds"][part].items():
                spread = f"{seconds_text(times['min'])} - {seconds_text(times['max'])}"
                found = _against(figures, part, name)
                cells = (title, name, seconds_text(times["median"]), spread, str(times["n"]), found)
                table.add_row(*cells, *_goal(goals.get((part, name))))
                title = ""
            table.add_section()
        title = "peak memory"
        memory = figures["peak_memory_bytes"]
        for name, amount in memory.items():
            share = f"{amount / memory['per edge']:.2f}x" if amount and memory["per edge"] else ""
            goal = _goal(goals.get(("peak_memory", name)))
            table.add_row(title, name, _gigabytes(amount), "", "1", "" if name == "per edge" else share, *goal)
            title = ""
        self._console.print(table)
        self._ceilings(figures)
        threads = self.environment["threads"]
        if not has_targets(figures["setting"]):
            self.say("there are no targets for a GPU")
        elif is_main(figures["setting"]) and threads != 2:
            self.say(f"the targets are meant for 2 threads; this run had {threads}")
        if figures["compared_with"]:
            passes = figures["seconds"]["forward_backward"]
            for name in self.supernets:
                times = passes["other"]["median"] / passes[name]["median"]
                self.say(f"forward + backward: {name} is {times:.2f} times as fast as {figures['compared_with']}")

    def _ceilings(self, figures: dict[str, Any]) -> None:
        """How much of what the machine can do the forward and backward pass uses."""
        ceilings, flops = figures["ceilings"], figures["forward_backward_flops"]
        peak, bandwidth = ceilings["matrix_product_gflops"], ceilings["copy_gb_per_second"]
        table = make_table("forward + backward", "GFLOP/s", f"of {peak:.0f}", "GB/s", f"of {bandwidth:.1f}")
        for name, times in figures["seconds"]["forward_backward"].items():
            rate = flops / times["median"] / 1e9
            amount = figures["peak_memory_bytes"][name]
            traffic = 2 * amount / times["median"] / 1e9 if amount else None
            cells = [f"{traffic:.2f}", f"{100 * traffic / bandwidth:.0f} %"] if traffic else ["", ""]
            table.add_row(name, f"{rate:.1f}", f"{100 * rate / peak:.0f} %", *cells)
        self._console.print(table)
        self.say(
            f"ceilings of this run: {peak:.0f} GFLOP/s of a matrix product, {bandwidth:.1f} GB/s of a copy (read and "
            f"written). GFLOP/s: {flops / 1e9:.1f} GFLOP a pass, three times the convolutions and the classifier of "
            "the per-edge forward pass (torch.utils.flop_counter). GB/s: the peak memory of a step written once and "
            "read once, the least that a pass moves."
        )

    def shapes(self, rows: list[dict[str, Any]]) -> None:
        """Forward and backward pass at other shapes."""
        table = make_table("forward + backward", "cells", "batch", "supernet", "median", "n", "", "target", "")
        for row in rows:
            setting = row["setting"]
            first = (row["shape"], str(setting["num_cells"]), str(setting["batch_size"]))
            for name, times in row["seconds"].items():
                verdict = None
                if name != "per edge" and has_targets(setting):
                    goal = speed_target(name, is_main(setting))
                    verdict = Verdict("forward_backward", name, times["ratio"], goal, True)
                faster = f"{times['ratio']:.2f}x as fast" if name != "per edge" else ""
                table.add_row(*first, name, seconds_text(times["median"]), str(times["n"]), faster, *_goal(verdict))
                first = ("", "", "")
            table.add_section()
        self._console.print(table)


def described(setting: Setting) -> str:
    """The sizes in a line."""
    network = f"{setting.num_cells} cells, {setting.channels} channels, {setting.num_nodes} nodes, K = {setting.k}"
    images = f"{setting.batch_size} images of {setting.image_size}x{setting.image_size}"
    return f"{setting.kind} supernet of {network}; batches of {images}"


def _against(figures: dict[str, Any], part: str, name: str) -> str:
    """What the time of a part is held against."""
    if part in ("forward_backward", "search_step"):
        return "" if name == "per edge" else f"{figures['seconds'][part][name]['ratio']:.2f}x as fast"
    if part == "one_operation":
        return f"{figures['one_operation_against_all'][name]:.2f}x as fast as all"
    if part == "data":
        return f"{100 * figures['data_share'][name]:.1f} % of the step"
    if part == "second_order_step":
        return f"{figures['second_order_step_in_weight_steps'][name]:.2f} weight steps"
    return ""


def _goal(verdict: Verdict | None) -> tuple[str, str]:
    """Target and verdict as two cells."""
    if verdict is None:
        return "", ""
    sign = "≥" if verdict.is_least else "≤"
    amount = f"{100 * verdict.target:.0f} %" if verdict.measure == "data" else f"{verdict.target:g}"
    unit = "x" if verdict.measure in ("forward_backward", "one_operation", "search_step", "peak_memory") else ""
    colour = "green" if verdict.met else "red"
    return f"{sign} {amount}{unit}", f"[{colour}]{verdict.words}[/]"


def _gigabytes(amount: int | None) -> str:
    return f"{amount / 1e9:.2f} GB" if amount is not None else "too much"
