"""The derived network: what it builds, which images it takes, and what it refuses."""

import pytest
import torch

from pcdarts.cell.space import STEM_STRIDES
from pcdarts.cell.zoo import PUBLISHED, published
from pcdarts.errors import InputError
from pcdarts.network.network import Network

GENOTYPE = published("pc_darts_cifar10")


def make(**options) -> Network:
    torch.manual_seed(0)
    return Network(GENOTYPE, **{"channels": 4, "num_cells": 3, "num_classes": 5} | options)


@pytest.mark.parametrize("kind", ["cifar", "imagenet"])
@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_cell_gives_every_weight_a_gradient_that_its_output_depends_on(name, kind):
    network = Network(published(name), kind=kind, channels=4, num_cells=3, num_classes=5)
    logits, auxiliary_logits = network(torch.randn(2, 3, 40, 40))
    assert logits.shape == auxiliary_logits.shape == (2, 5)
    (logits.square().sum() + auxiliary_logits.square().sum()).backward()
    without = {key for key, parameter in network.named_parameters() if parameter.grad is None}
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters() if parameter.grad is not None)
    assert (
        bool(without) == network.has_idle_weights == (name == "snas_aggressive")
    )  # its reduction cell reads one input


def test_evaluation_returns_logits_alone():
    assert make().eval()(torch.randn(2, 3, 8, 8)).shape == (2, 5)
    assert make(auxiliary=False)(torch.randn(2, 3, 8, 8)).shape == (2, 5)


@pytest.mark.parametrize(
    ("kind", "height", "width"),
    [
        *(("cifar", 28, 28), ("cifar", 33, 17), ("cifar", 96, 64), ("imagenet", 64, 64), ("imagenet", 75, 100)),
        *(("stride2", 64, 64), ("stride2", 33, 17), ("stride4", 128, 128), ("stride4", 75, 50)),
    ],
)
def test_images_of_any_size_and_shape_train(kind, height, width):
    logits, auxiliary_logits = make(kind=kind, num_cells=4)(torch.randn(2, 3, height, width))
    assert logits.shape == auxiliary_logits.shape == (2, 5)


@pytest.mark.parametrize("num_cells", [1, 2, 5])
@pytest.mark.parametrize("kind", STEM_STRIDES)
def test_the_smallest_images_train_and_smaller_ones_are_refused(kind, num_cells):
    network = make(kind=kind, num_cells=num_cells)
    side = network.smallest_image_side
    logits, _ = network(torch.randn(2, 3, side, side))
    assert logits.isfinite().all()
    with pytest.raises(InputError, match=rf"{side} x {side - 1} pixels are too small.*use {side} x {side} or larger"):
        network(torch.randn(2, 3, side, side - 1))


def test_greyscale_images_and_a_single_channel_work():
    assert make(channels=1, image_channels=1).eval()(torch.randn(2, 1, 9, 9)).shape == (2, 5)


def test_colour_images_are_refused_by_a_greyscale_network():
    with pytest.raises(InputError, match=r"3 channels.*made for 1"):
        make(image_channels=1)(torch.randn(2, 3, 8, 8))


def test_a_state_dict_survives_a_round_trip():
    network, other = make(), make()
    torch.nn.init.zeros_(other.classifier.weight)
    other.load_state_dict(network.state_dict())
    images = torch.randn(2, 3, 8, 8)
    assert torch.equal(network.eval()(images), other.eval()(images))


@pytest.mark.parametrize(("kind", "side"), [("stride2", 64), ("stride4", 128)])
def test_behind_a_stem_between_the_network_is_that_for_cifar_on_smaller_maps(kind, side):
    network, cifar = make(kind=kind, num_cells=6).eval(), make(num_cells=6).eval()
    cifar.stem = network.stem
    cifar.load_state_dict(network.state_dict())
    images = torch.randn(2, 3, side, side)
    assert network.stem(images)[1].shape == (2, 12, 32, 32)
    assert torch.equal(network(images), cifar(images))


def test_memory_format_of_the_images_changes_nothing():
    images = torch.randn(2, 3, 12, 12)
    network = make().eval()
    assert torch.equal(network(images), network(images.contiguous(memory_format=torch.channels_last)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 0}, "channels is 0"),
        ({"num_cells": 0}, "num_cells is 0"),
        ({"num_classes": 1}, "num_classes is 1, but a network needs at least 2"),
        ({"image_channels": 0}, "image_channels is 0"),
        ({"kind": "cifar10"}, "kind is 'cifar10'"),
        ({"kind": "imagenet", "channels": 3}, "ImageNet stem makes 3 channels"),
        ({"drop_path": 1.0}, "drop_path is 1.0"),
    ],
)
def test_arguments_out_of_range_are_refused_by_name(options, message):
    with pytest.raises(InputError, match=message):
        make(**options)


def test_a_batch_of_one_image_cannot_train_the_auxiliary_head_of_a_cifar_network():
    with pytest.raises(InputError, match="batch of 1 image"):
        make()(torch.randn(1, 3, 32, 32))
    assert make(auxiliary=False)(torch.randn(1, 3, 32, 32)).shape == (1, 5)
    with pytest.raises(InputError, match="batch of 1 image"):
        make(kind="stride2")(torch.randn(1, 3, 64, 64))
    assert make(kind="imagenet")(torch.randn(1, 3, 64, 64))[0].shape == (1, 5)
