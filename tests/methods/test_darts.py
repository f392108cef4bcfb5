"""The architecture gradient: finite differences against the exact second-order gradient."""

import pytest
import torch
import torch.nn.functional as F
from torch.func import functional_call

from pcdarts.cell.space import CellSpace
from pcdarts.methods.darts import first_order_gradients, second_order_gradients
from pcdarts.methods.method import Batch
from pcdarts.supernet import reference
from pcdarts.supernet.arch import ArchParameters
from pcdarts.supernet.supernet import Supernet
from small_task import task_of


@pytest.fixture(params=["first", "random"])
def problem(request):
    torch.manual_seed(0)
    space = CellSpace(4)
    arch = ArchParameters(space).double()
    for parameter in arch.parameters():
        parameter.data.normal_()
    supernet = Supernet(space, channels=4, num_cells=3, num_classes=3, k=2, channel_sampling=request.param).double()
    batches = []
    for _ in range(2):
        masks = supernet.draw_masks() if request.param == "random" else None
        batches.append(Batch(torch.randn(4, 3, 8, 8).double(), torch.randint(3, (4,)), masks))
    optimizer = torch.optim.SGD(supernet.parameters(), lr=0.05, momentum=0.9, weight_decay=3e-4)
    for w in supernet.parameters():
        optimizer.state[w]["momentum_buffer"] = 0.1 * torch.randn_like(w)
    return task_of(supernet, optimizer), arch, *batches


class Literal(torch.nn.Module):
    """The supernet by its reference, which has second derivatives."""

    def __init__(self, supernet):
        super().__init__()
        self.supernet = supernet

    def forward(self, images, mixture, masks):
        return reference.supernet(self.supernet, images, mixture, masks)


def exact_gradients(task, arch, weight_batch, arch_batch):
    """Differentiate L_arch(w - ξ (μ v + ∇_w L_weight(w, α) + λ w), α) with respect to α and β, through the step."""

    supernet, optimizer = task.network, task.weight_optimizer

    def loss(weights, batch):
        images, labels, masks, _ = batch
        named = {f"supernet.{name}": w for name, w in weights.items()}
        return F.cross_entropy(functional_call(Literal(supernet), named, (images, arch.mixture(), masks)), labels)

    weights = dict(supernet.named_parameters())
    gradients = torch.autograd.grad(loss(weights, weight_batch), list(weights.values()), create_graph=True)
    stepped = {
        name: w - 0.05 * (0.9 * optimizer.state[w]["momentum_buffer"] + g + 3e-4 * w)
        for (name, w), g in zip(weights.items(), gradients, strict=True)
    }
    return torch.autograd.grad(loss(stepped, arch_batch), list(arch.parameters()))


def test_finite_differences_give_the_exact_second_order_gradient(problem):
    task, arch, _, arch_batch = problem
    exact = exact_gradients(*problem)
    ours, _ = second_order_gradients(*problem, radius=1e-5)
    direct, _ = first_order_gradients(task, arch, arch_batch)
    for name, found, expected, first in zip(dict(arch.named_parameters()), ours, exact, direct, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-7, msg=lambda t, name=name: f"{name}: {t}")
        assert not torch.allclose(expected, first, rtol=1e-2)


def test_the_finite_difference_converges_as_its_radius_shrinks(problem):
    exact = torch.cat([g.flatten() for g in exact_gradients(*problem)])
    errors = []
    for radius in (1e-2, 1e-4, 1e-6):
        gradients, _ = second_order_gradients(*problem, radius=radius)
        errors.append((torch.cat([g.flatten() for g in gradients]) - exact).norm() / exact.norm())
    assert errors[2] < min(errors[0], 1e-3)


def test_without_a_weight_step_second_order_is_first_order(problem):
    task, arch, _, arch_batch = problem
    task.weight_optimizer.param_groups[0]["lr"] = 0.0
    second = second_order_gradients(*problem)
    first = first_order_gradients(task, arch, arch_batch)
    for found, expected in zip(second[0], first[0], strict=True):
        torch.testing.assert_close(found, expected)
    torch.testing.assert_close(second[1].loss, first[1].loss)


def test_the_second_order_gradient_leaves_weights_and_running_statistics_alone(problem):
    task, arch, *_ = problem
    supernet = task.network
    before = {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
    second_order_gradients(*problem)
    for name, tensor in supernet.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert all(parameter.grad is None for parameter in (*supernet.parameters(), *arch.parameters()))


@pytest.mark.parametrize("steps_before", [0, 1])
def test_an_sgd_step_on_the_weight_batch_is_the_step_that_second_order_looks_ahead(problem, steps_before):
    task, arch, weight_batch, arch_batch = problem
    supernet = task.network
    optimizer = torch.optim.SGD(supernet.parameters(), lr=0.05, momentum=0.9, weight_decay=3e-4)

    def step():
        images, labels, masks, _ = weight_batch
        optimizer.zero_grad()
        F.cross_entropy(supernet(images, arch.mixture().detach(), masks), labels).backward()
        optimizer.step()

    for _ in range(steps_before):
        step()
    _, ahead = second_order_gradients(task_of(supernet, optimizer), arch, weight_batch, arch_batch)
    step()
    images, labels, masks, _ = arch_batch
    stepped = F.cross_entropy(supernet(images, arch.mixture(), masks), labels)
    torch.testing.assert_close(ahead.loss, stepped.detach())
