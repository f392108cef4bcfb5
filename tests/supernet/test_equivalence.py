"""The supernet of the search equals the literal Eqs. (1) and (2): outputs and every gradient, in float64."""

import hashlib

import pytest
import torch
from torch import Tensor

from command_line import leaves
from pcdarts.cell.space import CellSpace
from pcdarts.supernet import reference
from pcdarts.supernet.arch import ArchParameters, Mixture
from pcdarts.supernet.edges import EdgeNorm
from pcdarts.supernet.native import build, target
from pcdarts.supernet.native import cells as native
from pcdarts.supernet.supernet import Supernet


@pytest.fixture(params=["plain", *target.targets()], autouse=True)
def kernels(request):
    """Every test is one of the plain kernels, and of the native ones at every width that this machine can run.

    One kernel after the other for each case, so that `of_the_reference` knows the answer for all but the first.
    """
    make.kernels = "plain" if request.param == "plain" else "native"
    if request.param == "plain":
        yield
        return
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(target.VARIABLE, request.param)
        build.load.cache_clear()
        if not native.available():
            pytest.skip("no C++ compiler here")
        yield
    build.load.cache_clear()


def make(k=4, *, nodes=6, sampling="first", kind="cifar", channels=8, edge_normalization=True):
    """Three cells: a normal one, a reduction cell, and a reduction cell whose first input is halved."""
    torch.manual_seed(k + nodes)
    space = CellSpace(nodes)
    arch = ArchParameters(space, edge_normalization).double()
    for parameter in arch.parameters():
        parameter.data.normal_()
    supernet = Supernet(
        space,
        kind=kind,
        channels=channels,
        num_cells=3,
        num_classes=4,
        k=k,
        channel_sampling=sampling,
        kernels=make.kernels,
    )
    return supernet.double(), arch


def draw_images(*size: int, count: int = 3) -> Tensor:
    return torch.randn(count, 3, *(size or (8, 8)), dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def outputs_and_gradients(function, supernet, arch, images):
    images = images.clone().requires_grad_()
    logits = function(images, arch.mixture())
    weighting = torch.linspace(-1, 1, logits.numel(), dtype=logits.dtype).view_as(logits)
    named = {"images": images, **dict(supernet.named_parameters()), **dict(arch.named_parameters())}
    loss = (logits * weighting).sum() + (logits**2).sum()
    gradients = torch.autograd.grad(loss, list(named.values()), materialize_grads=True)
    return logits, dict(zip(named, gradients, strict=True))


KNOWN: dict[str, tuple[Tensor, dict[str, Tensor]]] = {}


def of_the_reference(supernet, arch, images, masks=None, chosen=lambda mixture: mixture):
    """What the literal equations give, which is slow: computed once for all that is equal to the last bit."""
    mixture = chosen(arch.mixture())
    given = [supernet.state_dict(), images, masks, mixture.op_weights, mixture.edge_weights, mixture.active]
    sha = hashlib.sha256(repr((supernet.training, [cell.k for cell in supernet.cells])).encode())
    for path, value in leaves("", given):
        sha.update(path.encode())
        sha.update(value.detach().numpy().tobytes() if isinstance(value, Tensor) else repr(value).encode())
    key = sha.hexdigest()
    if key not in KNOWN:
        KNOWN[key] = outputs_and_gradients(
            lambda images, mixture: reference.supernet(supernet, images, chosen(mixture), masks), supernet, arch, images
        )
    return KNOWN[key]


def check_against_the_reference(supernet, arch, images, masks=None, chosen=lambda mixture: mixture):
    """`chosen` makes the mixture that is meant of that of `arch`."""
    expected_logits, expected_gradients = of_the_reference(supernet, arch, images, masks, chosen)
    logits, gradients = outputs_and_gradients(
        lambda images, mixture: supernet(images, chosen(mixture), masks), supernet, arch, images
    )
    torch.testing.assert_close(logits, expected_logits, rtol=1e-9, atol=1e-10)
    for name, expected in expected_gradients.items():
        scale = expected.abs().max().item()
        torch.testing.assert_close(
            gradients[name], expected, rtol=1e-7, atol=1e-9 * (1 + scale), msg=lambda text, name=name: f"{name}: {text}"
        )


@pytest.mark.parametrize("sampling", ["first", "random"])
@pytest.mark.parametrize("k", [1, 2, 4, 8])
def test_every_k_equals_the_reference(k, sampling):
    supernet, arch = make(k, sampling=sampling)
    check_against_the_reference(supernet, arch, draw_images(), supernet.draw_masks() if sampling == "random" else None)


@pytest.mark.parametrize("sampling", ["first", "random"])
@pytest.mark.parametrize("nodes", [3, 5, 7])
def test_every_number_of_nodes_equals_the_reference(nodes, sampling):
    supernet, arch = make(nodes=nodes, sampling=sampling)
    check_against_the_reference(supernet, arch, draw_images(), supernet.draw_masks() if sampling == "random" else None)


@pytest.mark.parametrize("size", [(7, 7), (9, 6), (5, 11)])
def test_odd_sizes_equal_the_reference(size):
    supernet, arch = make()
    check_against_the_reference(supernet, arch, draw_images(*size))


def test_more_images_than_a_vector_holds_equal_the_reference():
    supernet, arch = make()
    check_against_the_reference(supernet, arch, draw_images(6, 6, count=18))


def test_an_odd_number_of_sampled_channels_equals_the_reference():
    supernet, arch = make(k=2, channels=6)
    check_against_the_reference(supernet, arch, draw_images())


def test_a_single_sampled_channel_equals_the_reference():
    supernet, arch = make(k=4, channels=4)
    check_against_the_reference(supernet, arch, draw_images())


@pytest.mark.parametrize(("kind", "size"), [("stride2", (13, 16)), ("stride4", (24, 18)), ("imagenet", (40, 32))])
def test_every_stem_equals_the_reference(kind, size):
    supernet, arch = make(k=2, kind=kind, channels=4)
    check_against_the_reference(supernet, arch, draw_images(*size))


@pytest.mark.parametrize("k", [1, 4])
def test_a_plain_sum_over_edges_equals_the_reference(k):
    supernet, arch = make(k, edge_normalization=False)
    check_against_the_reference(supernet, arch, draw_images())


@pytest.mark.parametrize("sampling", ["first", "random"])
def test_evaluation_with_running_statistics_equals_the_reference(sampling):
    supernet, arch = make(sampling=sampling)
    for module in supernet.modules():
        if isinstance(module, EdgeNorm):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
    check_against_the_reference(
        supernet.eval(), arch, draw_images(), supernet.draw_masks() if sampling == "random" else None
    )


def test_a_constant_mixture_trains_the_weights_alike():
    supernet, arch = make()
    mixture = arch.mixture().detach()
    for function in (supernet, lambda images, mixture: reference.supernet(supernet, images, mixture)):
        function(draw_images(), mixture).square().sum().backward()
    gradients = [parameter.grad.clone() for parameter in supernet.parameters()]
    supernet.zero_grad()
    supernet(draw_images(), mixture).square().sum().backward()
    for parameter, doubled in zip(supernet.parameters(), gradients, strict=True):
        torch.testing.assert_close(2 * parameter.grad, doubled, rtol=1e-7, atol=1e-9)
    assert all(parameter.grad is None for parameter in arch.parameters())


@pytest.mark.parametrize("wanted", ["arch", "images", "weights"])
@pytest.mark.parametrize("sampling", ["first", "random"])
def test_gradients_of_one_kind_alone_are_those_of_all_together(wanted, sampling):
    supernet, arch = make(sampling=sampling)
    masks = supernet.draw_masks() if sampling == "random" else None
    images = draw_images().requires_grad_()
    kinds = {"arch": list(arch.parameters()), "images": [images], "weights": list(supernet.parameters())}

    def gradients(of):
        return torch.autograd.grad(supernet(images, arch.mixture(), masks).square().sum(), of)

    expected = gradients(kinds[wanted])
    for kind, tensors in kinds.items():
        for tensor in tensors:
            tensor.requires_grad_(kind == wanted)
    for found, wanted_gradient in zip(gradients(kinds[wanted]), expected, strict=True):
        torch.testing.assert_close(found, wanted_gradient, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(("k", "channels"), [(4, 16), (2, 40), (1, 20)])
def test_float32_is_close_to_the_reference_in_float64(k, channels):
    """Other kernels than in float64, and blocks of 4 to 40 channels: few as one product, many as groups."""
    supernet, arch = make(k, channels=channels)
    expected, expected_gradients = of_the_reference(supernet, arch, draw_images())
    logits, gradients = outputs_and_gradients(supernet.float(), supernet, arch.float(), draw_images().float())
    torch.testing.assert_close(logits.double(), expected, rtol=1e-3, atol=1e-3)
    for name, gradient in gradients.items():
        error = (gradient - expected_gradients[name]).norm() / (1e-6 + expected_gradients[name].norm())
        assert error < 1e-2, name


def test_a_backward_pass_can_be_repeated():
    supernet, arch = make()
    loss = supernet(draw_images(), arch.mixture()).square().sum()
    first = torch.autograd.grad(loss, list(arch.parameters()), retain_graph=True)
    second = torch.autograd.grad(loss, list(arch.parameters()))
    for once, again in zip(first, second, strict=True):
        assert torch.equal(once, again)


def only(chosen: Tensor, says_so: bool = False):
    """Of a mixture, the operations that a boolean [edges, primitives] chooses, with the weights that they had."""

    def chosen_of(mixture: Mixture) -> Mixture:
        weights = {kind: weights * chosen for kind, weights in mixture.op_weights.items()}
        return Mixture(weights, mixture.edge_weights, dict.fromkeys(weights, chosen) if says_so else None)

    return chosen_of


CHOICES = {
    "one operation on every edge": torch.eye(8, dtype=torch.bool)[torch.arange(14) * 3 % 8],  # on two edges it is none
    "half of the operations": torch.arange(14 * 8).view(14, 8) * 7 % 5 < 2,
    "convolutions alone": torch.tensor([[False] * 4 + [True] * 4]).repeat(14, 1),
    "all but convolutions": torch.tensor([[True] * 4 + [False] * 4]).repeat(14, 1),
    "one edge into each node": torch.tensor([edge in (0, 2, 7, 12) for edge in range(14)])[:, None].repeat(1, 8),
    "nothing but none": torch.tensor([[True] + [False] * 7]).repeat(14, 1),
}


@pytest.mark.parametrize("sampling", ["first", "random"])
@pytest.mark.parametrize("choice", CHOICES)
def test_operations_of_weight_zero_are_absent_as_in_the_reference(choice, sampling):
    supernet, arch = make(sampling=sampling)
    masks = supernet.draw_masks() if sampling == "random" else None
    check_against_the_reference(supernet, arch, draw_images(), masks, only(CHOICES[choice]))


@pytest.mark.parametrize("k", [1, 2])
def test_one_operation_on_every_edge_equals_the_reference_for_other_k_and_sizes(k):
    supernet, arch = make(k)
    chosen = only(CHOICES["one operation on every edge"], says_so=True)
    check_against_the_reference(supernet, arch, draw_images(7, 9, count=18), chosen=chosen)


def test_one_operation_on_every_edge_equals_the_reference_in_evaluation():
    supernet, arch = make()
    for module in supernet.modules():
        if isinstance(module, EdgeNorm):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
    check_against_the_reference(supernet.eval(), arch, draw_images(), chosen=only(CHOICES["half of the operations"]))


def test_what_is_absent_changes_nothing_in_what_is_there():
    """A mixture that weighs the same operations, but has all others computed: they are active with the weight zero."""
    supernet, arch = make()
    chosen = CHOICES["half of the operations"]

    def all_active(mixture):
        few = only(chosen)(mixture)
        return Mixture(few.op_weights, few.edge_weights, dict.fromkeys(few.op_weights, torch.ones_like(chosen)))

    found, gradients = outputs_and_gradients(
        lambda images, mixture: supernet(images, only(chosen)(mixture)), supernet, arch, draw_images()
    )
    expected, expected_gradients = outputs_and_gradients(
        lambda images, mixture: supernet(images, all_active(mixture)), supernet, arch, draw_images()
    )
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected_gradients[name], rtol=1e-7, atol=1e-8)


def test_the_weight_of_what_is_absent_has_no_gradient_and_of_what_is_active_it_has():
    supernet, arch = make()
    chosen = CHOICES["one operation on every edge"]
    for active in (chosen, torch.ones_like(chosen)):
        weights = {kind: chosen.double().requires_grad_() for kind in ("normal", "reduce")}
        mixture = Mixture(weights, arch.mixture().detach().edge_weights, dict.fromkeys(weights, active))
        supernet(draw_images(), mixture).square().sum().backward()
        for tensor in weights.values():
            assert torch.equal(tensor.grad[:, 1:] != 0, active[:, 1:])


def test_what_is_absent_keeps_its_running_statistics_and_the_others_move_as_ever():
    supernet, arch = make()
    chosen = CHOICES["one operation on every edge"]
    before = {name: value.clone() for name, value in supernet.named_buffers() if ".operations." in name}
    supernet(draw_images(), only(chosen)(arch.mixture()))
    kinds = {"max_pool": 1, "avg_pool": 2, "reduced_skip": 3, "sep_conv_3": 4, "sep_conv_5": 5, "dil_conv_3": 6}
    moved = 0
    for name, value in supernet.named_buffers():
        if ".running_" not in name or ".operations." not in name:
            continue
        primitive = next((place for kind, place in kinds.items() if kind in name), 7)
        edges = supernet.cells[int(name.split(".")[1])].strided_edges if primitive == 3 else range(14)
        changed = (value != before[name]).any(dim=1).tolist()
        assert changed == [bool(chosen[edge, primitive]) for edge in edges], name
        moved += sum(changed)
    assert moved > 0
