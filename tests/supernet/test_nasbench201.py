"""The supernet of NAS-Bench-201: the plain path equals the reference, and both the network of a single cell."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from pcdarts.cell.derive import derive, random_genotype
from pcdarts.cell.space import NASBENCH201, CellSpace
from pcdarts.cell.stem import ResidualBlock
from pcdarts.errors import InputError
from pcdarts.network.network import Network
from pcdarts.supernet import reference
from pcdarts.supernet.arch import ArchParameters, Mixture, SkipDropout
from pcdarts.supernet.supernet import Supernet

IMAGES = torch.randn(3, 3, 9, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
SOME = torch.tensor([[(column + edge) % 3 != 0 for column in range(5)] for edge in range(6)])


def make(k=2, sampling="first", edge_normalization=True):
    torch.manual_seed(k)
    arch = ArchParameters(NASBENCH201, edge_normalization).double()
    for parameter in arch.parameters():
        parameter.data.normal_()
    supernet = Supernet(NASBENCH201, channels=4, num_cells=3, num_classes=3, k=k, channel_sampling=sampling)
    return supernet.double(), arch


def compare(supernet, arch, chosen=lambda mixture: mixture):
    masks = supernet.draw_masks() if supernet.samples_randomly else None
    inputs = [IMAGES.clone().requires_grad_(), *arch.parameters(), *supernet.parameters()]
    found = []
    for compute in (supernet, lambda *given: reference.supernet(supernet, *given)):
        logits = compute(inputs[0], chosen(arch.mixture()), masks)
        weighting = torch.linspace(-1, 1, logits.numel(), dtype=logits.dtype).view_as(logits)
        loss = (logits * weighting).sum() + logits.square().sum()
        found.append([logits, *torch.autograd.grad(loss, inputs, materialize_grads=True)])
    for ours, literal in zip(*found, strict=True):
        torch.testing.assert_close(ours, literal, rtol=1e-9, atol=1e-9)
    return found[0]


@pytest.mark.parametrize("edge_normalization", [True, False])
@pytest.mark.parametrize(("k", "sampling"), [(1, "first"), (2, "first"), (4, "first"), (2, "random")])
def test_plain_equals_the_reference_in_outputs_and_all_gradients(k, sampling, edge_normalization):
    supernet, arch = make(k, sampling, edge_normalization)
    found = compare(supernet, arch)
    assert all(gradient.ne(0).any() for gradient in found[1:])


@pytest.mark.parametrize("sampling", ["first", "random"])
def test_operations_of_weight_zero_are_absent_as_in_the_reference(sampling):
    def some(mixture):
        return replace(mixture, op_weights={"normal": mixture.op_weights["normal"] * SOME})

    compare(*make(2, sampling), some)


@pytest.mark.parametrize("sampling", ["first", "random"])
def test_an_active_operation_of_weight_zero_has_a_gradient_as_in_the_reference(sampling):
    def one_hot(mixture):
        weights = mixture.op_weights["normal"] * torch.eye(5, 5)[[1, 2, 3, 4, 0, 2]]
        return Mixture({"normal": weights}, mixture.edge_weights, active={"normal": SOME | weights.ne(0)})

    compare(*make(2, sampling), one_hot)


@pytest.mark.parametrize("sampling", ["first", "random"])
def test_dropout_behind_skips_equals_the_reference(sampling):
    def dropped(mixture):
        return replace(mixture, skip_dropout=SkipDropout(0.4, torch.Generator().manual_seed(1)))

    compare(*make(2, sampling), dropped)


def test_one_operation_on_every_edge_is_the_network_of_that_cell():
    torch.manual_seed(0)
    supernet, _ = make(1)
    for seed in range(4):
        genotype = random_genotype(NASBENCH201, seed)
        chosen = [NASBENCH201.primitives.index(primitive) for primitive, _ in genotype.normal]
        mixture = Mixture(
            {"normal": torch.eye(5, dtype=torch.float64)[chosen]}, {"normal": torch.ones(6, dtype=torch.float64)}
        )
        network = Network(genotype, channels=4, num_cells=3, num_classes=3, auxiliary=False).double()
        lacking = network.load_state_dict(weights_of(supernet, genotype), strict=False)
        assert not lacking.unexpected_keys
        assert all(".ops." in name and ".2." in name for name in lacking.missing_keys)  # BatchNorms as they begin
        torch.testing.assert_close(network(IMAGES), supernet(IMAGES, mixture), rtol=1e-9, atol=1e-9)


def weights_of(supernet: Supernet, genotype) -> dict[str, torch.Tensor]:
    """What a network of a genotype has of a supernet's weights; its own BatchNorms begin as the identity's."""
    state = {}
    for name, value in supernet.state_dict().items():
        before, _, after = name.partition(".modules_of_edges.edges.")
        edge, _, operation = after.partition(".")
        if not after:
            state[name] = value
        elif operation.startswith(genotype.normal[int(edge)][0]):
            state[f"{before}.ops.{edge}.{operation.partition('.')[2]}"] = value
    return state


def test_it_normalises_by_the_batch_in_evaluation_too():
    supernet, arch = make()
    mixture = arch.mixture()
    assert not [name for name, _ in supernet.named_buffers() if "running" in name and "modules_of_edges" in name]
    trained = supernet.eval()(IMAGES, mixture)
    torch.testing.assert_close(trained, reference.supernet(supernet, IMAGES, mixture), rtol=1e-9, atol=1e-9)
    assert not torch.allclose(supernet(IMAGES[:2], mixture), trained[:2])


def test_its_pools_are_bare_and_its_network_is_the_benchmarks():
    supernet, _ = make(1)
    assert all(isinstance(edge["avg_pool_3x3"], nn.AvgPool2d) for edge in supernet.cells[0].modules_of_edges.edges)
    assert (supernet.stem[0].out_channels, supernet.classifier.in_features) == (4, 16)
    assert [type(cell.preprocess1) for cell in supernet.cells] == [nn.Identity, ResidualBlock, ResidualBlock]


def test_weights_that_a_pass_leaves_out_have_gradients_of_zero_and_so_has_a_mixture_of_nothing():
    supernet, _ = make(1)
    nothing = torch.eye(5, dtype=torch.float64)[[0] * 6].requires_grad_()
    mixture = Mixture(
        {"normal": nothing}, {"normal": torch.ones(6, dtype=torch.float64)}, active={"normal": nothing > 0}
    )
    learning = [nothing, *supernet.parameters()]
    gradients = torch.autograd.grad(supernet(IMAGES, mixture).square().sum(), learning)  # of every one of them
    names = ["mixture", *(name for name, _ in supernet.named_parameters())]
    moved = {name for name, gradient in zip(names, gradients, strict=True) if gradient.any()}
    assert moved == {"classifier.weight", "classifier.bias", "closing.0.weight", "closing.0.bias"} & moved
    assert "classifier.bias" in moved
    for parameter in supernet.parameters():
        parameter.requires_grad_(False)
    (gradient,) = torch.autograd.grad(supernet(IMAGES, mixture).sum(), [nothing])  # as in the step of α
    assert not gradient.any()


def test_the_same_holds_where_the_reference_computes_a_space():
    space = CellSpace(3, primitives=("skip_connect", "conv_1x1"))
    supernet = Supernet(space, channels=2, num_cells=1, k=1, num_classes=2)
    skips = {kind: torch.eye(2)[[0, 0]] for kind in space.kinds}
    supernet(IMAGES.float(), Mixture(skips, {kind: torch.ones(2) for kind in space.kinds})).sum().backward()
    assert all(parameter.grad is not None for parameter in supernet.parameters())


def test_mixed_precision_is_close_to_float32():
    supernet, arch = make()
    supernet, mixture, images = supernet.float(), arch.float().mixture(), IMAGES.float()
    expected = supernet(images, mixture)
    supernet.amp = "bf16"
    found = supernet(images, mixture)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0.1, atol=0.1)


def test_a_cell_is_derived_and_none_may_win_an_edge():
    _, arch = make()
    arch.alpha["normal"].data[2, 0] = 9
    genotype = derive(arch)
    assert genotype.normal[2] == ("none", 1)
    assert genotype.to_text().startswith("|")


def test_what_it_cannot_do_is_refused_in_one_line():
    supernet, _ = make()
    assert supernet.kernels == "plain"
    with pytest.raises(InputError, match='kernels is "native", but these compute the cells of the paper alone'):
        supernet.kernels = "native"
    with pytest.raises(InputError, match="is on, but a supernet of NAS-Bench-201 takes batch statistics of one"):
        Supernet(NASBENCH201, num_cells=3, synchronize=True)
    with pytest.raises(InputError, match="num_cells is 8, but a network of NAS-Bench-201 has equally many cells"):
        Supernet(NASBENCH201)
