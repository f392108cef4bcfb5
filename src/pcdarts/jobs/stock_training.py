"""What `pcdarts train --stock` does otherwise than with a genotype: which network it is, and what it begins with."""

from typing import Any

from pcdarts.cell.genotype import Genotype
from pcdarts.config.configs import TrainConfig
from pcdarts.config.groups.network_settings import NO_GENOTYPE
from pcdarts.errors import InputError
from pcdarts.network.pretrained import find_weights
from pcdarts.network.stock import AnyNetwork, StockNetwork, check_stock, library_of

OF_CELLS = {"genotype": NO_GENOTYPE, "init": None, "auxiliary": False, "drop_path": 0.0}
"""Settings of networks of cells that change what a training does, as they are for a stock network."""


def pinned_stock(config: TrainConfig) -> TrainConfig:
    """The configuration of the training of a stock network: what is for cells alone is off, weights have their place.

    Raises:
        InputError: there is no such network, its library is missing, or its weights are not there.
    """
    assert config.stock is not None, "it is asked for"
    check_stock(config.stock, config.stock_width)
    for name in ("synchronize_batch_norm", "compile"):
        if getattr(config, name):
            raise InputError(f"{name} is for networks of cells, but stock is {config.stock}: drop one of the two")
    changes: dict[str, Any] = {**OF_CELLS}
    if config.is_pretrained:
        changes["pretrained_file"] = find_weights(config.stock, config.pretrained_file)
    print(
        f"the stock network {config.stock} of {library_of(config.stock)}: kind, channels, num_cells, auxiliary and "
        "drop_path are for cells and do nothing; dropout and stochastic depth are those of the library",
        flush=True,
    )
    return config.model_copy(update=changes)


def about_network(genotype: Genotype | None, network: AnyNetwork) -> dict[str, Any]:
    """What `result.json` says of the network itself."""
    if not isinstance(network, StockNetwork):
        return {"genotype": genotype.to_text() if genotype else None}
    library = library_of(network.name)
    return {"stock": network.name, "stock_width": network.width, "library": library, "changes": network.changes}


def lines_about(network: AnyNetwork) -> list[str]:
    """What to say of the network before it is trained."""
    return [f"{network.name}: {change}" for change in network.changes] if isinstance(network, StockNetwork) else []
