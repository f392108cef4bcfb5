"""MixUp (Zhang et al., 2018) and CutMix (Yun et al., 2019), by torchvision, on batches of a training."""

from typing import Any

import torch
from torch import Tensor

from pcdarts.config.configs import TrainConfig
from pcdarts.data.streams import generator


class Mixing:
    """Mixes each image of a batch with the one before it; with both kinds switched on, each batch gets one at random.

    A pure function of the batch and its place in the run.
    """

    note: str | None = None
    """What a training says of it at its start."""

    def __init__(self, config: TrainConfig, num_classes: int) -> None:
        self._seed, self._kinds = config.seed, list[Any]()
        if config.mixup or config.cutmix:
            from torchvision.transforms import v2  # type: ignore[import-untyped]  # slow to import

            kinds = ((v2.MixUp, config.mixup), (v2.CutMix, config.cutmix))
            self._kinds = [kind(alpha=alpha, num_classes=num_classes) for kind, alpha in kinds if alpha]
            self.note = (
                "training loss and error are those of mixed images: of the two classes in one, each counts by its share"
            )

    def __call__(self, images: Tensor, labels: Tensor, epoch: int, step: int) -> tuple[Tensor, Tensor]:
        """The images `[B, C, H, W]`, mixed, and the share of each class in each of them, `[B, classes]`.

        Without mixing both are what they were.
        """
        if not self._kinds:
            return images, labels
        draw = generator(self._seed, "mixing", epoch, step)
        kind = self._kinds[int(torch.randint(len(self._kinds), (), generator=draw))]
        torch.manual_seed(draw.initial_seed())
        images, shares = kind(images, labels)
        return images.contiguous(memory_format=torch.channels_last), shares
