"""Deriving a cell within a budget, at the end of a search and in `pcdarts show RUN --budget`."""

import json
import math
import os
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from pcdarts.cell.budget import Budget, best_genotypes, check_budget
from pcdarts.cell.derive import strengths
from pcdarts.cell.genotype import Genotype
from pcdarts.config.configs import SearchConfig, ShowConfig
from pcdarts.config.groups.method_settings import METHOD_SETTINGS
from pcdarts.config.methods.settings import MethodSettings
from pcdarts.config.random_search_config import RandomSearchConfig
from pcdarts.config.recipes import resolve, training_recipe
from pcdarts.config.yaml_files import load_mapping
from pcdarts.data.images import DataSet
from pcdarts.errors import InputError, counted
from pcdarts.jobs.outcome.evaluation import (
    EVALUATION_NETWORKS,
    EvaluationNetwork,
    ImagesLike,
    network_of,
    training_command,
)
from pcdarts.jobs.outcome.find_genotype import latest_search
from pcdarts.jobs.outcome.latency import about_table, keep_in, latencies_for, outcome_of
from pcdarts.jobs.outcome.latency import outcome_text as latency_text
from pcdarts.jobs.outcome.sizes import cost_text, limits_text, millions
from pcdarts.learn.networks import make_method
from pcdarts.methods.method import Method
from pcdarts.network.latency.table import LatencyTable
from pcdarts.run.checkpoint import load_checkpoint
from pcdarts.run.display.columns import console, make_table
from pcdarts.run.run_folder import RunFolder
from pcdarts.run.whole_files import refuse_existing, write_text

LIMITS = tuple(field.name for field in fields(Budget))


def check_evaluation_network(
    config: SearchConfig | RandomSearchConfig, images: ImagesLike, latencies: LatencyTable | None = None
) -> list[str]:
    """Before the search: refuse an evaluation network that cannot be built, and a budget that no cell can meet.

    Returns a line about the budget and its network, if there is a budget, and one about the table of latencies. Without
    a table nothing is said of latency: other processes than the first have none.

    Raises:
        InputError: says what is wrong with the network, or the size of the smallest one.
    """
    network = network_of(config, images)
    space = config.cell_space
    network.check(space)
    if isinstance(config, RandomSearchConfig):
        return []
    budget = budget_of(config)
    about = [about_table(latencies, network, space)] if latencies else []
    if latencies is None:
        budget = replace(budget, max_latency=None)
    if budget == Budget():
        return about
    costs = network.costs(space, latencies)
    try:
        check_budget(costs, budget)
    except InputError as error:
        raise InputError(
            f"{error}, or make the network smaller that will be trained ({network}): "
            "--network-channels, --network-cells, --kind, --image-size"
        ) from None
    least = cost_text(costs.smallest())
    return [
        f"budget: {limits_text(budget)}, for the network to be trained ({network}), which has at least {least}",
        *about,
    ]


def latencies_of_search(config: SearchConfig, images: ImagesLike, run: RunFolder | None = None) -> LatencyTable | None:
    """The table of latencies that a search needs, kept in its folder too; None if it is not about latency.

    A search that is resumed goes on with the table in its folder, unless another file is named.

    Raises:
        InputError: as `latencies_for`.
    """
    if config.max_latency is None and config.latency_table is None:
        return None
    network, space, named = network_of(config, images), config.cell_space, config.latency_table
    network.check(space)
    if run is None:
        return latencies_for(network, space, named)
    if named is not None and run.latencies.is_file():
        begun = load_mapping(run.config).get("latency_table")
        named = None if begun == os.path.abspath(named.expanduser()) else named
    table = latencies_for(network, space, named, run)
    keep_in(run, table)
    return table


def refuse_old_budget(config: SearchConfig, run: RunFolder) -> None:
    """Refuse to resume a run of an old version, whose budget limited the paper's network.

    Raises:
        InputError: gives the flags for that network, and those for the network that will be trained.
    """
    limited = config.max_mult_adds is not None or config.max_params is not None
    is_named = config.network_channels is not None and config.network_cells is not None
    if not limited or is_named or not run.config.is_file() or "network_channels" in load_mapping(run.config):
        return
    paper = EVALUATION_NETWORKS["imagenet" if config.kind == "imagenet" else "cifar"]
    own = training_recipe(config)
    raise InputError(
        f"{run.path} was begun when a budget was about the paper's network; now it is about the one that will be "
        f"trained: add --network-channels {paper.channels} --network-cells {paper.num_cells} for the former, or "
        f"--network-channels {own.channels} --network-cells {own.num_cells} for that of the training recipe"
    )


def derived(
    config: SearchConfig, data: DataSet, method: Method, genotype: Genotype, latencies: LatencyTable | None
) -> tuple[Genotype, dict[str, Any] | None]:
    """The final genotype of a search (`genotype` without a budget), and the budget's effect for `result.json`."""
    budget = budget_of(config)
    if budget == Budget():
        return genotype, None
    costs, found = network_of(config, data).costs(method.space, latencies), strengths(method)
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
    """One line about the effect of a budget, as `derived` returns it."""
    limits = limits_text(Budget(**{name: budget[name] for name in LIMITS}))
    free = budget["unconstrained"]
    if free is None:
        return f"budget: {limits}; the best cell of all is within it"
    return (
        f"budget: {limits}; without it {cost_text(free)}, {counted(free['skips'], 'skip')} "
        f"(this cell has {budget['relative_product']:.3f} of that one's product)"
    )


def show_best(config: ShowConfig) -> None:
    """List the best genotypes of a finished search within a budget, and save one of them if asked.

    Raises:
        InputError: no finished search, nothing within the budget, or the file to save exists.
        RunError: it cannot be saved.
    """
    refuse_existing("--save", config.save)
    run = latest_search() if config.genotype == "latest" else RunFolder(Path(config.genotype))
    if not run.config.is_file():
        raise InputError(f"--budget lists cells of a finished search, and {run.path} is no run folder: name a search")
    searched = resolve(SearchConfig, file=run.config)
    if isinstance(searched, MethodSettings) and not searched.weighs_operations:
        how = "" if not METHOD_SETTINGS[searched.method].has_budgets else " with selection perturbation"
        raise InputError(
            f"{run.path} was searched by {searched.method}{how}, which {searched.without_budgets} and does not "
            "weigh their operations: --budget has nothing to choose from; drop it"
        )
    result = run.read_result()
    own = _own_network(run, result)
    network = _network(config, own)
    budget = _budget(config, result)
    method = _searched(searched, run)
    latencies = None
    if budget.max_latency is not None or config.latency_table is not None or run.latencies.is_file():
        say: Any = (lambda line: None) if config.as_json else print
        latencies = latencies_for(network, method.space, config.latency_table, run, say)
    costs, found = network.costs(method.space, latencies), strengths(method)
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
        _print_best(config, run, network, budget, rows[: max(config.best, config.rank)])
        if latencies is not None:
            print(about_table(latencies, network, method.space))
            (first, *_) = best
            print(f"rank 1, {latency_text(outcome_of(latencies, network, method.space, first.genotype))}")
        if config.save is not None:
            print(f"rank {config.rank} is in {config.save}; {_next(config.save, searched, network, own)}")
        else:
            print("train one: the same command with --rank N --save FILE says how")


def budget_of(config: SearchConfig | ShowConfig) -> Budget:
    """The limits that a configuration names."""
    budget = Budget(config.max_mult_adds, config.max_params, config.max_skips, config.max_latency)
    if budget != Budget() and budget.max_skips is None and isinstance(config, MethodSettings):
        return replace(budget, max_skips=config.usual_max_skips)
    return budget


def _own_network(run: RunFolder, result: dict[str, Any]) -> EvaluationNetwork:
    """The network that a search counted for its cell."""
    saved = result.get("evaluation_network")
    try:
        return EvaluationNetwork(**{field.name: saved[field.name] for field in fields(EvaluationNetwork)})  # type: ignore[index]
    except (KeyError, TypeError):
        raise InputError(f"{run.result} does not say which network was counted: it is damaged or too old") from None


def _network(config: ShowConfig, own: EvaluationNetwork) -> EvaluationNetwork:
    """The search's own network, with the changes that `config` names."""
    if config.kind in EVALUATION_NETWORKS:
        own = replace(EVALUATION_NETWORKS[config.kind], image_channels=own.image_channels)
    named = {name: getattr(config, name) for name in ("kind", "channels", "num_cells", "image_size", "num_classes")}
    return replace(own, **{name: value for name, value in named.items() if value is not None})


def _next(saved: Path, searched: SearchConfig, network: EvaluationNetwork, own: EvaluationNetwork) -> str:
    """The command that trains `network` with the genotype in a file; `own` is the search's own network."""
    if network.image_size != own.image_size:
        searched = searched.model_copy(update={"network_image_size": network.image_size})
    same_data = (network.num_classes, network.image_channels) == (own.num_classes, own.image_channels)
    command = training_command(saved, searched, network, same_data)
    if same_data:
        return f"next: {command}"
    return f"next, with --data and --data-root of images of {network.num_classes} classes: {command}"


def _budget(config: ShowConfig, result: dict[str, Any]) -> Budget:
    """The limits that `config` names, otherwise those of the search."""
    saved = result.get("budget") or {}
    return Budget(
        **{name: getattr(config, name) if name in config.model_fields_set else saved.get(name) for name in LIMITS}
    )


def _searched(config: SearchConfig, run: RunFolder) -> Method:
    """What a search has learnt, from its checkpoint: the metrics have only six digits.

    Raises:
        InputError: there is no good checkpoint of this run.
    """
    state = load_checkpoint(run.checkpoint, config.fingerprint())
    method = make_method(config, config.cell_space)
    try:
        if "arch" in state:  # before there were methods
            method.arch.load_state_dict(state["arch"])
        else:
            method.load_state_dict(state["method"])
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError):
        raise InputError(f"{run.checkpoint} does not fit the search of its run: restore the file from a copy") from None
    return method


def _kept(printed: str) -> list[str]:
    """The edges of a printed genotype, each with its operation and its cell."""
    genotype = Genotype.from_text(printed)
    return [
        f"{kind} {source} → {target} {primitive}"
        for kind in genotype.kinds
        for target, primitive, source in genotype.placed_edges(kind)
    ]


def _print_best(
    config: ShowConfig,
    run: RunFolder,
    network: EvaluationNetwork,
    budget: Budget,
    rows: list[dict[str, Any]],
) -> None:
    has_latency = "latency_ms" in rows[0]
    table = make_table(
        "rank", "product", "parameters", "mult-adds", "skips", *(["predicted ms"] if has_latency else [])
    )
    table.add_column("what rank 1 does not have")
    first = _kept(rows[0]["genotype"])
    for row in rows:
        table.add_row(
            str(row["rank"]),
            f"{row['relative_product']:.4f}",
            millions(row["params"]),
            millions(row["mult_adds"]),
            str(row["skips"]),
            *([f"{row['latency_ms']:.3g}"] if has_latency else []),
            ", ".join(edge for edge in _kept(row["genotype"]) if edge not in first),
        )
    print(f"the best cells of {run.path} with {limits_text(budget)}, for the network of {network}")
    console().print(table)
    print("product: of the weights of all operations kept, 1 for the best cell without a budget; skips: normal cell")
