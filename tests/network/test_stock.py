"""Stock networks: those of the libraries, made fit for small and grey images, of any width."""

from pathlib import Path

import pytest
import torch
from torch import nn

from pcdarts.errors import InputError
from pcdarts.learn.kept import Best
from pcdarts.network.classifier import Classifier, StockBlueprint
from pcdarts.network.complexity import complexity
from pcdarts.network.stock import _WIDTHS, StockNetwork, check_stock, has_width, torchvision_names, without_data
from pcdarts.run.checkpoint import load_checkpoint, save_checkpoint

SMALL = "shufflenet_v2_x0_5"


def small(**options: object) -> StockNetwork:
    torch.manual_seed(0)
    return StockNetwork(SMALL, **{"num_classes": 3, "image_size": 16, "width": 0.2, **options})  # type: ignore[arg-type]


def last_map(network: StockNetwork, side: int) -> int:
    """The side of what the last convolution makes of an image."""
    sides: list[int] = []
    layer = [module for module in network.modules() if isinstance(module, nn.Conv2d)][-1]
    layer.register_forward_hook(lambda module, images, output: sides.append(output.shape[-1]))
    network.eval()(torch.zeros(1, network.image_channels, side, side))
    return sides[0]


@pytest.mark.parametrize(("side", "left"), [(16, 4), (28, 4), (32, 4), (64, 4), (96, 6), (128, 4), (224, 7)])
def test_the_last_map_has_four_pixels_along_its_side_or_as_many_as_the_library_gives_it(side: int, left: int) -> None:
    network = small(image_size=side)
    assert last_map(network, side) == left


def test_a_network_for_large_images_is_the_library_s_own() -> None:
    network = without_data("shufflenet_v2_x1_0", num_classes=1000, image_size=224)
    assert network.changes == []
    size = complexity(network, (3, 224, 224))
    assert size.params == 2_278_604  # as torchvision says
    assert round(size.mult_adds / 1e6) == 145


def test_strides_that_are_side_by_side_go_together() -> None:
    network = without_data("regnet_y_400mf", num_classes=3, image_size=32)
    assert "block1-0.proj.0 has stride 1 and trunk_output.block1.block1-0.f.b.0 has stride 1" in network.changes[0]


def test_what_is_changed_is_said() -> None:
    assert small(image_size=32, image_channels=1).changes == [
        "for images of 32x32 conv1.0 has stride 1 and maxpool is left out, so that its last map is 4x4 and not 1x1",
        "its first convolution (conv1.0) takes grey images",
    ]


def test_a_grey_image_gives_the_logits_of_three_equal_channels() -> None:
    colour, grey = small().eval(), small(image_channels=1).eval()
    images = torch.randn(2, 1, 16, 16)
    torch.testing.assert_close(grey(images), colour(images.expand(-1, 3, -1, -1)))


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "mnasnet0_5"])
def test_the_momentum_of_batch_norm_is_never_below_a_tenth(name: str) -> None:
    network = without_data(name, num_classes=3, image_size=32)
    norms = [module.momentum for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    assert set(norms) == {0.1}
    assert "BatchNorm's momentum is 0.1 instead of 0.0" in network.changes[-1]


def test_dropout_stays_as_the_library_has_it() -> None:
    network = without_data("mobilenet_v3_small", num_classes=3, image_size=32)
    assert [module.p for module in network.modules() if isinstance(module, nn.Dropout)] == [0.2]


@pytest.mark.parametrize("name", ["mobilenet_v3_small", SMALL, "mnasnet0_5"])
def test_a_wider_network_costs_more_and_width_1_is_the_library_s_own(name: str) -> None:
    assert has_width(name)
    half, same, twice, own = (
        complexity(without_data(name, num_classes=3, image_size=32, width=width), (3, 32, 32))
        for width in (0.5, 1.0, 2.0, None)
    )
    assert half.mult_adds < same.mult_adds < twice.mult_adds
    assert same == own


def test_a_network_without_a_width_multiplier_says_which_have_one() -> None:
    with pytest.raises(InputError, match=r"resnet18 has no width multiplier: .* one of mobilenet_v2, mobilenet_v3, "):
        check_stock("resnet18", 0.5)


def test_an_unknown_name_is_refused_with_those_that_are_close() -> None:
    with pytest.raises(InputError, match=r"no classification network mobilnet_v3_small: did you mean mobilenet_v3_"):
        check_stock("mobilnet_v3_small")
    with pytest.raises(InputError, match=r"those of timm are called timm/NAME"):
        check_stock("fasterrcnn_resnet50_fpn")


@pytest.mark.parametrize("name", ["vit_b_32", "maxvit_t"])
def test_a_network_that_cannot_take_the_image_size_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(InputError, match=rf"^the network {name} cannot take images of 32x32 pixels \(.*\): use "):
        without_data(name, num_classes=3, image_size=32)


def test_networks_of_timm_are_found_by_name_and_nothing_else_is_loaded() -> None:
    pytest.importorskip("timm")
    assert without_data("timm/lcnet_050", num_classes=3, image_size=32)(torch.zeros(1, 3, 32, 32, device="meta")).shape
    with pytest.raises(InputError, match=r"has no network lcnet_05: did you mean timm/lcnet_0"):
        check_stock("timm/lcnet_05")
    for name in ("timm/hf-hub:someone/evil", "timm/local-dir:/tmp"):
        with pytest.raises(InputError, match="has no network"):
            check_stock(name)


def test_mixed_precision_gives_logits_of_32_bits() -> None:
    network = small(amp="bf16")
    assert network.train()(torch.randn(2, 3, 16, 16)).dtype == torch.float32


@pytest.mark.parametrize("family", [*_WIDTHS, "timm/test_resnet"])
def test_what_a_run_saves_of_a_network_is_the_same_network_again(family: str, tmp_path: Path) -> None:
    name, width = family, None
    if name.startswith("timm/"):
        pytest.importorskip("timm")
    else:
        name, width = next(name for name in torchvision_names() if name.startswith(family)), 0.2
    torch.manual_seed(0)
    network = StockNetwork(name, num_classes=3, image_size=32, width=width).eval()
    best, pixels = Best(), torch.rand(1, 3, 32, 32)
    best.offer(1, {"top1_error": 50.0}, network)
    save_checkpoint(tmp_path / "checkpoint.pt", {"network": network.state_dict(), "best": best.state_dict()}, {})
    state = load_checkpoint(tmp_path / "checkpoint.pt", {})
    about = {"classes": ("a", "b", "c"), "mean": (0.0,) * 3, "std": (1.0,) * 3, "image_size": 32}
    blueprint = StockBlueprint.model_validate({**about, "stock": name, "stock_width": width})
    again = Classifier(blueprint, state["best"]["weights"]).network
    check_equal(best.copy_into(network), network, pixels)
    check_equal(again, network, pixels)
    again.load_state_dict({name: torch.zeros_like(weight) for name, weight in again.state_dict().items()})
    again.load_state_dict(state["network"])
    check_equal(again, network, pixels)


@torch.no_grad()
def check_equal(one: nn.Module, other: nn.Module, pixels: torch.Tensor) -> None:
    wanted = other.state_dict()
    assert all(torch.equal(weight, wanted[name]) for name, weight in one.state_dict().items())
    # oneDNN may add up in another order where weights lie elsewhere in memory
    torch.testing.assert_close(one(pixels), other(pixels))


def test_it_is_not_compiled() -> None:
    with pytest.raises(InputError, match="compile is for networks of cells"):
        small().compile_parts((2, 3, 16, 16))


def test_a_network_whose_own_way_to_load_wants_a_version_takes_plain_tensors() -> None:
    network = StockNetwork("mnasnet0_5", num_classes=3, image_size=32, width=0.1)
    weights = {name: torch.full_like(weight, 2) for name, weight in network.state_dict().items()}
    network.load_state_dict(weights)
    assert all((weight == 2).all() for weight in network.state_dict().values())
