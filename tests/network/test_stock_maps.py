"""The maps of a stock network that a detector reads."""

import pytest
import torch
from torch import nn
from torchvision.models.detection.ssdlite import _mobilenet_extractor

from pcdarts.errors import InputError
from pcdarts.network.stock import StockNetwork
from pcdarts.network.stock_maps import StockMaps

SMALL = "mobilenet_v3_small"


def test_of_a_mobilenet_it_reads_what_torchvision_s_ssdlite_reads() -> None:
    maps = StockMaps(SMALL, image_size=64).eval()
    theirs = _mobilenet_extractor(maps.model, 6, nn.BatchNorm2d).eval()
    images = torch.randn(2, 3, 64, 64)
    for ours, expected in zip(maps.features(images), list(theirs(images).values())[:2], strict=True):
        assert torch.equal(ours, expected)


@pytest.mark.parametrize(("name", "channels"), [("timm/mobilenetv2_100", [576, 1280]), ("timm/resnet18", [256, 512])])
def test_a_network_of_timm_gives_its_last_maps_of_strides_16_and_32(name: str, channels: list[int]) -> None:
    """Those of MobileNetV2 are the expanded map and the last one, as in its paper (Sandler et al., 2018, Sec. 6.2)."""
    pytest.importorskip("timm")
    maps = StockMaps(name, image_size=96).to("meta").eval()
    assert maps.feature_channels == channels
    sides = [tuple(map_.shape[1:]) for map_ in maps.features(torch.empty(1, 3, 96, 96, device="meta"))]
    assert sides == [(channels[0], 6, 6), (channels[1], 3, 3)]


def test_nothing_is_left_that_only_makes_logits() -> None:
    maps = StockMaps(SMALL, image_size=64, amp="bf16")
    assert not [name for name in maps.state_dict() if name.startswith("model.classifier")]
    found = maps.features(torch.randn(2, 3, 64, 64))
    assert {map_.dtype for map_ in found} == {torch.float32}  # in mixed precision too
    sum(map_.square().mean() for map_ in found).backward()
    assert all(parameter.grad is not None for parameter in maps.parameters())
    assert not maps.has_idle_weights
    maps.model.apart = nn.Linear(2, 2)
    assert maps.has_idle_weights


def test_it_takes_the_weights_of_the_whole_network() -> None:
    network = StockNetwork(SMALL, num_classes=7)
    maps = StockMaps(SMALL, image_size=64)
    assert maps.changes == network.changes[-1:]  # of BatchNorm's momentum
    maps.take(network.model.state_dict())
    assert all(torch.equal(weight, network.state_dict()[name]) for name, weight in maps.state_dict().items())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("squeezenet1_1", "the network squeezenet1_1 has no maps of strides 16 and 32 for images of 64x64 pixels"),
        ("mobilenet_v9", "torchvision has no classification network mobilenet_v9: did you mean mobilenet_v"),
    ],
)
def test_a_network_without_these_maps_is_refused_in_one_line(name: str, message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}"):
        StockMaps(name, image_size=64)
