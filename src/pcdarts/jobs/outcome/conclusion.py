"""What a search leaves behind: files, figures, and the words that say so."""

from pathlib import Path
from typing import Any

from pcdarts.cell.draw import draw_text
from pcdarts.cell.genotype import Genotype
from pcdarts.config.configs import SearchConfig
from pcdarts.config.groups.method_settings import METHOD_SETTINGS
from pcdarts.config.random_search_config import RandomSearchConfig
from pcdarts.data.images import DataSet
from pcdarts.errors import listed
from pcdarts.jobs.outcome.error_words import error_is_of
from pcdarts.jobs.outcome.evaluation import network_of, training_command
from pcdarts.jobs.outcome.find_genotype import save_genotype
from pcdarts.jobs.outcome.latency import outcome_of
from pcdarts.jobs.outcome.latency import outcome_text as latency_text
from pcdarts.jobs.outcome.sizes import size_text
from pcdarts.jobs.outcome.truth import truth_lines, truth_of
from pcdarts.jobs.outcome.under_budget import outcome_text
from pcdarts.learn.kernels import Choice
from pcdarts.learn.measure import errors_text
from pcdarts.network.latency.table import LatencyTable
from pcdarts.run.device import peak_memory_gb
from pcdarts.run.display.progress import duration
from pcdarts.run.run_folder import RunFolder
from pcdarts.run.session import Session
from pcdarts.supernet.arch import Mixture

_PAPERS_IMAGES = 50 * 25_000
"""The number of images that the weights see in the search of Sec. 4.2."""
_ENOUGH = 0.1
"""A search that sees a smaller share of these is short: short searches found poor cells (docs/results.md)."""


def rounded(mixture: Mixture) -> dict[str, Any]:
    """The mixture as plain numbers: op_weights [edges][primitives] and edge_weights [edges] of each cell kind."""
    return {
        name: {kind: [round_all(row) for row in of_kind.tolist()] for kind, of_kind in weights.items()}
        for name, weights in (("op_weights", mixture.op_weights), ("edge_weights", mixture.edge_weights))
    }


def round_all(value: float | list[float]) -> float | list[float]:
    """Six decimals: enough to plot, and a hundredth of the checkpoint."""
    return [round(item, 6) for item in value] if isinstance(value, list) else round(value, 6)


def conclude(
    run: RunFolder,
    config: SearchConfig | RandomSearchConfig,
    data: DataSet,
    genotype: Genotype,
    budget: dict[str, Any] | None = None,
    latencies: LatencyTable | None = None,
) -> dict[str, Any]:
    """Save the genotype found and its drawings; return it with its network, for `result.json`.

    `budget` is the effect of a budget, as `derived` returns it. With a table of `latencies` the network has one too.
    The truth about the cell, in the table that the configuration names, is read here, and nowhere before.
    """
    save_genotype(run, genotype)
    network, latency = network_of(config, data), {}
    size = network.described(genotype)
    if latencies is not None:
        latency = {"latency": outcome_of(latencies, network, config.cell_space, genotype)}
        size["latency_ms"] = latency["latency"]["predicted_ms"]
    return {
        "genotype": genotype.to_text(),
        "skip_connects": {kind: genotype.skip_connects(kind) for kind in genotype.kinds},
        "evaluation_network": size,
        "budget": budget,
        **latency,
        **truth_of(config.table, genotype),
    }


def search_cost(job: Session, kernels: Choice | None = None) -> dict[str, Any]:
    """The time and memory of a search, for `result.json`."""
    return {
        "hours": job.place.seconds / 3600,
        "device": job.device_name,
        "kernels": kernels and kernels.kernels,
        "kernels_why": kernels and kernels.why,
        "peak_memory_gb": peak_memory_gb(job.device),
    }


def closing_lines(
    run: RunFolder,
    config: SearchConfig | RandomSearchConfig,
    data: DataSet,
    result: dict[str, Any],
    epochs: int | None = None,
) -> list[str]:
    """The lines at the end of a search: its results and the next command; `epochs` are those of all its stages."""
    genotype = Genotype.from_text(result["genotype"])
    cost = result["search_cost"]
    of = f", of {alone}" if (alone := error_is_of(result)) else ""
    errors = {name.removeprefix("arch_"): value for name, value in result.items() if name.startswith("arch_top")}
    return [
        "",
        *(draw_text(genotype, kind) for kind in genotype.kinds),
        result["genotype"],
        "",
        f"the network that will be trained with this cell: {size_text(result['evaluation_network'])}",
        *([outcome_text(result["budget"])] if result["budget"] else []),
        *([latency_text(result["latency"])] if "latency" in result else []),
        *(truth_lines(result["truth"]) if "truth" in result else []),
        f"search cost: {duration(3600 * cost['hours'])} on {cost['device']}, {cost['peak_memory_gb']:.1f} GB peak",
        f"{errors_text(config.kind, errors)} on the arch split{of}",
        f"drawn in {listed([str(run.cell_svg(kind)) for kind in genotype.kinds], 'and')}",
        *([] if run.is_part else _next_lines(run, config, data, epochs or config.epochs)),
    ]


def _next_lines(run: RunFolder, config: SearchConfig | RandomSearchConfig, data: DataSet, epochs: int) -> list[str]:
    return [
        *_better_choice(config, data, epochs),
        f"next: {training_command(run.path, config, network_of(config, data))}",
    ]


def _better_choice(config: SearchConfig | RandomSearchConfig, data: DataSet, epochs: int) -> list[str]:
    """For a short search: that published cells are better, and the command that trains one."""
    seen = epochs * len(data.train) * config.weight_fraction
    if isinstance(config, RandomSearchConfig) or config.space != "darts" or seen >= _ENOUGH * _PAPERS_IMAGES:
        return []
    if not METHOD_SETTINGS[config.method].trains_weights:
        return []
    percent = 100 * seen / _PAPERS_IMAGES
    share = f"about {percent:.2g} %" if percent >= 0.1 else "less than 0.1 %"
    cell = "pc_darts_imagenet" if config.kind == "imagenet" else "pc_darts_cifar10"
    return [
        f"so short a search (its weights see {share} of the images that they see in PC-DARTS's) cannot be expected to "
        "find a cell as good as the published ones, which need no search:",
        f"instead: {training_command(Path(cell), config, network_of(config, data))}",
    ]
