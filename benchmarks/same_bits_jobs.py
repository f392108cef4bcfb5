"""The jobs of `same_bits.py`, small enough for seconds on one core, and the images that some of them need."""

import json
import shlex
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Job:
    """A small job."""

    command: str
    processes: int = 1
    """More than one are started by torchrun."""
    killed: str | None = None
    """It is killed (SIGKILL) once an epoch is in this file of its run folder, and resumed."""
    then: str | None = None
    """When it is finished it is resumed with these flags."""
    same_as: str | None = None
    """The job that must end in the same way, within one version."""
    needs: str | None = None
    """What not every machine has: both versions may refuse the job for want of it."""

    def __str__(self) -> str:
        """All that decides what is computed, in a line: kept runs are compared with those of the same job only."""
        kill = f", killed after the first epoch in {self.killed}" if self.killed else ""
        more = f", then {self.then}" if self.then else ""
        return f"{self.command}, processes: {self.processes}{kill}{more}"


GENOTYPE = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('skip_connect', 1), ('dil_conv_3x3', 2), ('max_pool_3x3', 0)], "
    "normal_concat=[2, 3], reduce=[('max_pool_3x3', 0), ('skip_connect', 1), ('sep_conv_5x5', 0), "
    "('dil_conv_5x5', 2)], reduce_concat=[2, 3])"
)
SMALL = (
    "--train-images 60 --image-size 8 --channels 4 --num-cells 3 --num-nodes 4 --batch-size 10 --epochs 4 "
    "--arch-frozen-epochs 1 --arch-learning-rate 0.1"
)
"""Four epochs of three steps, in the first of which α and β are frozen."""
SECOND_ORDER = f"search {SMALL} --kernels plain --k 2 --second-order --channel-sampling random"
PARTS = "--gradient-accumulation-steps 2"
TRAIN = (
    "train --train-images 60 --test-images 100 --image-size 8 --channels 4 --num-cells 3 --batch-size 20 --epochs 4 "
    f"--drop-path 0.3 --auxiliary --cutout 3 --test-every 2 --genotype {shlex.quote(GENOTYPE)}"
)
DETECT = (
    "detect train --data-root ../../images/coco --train-sets learn --test-set look --image-size 64 --channels 4 "
    "--num-cells 3 --head-channels 4 --batch-size 4 --epochs 3 --test-every 2 --learning-rate 0.02 "
    f"--lr-warmup-epochs 1 --workers 0 --genotype {shlex.quote(GENOTYPE)}"
)

FOLDER = (
    "search --recipe fashion-mini --data folder --data-root ../../images/classes --loading streaming --workers 1 "
    "--image-size 32 --kind stride4 --crop resized --crop-padding 0 --color-jitter 0.4 --split-each-class --channels 4 "
    "--k 2 --num-cells 3 --num-nodes 4 --batch-size 8 --epochs 2 --arch-frozen-epochs 0 --kernels plain"
)

JOBS = {
    "search": Job("search --train-images 120 --batch-size 20 --epochs 3 --arch-frozen-epochs 1 --kernels plain"),
    "native": Job(f"search {SMALL} --k 2 --kernels native", needs="a C++ compiler"),
    "second-order": Job(SECOND_ORDER),
    "darts": Job(f"search {SMALL} --kernels plain --k 1 --no-edge-normalization --max-skips 1"),
    "parts": Job(f"search {SMALL} --kernels plain --k 2 {PARTS}"),
    "second-order-parts": Job(f"{SECOND_ORDER} {PARTS}"),
    "amp": Job(f"search {SMALL} --kernels plain --k 2 --amp bf16", needs="a processor with bfloat16"),
    "amp-fp16": Job(f"search {SMALL} --kernels plain --k 2 --amp fp16 {PARTS}", needs="a processor for 16 bits"),
    "train": Job(f"{TRAIN} --seeds 2"),
    "train-parts": Job(f"{TRAIN} {PARTS} --label-smoothing 0.1 --learning-rate-schedule linear --lr-warmup-epochs 1"),
    "random-search": Job(
        "random search --candidates 3 --epochs 2 --train-images 60 --image-size 8 --channels 4 --num-cells 3 "
        "--num-nodes 4 --batch-size 10"
    ),
    "detect": Job(DETECT, needs="pycocotools"),
    "folder": Job(FOLDER),
    "more-epochs": Job(f"search {SMALL} --kernels plain --k 2", then="--epochs 6"),
    "killed": Job(f"{SECOND_ORDER} --checkpoint-minutes 1e-9", killed="metrics.jsonl", same_as="second-order"),
    "killed-train": Job(f"{TRAIN} --seeds 2", killed="seed-2/metrics.jsonl", same_as="train"),
    "processes": Job(f"{SECOND_ORDER} --synchronize-batch-norm", processes=2),
}


def write_images(folder: Path) -> None:
    """Make two data sets of grey images with one coloured square each: in COCO's format, and class folders."""
    numbers = np.random.default_rng(0)
    colours = ("red", "green", "blue")
    (folder / "coco" / "annotations").mkdir(parents=True)
    for name, first, count in (("learn", 1, 9), ("look", 100, 5)):
        (folder / "coco" / name).mkdir()
        images, annotations = [], []
        for number in range(first, first + count):
            kind, side = int(numbers.integers(3)), int(numbers.integers(10, 55))
            left, top = int(numbers.integers(0, 96 - side)), int(numbers.integers(0, 64 - side))
            square(kind, left, top, side).save(folder / "coco" / name / f"{number}.png")
            images.append({"id": number, "file_name": f"{number}.png", "width": 96, "height": 64})
            box = {"bbox": [left, top, side, side], "area": side * side, "iscrowd": 0}
            annotations.append({"id": number, "image_id": number, "category_id": kind + 1, **box})
        categories = [{"id": number, "name": colour} for number, colour in enumerate(colours, 1)]
        content = {"images": images, "annotations": annotations, "categories": categories}
        (folder / "coco" / "annotations" / f"instances_{name}.json").write_text(json.dumps(content))
    for kind, colour in enumerate(colours):
        (folder / "classes" / colour).mkdir(parents=True)
        for number in range(16):
            square(kind, 2 * number, number, 20 + number).save(folder / "classes" / colour / f"{number}.png")


def square(kind: int, left: int, top: int, side: int) -> Image.Image:
    """A grey image of 96x64 pixels with a square in one of three colours."""
    pixels = np.full((64, 96, 3), 128, dtype=np.uint8)
    pixels[top : top + side, left : left + side] = np.eye(3, dtype=np.uint8)[kind] * 255
    return Image.fromarray(pixels)
