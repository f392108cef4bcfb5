"""A table of latencies: what the parts of networks take on one device, kept in a JSON file and read with checks."""

import json
import os
import platform
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from statistics import fmean, median
from typing import Annotated, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellSpace, NetworkKind
from pcdarts.errors import InputError, check_path, counted, shown
from pcdarts.network.latency.parts import NAMES, Part, Parts, Sizes, parts_of
from pcdarts.network.latency.timing import onnxruntime
from pcdarts.ops.processor import processor_name

_LARGEST_FILE = 10_000_000
"""Bytes; a table of ten networks has 200,000."""

_Word = Annotated[str, Field(min_length=1, max_length=200)]
_Size = Annotated[int, Field(ge=1, le=1_000_000)]


class _Checked(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


class Device(_Checked):
    """What a time depends on besides the network."""

    processor: _Word
    instructions: _Word
    """The widest vectors that PyTorch finds, such as AVX2 or AVX512."""
    architecture: _Word
    system: _Word
    cores: _Size
    onnxruntime: _Word
    threads: _Size

    @classmethod
    def this(cls, threads: int = 1) -> Self:
        """This machine.

        Raises:
            InputError: onnxruntime is missing.
        """
        return cls(
            processor=processor_name() or "unknown",
            instructions=torch.backends.cpu.get_cpu_capability(),
            architecture=platform.machine() or "unknown",
            system=platform.system() or "unknown",
            cores=os.cpu_count() or 1,
            onnxruntime=onnxruntime().__version__,
            threads=threads,
        )

    def __str__(self) -> str:
        """`AMD EPYC (x86_64, AVX512, 2 cores), onnxruntime 1.20, 1 thread`."""
        cores = counted(self.cores, "core")
        machine = f"{self.processor} ({self.architecture}, {self.instructions}, {cores})"
        return shown(f"{machine}, onnxruntime {self.onnxruntime}, {counted(self.threads, 'thread')}", 300)


class Entry(_Checked):
    """How long one part takes."""

    part: _Word
    inputs: _Size
    outputs: _Size
    side: _Size
    stride: Annotated[int, Field(ge=1, le=8)]
    microseconds: Annotated[float, Field(ge=0, le=1e9)]

    @property
    def key(self) -> Part:
        return Part(self.part, self.inputs, self.outputs, self.side, self.stride)


class Whole(_Checked):
    """A whole network, measured."""

    kind: NetworkKind
    channels: _Size
    num_cells: Annotated[int, Field(ge=3, le=1000)]
    num_classes: _Size
    image_channels: _Size
    image_size: _Size
    genotype: Annotated[str, Field(max_length=20_000)]
    """As `Genotype.to_text` prints it."""
    milliseconds: Annotated[float, Field(gt=0, le=1e7)]
    fitted: bool
    """Whether the overhead was fitted on it; if not, it is there for a check."""

    @property
    def sizes(self) -> Sizes:
        return Sizes(**{name: getattr(self, name) for name in Sizes.__dataclass_fields__})


class Quality(_Checked):
    """How well a table predicts the networks of some sizes that its overhead was not fitted on, in %."""

    median_error: float
    worst_error: float
    networks: int
    overhead: float
    """How much longer whole networks take than the sum of their parts."""

    def __str__(self) -> str:
        return (
            f"error for {counted(self.networks, 'random network')} not used in the fit: median "
            f"{self.median_error:.1f} %, worst {self.worst_error:.1f} % (fitted overhead {self.overhead:+.0f} %)"
        )


class LatencyTable(_Checked):
    """What the parts of networks take on one device, and whole networks for the overhead and for a check."""

    format: Literal["pcdarts latency 1"] = "pcdarts latency 1"
    device: Device
    entries: tuple[Entry, ...]
    networks: Annotated[tuple[Whole, ...], Field(max_length=10_000)]

    @model_validator(mode="after")
    def _every_part_is_known_and_there_once(self) -> Self:
        for entry in self.entries:
            if entry.part not in NAMES:
                raise ValueError(f"there is no part {shown(entry.part)}")
        if len(self.times) < len(self.entries):
            raise ValueError("a part is there twice")
        return self

    @cached_property
    def times(self) -> Mapping[Part, float]:
        """The microseconds of each part."""
        return {entry.key: entry.microseconds for entry in self.entries}

    def nanoseconds(self, counts: Counter[Part], overhead: float = 1.0) -> int:
        """The sum of parts, times `overhead`."""
        return round(1000 * overhead * sum(count * self.times[part] for part, count in counts.items()))

    def lacks(self, parts: Parts, sizes: Sizes, space: CellSpace) -> list[str]:
        """What a prediction for these networks needs and the table does not have, in words."""
        missing = [str(part) for part in parts.all() if part not in self.times]
        return missing if missing or self.of_size(sizes, space) else ["whole networks of this size"]

    def of_size(self, sizes: Sizes, space: CellSpace) -> list[tuple[Genotype, Whole]]:
        """The whole networks of these sizes, with genotypes of this space.

        Raises:
            InputError: a genotype is none.
        """
        found = [(Genotype.from_text(whole.genotype), whole) for whole in self.networks if whole.sizes == sizes]
        return [(genotype, whole) for genotype, whole in found if _is_of(genotype, space)]

    def overhead(self, sizes: Sizes, space: CellSpace) -> float:
        """How many times longer whole networks take than the sum of their parts: the mean of those of the fit.

        Raises:
            InputError: there are none, or the parts take no time.
        """
        parts = parts_of(space, sizes)
        sums = [
            (self.nanoseconds(counts_of(genotype, space, parts)), whole)
            for genotype, whole in self.of_size(sizes, space)
            if whole.fitted
        ]
        if not sums or min(total for total, _ in sums) <= 0:
            raise InputError("the latency table has no networks of this size to fit its overhead on: measure it again")
        return fmean(1e6 * whole.milliseconds / total for total, whole in sums)

    def quality(self, sizes: Sizes, space: CellSpace) -> Quality | None:
        """The errors of prediction for the whole networks that were not used in the fit; None if there are none.

        Raises:
            InputError: as `overhead`.
        """
        overhead, parts = self.overhead(sizes, space), parts_of(space, sizes)
        errors = [
            abs(self.nanoseconds(counts_of(genotype, space, parts), overhead) / (1e6 * whole.milliseconds) - 1)
            for genotype, whole in self.of_size(sizes, space)
            if not whole.fitted
        ]
        if not errors:
            return None
        return Quality(
            median_error=100 * median(errors),
            worst_error=100 * max(errors),
            networks=len(errors),
            overhead=100 * (overhead - 1),
        )

    def with_more(self, times: Mapping[Part, float], networks: Iterable[Whole]) -> "LatencyTable":
        """This table with more parts and networks; what it has stays."""
        more = [
            Entry(
                part=part.name,
                inputs=part.inputs,
                outputs=part.outputs,
                side=part.side,
                stride=part.stride,
                microseconds=round(time, 4),
            )
            for part, time in times.items()
            if part not in self.times
        ]
        return LatencyTable(device=self.device, entries=(*self.entries, *more), networks=(*self.networks, *networks))

    def to_json(self) -> str:
        """The content of a file, which `read_table` reads back to an equal table: a line for each part and network."""
        fields = self.model_dump()
        rows = {name: ",\n".join(f"    {json.dumps(row)}" for row in fields[name]) for name in ("entries", "networks")}
        head = f'{{\n  "format": {json.dumps(self.format)},\n  "device": {json.dumps(fields["device"])},\n'
        return f'{head}  "entries": [\n{rows["entries"]}\n  ],\n  "networks": [\n{rows["networks"]}\n  ]\n}}\n'


def counts_of(genotype: Genotype, space: CellSpace, parts: Parts) -> Counter[Part]:
    """The parts of the network of a genotype of this space."""
    total = Counter(parts.rest)
    for kind in genotype.kinds:
        for target, edges in genotype.entering(kind).items():
            of_target = space.edges_into(target)
            for primitive, source in edges:
                for part, count in parts.edges[kind][of_target[source]][space.primitives.index(primitive)].items():
                    total[part] += count
    return total


def _is_of(genotype: Genotype, space: CellSpace) -> bool:
    """Whether a space has this genotype."""
    return genotype.form == space.form and all(
        genotype.concat(kind) == space.outputs
        and len(genotype.entering(kind)) == space.num_intermediate
        and all(primitive in space.primitives for primitive, _ in genotype.edges(kind))
        for kind in genotype.kinds
    )


def read_table(path: Path | str) -> LatencyTable:
    """Read a table that `pcdarts latency` wrote.

    Raises:
        InputError: there is no such file, or it is something else.
    """
    check_path("path", path, "the file that `pcdarts latency --out FILE` wrote")
    remedy = "`pcdarts latency --out FILE` makes one"
    try:
        with open(path, "rb") as file:
            content = file.read(_LARGEST_FILE + 1)
    except FileNotFoundError:
        raise InputError(f"the latency table {shown(path, 200)} does not exist: {remedy}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"the latency table {shown(path, 200)} cannot be read ({reason})") from None
    if len(content) > _LARGEST_FILE:
        raise InputError(f"{shown(path, 200)} is too large for a latency table: {remedy}")
    try:
        table = LatencyTable.model_validate_json(content)
        for whole in table.networks:
            Genotype.from_text(whole.genotype)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise InputError(
            f"{shown(path, 200)} is no latency table ({shown(where)}: {shown(first['msg'], 200)}): {remedy}"
        ) from None
    except InputError as error:
        raise InputError(f"{shown(path, 200)} is no latency table ({shown(error, 200)}): {remedy}") from None
    return table
