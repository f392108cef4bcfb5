"""What a supernet promises beyond equalling its reference."""

import pytest
import torch

import pcdarts
from pcdarts.cell.space import CellSpace
from pcdarts.errors import InputError
from pcdarts.supernet.arch import ArchParameters
from pcdarts.supernet.edges import EdgeNorm
from pcdarts.supernet.native import cells as native
from pcdarts.supernet.plain.sampling import shuffle
from pcdarts.supernet.supernet import Supernet
from per_edge_supernet import PerEdgeSupernet

IMAGES = torch.randn(4, 3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def make(**options):
    torch.manual_seed(0)
    space = CellSpace(options.pop("num_nodes", 6))
    arch = ArchParameters(space).double()
    for parameter in arch.parameters():
        parameter.data.normal_()
    settings = {"channels": 8, "num_cells": 3, "num_classes": 5, **options}
    return Supernet(space, **settings).double(), arch


def authors_supernet(**options):
    """A supernet as the authors' scripts write it, with the state of a trained one."""
    settings = {"kind": "cifar", "channels": 8, "num_cells": 3, "num_classes": 5, "k": 4, **options}
    theirs = PerEdgeSupernet(**settings).double()
    for name, buffer in theirs.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.3)
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 2)
    return theirs


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("kind", "k", "num_nodes"), [("cifar", 4, 6), ("cifar", 1, 6), ("cifar", 2, 5), ("imagenet", 2, 6)]
)
def test_a_state_dict_of_the_authors_gives_the_authors_outputs(kind, k, num_nodes, training):
    ours, arch = make(kind=kind, k=k, num_nodes=num_nodes)
    theirs = authors_supernet(kind=kind, k=k, num_nodes=num_nodes).train(training)
    images = IMAGES if kind == "cifar" else IMAGES.repeat(1, 1, 2, 2)
    ours.train(training).load_authors_state_dict(theirs.state_dict())
    mixture = arch.mixture()
    torch.testing.assert_close(
        ours(images, mixture), theirs(images, mixture.op_weights, mixture.edge_weights), rtol=1e-9, atol=1e-10
    )


def test_training_updates_running_statistics_as_the_authors_modules_do():
    ours, arch = make()
    theirs = authors_supernet()
    ours.load_authors_state_dict(theirs.state_dict())
    mixture = arch.mixture()
    for _ in range(2):
        ours(IMAGES, mixture)
        theirs(IMAGES, mixture.op_weights, mixture.edge_weights)
    again, _ = make()
    again.load_authors_state_dict(theirs.state_dict())
    for (name, statistics), expected in zip(ours.named_buffers(), again.buffers(), strict=True):
        torch.testing.assert_close(statistics, expected, msg=name)


def test_an_authors_state_dict_of_another_size_is_refused_and_nothing_is_loaded():
    ours, _ = make()
    before = {name: tensor.clone() for name, tensor in ours.state_dict().items()}
    state = authors_supernet().state_dict()
    del state["cells.1._ops.3._ops.4.op.1.weight"]
    with pytest.raises(InputError, match=r"cells\.1\.operations\.sep_conv_3x3\.first\.depthwise is missing"):
        ours.load_authors_state_dict(state)
    with pytest.raises(InputError, match="does not fit"):
        ours.load_authors_state_dict(authors_supernet(channels=16).state_dict())
    for name, tensor in ours.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_our_own_state_dict_restores_the_outputs_exactly():
    ours, arch = make()
    ours(IMAGES, arch.mixture())
    other, _ = make()
    for parameter in other.parameters():
        parameter.data.normal_()
    other.load_state_dict(ours.state_dict())
    assert torch.equal(ours.eval()(IMAGES, arch.mixture()), other.eval()(IMAGES, arch.mixture()))


@pytest.mark.parametrize("channels", [8, 64])
def test_a_shuffle_of_the_node_equals_one_on_every_edge(channels):
    first, second = torch.randn(2, 3, channels, 4, 4).unbind()
    on_edges = torch.nn.functional.channel_shuffle
    expected = 0.3 * on_edges(first, 4) + 0.7 * on_edges(second, 4)
    torch.testing.assert_close(shuffle(0.3 * first + 0.7 * second, 4), expected)
    torch.testing.assert_close(shuffle(shuffle(first, 4), channels // 4), first)


def test_random_sampling_draws_a_fresh_mask_for_every_edge_and_call():
    supernet, arch = make(channel_sampling="random", channels=16)
    masks = supernet.draw_masks()
    assert all(mask.sum(dim=1).eq(mask.shape[1] // 4).all() for mask in masks)
    assert all(len(mask.unique(dim=0)) > 1 for mask in masks)
    assert not torch.equal(masks[0], supernet.draw_masks()[0])
    mixture = arch.mixture()
    assert not torch.allclose(supernet(IMAGES, mixture), supernet(IMAGES, mixture))
    torch.manual_seed(3)
    once = supernet(IMAGES, mixture)
    torch.manual_seed(3)
    assert torch.equal(supernet(IMAGES, mixture), once)


def test_every_channel_is_sampled_equally_often():
    supernet, _ = make(channel_sampling="random")
    draw = torch.Generator().manual_seed(0)
    counts = sum(supernet.draw_masks(draw)[0].double().sum(dim=0) for _ in range(300))
    share = counts / counts.sum()
    torch.testing.assert_close(share, torch.full_like(share, 1 / 8), rtol=0.1, atol=0)


def test_the_mask_of_the_first_channels_is_random_sampling_without_the_shuffle():
    supernet, arch = make(k=1)
    full = [torch.ones(14, cell.plan.channels, dtype=torch.bool) for cell in supernet.cells]
    torch.testing.assert_close(supernet(IMAGES, arch.mixture(), full), supernet(IMAGES, arch.mixture()))


def test_no_gradient_flows_through_none():
    supernet, arch = make()
    arch.mixture()
    op_weights = {kind: torch.rand(14, 8, dtype=torch.float64, requires_grad=True) for kind in ("normal", "reduce")}
    mixture = pcdarts.Mixture(op_weights, arch.mixture().edge_weights)
    supernet(IMAGES, mixture).square().sum().backward()
    for weights in op_weights.values():
        assert weights.grad[:, 0].eq(0).all()
        assert weights.grad[:, 1:].ne(0).all()


def test_batch_norms_in_the_cells_have_no_affine_parameters():
    supernet, _ = make()
    assert any(isinstance(module, EdgeNorm) for module in supernet.modules())
    for cell in supernet.cells:
        for module in cell.modules():
            if isinstance(module, EdgeNorm):
                assert not list(module.parameters())
            if isinstance(module, torch.nn.BatchNorm2d):
                assert not module.affine


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 3}, r"k is 3, but it must divide channels \(8\)"),
        ({"k": 0}, "k is 0"),
        ({"num_cells": 0}, "num_cells"),
        ({"num_classes": 1}, "num_classes"),
        ({"channel_sampling": "last"}, "channel_sampling"),
    ],
)
def test_a_supernet_that_cannot_be_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        make(**options)


@pytest.mark.parametrize("kernels", ["plain", "auto"])
def test_masks_and_mixtures_of_another_shape_are_refused_by_all_kernels(kernels):
    supernet, arch = make(num_nodes=5, channel_sampling="random", kernels=kernels)
    masks = supernet.draw_masks()
    supernet(IMAGES, arch.mixture(), masks)
    for wrong in (torch.zeros_like(masks[1]), torch.ones_like(masks[1]), masks[1][:8], masks[1][0]):
        with pytest.raises(InputError, match="mask of cell 1 must select 4 of 16 channels on each of 9 edges"):
            supernet(IMAGES, arch.mixture(), [masks[0], wrong, masks[2]])
    with pytest.raises(InputError, match="there are 2 masks, but 3 cells"):
        supernet(IMAGES, arch.mixture(), masks[:2])
    with pytest.raises(InputError, match=r"weights of shape \(2, 8\), but the supernet's cells have 9 edges"):
        supernet(IMAGES, ArchParameters(CellSpace(3)).mixture())
    mixture = arch.mixture()
    with pytest.raises(InputError, match=r"weights of shape \(9,\), but"):
        supernet(IMAGES, pcdarts.Mixture(mixture.edge_weights, mixture.edge_weights))


@pytest.mark.parametrize(
    ("active", "message"),
    [
        (
            torch.ones(14, 8),
            r'active\["normal"\] .* must be boolean \[14, 8\] on the CPU, but is torch.float32 \[14, 8\]',
        ),
        (
            torch.ones(9, 8, dtype=torch.bool),
            r"must be boolean \[14, 8\] on the CPU, but is torch.bool \[9, 8\] on cpu",
        ),
        (
            torch.arange(14 * 8).view(14, 8) != 21,
            "on edge 2 of the normal cells sep_conv_5x5 is not active, but has the",
        ),
    ],
)
def test_a_mixture_at_odds_with_what_it_calls_active_is_refused(active, message):
    supernet, arch = make()
    mixture = arch.mixture()
    with pytest.raises(InputError, match=message):
        supernet(
            IMAGES, pcdarts.Mixture(mixture.op_weights, mixture.edge_weights, {"normal": active, "reduce": active})
        )


def test_only_the_plain_kernels_take_statistics_over_processes():
    assert make(synchronize=True)[0].kernels == "plain"
    if native.available():
        with pytest.raises(InputError, match='kernels is "native", but these take batch statistics of one process'):
            make(synchronize=True, kernels="native")


@pytest.mark.parametrize("kernels", ["plain", "auto"])
def test_a_batch_without_images_is_refused(kernels):
    supernet, arch = make(kernels=kernels)
    with pytest.raises(InputError, match="the batch holds no images, but a network needs 1 or more"):
        supernet(IMAGES[:0], arch.mixture())


def test_images_that_are_too_small_are_refused():
    supernet, arch = make()
    with pytest.raises(InputError, match="too small"):
        supernet(IMAGES[:, :, :2, :2], arch.mixture())


def test_greyscale_images_and_any_number_of_classes():
    supernet, arch = make(image_channels=1, num_classes=7)
    assert supernet(IMAGES[:, :1], arch.mixture()).shape == (4, 7)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("channel_sampling", ["first", "random"])
def test_a_gpu_gives_the_outputs_and_gradients_of_the_cpu(channel_sampling):
    supernet, arch = make(channel_sampling=channel_sampling)
    masks = supernet.draw_masks() if channel_sampling == "random" else None
    results = []
    for device in ("cpu", "cuda"):
        supernet.to(device), arch.to(device)
        on_device = None if masks is None else [mask.to(device) for mask in masks]
        logits = supernet(IMAGES.to(device), arch.mixture(), on_device)
        gradients = torch.autograd.grad(logits.square().sum(), [*supernet.parameters(), *arch.parameters()])
        results.append([tensor.cpu() for tensor in (logits, *gradients)])
    for on_cpu, on_gpu in zip(*results, strict=True):
        torch.testing.assert_close(on_gpu, on_cpu, rtol=1e-7, atol=1e-9)
