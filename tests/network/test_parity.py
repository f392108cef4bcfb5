"""State dicts with the authors' keys load into `Network`, which then is the same function (see `authors_layout`)."""

import pytest
import torch

from authors_layout import AuthorsNetwork, with_random_statistics
from pcdarts.cell.zoo import PUBLISHED, published
from pcdarts.errors import InputError
from pcdarts.network.network import Network

SETTINGS = {"channels": 4, "num_cells": 4, "num_classes": 5}
IMAGE_SIDES = {"cifar": 32, "imagenet": 224}


def make_pair(name: str, kind: str, auxiliary: bool = True) -> tuple[AuthorsNetwork, Network]:
    """A network in the authors' layout with random weights and statistics, and ours with its state loaded."""
    torch.manual_seed(0)
    settings = SETTINGS | {"kind": kind, "auxiliary": auxiliary}
    theirs = with_random_statistics(AuthorsNetwork(published(name), **settings)).double()
    ours = Network(published(name), **settings).double()
    ours.load_authors_state_dict(theirs.state_dict())
    return theirs, ours


def draw_images(kind: str) -> torch.Tensor:
    side = IMAGE_SIDES[kind]
    return torch.randn(2, 3, side, side, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_cifar_network_gives_the_outputs_of_the_authors_layout(name):
    assert_same_outputs(*make_pair(name, "cifar"), draw_images("cifar"))


@pytest.mark.parametrize("name", ["pc_darts_imagenet", "nasnet_a", "amoebanet_a"])
def test_the_imagenet_network_gives_the_outputs_of_the_authors_layout(name):
    assert_same_outputs(*make_pair(name, "imagenet"), draw_images("imagenet"))


def assert_same_outputs(theirs: AuthorsNetwork, ours: Network, images: torch.Tensor) -> None:
    with torch.no_grad():
        torch.testing.assert_close(ours.eval()(images), theirs.eval()(images)[0], rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(ours.train()(images), theirs.train()(images), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", ["pc_darts_cifar10", "nasnet_a"])
def test_the_gradients_are_those_of_the_authors_layout(name):
    gradients = []
    for network in make_pair(name, "cifar"):
        logits, auxiliary_logits = network.train()(draw_images("cifar"))
        (logits.square().sum() + auxiliary_logits.square().sum()).backward()
        gradients.append([parameter.grad for parameter in network.parameters()])
    assert any(gradient.abs().max() > 1e-3 for gradient in gradients[0])
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("kind", ["cifar", "imagenet"])
def test_the_same_seed_draws_the_initial_weights_of_the_authors_scripts(kind):
    networks = []
    for network in (AuthorsNetwork, Network):
        torch.manual_seed(7)
        networks.append(network(published("amoebanet_a"), **SETTINGS, kind=kind, auxiliary=True))
    assert all(map(torch.equal, *(network.parameters() for network in networks)))


def test_a_checkpoint_of_data_parallel_without_batch_counters_loads():
    theirs, ours = make_pair("darts_v2", "cifar")
    state = {f"module.{key}": value for key, value in theirs.state_dict().items() if "num_batches" not in key}
    fresh = Network(published("darts_v2"), **SETTINGS).double()
    fresh.load_authors_state_dict({"epoch": 9, "state_dict": state})
    images = draw_images("cifar")
    assert torch.equal(fresh.eval()(images), ours.eval()(images))


def test_a_network_without_an_auxiliary_head_leaves_the_authors_out():
    theirs, ours = make_pair("darts_v1", "cifar")
    headless = Network(published("darts_v1"), **SETTINGS, auxiliary=False).double()
    headless.load_authors_state_dict(theirs.state_dict())
    images = draw_images("cifar")
    assert torch.equal(headless.eval()(images), ours.eval()(images))


def test_the_state_dict_of_another_genotype_is_refused():
    theirs, _ = make_pair("darts_v1", "cifar")
    with pytest.raises(InputError, match=r"does not fit this network: cells\.0\.\S+ is .*; make the network with"):
        Network(published("darts_v2"), **SETTINGS).load_authors_state_dict(theirs.state_dict())


def test_a_network_with_an_auxiliary_head_asks_for_its_weights():
    theirs, _ = make_pair("darts_v1", "cifar", auxiliary=False)
    with pytest.raises(InputError, match=r"auxiliary_head\.\S+ is missing"):
        Network(published("darts_v1"), **SETTINGS).load_authors_state_dict(theirs.state_dict())
