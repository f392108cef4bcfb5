"""Images per second and core: decoding alone, and what the streaming loader makes of it, measured by turns.

    python benchmarks/image_loading.py FOLDER [--image-size 224] [--images 600] [--repeats 3]

FOLDER is an image folder as `--data folder` reads it. Every way reads the same files; the first round, which fills the
system's cache, is not counted. The rate of a loader counts from its first batch on: to start worker processes is a
matter of an epoch, and is printed apart.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from pcdarts.data.batches import Augmentation, Batches
from pcdarts.data.disk.decode import decode, strict_warnings
from pcdarts.data.disk.encoded import IMAGENET_STATISTICS
from pcdarts.data.disk.streaming import StreamedImages
from pcdarts.data.sources import load_data

BATCH_SIZE = 32


def decoding(images: StreamedImages) -> tuple[float, float]:
    """Images per second that one core decodes, and nothing else."""
    start = time.perf_counter()
    with strict_warnings():
        for index in range(len(images)):
            decode(images.files.sources[index])
    return len(images) / (time.perf_counter() - start), 0.0


def loading(images: StreamedImages, augmentation: Augmentation) -> tuple[float, float]:
    """Images per second of finished batches, and the seconds until the first one."""
    mean, std = IMAGENET_STATISTICS
    batches = Batches(
        images,
        batch_size=BATCH_SIZE,
        mean=mean,
        std=std,
        augmentation=augmentation,
        shuffle=True,
        drop_last=True,
        seed=0,
        stream="train",
        device="cpu",
    )
    start = time.perf_counter()
    epoch = batches.epoch(0)
    next(epoch)
    first = time.perf_counter()
    count = sum(len(labels) for _, labels in epoch)
    return count / (time.perf_counter() - first), first - start


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    def stream(workers: int) -> StreamedImages:
        data = load_data(
            "folder",
            root=arguments.folder,
            image_size=arguments.image_size,
            train_images=arguments.images,
            loading="streaming",
            workers=workers,
        )
        assert isinstance(data.train, StreamedImages)
        return data.train

    photographs = Augmentation(flip=True, resized=True)
    jittered = Augmentation(flip=True, resized=True, color_jitter=0.4)
    ways: dict[str, Callable[[], tuple[float, float]]] = {"decoding alone": lambda: decoding(stream(0))}
    for workers in (0, 1, 2):
        where = f"{workers} worker{'s' if workers != 1 else ''}"
        ways[f"resized crop, {where}"] = lambda workers=workers: loading(stream(workers), photographs)  # type: ignore[misc]
        ways[f"and colour jitter, {where}"] = lambda workers=workers: loading(stream(workers), jittered)  # type: ignore[misc]
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for turn in range(arguments.repeats + 1):
        for name, way in ways.items():
            result = way()
            if turn > 0:
                measured[name].append(result)

    print(f"{arguments.images} images, {arguments.repeats} rounds, {os.cpu_count()} cores: medians")
    alone = statistics.median(rate for rate, _ in measured["decoding alone"])
    for name, results in measured.items():
        rate, first = (statistics.median(values) for values in zip(*results, strict=True))
        print(f"{name:32} {rate:7.0f} images/s  {rate / alone:5.2f} of decoding alone  first batch after {first:.2f} s")


if __name__ == "__main__":
    main()
