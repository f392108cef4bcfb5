"""Budgets at work: what a search derives under one, and `pcdarts show RUN --budget`."""

import json
import math
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from pcdarts.cell.budget import Budget, best_genotypes, check_budget
from pcdarts.cell.derive import derive, strengths
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CELL_KINDS, CellSpace
from pcdarts.config import SearchConfig, ShowConfig
from pcdarts.data.images import DataSet
from pcdarts.errors import InputError, listed
from pcdarts.jobs.bench_tables import console, make_table
from pcdarts.jobs.evaluation import EVALUATION_NETWORKS, EvaluationNetwork, training_command
from pcdarts.jobs.genotype import latest_search
from pcdarts.random_search_config import RandomSearchConfig
from pcdarts.recipes import resolve
from pcdarts.run.checkpoint import load_checkpoint
from pcdarts.run.files import refuse_existing, write_text
from pcdarts.run.folder import RunFolder
from pcdarts.supernet.arch import ArchParameters

LIMITS = tuple(field.name for field in fields(Budget))


def network_of(config: SearchConfig | RandomSearchConfig, data: DataSet) -> EvaluationNetwork:
    """The paper's evaluation network for what a search finds on `data`; a budget is about this one."""
    return replace(
        EVALUATION_NETWORKS[config.kind],
        num_classes=data.num_classes,
        image_channels=data.image_channels,
        image_size=data.image_size,
    )


def check_feasible(config: SearchConfig, data: DataSet) -> None:
    """Refuse a budget that nothing can keep to, before hours are spent on the search.

    Raises:
        InputError: says what the smallest network has.
    """
    budget = budget_of(config)
    if budget != Budget():
        check_budget(network_of(config, data).costs(CellSpace(config.num_nodes)), budget)


def derived(config: SearchConfig, data: DataSet, arch: ArchParameters) -> tuple[Genotype, dict[str, Any] | None]:
    """The genotype that a search ends with, and for `result.json` what its budget, if it has one, did to it."""
    budget = budget_of(config)
    if budget == Budget():
        return derive(arch), None
    costs, found = network_of(config, data).costs(arch.space), strengths(arch)
    (best,), (free,) = (best_genotypes(found, costs, limits) for limits in (budget, Budget()))
    without = None
    if best != free:
        without = {"genotype": free.genotype.to_text(), **costs.of(free.genotype)}
    return best.genotype, {
        **asdict(budget),
        "relative_product": math.exp(best.log_product - free.log_product),
        "unconstrained": without,
    }


def outcome_text(budget: dict[str, Any]) -> str:
    """One line about what `derived` says of a budget."""
    limits = limits_text(Budget(**{name: budget[name] for name in LIMITS}))
    free = budget["unconstrained"]
    if free is None:
        return f"budget: {limits}; the best cell of all keeps to it"
    return (
        f"budget: {limits}; without it {free['params'] / 1e6:.2f} M parameters, {free['mult_adds'] / 1e6:.0f} M "
        f"mult-adds, {free['skips']} skips (this cell has {budget['relative_product']:.3f} of that one's product)"
    )


def show_best(config: ShowConfig) -> None:
    """List the best genotypes of a finished search within a budget, and save one of them when asked to.

    Raises:
        InputError: no finished search, nothing within the budget, or the file to save to is there already.
        RunError: it cannot be saved.
    """
    refuse_existing("--save", config.save)
    run = latest_search() if config.genotype == "latest" else RunFolder(Path(config.genotype))
    if not run.config.is_file():
        raise InputError(f"--budget lists cells of a finished search, and {run.path} is no run folder: name a search")
    searched = resolve(SearchConfig, file=run.config)
    result = run.read_result()
    network = _network(config, run, result)
    budget = _budget(config, result)
    arch = _searched_arch(searched, run)
    costs, found = network.costs(arch.space), strengths(arch)
    (free,) = best_genotypes(found, costs, Budget())
    best = best_genotypes(found, costs, budget, max(config.best, config.rank))
    if config.rank > len(best):
        raise InputError(f"rank is {config.rank}, but only {len(best)} genotypes keep to the budget: use a smaller one")
    rows = [
        {
            "rank": rank,
            "relative_product": math.exp(each.log_product - free.log_product),
            **costs.of(each.genotype),
            "genotype": each.genotype.to_text(),
        }
        for rank, each in enumerate(best, 1)
    ]
    if config.save is not None:
        write_text(config.save, best[config.rank - 1].genotype.to_json())
    if config.as_json:
        print(json.dumps(rows, indent=2))
    else:
        _print_best(config, searched, run, network, budget, rows[: max(config.best, config.rank)])


def budget_of(config: SearchConfig | ShowConfig) -> Budget:
    """The limits that a configuration names."""
    return Budget(config.max_mult_adds, config.max_params, config.max_skips)


def limits_text(budget: Budget) -> str:
    """`at most 600 M mult-adds and 2 skip-connections in the normal cell`."""
    limits = [
        f"{limit / scale:g}{unit}"
        for limit, scale, unit in (
            (budget.max_mult_adds, 1e6, " M mult-adds"),
            (budget.max_params, 1e6, " M parameters"),
            (budget.max_skips, 1, " skip-connections in the normal cell"),
        )
        if limit is not None
    ]
    return f"at most {listed(limits, 'and')}" if limits else "no limits"


def _network(config: ShowConfig, run: RunFolder, result: dict[str, Any]) -> EvaluationNetwork:
    """The network that a genotype of this search will become: the run's own, but for what `config` names."""
    saved = result.get("evaluation_network")
    try:
        own = EvaluationNetwork(**{field.name: saved[field.name] for field in fields(EvaluationNetwork)})  # type: ignore[index]
    except (KeyError, TypeError):
        raise InputError(f"{run.result} does not say which network was counted: it is damaged or too old") from None
    if config.kind is not None:
        own = replace(EVALUATION_NETWORKS[config.kind], image_channels=own.image_channels)
    named = {name: getattr(config, name) for name in ("channels", "num_cells", "image_size", "num_classes")}
    return replace(own, **{name: value for name, value in named.items() if value is not None})


def _budget(config: ShowConfig, result: dict[str, Any]) -> Budget:
    """The limits that `config` names; where it names none, those that the search had."""
    saved = result.get("budget") or {}
    return Budget(
        **{name: getattr(config, name) if name in config.model_fields_set else saved.get(name) for name in LIMITS}
    )


def _searched_arch(config: SearchConfig, run: RunFolder) -> ArchParameters:
    """α and β as a search left them: in its checkpoint, since the metrics have six digits only.

    Raises:
        InputError: there is no whole checkpoint, or not of this run.
    """
    state = load_checkpoint(run.checkpoint, config.fingerprint())
    arch = ArchParameters(CellSpace(config.num_nodes), config.edge_normalization)
    try:
        arch.load_state_dict(state["arch"])
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError):
        raise InputError(f"{run.checkpoint} does not fit the search of its run: restore the file from a copy") from None
    return arch


def _kept(printed: str) -> list[str]:
    """The edges of a printed genotype, each with its operation and its cell."""
    genotype = Genotype.from_text(printed)
    return [
        f"{kind} {source} → {2 + index // 2} {primitive}"
        for kind in CELL_KINDS
        for index, (primitive, source) in enumerate(genotype.edges(kind))
    ]


def _print_best(
    config: ShowConfig,
    searched: SearchConfig,
    run: RunFolder,
    network: EvaluationNetwork,
    budget: Budget,
    rows: list[dict[str, Any]],
) -> None:
    table = make_table("rank", "product", "parameters", "mult-adds", "skips")
    table.add_column("what rank 1 does not have")
    first = _kept(rows[0]["genotype"])
    for row in rows:
        table.add_row(
            str(row["rank"]),
            f"{row['relative_product']:.4f}",
            f"{row['params'] / 1e6:.3f} M",
            f"{row['mult_adds'] / 1e6:.1f} M",
            str(row["skips"]),
            ", ".join(edge for edge in _kept(row["genotype"]) if edge not in first),
        )
    print(
        f"the best cells of {run.path} with {limits_text(budget)}, for the {network.kind} network of "
        f"{network.num_cells} cells, {network.channels} channels, {network.image_size}x{network.image_size} images "
        f"and {network.num_classes} classes"
    )
    console().print(table)
    print("product: of the weights of all operations kept, 1 for the best cell without a budget; skips: normal cell")
    if config.save is not None:
        print(f"rank {config.rank} is in {config.save}; next: {training_command(config.save, searched)}")
    else:
        print("train one: the same command with --rank N --save FILE says how")
