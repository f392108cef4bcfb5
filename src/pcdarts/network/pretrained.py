"""Weights learnt on ImageNet for a stock network: where they are, and how they are taken over; nothing is unpickled."""

import os
import re
from hashlib import sha256
from pathlib import Path
from typing import Any

from torch import Tensor

from pcdarts.cell.authors import misfits, told, weights_in
from pcdarts.errors import InputError, listed, shown
from pcdarts.network.stock import TIMM, StockNetwork
from pcdarts.network.weights_file import read_weights

_HUB_FILES = ("model.safetensors", "pytorch_model.bin")


def find_weights(name: str, file: Path | None = None) -> Path:
    """The file of weights of a stock network: the one that is named, or the one in the cache of its library.

    Nothing is downloaded.

    Raises:
        InputError: it is not there; says which file is needed, where it was looked for, and where it can be had.
    """
    if file is not None:
        file = Path(os.path.abspath(file.expanduser()))
        if not file.is_file():
            raise InputError(f"--pretrained-file {file} does not exist: give the file of weights of {name}")
        return file
    return _of_timm(name) if name.startswith(TIMM) else _of_torchvision(name)


def _of_torchvision(name: str) -> Path:
    from torch.hub import get_dir
    from torchvision.models import get_model_weights  # type: ignore[import-untyped]

    folder = Path(get_dir()) / "checkpoints"
    known = get_model_weights(name)
    addresses = [one.url for one in (known.DEFAULT, *known)] if len(known) else []  # the best weights first
    found = next((path for url in addresses if (path := folder / url.rpartition("/")[2]).is_file()), None)
    if found is not None:
        return found
    if not addresses:
        raise InputError(f"torchvision has no pretrained weights of {name}: name a file with --pretrained-file")
    raise InputError(
        f"pretrained weights of {name} are needed, and nothing is downloaded: {folder} (torchvision's cache) does not "
        f"hold {addresses[0].rpartition('/')[2]}; put {addresses[0]} there, or name a file to pcdarts "
        "train or detect train: --pretrained-file"
    )


def _of_timm(name: str) -> Path:
    import timm
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.constants import HF_HUB_CACHE

    known = timm.get_pretrained_cfg(name.removeprefix(TIMM))
    if known is None or not known.hf_hub_id:
        raise InputError(f"timm has no pretrained weights of {name}: name a file with --pretrained-file")
    repository = str(known.hf_hub_id)
    for file in _HUB_FILES:
        found = try_to_load_from_cache(repository, file)
        if isinstance(found, str):
            return Path(found)
    raise InputError(
        f"pretrained weights of {name} are needed, and nothing is downloaded: {HF_HUB_CACHE} (huggingface-hub's cache) "
        f"does not hold {_HUB_FILES[0]} of {repository}; `hf download {repository} {_HUB_FILES[0]}` puts it there, or "
        "name a file to pcdarts train or detect train: --pretrained-file"
    )


def take_weights(network: StockNetwork, path: Path) -> dict[str, Any]:
    """Give `network` the weights in a file, all but those of its last layer, which are for other classes.

    The first convolution of a network for grey images takes them summed over the colours.

    Returns: path, checksum and the parts that are new, for `result.json`.

    Raises:
        InputError: the file cannot be read, or it is of another network.
    """
    own, last, first = network.state_dict(), network.classifier_name, f"{network.first_convolution[0]}.weight"
    found: dict[str, Tensor] = {}
    for key, value in weights_in(read_weights(path)):
        name = f"model.{_renamed(key)}"
        if isinstance(value, Tensor) and name in own and not name.startswith(last):
            found[name] = value.float() if value.is_floating_point() else value
    if first in found and found[first].dim() == 4 and own[first].shape[1] == 1:
        found[first] = found[first].sum(dim=1, keepdim=True)
    wanted = {name: weight for name, weight in own.items() if not name.startswith(last)}
    if problems := misfits(wanted, found):
        problems = [problem.replace("model.", "", 1) for problem in problems]
        raise InputError(f"{shown(path, 300)} does not hold the weights of {network.name}: {told(problems)}")
    bad = next((name for name, weight in found.items() if not weight.isfinite().all()), None)
    if bad is not None:
        raise InputError(f"{shown(path, 300)}: its {bad.removeprefix('model.')} holds values that are not finite")
    network.load_state_dict({**own, **found})
    return {"path": str(path), "sha256": sha256(path.read_bytes()).hexdigest(), "new": ["the last layer"]}


def line_about(about: dict[str, Any], mean: list[float]) -> str:
    """What to say of a training that begins with such weights, whose images are normalised with this `mean`."""
    return (
        f"begins with the weights of {about['path']} (SHA-256 {about['sha256'][:12]}...): all but "
        f"{listed(about['new'])}, which begins at random; images are normalised with the mean "
        f"{[round(value, 3) for value in mean]} of the training images, as for every network here, not with ImageNet's"
    )


def _renamed(key: str) -> str:
    """Torchvision's weights of DenseNet have names of before 2017."""
    return re.sub(r"(denselayer\d+\.(?:norm|relu|conv))\.([12])\.", r"\1\2.", key)
