"""A single-shot detector: torchvision's SSD on a derived network (Sec. 4.5), or its SSDLite on a stock network.

Default boxes, their matching, the loss with hard negatives and non-maximum suppression are torchvision's.
"""

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator  # type: ignore[import-untyped]
from torchvision.models.detection.ssd import SSD  # type: ignore[import-untyped]
from torchvision.models.detection.ssdlite import (  # type: ignore[import-untyped]
    SSDLiteHead,
    _extra_block,
    _normal_init,
)
from torchvision.ops import Conv2dNormActivation  # type: ignore[import-untyped]

from pcdarts.cell.genotype import Genotype
from pcdarts.errors import InputError
from pcdarts.network.complexity import Complexity, skeleton_of
from pcdarts.network.network import Network
from pcdarts.network.stock_maps import StockMaps
from pcdarts.ops.precision import Amp
from pcdarts.ops.synchronize import synchronize_norms

SMALLEST_IMAGE_SIDE = 64
"""In pixels: at stride 32 that leaves maps of 2x2."""

_ASPECT_RATIOS = [[2], [2, 3], [2, 3], [2, 3], [2], [2]]
_SCALES = [0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05]
"""Default boxes of SSD300 on COCO (Liu et al., 2016; `ssd300_vgg16` in torchvision): 4, 6, 6, 6, 4, 4 per position."""

_LITE_EXTRAS = [512, 256, 256, 128]
"""Channels of the extra maps of SSDLite, as in torchvision's `ssdlite320_mobilenet_v3_large`."""


class FeatureMaps(nn.Module):
    """Images `[B, 3, H, W]` to six feature maps by name: three of the network with fewer channels, and three smaller.

    A 1x1 convolution each reduces the network's maps of strides 8, 16 and 32 to 1, 2 and 4 times `head_channels`: the
    head has outputs for every class, and on wide maps would cost as much as the network. Three extra blocks of SSDLite
    follow, each of which halves the size: for images of 320 x 320 the maps have sides of 40, 20, 10, 5, 3 and 2.
    """

    def __init__(self, network: Network, head_channels: int) -> None:
        super().__init__()
        self.network = network
        del network.classifier  # not part of a detector, and not of its state dict
        narrow = [head_channels, 2 * head_channels, 4 * head_channels]
        self.projections = nn.ModuleList(
            Conv2dNormActivation(wide, channels, 1, norm_layer=nn.BatchNorm2d, activation_layer=nn.ReLU6)
            for wide, channels in zip(network.feature_channels, narrow, strict=True)
        )
        self.extras = nn.ModuleList(_extra_block(narrow[-1], narrow[-1], nn.BatchNorm2d) for _ in range(3))
        _normal_init(self.projections)
        _normal_init(self.extras)
        self.out_channels = [*narrow, *[narrow[-1]] * len(self.extras)]

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        features = self.network.features(images)
        maps = [project(map_) for project, map_ in zip(self.projections, features, strict=True)]
        for extra in self.extras:
            maps.append(extra(maps[-1]))
        return {str(index): map_ for index, map_ in enumerate(maps)}


class LiteMaps(nn.Module):
    """Images `[B, 3, H, W]` to the six feature maps of SSDLite by name: two of a stock network, and four smaller.

    For images of 320 x 320 they have sides of 20, 10, 5, 3, 2 and 1.
    """

    def __init__(self, network: StockMaps) -> None:
        super().__init__()
        self.network = network
        self.out_channels = [*network.feature_channels, *_LITE_EXTRAS]
        self.extras = nn.ModuleList(
            _extra_block(before, after, nn.BatchNorm2d) for before, after in pairwise(self.out_channels[1:])
        )
        _normal_init(self.extras)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        maps = self.network.features(images)
        for extra in self.extras:
            maps.append(extra(maps[-1]))
        return {str(index): map_ for index, map_ in enumerate(maps)}


class Detector(SSD):  # type: ignore[misc]  # torchvision has no types
    """SSD with the network of a genotype (kind "imagenet", without its classifier) as the backbone, or a stock network.

    `detector(images, targets)` takes images `[B, 3, image_size, image_size]`, normalised as for the network. In
    training it returns the losses "bbox_regression" and "classification", per matched default box, and "num_matched",
    the number of these boxes; targets are one dict per image with "boxes" [n, 4] (x1, y1, x2, y2 in pixels) and
    "labels" [n]. In evaluation it returns one dict per image with "boxes", "labels" and "scores", best first.

    Args:
        network: the normal and the reduction cell; or the name of a network of torchvision or timm (`timm/NAME`), on
            which the detector is SSDLite. That has neither `channels`, `num_cells` nor `head_channels`.
        channels, num_cells: as in `Network`; 48 and 14 in the paper.
        num_classes: number of object classes; their labels are 1 to `num_classes`, 0 is background.
        image_size: height and width of the images in pixels.
        head_channels: channels of the map of stride 8 before the head (`FeatureMaps`).
        amp: the precision of the network. Everything after it is float32: a twentieth of the work, and on 1x1 maps the
            gradient of PyTorch's depthwise convolutions in bfloat16 is wrong on a CPU (seen with PyTorch 2.14.1).
        synchronize: as in `Network`.

    Raises:
        InputError: an argument is out of range.
    """

    def __init__(
        self,
        network: Genotype | str,
        *,
        channels: int = 48,
        num_cells: int = 14,
        num_classes: int = 80,
        image_size: int = 320,
        head_channels: int = 24,
        amp: Amp = "off",
        synchronize: bool = False,
    ) -> None:
        if image_size < SMALLEST_IMAGE_SIDE:
            raise InputError(
                f"image_size is {image_size}, but a detector needs images of {SMALLEST_IMAGE_SIDE} pixels or more"
            )
        least = {"num_classes": (num_classes, 1), "head_channels": (head_channels, 1), "num_cells": (num_cells, 3)}
        for name, (number, smallest) in least.items():
            if number < smallest:
                raise InputError(f"{name} is {number}, but a detector needs at least {smallest}")
        maps: FeatureMaps | LiteMaps
        if isinstance(network, str):
            maps = LiteMaps(StockMaps(network, image_size=image_size, amp=amp))
            boxes = DefaultBoxGenerator([[2, 3]] * len(maps.out_channels), min_ratio=0.2, max_ratio=0.95)
        else:
            cells = Network(network, kind="imagenet", channels=channels, num_cells=num_cells, auxiliary=False, amp=amp)
            maps = FeatureMaps(cells, head_channels)
            boxes = DefaultBoxGenerator(_ASPECT_RATIOS, scales=_SCALES)
        super().__init__(
            maps,
            boxes,
            (image_size, image_size),
            num_classes + 1,
            # The images are resized and normalised already.
            image_mean=[0.0, 0.0, 0.0],
            image_std=[1.0, 1.0, 1.0],
            _skip_resize=True,
            head=SSDLiteHead(maps.out_channels, boxes.num_anchors_per_location(), num_classes + 1, nn.BatchNorm2d),
            # As in torchvision's SSDLite.
            score_thresh=0.001,
            nms_thresh=0.55,
            detections_per_img=300,
            topk_candidates=300,
        )
        self.image_size = image_size
        if synchronize:
            synchronize_norms(self)

    @property
    def has_idle_weights(self) -> bool:
        """Whether some weights may get no gradient."""
        network: Network | StockMaps = self.backbone.network
        return network.has_idle_weights

    def compute_loss(
        self,
        targets: list[dict[str, Tensor]],
        head_outputs: dict[str, Tensor],
        anchors: list[Tensor],
        matched_idxs: list[Tensor],
    ) -> dict[str, Tensor]:
        """torchvision's losses, and the number of matches by which they were divided (if it is 0, both losses are)."""
        losses: dict[str, Tensor] = super().compute_loss(targets, head_outputs, anchors, matched_idxs)
        return losses | {"num_matched": torch.stack([(matched >= 0).sum() for matched in matched_idxs]).sum()}

    def load_backbone(self, state: Mapping[str, Tensor]) -> None:
        """Load the stem and cells of a trained classifier from its state dict, or the weights of a stock network.

        Raises:
            InputError: they do not fit this network.
        """
        if isinstance(self.backbone, LiteMaps):
            self.backbone.network.take(state)
            return
        own = {name: x for name, x in state.items() if not name.startswith(("classifier.", "auxiliary_head."))}
        try:
            self.backbone.network.load_state_dict(own)
        except RuntimeError:
            raise InputError(
                "the classifier has other cells than the detector: give both the same genotype, channels and num_cells"
            ) from None


def detector_complexity(detector: Detector) -> dict[str, Complexity]:
    """The cost of inference on one image: of "backbone", "extras" (from its features to the maps), "heads" and "all".

    Counted as in `network/complexity.py`, without decoding and suppression of boxes. Nothing is computed.
    """
    skeleton = skeleton_of(detector)
    maps, head = skeleton.backbone, skeleton.head
    images = torch.empty(1, 3, detector.image_size, detector.image_size, device="meta")
    _, backbone = _count(lambda: maps.network.features(images))
    features, backbone_and_extras = _count(lambda: maps(images))
    _, heads = _count(lambda: head(list(features.values())))
    return {
        "backbone": Complexity(_size(maps.network), backbone),
        "extras": Complexity(_size(maps) - _size(maps.network), backbone_and_extras - backbone),
        "heads": Complexity(_size(head), heads),
        "all": Complexity(_size(skeleton), backbone_and_extras + heads),
    }


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@torch.no_grad()
def _count(compute: Callable[[], Any]) -> tuple[Any, int]:
    """The result of `compute`, and its mult-adds."""
    with FlopCounterMode(display=False) as counter:
        result = compute()
    return result, counter.get_total_flops() // 2
