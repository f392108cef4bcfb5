"""Batches made on a GPU are those made on the CPU, bit for bit: the same chance, the same arithmetic."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from on_a_gpu import CPU
from pcdarts.data.batches import Augmentation, Batches
from pcdarts.data.disk.streaming import StreamedImages
from pcdarts.data.images import Images
from pcdarts.data.sources import load_data

MEAN, STD = (0.49, 0.48, 0.45), (0.25, 0.24, 0.26)
AUGMENTATIONS = {
    "nothing": Augmentation(),
    "crop": Augmentation(crop_padding=4),
    "flip": Augmentation(flip=True),
    "cutout": Augmentation(cutout=5),
    "all three": Augmentation(crop_padding=3, flip=True, cutout=6),
}


def check_same(images: Images | StreamedImages, augmentation: Augmentation, device: torch.device) -> None:
    """All batches of one epoch, the smaller last one too."""
    colours = images.shape[0]
    here, there = (
        Batches(
            images,
            batch_size=8,
            mean=MEAN[:colours],
            std=STD[:colours],
            augmentation=augmentation,
            shuffle=True,
            drop_last=False,
            seed=3,
            stream="train",
            device=place,
        )
        for place in (CPU, device)
    )
    seen = 0
    for (pixels, labels), (pixels_there, labels_there) in zip(here.epoch(2), there.epoch(2), strict=True):
        assert (pixels_there.device.type, labels_there.device.type) == (device.type, device.type)
        assert pixels_there.is_contiguous(memory_format=torch.channels_last)
        different = (pixels_there.cpu() != pixels).float().mean()
        assert different == 0, f"{float(different):.1%} of the pixels differ"
        assert torch.equal(labels_there.cpu(), labels)
        seen += len(labels)
    assert seen == len(images)


@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize("augmentation", AUGMENTATIONS)
def test_batches_of_images_in_memory_are_those_of_the_cpu(
    device: torch.device, augmentation: str, colours: int
) -> None:
    drawn = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (50, colours, 12, 11), dtype=torch.uint8, generator=drawn)
    check_same(Images(pixels, torch.arange(50)), AUGMENTATIONS[augmentation], device)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    "augmentation",
    [
        Augmentation(crop_padding=2, flip=True, cutout=3),
        Augmentation(flip=True, resized=True, color_jitter=0.4),
    ],
    ids=["crop, flip, cutout", "random parts, colours"],
)
def test_batches_of_streamed_images_are_those_of_the_cpu(
    tmp_path: Path, device: torch.device, augmentation: Augmentation, workers: int
) -> None:
    numbers = np.random.default_rng(0)
    for name in ("ant", "bee"):
        for part in ("train", "test"):
            (tmp_path / part / name).mkdir(parents=True)
        for index in range(7):
            for part in ("train", "test"):
                pixels = numbers.integers(0, 256, (16, 20, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / part / name / f"{index}.png")
    data = load_data("folder", root=tmp_path, image_size=12, loading="streaming", workers=workers)
    assert isinstance(data.train, StreamedImages)
    check_same(data.train, augmentation, device)
