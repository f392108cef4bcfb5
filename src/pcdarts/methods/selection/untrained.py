"""What TE-NAS measures of a supernet that was never trained, and on what: fresh weights, and patches of images."""

from collections.abc import Mapping

import torch
from torch import Tensor

from pcdarts.methods.method import Batch, Task
from pcdarts.ops.sending import send
from pcdarts.supernet.arch import Mixture

SIDE = 3
"""Of a patch, in pixels."""
SMALLEST = 1e-12
"""Smallest eigenvalue that counts, as a share of the largest one."""


class Untrained:
    """A supernet with fresh weights, on which both measures of TE-NAS are taken under one mixture after the other.

    Args:
        task: of whose supernet; its weights stay as they are.
        batch: of images for the kernel, of which patches are cut too.
        kernel_images: how many images of the batch the kernel has.
        patches: on so many, or a few more, linear regions are counted.
        chance: from which weights and places of patches are drawn.
    """

    def __init__(self, task: Task, batch: Batch, kernel_images: int, patches: int, chance: torch.Generator) -> None:
        self._task, self._batch, self._kernel_images = task, batch, kernel_images
        self._weights = fresh(task.weights, chance)
        from_each = -(-patches // task.images(batch))
        self._patches = batch._replace(
            images=cut(batch.images, from_each, chance), labels=batch.labels.repeat_interleave(from_each)
        )
        self._w = [weight for name, weight in self._weights.items() if not name.endswith("bias")]

    def measured(self, mixture: Mixture) -> tuple[float, float]:
        """κ, the condition number of the kernel, and R, the number of linear regions."""
        J = self._task.jacobian(mixture, self._batch, self._w, self._weights, self._kernel_images)
        κ = condition_number(J)
        return κ, float(linear_regions(self._task.patterns(mixture, self._patches, self._weights)))


def condition_number(J: Tensor) -> float:
    """κ of the kernel J Jᵀ, for J [images, weights]."""
    rows = J.double()
    eigenvalues = torch.linalg.eigvalsh(rows @ rows.T)
    largest = eigenvalues[-1].clamp_min(torch.finfo(torch.float64).tiny)
    return float(largest / eigenvalues[0].clamp_min(SMALLEST * largest))


def linear_regions(patterns: Tensor) -> int:
    """R: how many different rows boolean [patches, rectifiers] have."""
    return len({row.tobytes() for row in patterns.cpu().numpy()})


def fresh(weights: Mapping[str, Tensor], chance: torch.Generator) -> dict[str, Tensor]:
    """Other weights of the same shapes: normal, of variance 2 / inputs of a unit; of BatchNorm 1, biases 0."""
    found = {}
    for name, weight in weights.items():
        if weight.dim() == 1:
            found[name] = torch.full_like(weight, 0.0 if name.endswith("bias") else 1.0)
            continue
        unit = weight[0] if name.endswith("weight") else weight[0, 0]  # the others are stacked over edges
        noise = torch.randn(weight.shape, generator=chance, dtype=weight.dtype)
        found[name] = send(noise * (2 / unit.numel()) ** 0.5, weight.device)
    return {name: weight.requires_grad_() for name, weight in found.items()}


def cut(images: Tensor, number: int, chance: torch.Generator) -> Tensor:
    """Patches of images [B, C, H, W] from so many random places, the same in each image: [B number, C, 3, 3]."""
    height, width = images.shape[2:]
    row, column = (torch.randint(side - SIDE + 1, (number, 1, 1), generator=chance) for side in (height, width))
    inside = torch.arange(SIDE)
    rows, columns = send(row + inside.unsqueeze(1), images.device), send(column + inside, images.device)
    return images[:, :, rows, columns].transpose(1, 2).flatten(0, 1)
