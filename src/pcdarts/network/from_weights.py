"""A network from a file of weights alone: its sizes follow from the shapes of its tensors; the genotype is checked."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pcdarts.cell.authors import misfits, told, translate_key, weights_in
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import STEM_MULTIPLIER, NetworkKind
from pcdarts.cell.zoo import PUBLISHED
from pcdarts.errors import InputError, listed, shown
from pcdarts.network.sizes import NetworkSizes

_SUPERNET = re.compile(r"cells\.\d+\.(?:ops\.\d+\.ops|operations)\.")
_CELL = re.compile(r"cells\.(\d{1,3})\.")
_COUNTER = ".num_batches_tracked"


@dataclass(frozen=True)
class Weights:
    """The weights of a classifier by our names, without those of an auxiliary head."""

    tensors: dict[str, Tensor]
    names: dict[str, str]
    """Their names in the file, by our names."""
    sizes: NetworkSizes
    auxiliary: bool
    """Whether there was an auxiliary head."""

    def misfits(self, genotype: Genotype) -> list[str]:
        """The reasons why they do not fit a network with this genotype; none if they fit.

        The weights show the operation of an edge, but not its input.
        """
        return misfits(self.sizes.network(genotype).state_dict(), self.tensors, self.names)

    def fitting_cells(self) -> list[str]:
        """The published cells whose operations they fit."""
        return [name for name, genotype in PUBLISHED.items() if not self.misfits(genotype)]

    def fit_to(self, genotype: Genotype, called: str = "the genotype") -> dict[str, Tensor]:
        """The state dict of the network with this genotype, in float32; `called` names the genotype in the error.

        Raises:
            InputError: they do not fit, or a tensor holds values that are not finite; it is named.
        """
        problems = self.misfits(genotype)
        if problems:
            cells = self.fitting_cells()
            fitting = f"of the published cells, {listed(cells, 'and')} would fit" if cells else "no published cell fits"
            raise InputError(f"its tensors do not fit {called}: {told(problems)}; {fitting}")
        wanted = self.sizes.network(genotype).state_dict()
        counters = {name: torch.zeros((), dtype=torch.int64) for name in wanted if name not in self.tensors}
        # In a state dict converted to float16 the batch counters are float16 as well.
        tensors = {name: x.long() if name.endswith(_COUNTER) else x.float() for name, x in self.tensors.items()}
        bad = next((name for name, x in tensors.items() if not x.isfinite().all()), None)
        if bad is not None:
            raise InputError(f"its {self.names[bad]} holds values that are not finite: the training has failed")
        return tensors | counters  # PyTorch 0.3 saved no batch counters


def weights_of(state: Any) -> Weights:
    """The weights in a checkpoint of the authors' training scripts, or in a state dict of ours.

    Raises:
        InputError: it holds something else, such as a search network.
    """
    tensors: dict[str, Tensor] = {}
    names: dict[str, str] = {}
    for key, value in weights_in(state):
        if not isinstance(value, Tensor):
            raise InputError(f"its {shown(key)} is not a tensor: it does not hold the weights of a network")
        counts = key.endswith(_COUNTER)
        if value.layout != torch.strided or value.is_quantized or not (value.is_floating_point() or counts):
            raise InputError(f"its {shown(key)} is not a plain tensor of floating-point numbers, but {value.dtype}")
        name = translate_key(key)
        if name in tensors:
            raise InputError(f"it holds two tensors for {shown(name)}: keep the weights of one network in it")
        tensors[name] = value.detach()
        names[name] = key
    if any(_SUPERNET.match(name) for name in tensors):
        raise InputError(
            "it holds a search network (supernet), not the network of a cell: show the genotype in the log of that "
            "search with `pcdarts show log.txt`, and train it with `pcdarts train --genotype log.txt`"
        )
    if not tensors:
        raise InputError("it holds no weights: it is empty")
    sizes = _sizes(tensors)
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith("auxiliary_head.")}
    return Weights(kept, names, sizes, auxiliary=len(kept) < len(tensors))


def _sizes(tensors: Mapping[str, Tensor]) -> NetworkSizes:
    """The sizes of the network with these weights, from their shapes."""

    def shape(name: str, axes: int) -> list[int]:
        if name not in tensors or tensors[name].dim() != axes:
            raise InputError(
                f"it holds no network of the DARTS or PC-DARTS scripts: a tensor {name} of {axes} axes is missing "
                f"among its {len(tensors)} ({', '.join(map(shown, list(tensors)[:3]))}, ...)"
            )
        return list(tensors[name].shape)

    num_classes = shape("classifier.weight", 2)[0]
    kind: NetworkKind = "imagenet" if "stem.quarter.0.weight" in tensors else "cifar"
    if kind == "imagenet":
        image_channels, channels = shape("stem.quarter.0.weight", 4)[1], shape("stem.quarter.3.weight", 4)[0]
    else:  # a stem of stride 2 has the same tensors as that for CIFAR, one of stride 4 has two convolutions
        kind = "stride4" if "stem.3.weight" in tensors else "cifar"
        image_channels = shape("stem.0.weight", 4)[1]
        stem_channels = shape("stem.3.weight" if kind == "stride4" else "stem.0.weight", 4)[0]
        is_nasbench201 = "closing.0.weight" in tensors
        channels = stem_channels if is_nasbench201 else stem_channels // STEM_MULTIPLIER
    cells = {int(match[1]) for match in map(_CELL.match, tensors) if match}
    if cells != set(range(len(cells))):
        raise InputError(f"it holds {len(cells)} cells, of which the last is cell {max(cells)}: some are missing")
    sizes = NetworkSizes(kind, channels, len(cells), num_classes, image_channels)
    if not (1 <= channels <= 4096 and image_channels in (1, 3) and num_classes >= 2 and sizes.num_cells >= 1):
        raise InputError(
            f"it holds no network of pcdarts: {sizes.num_cells} cells of {channels} channels, {num_classes} classes, "
            f"images of {image_channels} channels"
        )
    return sizes
