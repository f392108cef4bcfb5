"""pcdarts: differentiable architecture search with partial channel connections and edge normalisation (PC-DARTS)."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pcdarts.cell.derive import derive
    from pcdarts.cell.genotype import Genotype
    from pcdarts.cell.space import CellSpace
    from pcdarts.cell.zoo import published
    from pcdarts.errors import InputError, RunError
    from pcdarts.from_python import Run, fit, predict, search, train
    from pcdarts.network.classifier import Classifier, load_classifier, load_network
    from pcdarts.network.complexity import complexity
    from pcdarts.network.network import Network
    from pcdarts.ship.hub import from_pretrained, push_to_hub
    from pcdarts.supernet.arch import ArchParameters, Mixture
    from pcdarts.supernet.supernet import Supernet

__version__ = "0.1.0"

_HOMES = {
    "ArchParameters": "pcdarts.supernet.arch",
    "CellSpace": "pcdarts.cell.space",
    "Classifier": "pcdarts.network.classifier",
    "Genotype": "pcdarts.cell.genotype",
    "InputError": "pcdarts.errors",
    "Mixture": "pcdarts.supernet.arch",
    "Network": "pcdarts.network.network",
    "Run": "pcdarts.from_python",
    "RunError": "pcdarts.errors",
    "Supernet": "pcdarts.supernet.supernet",
    "complexity": "pcdarts.network.complexity",
    "derive": "pcdarts.cell.derive",
    "fit": "pcdarts.from_python",
    "from_pretrained": "pcdarts.ship.hub",
    "load_classifier": "pcdarts.network.classifier",
    "load_network": "pcdarts.network.classifier",
    "predict": "pcdarts.from_python",
    "published": "pcdarts.cell.zoo",
    "push_to_hub": "pcdarts.ship.hub",
    "search": "pcdarts.from_python",
    "train": "pcdarts.from_python",
}

__all__ = [
    "ArchParameters",
    "CellSpace",
    "Classifier",
    "Genotype",
    "InputError",
    "Mixture",
    "Network",
    "Run",
    "RunError",
    "Supernet",
    "complexity",
    "derive",
    "fit",
    "from_pretrained",
    "load_classifier",
    "load_network",
    "predict",
    "published",
    "push_to_hub",
    "search",
    "train",
]


def __dir__() -> list[str]:
    """The public names, of which most are not there before their first use."""
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})


def __getattr__(name: str) -> Any:
    """Import the public names on first use, so that `pcdarts --help` does not wait for torch."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'pcdarts' has no attribute {name!r}")
