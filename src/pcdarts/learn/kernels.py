"""Which kernels a search computes with, and why: asked for, the only ones, or the faster ones on this machine."""

import ctypes
import math
import platform
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, Literal, NamedTuple, cast

import torch

from pcdarts.cell.space import stem_stride
from pcdarts.config.configs import SearchConfig
from pcdarts.data.images import DataSet
from pcdarts.errors import counted
from pcdarts.learn.learning import images_per_pass
from pcdarts.learn.steps import SearchStep, Setting, search_setting
from pcdarts.run.processes import ALONE, Processes
from pcdarts.run.session import Session
from pcdarts.supernet.native.answers import Answer, kept_answer, kept_kernels, measured_answer, network_class
from pcdarts.supernet.native.build import is_missing
from pcdarts.supernet.native.cells import available, give_back_memory
from pcdarts.supernet.native.compiler import SYSTEMS, find_compiler
from pcdarts.supernet.supernet import Supernet

WORTH_MEASURING = 50
"""Steps of a search from which on it pays: to measure takes as long as a few."""
IMAGES, CELLS, ROUNDS = 32, 3, 3
"""What is measured at most: more images are more of the same, and three cells are one of each width."""
SECONDS, CLEAR = 2.0, 2.0
"""After so many seconds a second round is the last, and even the first where kernels are so many times as fast."""


class Choice(NamedTuple):
    """The kernels of a run, and why."""

    kernels: Literal["native", "plain"]
    why: str

    def __str__(self) -> str:
        return f"{self.kernels} kernels: {self.why}"


def kernels_of_search(config: SearchConfig, supernet: Supernet, data: DataSet, batch_size: int, job: Session) -> Choice:
    """Set `supernet.kernels` for the search that `config` describes, say which, and keep that for when it goes on."""
    setting = search_setting(
        config,
        batch_size=images_per_pass(batch_size, config.gradient_accumulation_steps, job.processes),
        image_size=data.image_size,
        image_channels=data.image_channels,
        num_classes=data.num_classes,
    )
    choice = choose_kernels(
        supernet,
        config.kernels,
        setting,
        job.steps_left,
        job.say,
        before=job.saving.kernels_before,
        processes=job.processes,
    )
    job.say(str(choice))
    if choice.kernels == "native" and any(getattr(config, "skip_dropout", ())):
        job.say("only where nothing is dropped behind skips: the plain ones compute the passes of the training")
    job.saving.constants["kernels"] = choice.kernels
    if job.processes.is_first:
        job.run.write_state("running", kernels=choice.kernels)
    return choice


def choose_kernels(
    supernet: Supernet,
    asked: str,
    setting: Setting,
    steps: int,
    say: Callable[[str], None],
    *,
    before: Any = None,
    processes: Processes = ALONE,
) -> Choice:
    """Set `supernet.kernels` for the rest of a run: the first process chooses, and all take the same.

    `setting` is the step of the search, of which there will be `steps`; `before` are the kernels that the run was begun
    with, if it goes on. No random number changes.
    """
    chosen = _choice(supernet, asked, setting, steps, say, before) if processes.is_first else None
    kernels, _, why = (processes.share("\n".join(chosen or ()).encode()) or b"").decode().partition("\n")
    if processes.any(kernels == "native" and not available())[0]:
        kernels, why = "plain", "the native ones cannot be compiled for every process"
    choice = Choice(cast(Literal["native", "plain"], kernels), why)
    supernet.kernels = choice.kernels
    return choice


def _choice(
    supernet: Supernet, asked: str, setting: Setting, steps: int, say: Callable[[str], None], before: Any
) -> Choice:
    if asked != "auto":
        return Choice(supernet.kernels, "as asked")
    if supernet.why_not_native is not None:
        return Choice("plain", supernet.why_not_native)
    if before == "plain":
        return Choice("plain", "as this run was begun")
    network = network_class(setting.channels, setting.k, setting.num_nodes, setting.channel_sampling)
    step = _step_class(setting)
    found = kept_answer(network, step)
    if before is None and found is None and steps < WORTH_MEASURING and not supernet.prefers_native:
        return Choice("plain", _unmeasured(network, steps))
    if is_missing():
        say("compiling the kernels for this processor: some seconds, once on this machine")
    if not available():
        return Choice("plain", _why_not_compiled())
    if before == "native":
        return Choice("native", "as this run was begun")
    if found is not None:
        return Choice(found.kernels, f"{found.words()}, as measured here before")
    if steps < WORTH_MEASURING:
        return Choice("native", _unmeasured(network, steps))
    say("measuring which kernels are faster here: a few seconds, once for networks and steps like these")
    answer = measured_answer(network, step, lambda: measure(setting))
    return Choice(answer.kernels, f"{answer.words()}, as measured just now")


def _unmeasured(network: str, steps: int) -> str:
    """Why these kernels, where nothing was measured of steps like these."""
    if kept_kernels(network) is not None:
        return "the faster ones for such networks, as measured here before with other batches or images"
    return f"the usual ones for so many channels; measuring does not pay for {counted(steps, 'step')}"


def _why_not_compiled() -> str:
    if platform.system() not in SYSTEMS:
        return f"the native ones are there on {' and '.join(SYSTEMS.values())} only"
    if find_compiler() is None:
        return "there is no C++ compiler for the native ones; pip install 'pcdarts[native]' brings one"
    return "the native ones could not be compiled, as the warning says"


def measure(setting: Setting) -> Answer:
    """Time forward and backward passes of both kernels by turns; the fastest counts, for others only slow it down."""
    small = replace(
        setting,
        batch_size=min(setting.batch_size, IMAGES),
        num_cells=min(setting.num_cells, CELLS),
        threads=None,
    )
    started, fastest = time.monotonic(), Answer(math.inf, math.inf)
    with torch.random.fork_rng(devices=[]):
        native, plain = SearchStep(replace(small, kernels="native")), SearchStep(replace(small, kernels="plain"))
        for done in range(ROUNDS):  # the first loads what a first pass needs, and is the slowest
            fastest = Answer(
                native=min(fastest.native, native.seconds(native.forward_backward)),
                plain=min(fastest.plain, plain.seconds(plain.forward_backward)),
            )
            if time.monotonic() - started > SECONDS and (done > 0 or fastest.ratio > CLEAR):
                break
    del native, plain
    give_back_memory()  # else the peak memory of the search would be higher where it has measured
    with suppress(AttributeError, OSError):  # other C libraries than glibc
        ctypes.CDLL(None).malloc_trim(0)
    return fastest


def _step_class(setting: Setting) -> str:
    """Steps that have an answer in common; sides of maps are rounded up to a power of two."""
    side = -(-setting.image_size // stem_stride(setting.kind))
    rounded = 1 << (side - 1).bit_length()
    return f"{min(setting.batch_size, IMAGES)} images, maps of {rounded}x{rounded}"
