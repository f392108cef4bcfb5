"""The effect of a budget on the cell of a search, in sentences, from its `result.json`."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from typing import Any

from pcdarts.cell.budget import Budget
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellKind
from pcdarts.errors import InputError
from pcdarts.jobs.outcome.sizes import cost_text, limits_text, setting_text
from pcdarts.report.difference import GenotypeDifference, diff
from pcdarts.report.history import SearchHistory

WITHOUT = "derived without the budget"
"""For everything that shows cells of single epochs: a budget decides only at the end."""


@dataclass(frozen=True)
class Limited:
    """A search under a budget."""

    limits: str
    """`at most 50 M mult-adds`."""
    network: str
    """A sentence: the cost of the limited network with the cell found; empty before the search ends."""
    change: GenotypeDifference | None = None
    """From the best cell of all to the best within the budget; None if they are the same."""
    without: str = ""
    """A sentence: the cost of the best cell of all, and how much better it is; empty if it is the same."""

    @property
    def sentences(self) -> list[str]:
        """For a paragraph about this search."""
        limits = f"Budget: {self.limits}, for the network that will be trained."
        if not self.network:
            return [f"{limits} It decides when the search ends: this cell is {WITHOUT}."]
        if self.change is None:
            return [f"{limits} {self.network} The best cell of all is within the budget, which has changed nothing."]
        return [f"{limits} {self.network}", f"It is not the best cell of all. {self.without}"]

    @property
    def changes(self) -> str:
        """The differences from the best cell of all, in lines; empty if there are none."""
        return f"From the best cell of all to this one:\n{self.change.to_text()}" if self.change else ""

    def marked(self, kind: CellKind) -> frozenset[tuple[int, str, int]]:
        """The edges (target, primitive, source) of the cell that are there because of the budget."""
        return self.change.marked(kind)[1] if self.change else frozenset()


def limited(search: SearchHistory) -> Limited | None:
    """The budget of a search; None if it has none, or its files are damaged."""
    with suppress(KeyError, TypeError, ValueError, OverflowError, InputError):
        if not search.result:
            named = _limits(search.settings)
            return None if named == Budget() else Limited(limits_text(named), "")
        budget, size = search.result["budget"], search.result["evaluation_network"]
        if budget is None or search.genotype is None:
            return None
        limits, free = limits_text(_limits(budget)), budget["unconstrained"]
        network = f"It has {cost_text(size)} with this cell ({setting_text(size)}).{_measured(search.result)}"
        if free is None:
            return Limited(limits, network)
        share = float(budget["relative_product"])
        without = f"With that one it would have {cost_text(free)}; this one has {share:.3f} of its product of weights."
        return Limited(limits, network, diff(Genotype.from_text(free["genotype"]), search.genotype), without)
    return None


def _measured(result: Mapping[str, Any]) -> str:
    """What the network took when it was measured, and on what; empty where there is no such figure."""
    latency = result.get("latency")
    if not isinstance(latency, dict) or latency.get("measured_ms") is None:
        return ""
    return f" Measured: {float(latency['measured_ms']):.3g} ms ({latency['device']['processor']})."


def budget_sentence(name: str, searches: Iterable[SearchHistory]) -> str:
    """One sentence about the budgets of all searches of a name; empty if there are none."""
    found = [known for known in map(limited, searches) if known]
    if not found:
        return ""
    limits = " or ".join(dict.fromkeys(known.limits for known in found))
    ended = [known for known in found if known.network]
    changed = sum(known.change is not None for known in ended)
    if not ended:
        did = f"it decides when a search ends, and until then cells are {WITHOUT}"
    elif len(ended) > 1:
        did = f"in {changed} of {len(ended)} searches another cell than the best of all was taken"
    else:
        did = "another cell than the best of all was taken" if changed else "the best cell of all is within it"
    return f"Budget of {name}: {limits}; {did}."


def _limits(named: Mapping[str, Any]) -> Budget:
    """The limits among settings.

    Raises:
        TypeError: one is not a number.
    """
    limits = {field.name: named.get(field.name) for field in fields(Budget)}
    for name, limit in limits.items():
        if limit is not None and type(limit) is not int and not (name == "max_latency" and type(limit) is float):
            raise TypeError("a limit is a whole number, or one of milliseconds")
    return Budget(**limits)
