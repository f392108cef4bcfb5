"""Every line of the public contract, as a user would type it."""

import pytest
import torch

import pcdarts
from authors_layout import AuthorsNetwork
from per_edge_supernet import PerEdgeSupernet

PRINTED = (
    "Genotype(normal=[('sep_conv_3x3', 1), ('skip_connect', 0)], normal_concat=range(2, 3), "
    "reduce=[('max_pool_3x3', 0), ('dil_conv_5x5', 1)], reduce_concat=range(2, 3))"
)


def test_genotypes_from_text_names_and_json():
    g = pcdarts.Genotype.from_text(PRINTED)
    assert g.normal == (("sep_conv_3x3", 1), ("skip_connect", 0))
    assert g.reduce == (("max_pool_3x3", 0), ("dil_conv_5x5", 1))
    assert pcdarts.Genotype.from_json(g.to_json()) == g
    for name in ("pc_darts_cifar10", "pc_darts_imagenet", "darts_v1", "darts_v2", "p_darts", "nasnet_a", "amoebanet_a"):
        assert pcdarts.Genotype.from_text(pcdarts.published(name).to_text()) == pcdarts.published(name)


def test_a_network_gives_logits_and_in_training_auxiliary_logits():
    g = pcdarts.published("pc_darts_cifar10")
    net = pcdarts.Network(g, kind="cifar", channels=4, num_cells=3, num_classes=10, auxiliary=True)
    images = torch.randn(2, 3, 32, 32)
    logits, auxiliary_logits = net(images)
    assert logits.shape == auxiliary_logits.shape == (2, 10)
    assert net.eval()(images).shape == (2, 10)
    size = pcdarts.complexity(net, input_shape=(3, 32, 32))
    assert size.params < sum(parameter.numel() for parameter in net.parameters())
    assert size.mult_adds > 0


@pytest.mark.parametrize("channel_sampling", ["first", "random"])
def test_a_supernet_is_a_function_of_images_and_mixture(channel_sampling):
    space = pcdarts.CellSpace(num_nodes=6)
    arch = pcdarts.ArchParameters(space, edge_normalization=True)
    assert arch.alpha["normal"].shape == (14, 8)
    assert arch.beta["normal"].shape == (14,)
    supernet = pcdarts.Supernet(
        space, kind="cifar", channels=16, num_cells=3, num_classes=10, k=4, channel_sampling=channel_sampling
    )
    images = torch.randn(2, 3, 16, 16)
    logits = supernet(images, arch.mixture())
    logits.sum().backward()
    assert logits.shape == (2, 10)
    assert all(parameter.grad is not None for parameter in arch.parameters())
    assert isinstance(pcdarts.derive(arch), pcdarts.Genotype)


def test_old_checkpoints_live_on():
    g = pcdarts.published("darts_v2")
    settings = {"kind": "cifar", "channels": 4, "num_cells": 3, "num_classes": 10}
    net = pcdarts.Network(g, **settings)
    net.load_authors_state_dict(AuthorsNetwork(g, auxiliary=True, **settings).state_dict())
    supernet = pcdarts.Supernet(pcdarts.CellSpace(6), k=2, **settings)
    state = PerEdgeSupernet(k=2, **settings).state_dict()
    assert "cells.0._ops.3._ops.4.op.1.weight" in state
    supernet.load_authors_state_dict(state)
    assert torch.equal(supernet.classifier.weight, state["classifier.weight"])


def test_a_trained_network_comes_back_from_its_file(tmp_path):
    from small_classifier import BLUEPRINT, trained

    net, images = trained(), torch.rand(2, 3, 8, 8)
    pcdarts.Classifier(BLUEPRINT, net.state_dict()).save(tmp_path / "model.safetensors")
    classifier = pcdarts.load_classifier(tmp_path / "model.safetensors")  # takes pixels in [0, 1]
    assert classifier(images).shape == (2, 3)
    for again in (pcdarts.load_network(tmp_path), pcdarts.from_pretrained(tmp_path), classifier.network):
        assert isinstance(again, pcdarts.Network)
        assert torch.equal(again(images), net(images))


def test_the_primitives_are_in_the_authors_order():
    from pcdarts.cell.space import PRIMITIVES, CellSpace

    assert PRIMITIVES == (
        "none", "max_pool_3x3", "avg_pool_3x3", "skip_connect",
        "sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5",
    )  # fmt: skip
    edges = [(edge.source, edge.target) for edge in CellSpace(6).edges]
    assert edges == sorted(edges, key=lambda edge: (edge[1], edge[0]))


def test_a_run_is_read_from_python_and_used(finished_train, grey_images):
    run = pcdarts.Run(finished_train)
    assert run.path == finished_train
    assert run.config.epochs == len(run.metrics) == 5
    assert isinstance(run.genotype, pcdarts.Genotype)
    assert isinstance(run.network, pcdarts.Network)
    assert isinstance(run.classifier, pcdarts.Classifier)
    assert 0 <= run.result["test_top1_error"] <= 100
    assert run._repr_svg_().startswith("<svg")
    assert "<table>" in run._repr_html_()
    (found,) = pcdarts.predict(run, grey_images / "ant" / "0.png", top=1)
    assert found.classes[0][0] in run.classifier.blueprint.classes
    for job in (pcdarts.search, pcdarts.train, pcdarts.fit):
        with pytest.raises(pcdarts.InputError, match="there is no setting no_such_flag"):
            job(**({"folder": "photos"} if job is pcdarts.fit else {}), no_such_flag=1)


def test_every_public_name_can_be_imported_and_others_cannot():
    for name in pcdarts.__all__:
        assert getattr(pcdarts, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'SuperNet'"):
        _ = pcdarts.SuperNet
