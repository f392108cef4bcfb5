"""Stock networks: classification networks of torchvision and timm by name, made fit for small and grey images."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn

from pcdarts.cell.stem import check_images
from pcdarts.errors import InputError, first_of, listed, shown
from pcdarts.extras import import_extra
from pcdarts.network.complexity import skeleton_of
from pcdarts.network.network import Network
from pcdarts.ops.precision import Amp, mixed_precision

LEAST_MAP = 4
"""Pixels along the side of the last map, at least: as many as networks made for CIFAR have; strides go for it."""
LEAST_MOMENTUM = 0.1
"""Of BatchNorm's running statistics: with 0.01, as in MobileNetV3, a training of a few hundred steps ends too soon."""
TIMM = "timm/"
"""What the names of timm's networks begin with."""
_OWN_SIDE = 224
_WITHOUT_AUXILIARY = {"googlenet", "inception_v3"}


class StockNetwork(nn.Module):
    """A classification network of torchvision or timm, with what trainings expect of `Network`.

    The network is the library's, dropout and stochastic depth included, but for three things:

    * Networks for photographs reduce images so much that little is left of small ones. First strides become 1 (and the
      pooling that has them is left out) until the last map has `LEAST_MAP` pixels along its side.
    * Grey images: the weights of the first convolution are summed over the colours, so that it is the same network as
      that of three equal channels.
    * BatchNorm's momentum is `LEAST_MOMENTUM` where the library has less.

    Args:
        name: of torchvision's network, or `timm/NAME`.
        num_classes: number of logits.
        image_channels: 3 for colour, 1 for greyscale.
        image_size: height and width of the images, for which the strides are chosen.
        width: factor of all channels, of networks with a width multiplier (None: the library's own width).
        amp: as of `Network`.

    Raises:
        InputError: there is no such network, its library is not installed, it has no width multiplier, or it cannot
            take images of this size.
    """

    def __init__(
        self,
        name: str,
        *,
        num_classes: int,
        image_channels: int = 3,
        image_size: int = _OWN_SIDE,
        width: float | None = None,
        amp: Amp = "off",
    ) -> None:
        super().__init__()
        check_stock(name, width)
        self.name, self.width, self.amp = name, width, amp
        self.image_channels = image_channels
        self.drop_path = 0.0
        """Set by trainings; a stock network has its own stochastic depth, or none."""
        self.model = library_network(name, width, num_classes)
        self.changes: list[str] = []
        """What differs from the library's network, in words."""
        self._keep_resolution(image_size)
        if image_channels != 3:
            self._take_channels(image_channels)
        self.changes += hasten_norms(self.model)
        self._try(image_size)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits `[B, num_classes]` for images `[B, image_channels, H, W]`.

        Raises:
            InputError: these are no such images.
        """
        check_images(images, self.image_channels, 1)
        if self.amp == "off" or not self.training:
            return self.model(images)
        with mixed_precision(self.amp, images.device.type):
            logits = self.model(images)
        return logits.float()

    def compile_parts(self, batch_shape: Any, backend: str = "") -> None:
        """Cannot be had.

        Raises:
            InputError: always.
        """
        raise InputError(f"compile is for networks of cells, but this is the stock network {self.name}: drop it")

    @property
    def classifier_name(self) -> str:
        """What the names of the parameters of the last layer begin with, which makes the logits."""
        layers = [name for name, module in self.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)]
        return f"{layers[-1]}."

    @property
    def first_convolution(self) -> tuple[str, nn.Conv2d]:
        """The layer that sees the image, by its name."""
        return next((name, module) for name, module in self.named_modules() if isinstance(module, nn.Conv2d))

    def _keep_resolution(self, image_size: int) -> None:
        levels = _reductions(self.model, self.name)
        total = math.prod(level.factor for level in levels)
        before, kept = -(-image_size // total), []
        for level in levels:
            factor = level.factor
            while factor > 1 and -(-image_size // total) < LEAST_MAP:
                factor, total = factor // 2, total // 2
            if factor < level.factor:
                kept += [_set_stride(self.model, module, factor) for module in level.modules]
        if kept:
            after = -(-image_size // total)
            self.changes.append(
                f"for images of {image_size}x{image_size} {listed(first_of(kept, 3), 'and')}, so that its last map is "
                f"{after}x{after} and not {before}x{before}"
            )

    def _take_channels(self, channels: int) -> None:
        name, layer = self.first_convolution
        layer.weight = nn.Parameter(layer.weight.detach().sum(dim=1, keepdim=True).repeat(1, channels, 1, 1) / channels)
        layer.in_channels = channels
        self.changes.append(f"its first convolution ({name.removeprefix('model.')}) takes grey images")

    def _try(self, image_size: int) -> None:
        """Make sure that it can compute, without computing."""
        try:
            with torch.no_grad():
                skeleton_of(self.model)(torch.empty(1, self.image_channels, image_size, image_size, device="meta"))
        except Exception as error:  # the libraries raise what they like
            raise cannot_take(self.name, image_size, error) from None


def cannot_take(name: str, image_size: int, error: Exception) -> InputError:
    """What to say of a network that failed on images of this size."""
    return InputError(
        f"the network {name} cannot take images of {image_size}x{image_size} pixels "
        f"({shown(' '.join(str(error).split()), 150)}): use another --image-size or another network"
    )


AnyNetwork = Network | StockNetwork
"""What is trained: the network of a genotype, or one of a library."""


def check_stock(name: str, width: float | None = None) -> None:
    """Make sure that there is a network of this name, and that it can have this width.

    Raises:
        InputError: there is none; its library is missing; or it has no width multiplier.
    """
    if name.startswith(TIMM):
        timm: Any = import_extra("timm", "timm", f"the network {shown(name)}")
        model, _, tag = name.removeprefix(TIMM).partition(".")
        known = set(timm.list_models(pretrained=True)) if tag else set(timm.list_models())
        if name.removeprefix(TIMM) not in known or (":" in model):
            close = get_close_matches(name.removeprefix(TIMM), known, n=3)
            meant = f"did you mean {listed([TIMM + one for one in close])}?" if close else "timm.list_models() has all"
            raise InputError(f"timm {timm.__version__} has no network {shown(name.removeprefix(TIMM))}: {meant}")
    elif name not in torchvision_names():
        close = get_close_matches(name, torchvision_names(), n=3)
        meant = f"did you mean {listed(close)}?" if close else "mobilenet_v3_small and shufflenet_v2_x0_5 are two"
        raise InputError(
            f"torchvision has no classification network {shown(name)}: {meant} (those of timm are called {TIMM}NAME)"
        )
    if width is not None and not has_width(name):
        raise InputError(
            f"the network {name} has no width multiplier: drop --stock-width, or take one of {', '.join(_WIDTHS)}"
        )


@cache
def torchvision_names() -> list[str]:
    """The names of torchvision's classification networks."""
    from torchvision import models  # type: ignore[import-untyped]  # slow to import, and only needed here

    return list(models.list_models(module=models))


def has_width(name: str) -> bool:
    """Whether all channels of this network can be made wider or narrower together."""
    return any(name.startswith(family) for family in _WIDTHS)


def library_of(name: str) -> str:
    """`torchvision 0.29.1`: where the network is from."""
    import torchvision

    if name.startswith(TIMM):
        return f"timm {import_extra('timm', 'timm', f'the network {name}').__version__}"
    return f"torchvision {torchvision.__version__.partition('+')[0]}"


def _mobilenet(name: str, width: float, classes: int) -> nn.Module:
    from torchvision import models

    return models.get_model(name, weights=None, num_classes=classes, width_mult=width)


def _shufflenet(name: str, width: float, classes: int) -> nn.Module:
    from torchvision import models

    with torch.device("meta"):
        own = models.get_model(name, weights=None)._stage_out_channels
    channels = [max(2, 2 * round(width * number / 2)) for number in own]  # its blocks halve them
    return models.ShuffleNetV2([4, 8, 4], channels, classes)


def _mnasnet(name: str, width: float, classes: int) -> nn.Module:
    from torchvision import models

    with torch.device("meta"):
        own = models.get_model(name, weights=None).alpha
    return models.MNASNet(own * width, classes)


_WIDTHS: dict[str, Callable[[str, float, int], nn.Module]] = {
    "mobilenet_v2": _mobilenet,
    "mobilenet_v3": _mobilenet,
    "shufflenet_v2": _shufflenet,
    "mnasnet": _mnasnet,
}
"""What makes a network of another width, by how the names of the family begin."""


def library_network(name: str, width: float | None, classes: int) -> nn.Module:
    """The library's network with random weights, of a name and width that `check_stock` has seen."""
    from torchvision import models

    if name.startswith(TIMM):
        timm: Any = import_extra("timm", "timm", f"the network {name}")
        return timm.create_model(name.removeprefix(TIMM), pretrained=False, num_classes=classes)
    if width is not None:
        network = next(make for family, make in _WIDTHS.items() if name.startswith(family))(name, width, classes)
    else:
        options = {"aux_logits": False, "init_weights": True} if name in _WITHOUT_AUXILIARY else {}
        network = models.get_model(name, weights=None, num_classes=classes, **options)
    if isinstance(network, models.MNASNet):  # its own way wants a version, which plain tensors by name do not have
        network._load_from_state_dict = partial(nn.Module._load_from_state_dict, network)
    return network


def hasten_norms(model: nn.Module) -> list[str]:
    """Give BatchNorm a momentum of `LEAST_MOMENTUM` where it has less; what was changed, in words."""
    slow = set()
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and (module.momentum or 1.0) < LEAST_MOMENTUM:
            slow.add(float(module.momentum or 0))
            module.momentum = LEAST_MOMENTUM
    if not slow:
        return []
    return [
        f"BatchNorm's momentum is {LEAST_MOMENTUM} instead of {listed([f'{value:.2g}' for value in slow])}, "
        "with which the running statistics do not settle in short trainings"
    ]


@dataclass(frozen=True)
class _Reduction:
    """The layers that reduce maps of one size, side by side in the branches of a block."""

    factor: int
    modules: list[str]


def _reductions(model: nn.Module, name: str) -> list[_Reduction]:
    """Where the network makes its maps smaller, in order, for images of the size that it was made for."""
    side = (getattr(model, "pretrained_cfg", None) or {}).get("input_size", (3, _OWN_SIDE))[-1]
    probe = skeleton_of(model)
    found: dict[int, dict[str, int]] = {}

    def note(layer: str) -> Callable[..., None]:
        def seen(module: nn.Module, images: tuple[Tensor, ...], output: Tensor) -> None:
            before, after = images[0].shape[-1], output.shape[-1]
            if _stride_of(module) > 1 and 1 < after < before:
                found.setdefault(before, {})[layer] = _stride_of(module)

        return seen

    for layer, module in probe.named_modules():
        if isinstance(module, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
            module.register_forward_hook(note(layer))
    try:
        with torch.no_grad():
            probe(torch.empty(1, 3, side, side, device="meta"))
    except Exception as error:
        raise InputError(
            f"the network {name} does not compute images of {side}x{side} pixels "
            f"({shown(' '.join(str(error).split()), 150)}): use another network"
        ) from None
    return [_Reduction(max(found[size].values()), list(found[size])) for size in sorted(found, reverse=True)]


def _stride_of(module: Any) -> int:
    stride = module.stride
    return int(max(stride)) if isinstance(stride, tuple) else int(stride)


def _set_stride(model: nn.Module, name: str, stride: int) -> str:
    """Give a layer another stride, or leave out pooling that had one; says so."""
    parent, _, last = name.rpartition(".")
    module: Any = model.get_submodule(name)
    if stride == 1 and not isinstance(module, nn.Conv2d):
        setattr(model.get_submodule(parent), last, nn.Identity())
        return f"{name} is left out"
    module.stride = (stride, stride)
    return f"{name} has stride {stride}"


def without_data(name: str, **options: Any) -> StockNetwork:
    """A stock network whose weights have shapes but no values (on the `meta` device).

    Raises:
        InputError: as `StockNetwork`.
    """
    try:
        with torch.device("meta"):
            return StockNetwork(name, **options)
    except (NotImplementedError, RuntimeError):  # some look at numbers while they are built
        return StockNetwork(name, **options).to("meta")
