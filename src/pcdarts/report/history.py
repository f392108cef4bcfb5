"""The settings, records and results that runs have saved, finished or not."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellKind, CellSpace, Macro, space_of
from pcdarts.config.yaml_files import load_mapping
from pcdarts.errors import InputError
from pcdarts.report.drawing.axes import Spans, in_epochs
from pcdarts.run.run_folder import RunFolder

Record = dict[str, Any]
"""A line of `metrics.jsonl`."""


@dataclass(frozen=True)
class History:
    """Any run: its settings, environment, records by epoch and, once it is done, its result."""

    name: str
    run: RunFolder
    settings: dict[str, Any]
    environment: dict[str, Any]
    records: list[Record]
    result: dict[str, Any] | None

    @property
    def job(self) -> str:
        return str(self.settings.get("job", ""))

    def figure(self, *path: str) -> float | None:
        """The number of the result at this path of names; None if it is missing."""
        found: Any = self.result
        for name in path:
            found = found.get(name) if isinstance(found, dict) else None
        return found if _is_number(found) else None

    def curve(self, quantity: str) -> list[tuple[float, float | None]]:
        """A quantity over the epochs in which it was measured; None where it was not finite."""
        found = [(record["epoch"], record[quantity]) for record in self.records if quantity in record]
        return [(float(epoch), float(value) if _is_number(value) else None) for epoch, value in found]


@dataclass(frozen=True)
class SearchHistory(History):
    """A search: also how α̂, β̂ and the derived genotype changed."""

    space: CellSpace
    edge_normalization: bool
    frozen: Spans
    """The epochs in which α and β were frozen, of all stages."""
    epochs: list[int]
    """Those of `op_weights` and `edge_weights`; empty for a random search, which has no weights."""
    op_weights: dict[CellKind, list[list[list[float]]]]
    """α̂ as [epochs][edges][primitives]."""
    edge_weights: dict[CellKind, list[list[float]]]
    """β̂ as [epochs][edges]."""
    genotypes: dict[int, Genotype]
    """After each epoch."""
    genotype: Genotype | None
    """The result, or the newest genotype so far."""

    @property
    def in_stages(self) -> str:
        """The stages of the search, if it has several, in words."""
        parts, first = [], 1
        for stage in self.run.read_stages():
            last = first + stage["epochs"] - 1
            still = stage["arch_frozen_epochs"]
            frozen = f", α frozen {in_epochs(((1, still),))}" if still else ""
            parts.append(f"epochs {first} to {last} with {stage['num_cells']} cells and K = {stage['k']}{frozen}")
            first = last + 1
        return "; ".join(parts)


def read_run(run: RunFolder, name: str) -> History:
    """A run of any job; missing or damaged files count as empty.

    Raises:
        InputError: there is no run, or its settings cannot be read.
    """
    settings = load_mapping(RunFolder.open(run.path).config, "run's configuration")
    result = None
    with suppress(InputError):
        result = run.read_result()
    return History(name, run, settings, _read_object(run), _read_records(run), result)


def read_history(run: RunFolder, name: str) -> SearchHistory:
    """A search or a random search, finished or not, without damaged lines and files.

    Raises:
        InputError: there is no run, or its settings cannot be read.
    """
    known = read_run(run, name)
    space = _space(known.settings)
    weighed = [record for record in known.records if _has_weights(record, space)]
    genotypes = _read_genotypes(run, [record["epoch"] for record in known.records])
    genotype = None
    with suppress(InputError):
        genotype = Genotype.from_file(run.genotype)
    return SearchHistory(
        **vars(known),
        space=space,
        edge_normalization=known.settings.get("edge_normalization") is not False,
        frozen=_frozen(run, known.settings),
        epochs=[record["epoch"] for record in weighed],
        op_weights={kind: [record["op_weights"][kind] for record in weighed] for kind in space.kinds},
        edge_weights={kind: [record["edge_weights"][kind] for record in weighed] for kind in space.kinds},
        genotypes=genotypes,
        genotype=genotype or (genotypes[max(genotypes)] if genotypes else None),
    )


def _space(settings: Mapping[str, Any]) -> CellSpace:
    """What was searched; runs of older versions do not name the space."""
    nodes = settings.get("num_nodes")
    name: Macro = "nasbench201" if settings.get("space") == "nasbench201" else "darts"
    return space_of(name, nodes if isinstance(nodes, int) and 3 <= nodes <= 102 else CellSpace().num_nodes)


def _frozen(run: RunFolder, settings: Mapping[str, Any]) -> Spans:
    epochs, before = settings.get("arch_frozen_epochs"), 0
    spans = [(1, epochs if type(epochs) is int else 0)]
    if stages := run.read_stages():
        spans = []
        for stage in stages:
            spans.append((before + 1, before + stage["arch_frozen_epochs"]))
            before += stage["epochs"]
    return tuple((first, last) for first, last in spans if first <= last)


def read_trainings(run: RunFolder, name: str) -> list[History]:
    """A training, or the trainings of all seeds that have started.

    Raises:
        InputError: there is no run, or its settings cannot be read.
    """
    whole = read_run(run, name)
    seeds = sorted(run.path.glob("seed-*/config.yaml"), key=lambda path: (len(path.parent.name), path.parent.name))
    return [read_run(RunFolder(path.parent), f"{name}, {path.parent.name}") for path in seeds] or [whole]


def _read_records(run: RunFolder) -> list[Record]:
    with suppress(InputError):
        return [known for known in run.read_metrics() if type(known["epoch"]) is int and 0 <= known["epoch"] < 10**6]
    return []


def _read_object(run: RunFolder) -> dict[str, Any]:
    with suppress(OSError, ValueError, RecursionError):
        found = json.loads(run.env.read_text("utf-8"))
        return found if isinstance(found, dict) else {}
    return {}


def _read_genotypes(run: RunFolder, epochs: Sequence[int]) -> dict[int, Genotype]:
    found = {}
    for epoch in epochs:
        with suppress(InputError):
            found[epoch] = Genotype.from_file(run.epoch_genotype(epoch))
    return found


def _has_weights(record: Record, space: CellSpace) -> bool:
    """Whether a record has α̂ and β̂ in the shapes of this search."""

    def is_row(row: Any, length: int, is_item: Callable[[Any], bool] = _is_number) -> bool:
        return isinstance(row, list) and len(row) == length and all(map(is_item, row))

    op_weights, edge_weights = record.get("op_weights"), record.get("edge_weights")
    if not (isinstance(op_weights, dict) and isinstance(edge_weights, dict)):
        return False
    return all(
        is_row(op_weights.get(kind), space.num_edges, lambda row: is_row(row, len(space.primitives)))
        and is_row(edge_weights.get(kind), space.num_edges)
        for kind in space.kinds
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300
