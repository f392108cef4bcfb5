"""Training in mixed precision: near float32, as near as PyTorch's own mixed precision of a literal network."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from authors_layout import AuthorsNetwork
from pcdarts.cell.zoo import published
from pcdarts.network.network import Network
from pcdarts.ops.precision import has_bf16

with_bf16 = pytest.mark.skipif(not has_bf16("cpu"), reason="this processor has no bfloat16 arithmetic")

SIZES = {"channels": 8, "num_cells": 3, "num_classes": 10, "kind": "cifar", "auxiliary": True}


@pytest.fixture(scope="module")
def batch() -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    return torch.randn(16, 3, 32, 32, generator=draw), torch.randint(10, (16,), generator=draw)


def pair() -> tuple[AuthorsNetwork, Network]:
    torch.manual_seed(0)
    literal = AuthorsNetwork(published("pc_darts_cifar10"), **SIZES)
    ours = Network(published("pc_darts_cifar10"), **SIZES)
    ours.load_authors_state_dict(literal.state_dict())
    return literal, ours


def logits_and_gradient(
    network: nn.Module, batch: tuple[Tensor, Tensor], autocast: bool = False, scale: float = 1
) -> tuple[Tensor, Tensor]:
    images, labels = batch
    network.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        logits, auxiliary_logits = network(images)
    loss = F.cross_entropy(logits.float(), labels) + 0.4 * F.cross_entropy(auxiliary_logits.float(), labels)
    (scale * loss).backward()
    return logits.detach().float(), torch.cat([parameter.grad.flatten() / scale for parameter in network.parameters()])


def relative_errors(found: tuple[Tensor, Tensor], exact: tuple[Tensor, Tensor]) -> list[float]:
    return [float((f - e).norm() / e.norm()) for f, e in zip(found, exact, strict=True)]


@with_bf16
def test_bf16_logits_and_gradient_are_near_those_of_float32(batch):
    # Measured: 0.7 % and 29 %. A gradient of a random batch is a small sum of large terms.
    _, network = pair()
    exact = logits_and_gradient(network, batch)
    network.amp = "bf16"
    of_logits, of_gradient = relative_errors(logits_and_gradient(network, batch), exact)
    assert 0 < of_logits < 0.02
    assert 0 < of_gradient < 0.45


def test_fp16_logits_and_gradient_with_a_scaled_loss_are_near_those_of_float32(batch):
    # Measured: 0.1 % and 9 %. Few and small images: most processors take long.
    images, labels = batch[0][:8, :, :16, :16], batch[1][:8]
    _, network = pair()
    exact = logits_and_gradient(network, (images, labels))
    network.amp = "fp16"
    of_logits, of_gradient = relative_errors(logits_and_gradient(network, (images, labels), scale=2.0**12), exact)
    assert 0 < of_logits < 0.005
    assert 0 < of_gradient < 0.25


@with_bf16
def test_it_is_no_further_from_float32_than_a_literal_network_in_mixed_precision(batch):
    literal, ours = pair()
    exact = logits_and_gradient(ours, batch)
    theirs = relative_errors(logits_and_gradient(literal, batch, autocast=True), exact)
    ours.amp = "bf16"
    for error, bound in zip(relative_errors(logits_and_gradient(ours, batch), exact), theirs, strict=True):
        assert error < 1.3 * bound


@pytest.mark.parametrize("amp", [pytest.param("bf16", marks=with_bf16), "fp16"])
def test_logits_weights_gradients_and_statistics_stay_float32(batch, amp):
    network = Network(published("pc_darts_cifar10"), **SIZES, amp=amp)
    logits, auxiliary_logits = network(batch[0][:4, :, :12, :12])
    (logits.sum() + auxiliary_logits.sum()).backward()
    tensors = [logits, auxiliary_logits, *network.parameters(), *(p.grad for p in network.parameters())]
    assert {tensor.dtype for tensor in tensors} == {torch.float32}
    assert {buffer.dtype for buffer in network.buffers()} == {torch.float32, torch.int64}


@pytest.mark.parametrize("amp", ["bf16", "fp16"])
def test_evaluation_is_in_float32(batch, amp):
    network = Network(published("pc_darts_cifar10"), **SIZES).eval()
    exact = network(batch[0])
    network.amp = amp
    assert torch.equal(network(batch[0]), exact)
