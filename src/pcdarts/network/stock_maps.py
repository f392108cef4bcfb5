"""A stock network as the backbone of a detector: its last maps of strides 16 and 32, without what makes its logits."""

import copy
import math
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pcdarts.cell.stem import check_images
from pcdarts.errors import InputError
from pcdarts.network.complexity import skeleton_of
from pcdarts.network.stock import cannot_take, check_stock, hasten_norms, library_network
from pcdarts.ops.precision import Amp, mixed_precision

STRIDES = (16, 32)


class StockMaps(nn.Module):
    """The last map of stride 16, and the last of stride 32, that a layer of a network of torchvision or timm makes.

    In networks of inverted residuals these are the ones that SSDLite reads (Sandler et al., 2018; Howard et al., 2019):
    the map that the first block of stride 32 expands, and the one that is pooled for the logits. What comes after the
    last map and has weights is left out. BatchNorm's momentum is as in `StockNetwork`.

    Args:
        name: of torchvision's network, or `timm/NAME`.
        image_size: height and width of the images, which it must be able to take.
        amp: as of `Network`.

    Raises:
        InputError: there is no such network, its library is not installed, it cannot take images of this size, or has
            no such maps.
    """

    def __init__(self, name: str, *, image_size: int, amp: Amp = "off") -> None:
        super().__init__()
        check_stock(name)
        self.name, self.image_size, self.amp = name, image_size, amp
        self.model = library_network(name, None, 1)
        self.changes = hasten_norms(self.model)
        """What differs from the library's network, in words."""
        images = torch.empty(1, 3, image_size, image_size, device="meta")
        try:
            found = _watch(self.model, images)
            if not found.maps.keys() >= set(STRIDES):
                raise InputError(
                    f"the network {name} has no maps of strides 16 and 32 for images of {image_size}x{image_size} "
                    "pixels, which SSDLite reads: use another network, such as timm/mobilenetv2_100"
                )
            self._layers = [found.maps[stride] for stride in STRIDES]
            for layer in found.after(found.maps[STRIDES[-1]]):
                self.model.set_submodule(layer, nn.Identity())
            maps = skeleton_of(self).features(images)
        except InputError:
            raise
        except Exception as error:  # the libraries raise what they like
            raise cannot_take(name, image_size, error) from None
        self.feature_channels = [map_.shape[1] for map_ in maps]
        """The number of channels of each of the `features`."""

    @property
    def has_idle_weights(self) -> bool:
        """Whether some weights get no gradient, because no map depends on them; without computing."""
        probe = copy.deepcopy(self).to("meta").eval()
        maps = probe.features(torch.empty(1, 3, self.image_size, self.image_size, device="meta"))
        torch.stack([map_.sum() for map_ in maps]).sum().backward()
        return any(weight.grad is None for weight in probe.parameters())

    def take(self, weights: Mapping[str, Tensor]) -> None:
        """Load the weights of the library's whole network (a state dict), but for those of what is left out."""
        self.model.load_state_dict({name: weights[name] for name in self.model.state_dict()})

    def features(self, images: Tensor) -> list[Tensor]:
        """The maps `[B, feature_channels[i], H/s, W/s]`, rounded, for s = 16 and 32; always float32.

        Raises:
            InputError: these are no images `[B, 3, H, W]`.
        """
        check_images(images, 3, 1)
        found: dict[int | None, Tensor] = {}

        def note(layer: nn.Module, inputs: Any, output: Any) -> None:
            found[_stride(images, output)] = output

        amp: Amp = self.amp if self.training else "off"
        with ExitStack() as watching, mixed_precision(amp, images.device.type):
            for layer in dict.fromkeys(self._layers):
                watching.enter_context(self.model.get_submodule(layer).register_forward_hook(note))
            self.model(images)
        return [found[stride].float() for stride in STRIDES]


@dataclass(frozen=True)
class _Watched:
    """What a network did with an image, layer by layer."""

    maps: dict[int | None, str]
    """The layer that made the last map of each stride."""
    begun: dict[str, int]
    """When each layer was first called; and likewise when it last was done."""
    ended: dict[str, int]
    weighty: frozenset[str]
    """The layers that have weights."""

    def after(self, layer: str) -> list[str]:
        """The layers with weights that are first called once `layer` is done, without those inside of others."""
        late = [one for one in self.begun if one in self.weighty and self.begun[one] > self.ended[layer]]
        return [one for one in late if not any(one.startswith(f"{other}.") for other in late)]


def _watch(model: nn.Module, images: Tensor) -> _Watched:
    """Let the network see images, without computing."""
    probe = skeleton_of(model)
    weighty = {name for name, layer in probe.named_modules() if next(layer.parameters(), None) is not None}
    found = _Watched({}, {}, {}, frozenset(weighty))
    clock = iter(range(10**9))

    def watch(name: str, layer: nn.Module) -> None:
        def begin(layer: nn.Module, inputs: Any) -> None:
            found.begun.setdefault(name, next(clock))

        def end(layer: nn.Module, inputs: Any, output: Any) -> None:
            found.ended[name] = next(clock)
            found.maps[_stride(images, output)] = name

        layer.register_forward_pre_hook(begin)
        layer.register_forward_hook(end)

    for name, layer in probe.named_modules():
        if name:
            watch(name, layer)
    with torch.no_grad():
        probe(images)
    return found


def _stride(images: Tensor, output: Any) -> int | None:
    """The stride of an output as a map of the images, the nearest power of two; None if it is no map of them."""
    if not isinstance(output, Tensor) or output.dim() != 4 or len(output) != len(images):
        return None
    if output.shape[2] != output.shape[3] or not 0 < output.shape[3] <= images.shape[3]:
        return None
    return 1 << round(math.log2(images.shape[3] / output.shape[3]))
