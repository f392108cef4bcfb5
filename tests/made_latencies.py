"""A made-up table of latencies, for a device that does not exist."""

from collections.abc import Sequence

from pcdarts.cell.derive import random_genotype
from pcdarts.cell.space import CellSpace
from pcdarts.network.latency.parts import Sizes, parts_of
from pcdarts.network.latency.table import Device, Entry, LatencyTable, Whole, counts_of

SPACE = CellSpace(4)
SIZES = Sizes("cifar", 4, 3, 10, 1, 8)
DEVICE = Device(
    processor="Abacus 1",
    instructions="beads",
    architecture="wood",
    system="table",
    cores=1,
    onnxruntime="1.0",
    threads=1,
)


def made_table(
    sizes: Sizes = SIZES,
    space: CellSpace = SPACE,
    *,
    device: Device = DEVICE,
    fitted: Sequence[float] = (1.2, 1.2),
    checked: Sequence[float] = (1.2, 1.2),
) -> LatencyTable:
    """Every part takes some microseconds of its own; whole networks so many times the sum of their parts."""
    parts = parts_of(space, sizes)
    every = [*dict.fromkeys([*parts.all(), *(part.addition for part in parts.all())])]
    entries = [
        Entry(
            **dict(zip(("part", "inputs", "outputs", "side", "stride"), part, strict=True)),
            microseconds=1.0 + len(part.name) * part.outputs + number,
        )
        for number, part in enumerate(every)
    ]
    table = LatencyTable(device=device, entries=tuple(entries), networks=())
    networks = []
    for seed, share in enumerate([*fitted, *checked]):
        genotype = random_genotype(space, seed)
        total = table.nanoseconds(counts_of(genotype, space, parts), share) / 1e6
        networks.append(
            Whole(**vars(sizes), genotype=genotype.to_text(), milliseconds=total, fitted=seed < len(fitted))
        )
    return table.with_more({}, networks)
