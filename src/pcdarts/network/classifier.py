"""A trained network with what is known about its images and classes, in one safetensors file."""

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Self, cast

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_serializer, model_validator
from pydantic_core import from_json
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialized
from torch import Tensor, nn

import pcdarts
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import NetworkKind
from pcdarts.errors import InputError, check_path, shown, wrong_type
from pcdarts.network.network import Network, network_without_data
from pcdarts.network.stock import AnyNetwork, StockNetwork, without_data

WEIGHTS = "model.safetensors"
"""The name of the file of weights in an export folder."""

_KEY = "pcdarts"
"""The key of the blueprint in the metadata of such a file."""

_MAX_FIELD = 1_000_000
"""The most characters of a blueprint; a thousand classes with long names need a tenth."""


class ImagesAndClasses(BaseModel):
    """What is known about the images and classes of a trained network."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)

    classes: Annotated[tuple[str, ...], Field(min_length=2)]
    """Their names, in the order of the logits."""
    mean: Annotated[tuple[float, ...], Field(min_length=1)]
    """The mean that normalised images in training, per channel, of pixels scaled to [0, 1]; likewise `std`."""
    std: tuple[Annotated[float, Field(gt=0)], ...]
    image_size: Annotated[int, Field(ge=1, le=4096)]
    """Side of the square images in pixels; other images are resized to it."""
    border: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    """The share cut off each side of an image before it is resized."""
    pixel_range: tuple[float, float] | None = (0.0, 65535.0)
    """Black and white in images with more than 8 bits, which become 0 and 255; None if there were no such images in
    training. The default is what older files, which lack this field, mean."""
    version: str = pcdarts.__version__
    """The version of pcdarts that wrote it."""

    @model_validator(mode="after")
    def _channels_agree(self) -> Self:
        if len(self.mean) != len(self.std):
            raise ValueError(f"mean has {len(self.mean)} channels and std {len(self.std)}")
        if self.pixel_range is not None and not 0 < self.pixel_range[1] - self.pixel_range[0] < math.inf:
            raise ValueError(f"pixel_range must rise, not be {self.pixel_range}")
        if len(self.mean) not in (1, 3):
            raise ValueError(f"images have 1 or 3 channels, not {len(self.mean)}")
        return self

    @property
    def image_channels(self) -> int:
        """1 for greyscale, 3 for colour."""
        return len(self.mean)


class Blueprint(ImagesAndClasses):
    """A trained network of cells without its weights: how it is built, and its images and classes."""

    genotype: Genotype
    kind: NetworkKind
    channels: Annotated[int, Field(ge=1, le=4096)]
    num_cells: Annotated[int, Field(ge=1, le=1000)]

    @field_serializer("genotype")
    def _plain_genotype(self, genotype: Genotype) -> Any:
        return json.loads(genotype.to_json())  # the form of the DARTS papers unnamed: older versions read it

    def build(self, weights: Mapping[str, Tensor]) -> Network:
        """The network with these `weights` (a state dict of float32, not copied), without an auxiliary head.

        Raises:
            InputError: such a network is impossible, or the weights do not fit it.
        """
        if self.num_cells > len(weights):  # checked before a thousand cells are built
            raise InputError(f"{self.num_cells} cells cannot be made of {len(weights)} tensors")
        network = network_without_data(
            self.genotype,
            kind=self.kind,
            channels=self.channels,
            num_cells=self.num_cells,
            num_classes=len(self.classes),
            image_channels=self.image_channels,
        )
        _check_forms(network, weights)
        network.load_state_dict(weights, assign=True)
        return network


class StockBlueprint(ImagesAndClasses):
    """A trained network of torchvision or timm without its weights, and its images and classes."""

    stock: Annotated[str, Field(min_length=1, max_length=200)]
    stock_width: Annotated[float, Field(ge=0.01, le=16)] | None = None

    def build(self, weights: Mapping[str, Tensor]) -> StockNetwork:
        """The network with these `weights` (a state dict, copied).

        Raises:
            InputError: there is no such network, or the weights do not fit it.
        """
        sizes: dict[str, Any] = {
            "num_classes": len(self.classes),
            "image_channels": self.image_channels,
            "image_size": self.image_size,
            "width": self.stock_width,
        }
        _check_forms(without_data(self.stock, **sizes), weights)  # before there is memory for it
        network = StockNetwork(self.stock, **sizes)
        network.load_state_dict(weights)
        return network


AnyBlueprint = Blueprint | StockBlueprint


def cells_of(blueprint: AnyBlueprint, path: Path, purpose: str) -> Blueprint:
    """The blueprint of a network of cells, which `purpose` (the start of a sentence) needs.

    Raises:
        InputError: it is of a stock network.
    """
    if isinstance(blueprint, StockBlueprint):
        raise InputError(
            f"{purpose} needs a network of cells, but {path} holds the stock network {blueprint.stock}: give the "
            "training of a genotype"
        )
    return blueprint


def _check_forms(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Make sure that weights have the names, shapes and types of those of a network.

    Raises:
        InputError: one has not.
    """
    forms, wanted = ({name: _form(weight) for name, weight in some.items()} for some in (weights, network.state_dict()))
    for name in sorted(forms.keys() | wanted.keys()):
        if forms.get(name) != wanted.get(name):
            raise InputError(
                f"the tensor {shown(name)} is {forms.get(name, 'missing')}, but the network has "
                f"{wanted.get(name, 'none of that name')}"
            )


def _form(tensor: Tensor) -> str:
    return f"{list(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"


class Classifier(nn.Module):
    """A network that normalises its images itself, in evaluation mode.

    Pixels in [0, 1] `[B, image_channels, H, W]` to logits `[B, num_classes]`.

    Args:
        blueprint: the description of the network, of cells or of a library.
        weights: its state dict; the weights of an auxiliary head are ignored.

    Raises:
        InputError: the weights do not fit the network.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, blueprint: AnyBlueprint, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        if not isinstance(blueprint, AnyBlueprint):
            raise wrong_type(
                "blueprint", blueprint, "a Blueprint", "pcdarts.load_classifier(FILE) reads one from a file"
            )
        if not isinstance(weights, Mapping):
            raise wrong_type("weights", weights, "a state dict", "give network.state_dict()")
        self.blueprint: AnyBlueprint = blueprint
        self.network: AnyNetwork = blueprint.build(
            {name: weight for name, weight in weights.items() if not name.startswith("auxiliary_head.")}
        )
        for name in ("mean", "std"):
            statistics = torch.tensor(getattr(blueprint, name)).view(-1, 1, 1)
            self.register_buffer(name, statistics, persistent=False)
        self.eval()

    def forward(self, pixels: Tensor) -> Tensor:
        return cast(Tensor, self.network((pixels - self.mean) / self.std))

    def save(self, path: Path) -> None:
        """Write weights and blueprint to a safetensors file.

        Raises:
            OSError: it cannot be written.
        """
        state = {name: weight.contiguous() for name, weight in self.network.state_dict().items()}
        path.write_bytes(serialized(state, {"format": "pt", _KEY: self.blueprint.model_dump_json()}))


def load_classifier(path: Path | str) -> Classifier:
    """The classifier in a safetensors file that `pcdarts export` wrote, or in its folder; nothing is unpickled.

    Raises:
        InputError: there is no such file, it is damaged, or its weights do not fit its description.
    """
    check_path("path", path, "the file or folder that pcdarts export wrote")
    path = Path(path)
    file = path / WEIGHTS if path.is_dir() else path
    if not file.is_file():
        wanted = "a safetensors file that pcdarts export wrote, or its folder"
        if (path / "config.yaml").is_file():
            raise InputError(f"{path} is a run, not an export: give {wanted}; `pcdarts export {path}` writes one")
        raise InputError(f"{file} does not exist: give {wanted}")
    try:
        with safe_open(file, framework="pt") as opened:
            blueprint = _read_blueprint(opened.metadata() or {})
            weights = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118  # not a mapping
        return Classifier(blueprint, weights)
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror or error})") from None
    except (SafetensorError, InputError) as error:
        if file.read_bytes()[:4].startswith((b"PK\x03\x04", b"\x80")):
            raise InputError(
                f"{file} is refused (it is a file of PyTorch): give the safetensors file that pcdarts export wrote; "
                f"`pcdarts export {file} --genotype CELL` makes one from weights that PyTorch saved"
            ) from None
        raise InputError(
            f"{file} is refused ({error}): give the safetensors file that pcdarts export wrote, undamaged"
        ) from None


def load_network(path: Path | str) -> AnyNetwork:
    """As `load_classifier`, but only the network, which takes normalised images.

    Raises:
        InputError: as `load_classifier`.
    """
    return load_classifier(path).network


def _read_blueprint(metadata: dict[str, str]) -> AnyBlueprint:
    if _KEY not in metadata:
        raise InputError("its metadata do not describe a network of pcdarts")
    if len(metadata[_KEY]) > _MAX_FIELD:
        raise InputError("its metadata are too long")
    try:
        kind = StockBlueprint if "stock" in _object_in(metadata[_KEY]) else Blueprint
        return kind.model_validate_json(_with_form(metadata[_KEY]))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise InputError(f"in its metadata, {shown(where)}: {shown(first['msg'], 300)}") from None


def _with_form(text: str) -> str:
    """The same JSON, in which a genotype that names its space (NAS-Bench-201) has the form of that space instead."""
    found = _object_in(text)
    genotype = found.get("genotype")
    if not isinstance(genotype, dict) or "space" not in genotype:
        return text
    return json.dumps(found | {"genotype": asdict(Genotype.from_json(json.dumps(genotype)))})


def _object_in(text: str) -> Any:
    """What a JSON text holds if it is an object, else nothing: the blueprint's own check says what is wrong with it."""
    with suppress(ValueError):
        found = from_json(text)
        return found if isinstance(found, dict) else {}
    return {}
