"""Steps of a search, measured small in processes of their own and scaled: what `pcdarts search --plan` knows."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from pcdarts.cell.space import NetworkKind, stem_stride, suggested_kind
from pcdarts.learn.child import Measured, measure_in_child
from pcdarts.learn.steps import Setting

PROBE_BATCH = 16
"""Images of the step that is measured for every K, however slow."""
BUDGET_SECONDS = 90.0
"""For all measurements; whatever would go beyond it is scaled."""
PROBE_LIMIT = 60.0
"""Seconds after which a single small step is given up."""


@dataclass(frozen=True)
class Work:
    """What a search has to do, whatever its K and batch size."""

    weight_images: int
    epochs: int
    arch_epochs: int
    """Epochs in which α and β are no longer frozen."""
    data_bytes: int
    arch_every: int = 1
    """Steps of the weights from one α step to the next."""

    def steps(self, batch_size: int) -> int:
        """Steps in an epoch."""
        return math.ceil(self.weight_images / batch_size)

    def seconds(self, step: Measured, batch_size: int) -> float:
        """The time of all steps: a weight step each, and α steps where α and β are not frozen."""
        arch_seconds = self.arch_epochs * step.arch_seconds / self.arch_every
        return self.steps(batch_size) * (self.epochs * step.weight_seconds + arch_seconds)


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


def measure_rows(
    setting: Setting, cases: Sequence[Case], work: Work, memory: int | None, share: float = 1.0
) -> dict[Case, Row]:
    """Measure a small step of every K and stem, then what there is time for: as asked, with the stem suggested, others.

    A stem whose small step should take too long, by that of the stem asked for, is not tried. `share` is that of the
    time for all measurements.
    """
    deadline = time.monotonic() + share * BUDGET_SECONDS
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
