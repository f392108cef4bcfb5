"""The step of the weights."""

import torch
from torch import Tensor, nn

from pcdarts.learn.learning import WeightStep, make_scaler
from pcdarts.run.finite import FiniteCheck
from pcdarts.run.processes import ALONE


class TwoWays(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.ways = nn.ModuleList(nn.Linear(2, 2, bias=False) for _ in range(2))

    def forward(self, images: Tensor, way: int) -> Tensor:
        logits: Tensor = self.ways[way](images)
        return logits


def weights_after(ways: list[int], *, with_zeros: bool) -> list[Tensor]:
    """The weights of both ways after a step along each; with zeros the other way is computed too, for nothing."""
    network = TwoWays()
    optimizer = torch.optim.SGD(network.parameters(), 0.1, 0.9, weight_decay=0.1, fused=True)
    take = WeightStep(
        network, optimizer, make_scaler("off", torch.device("cpu")), ALONE, FiniteCheck(0, [], ALONE), 5.0
    )
    images, labels = torch.eye(2), torch.tensor([0, 1])
    for way in ways:

        def forward(_: nn.Module, images: Tensor, labels: Tensor, way: int = way) -> tuple[Tensor, Tensor, Tensor]:
            logits = network(images, way) + (0 * network(images, 1 - way) if with_zeros else 0)
            loss = nn.functional.cross_entropy(logits, labels)
            return loss, loss, logits

        take(images, labels, forward)
    return [weight.detach() for weight in network.parameters()]


def test_weights_that_no_pass_has_computed_have_the_gradient_zero() -> None:
    """A path through a supernet leaves most operations out; later steps compute others."""
    for alone, together in zip(
        weights_after([0, 1, 0], with_zeros=False), weights_after([0, 1, 0], with_zeros=True), strict=True
    ):
        torch.testing.assert_close(alone, together)
