"""The plain per-edge supernet of `benchmarks/per_edge_supernet.py`, called as ours is."""

import importlib.util
from functools import cache
from pathlib import Path
from types import ModuleType

from torch import Tensor, nn

from pcdarts.supernet.arch import Mixture


class PerEdge(nn.Module):
    """A `PerEdgeSupernet`, which takes the images channels first, under the signature of `Supernet`."""

    def __init__(self, **sizes: int | str) -> None:
        super().__init__()
        self.network: nn.Module = yardstick().PerEdgeSupernet(**sizes)

    def forward(self, images: Tensor, mixture: Mixture, masks: list[Tensor] | None = None) -> Tensor:
        """Return logits [B, classes] for images [B, 3, H, W]."""
        logits: Tensor = self.network(images.contiguous(), mixture.op_weights, mixture.edge_weights)
        return logits


@cache
def yardstick() -> ModuleType:
    """The module: beside this file in an installation, in `benchmarks/` in a checkout."""
    name = "per_edge_supernet.py"
    places = (Path(__file__).with_name(name), Path(__file__).parents[3] / "benchmarks" / name)
    path = next(place for place in places if place.exists())
    spec = importlib.util.spec_from_file_location("per_edge_supernet", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
