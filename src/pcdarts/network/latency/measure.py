"""Measures what a table lacks: parts by turns, then whole random networks for the overhead and for a check."""

from collections.abc import Callable, Sequence

from pcdarts.cell.derive import random_genotype
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellSpace
from pcdarts.errors import counted
from pcdarts.network.latency.graph import network_model
from pcdarts.network.latency.parts import Part, Sizes, model_of, parts_of
from pcdarts.network.latency.table import LatencyTable, Whole
from pcdarts.network.latency.timing import times_by_turns

FITTED, CHECKED = 6, 6
"""Random networks on which the overhead is fitted, and others on which the prediction is checked."""

FEW, MANY = 1, 5
"""Copies of a part in the two models whose difference is its time: what stands around it is in both."""

SECONDS = 0.3
"""How long each model runs in all; whole networks three times as long."""

_AT_ONCE = 8
"""Parts that take turns with each other."""


def measured_table(table: LatencyTable, sizes: Sizes, space: CellSpace, say: Callable[[str], None]) -> LatencyTable:
    """`table`, which is of this machine, with all that the networks of these sizes need.

    `say` is told what is measured.

    Raises:
        InputError: onnx or onnxruntime is missing, or there is no such network.
    """
    threads, seconds = table.device.threads, SECONDS
    parts = [part for part in parts_of(space, sizes).all() if part not in table.times]
    parts = [*dict.fromkeys([*parts, *(part.addition for part in parts if part.addition not in table.times)])]
    count = 0 if table.of_size(sizes, space) else FITTED + CHECKED
    say(f"measuring {counted(len(parts), 'part')} and {counted(count, 'whole network')} through onnxruntime")
    times: dict[Part, float] = {}
    for start in range(0, len(parts), _AT_ONCE):
        some = parts[start : start + _AT_ONCE]
        models = [model_of(part, copies) for part in some for copies in (FEW, MANY)]
        found = times_by_turns(models, threads=threads, seconds=seconds, merge=False)
        for part, (few, _), (many, _) in zip(some, found[::2], found[1::2], strict=True):
            times[part] = max(0.0, 1000 * (many - few) / (MANY - FEW))
    alone = {**times, **table.times}
    times = {
        part: time if part.name in ("add", "classifier") else max(0.0, time - alone[part.addition])
        for part, time in times.items()
    }
    genotypes = [random_genotype(space, seed) for seed in range(count)]
    milliseconds = whole_milliseconds(genotypes, sizes, threads=threads, seconds=3 * seconds)
    networks = [
        Whole(**vars(sizes), genotype=genotype.to_text(), milliseconds=round(time, 6), fitted=seed < FITTED)
        for seed, (genotype, time) in enumerate(zip(genotypes, milliseconds, strict=True))
    ]
    return table.with_more(times, networks)


def whole_milliseconds(
    genotypes: Sequence[Genotype], sizes: Sizes, *, threads: int = 1, seconds: float = 1.0
) -> list[float]:
    """The shortest milliseconds of whole networks for one image, measured by turns on this machine.

    The shortest, since on a busy machine others take its place in the cache, of large networks more than of parts.

    Raises:
        InputError: onnx or onnxruntime is missing, or there is no such network.
    """
    models = [network_model(sizes.with_weights(genotype), sizes.image_size) for genotype in genotypes]
    return [shortest for shortest, _ in times_by_turns(models, threads=threads, seconds=seconds)] if models else []
