"""R-DARTS with early stopping (Zela et al., 2020): a search ends before its minimum becomes sharp.

How sharp it is says the largest eigenvalue of the Hessian ∇²_α L_arch, on one batch of the arch split. When its mean
over five measurements is well above that of four measurements before, α goes back to that earlier epoch.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pcdarts.methods.method import At, Task
from pcdarts.supernet.arch import Mixture

PRODUCTS = 20
"""Products of the Hessian and a vector, each of two gradients, from which an eigenvalue is found."""
RADIUS = 0.3
"""How far α, as one vector, is moved for these on either side; at smaller distances kinks of ReLUs weigh more."""
WINDOW, BACK = 5, 4
"""Measurements in a mean, and how many lie between the two means that are compared."""


class EarlyStopping:
    """The eigenvalues of a search, and its end.

    Args:
        every: epochs between two measurements, counted from the first epoch in which α learns.
        growth: by which factor the mean may grow.
        earliest: so many epochs α learns at least; none before is gone back to.
    """

    ended: str | None = None
    """Why the search ends, once it does."""

    def __init__(self, every: int, growth: float, earliest: int) -> None:
        self.every, self.growth, self.earliest = every, growth, earliest
        self.began: int | None = None
        self.epochs: list[int] = []
        self.eigenvalues: list[float] = []
        self.archs: list[dict[str, Tensor]] = []

    @property
    def figures(self) -> dict[str, float]:
        """The eigenvalue that was found last, if there is one and it is finite."""
        latest = self.eigenvalues[-1:]
        return {"eigenvalue": latest[0]} if latest and math.isfinite(latest[0]) else {}

    def learns(self, at: At) -> None:
        """α takes a step."""
        if self.began is None:
            self.began = at.epoch

    def end_epoch(
        self, at: At, task: Task, arch: nn.Module, mixture: Callable[[], Mixture], chance: torch.Generator
    ) -> None:
        """Measure, if it is time to; perhaps the search ends, and `arch` is then as it was in an earlier epoch."""
        if self.began is None or self.ended or (at.epoch - self.began) % self.every:
            return
        self.epochs.append(at.epoch)
        self.eigenvalues.append(sharpness(task, alpha_of(arch), mixture, chance))
        latest = {name: value.clone() for name, value in arch.state_dict().items()}
        self.archs = [*self.archs, latest][-(WINDOW // 2 + BACK + 1) :]
        number = too_sharp(self.eigenvalues, self.growth)
        if number is None or self.epochs[number] - self.began < self.earliest:
            return
        arch.load_state_dict(self.archs[0])
        self.ended = (
            f"the search ends after epoch {at.epoch + 1}: within {BACK * self.every} epochs the largest eigenvalue of "
            f"the Hessian of alpha has grown by more than a factor of {self.growth:g} (--eigenvalue-growth); alpha is "
            f"again that of epoch {self.epochs[number] + 1}"
        )

    def state_dict(self) -> dict[str, Any]:
        names = ("began", "epochs", "eigenvalues", "archs", "ended")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        for name, value in state.items():
            setattr(self, name, value)


def too_sharp(eigenvalues: Sequence[float], growth: float) -> int | None:
    """The measurement to go back to, from 0, if the eigenvalues have grown by more than a factor; else None.

    Compared are the means around the third measurement from the end and around the seventh, which is the one.
    """
    half = WINDOW // 2
    means = [sum(eigenvalues[end - WINDOW : end]) / WINDOW for end in range(WINDOW, len(eigenvalues) + 1)]
    if len(means) <= BACK or means[-1 - BACK] <= 0 or not means[-1] > growth * means[-1 - BACK]:
        return None
    return len(eigenvalues) - 1 - half - BACK


def alpha_of(arch: nn.Module) -> list[Tensor]:
    """What is learnt about operations: all but β."""
    return [parameter for name, parameter in arch.named_parameters() if not name.startswith("beta")]


def sharpness(
    task: Task, alpha: Sequence[Tensor], mixture: Callable[[], Mixture], chance: torch.Generator, radius: float = RADIUS
) -> float:
    """The largest eigenvalue of ∇²_α L_arch on the next arch batch; α and running statistics are as before.

    Args:
        mixture: gives the mixture of the present α.
    """
    batch, weights = task.arch_batch(), task.weights
    before = [parameter.detach().clone() for parameter in alpha]
    sizes = [parameter.numel() for parameter in alpha]

    def gradient(moved: Tensor) -> Tensor:
        for parameter, start, move in zip(alpha, before, moved.split(sizes), strict=True):
            parameter.data.copy_(start + move.view_as(start).to(start))
        found, _ = task.gradients(mixture(), batch, alpha, weights)
        return torch.cat([each.flatten() for each in found]).double().cpu()

    try:
        return largest_eigenvalue(gradient, sum(sizes), chance, radius, PRODUCTS)
    finally:
        for parameter, start in zip(alpha, before, strict=True):
            parameter.data.copy_(start)


def largest_eigenvalue(
    gradient: Callable[[Tensor], Tensor], size: int, chance: torch.Generator, radius: float, products: int
) -> float:
    """That of the symmetric matrix H whose product with a vector is a difference of gradients, by Lanczos' method.

        H v ≈ (gradient(radius v) - gradient(-radius v)) / (2 radius)

    It is never above the true one, but for the error of the difference; NaN if a gradient is not finite.

    Args:
        gradient: at a distance [size] from the point in question, in float64 on the CPU.
    """
    next_one = torch.randn(size, generator=chance, dtype=torch.float64)
    basis, images = torch.empty(0, size, dtype=torch.float64), torch.empty(0, size, dtype=torch.float64)
    for _ in range(min(products, size)):
        v = next_one / next_one.norm()
        image = (gradient(radius * v) - gradient(-radius * v)) / (2 * radius)
        if not image.isfinite().all():
            return float("nan")
        basis, images = torch.cat([basis, v[None]]), torch.cat([images, image[None]])
        next_one = image
        for _ in range(2):  # once is not enough for vectors that are nearly in the span already
            next_one = next_one - basis.T @ (basis @ next_one)
        if next_one.norm() <= 1e-9 * image.norm():
            break  # the basis holds all that H makes of it
    projected = basis @ images.T
    return float(torch.linalg.eigvalsh((projected + projected.T) / 2)[-1])
