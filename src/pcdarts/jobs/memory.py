"""Out of memory: what was too large, and what would fit, found out by trying in fresh processes.

`python -m pcdarts.jobs.memory ORDER` is such a process: it computes one step and ends well if it could.
"""

import json
import math
import subprocess
import sys
from typing import Any

import torch

from pcdarts.config.configs import SearchConfig, TrainConfig
from pcdarts.config.groups.method_settings import method_in_words
from pcdarts.data.images import DataSet
from pcdarts.jobs.outcome.find_genotype import trained_genotype
from pcdarts.learn.learning import images_per_pass
from pcdarts.learn.networks import make_network
from pcdarts.learn.steps import SearchStep, search_setting
from pcdarts.run.device import choose_device
from pcdarts.run.processes import Processes
from pcdarts.run.run_folder import RunFolder


def what_would_fit(
    config: SearchConfig | TrainConfig, data: DataSet, batch_size: int, run: RunFolder, processes: Processes
) -> str:
    """The step of batches of so many images, for which memory was lacking, and what fits; tried where one works alone.

    The line goes on after "out of memory in".
    """
    images = images_per_pass(batch_size, config.gradient_accumulation_steps, processes)
    remedy = "start a new run with a smaller --batch-size, or with more --gradient-accumulation-steps"
    if processes.count == 1:
        run.say("out of memory: trying what would fit, which may take a minute")
        remedy = _remedy(config, data, batch_size, images)
    return f"a step of {images} images with {_needs(config, data)}; {remedy}"


def _needs(config: SearchConfig | TrainConfig, data: DataSet) -> str:
    """What decides how much memory a step needs, in words."""
    network = f"{config.num_cells} cells of {config.channels} channels"
    if isinstance(config, TrainConfig) and config.stock is not None:
        network = f"the network {config.stock}"
    network += f", images of {data.image_size}x{data.image_size} pixels"
    if isinstance(config, TrainConfig):
        return network
    return f"K = {config.k}, {network}, {method_in_words(config)}"


def _remedy(config: SearchConfig | TrainConfig, data: DataSet, batch_size: int, images: int) -> str:
    """What fits on this machine now."""
    remedies = []
    fitting = _largest_fitting(config, data, images // 2)
    if fitting is not None:
        remedies.append(
            f"one of {fitting} images fits: start a new run with --batch-size {fitting}, or with "
            f"--gradient-accumulation-steps {math.ceil(batch_size / fitting)}"
        )
    if isinstance(config, SearchConfig) and config.channels % (2 * config.k) == 0:
        sparser = config.model_copy(update={"k": 2 * config.k})
        with_sparser = _largest_fitting(sparser, data, images)
        if with_sparser is not None and with_sparser > (fitting or 0):
            remedies.append(f"with --k {sparser.k} one of {with_sparser} images fits")
    return "; ".join(remedies) or "nothing smaller was found to fit: use a smaller network or image size"


def _largest_fitting(config: SearchConfig | TrainConfig, data: DataSet, images: int) -> int | None:
    """The most images of which a step fits, halving `images` until one does; None if not even two do."""
    while images >= 2 and not _fits(config, data, images):
        images //= 2
    return images if images >= 2 else None


def _fits(config: SearchConfig | TrainConfig, data: DataSet, images: int) -> bool:
    order = {
        "config": config.model_dump(mode="json"),
        "images": images,
        "shape": list(data.train.shape),
        "num_classes": data.num_classes,
    }
    command = [sys.executable, "-m", "pcdarts.jobs.memory", json.dumps(order)]
    return subprocess.run(command, capture_output=True).returncode == 0


def _try(order: dict[str, Any]) -> None:
    """Compute one step on images of noise."""
    images, num_classes, (channels, side, _) = order["images"], order["num_classes"], order["shape"]
    if order["config"]["job"] == "train":
        training = TrainConfig(**order["config"])
        device = choose_device(training.device, training.threads)
        network = make_network(training, trained_genotype(training), num_classes, channels, side)
        output = network.to(device)(torch.zeros(images, channels, side, side, device=device))
        sum(logits.sum() for logits in (output if training.auxiliary else [output])).backward()
        return
    setting = search_setting(
        SearchConfig(**order["config"] | {"gradient_accumulation_steps": 1}),
        batch_size=images,
        image_size=side,
        image_channels=channels,
        num_classes=num_classes,
    )
    SearchStep(setting).both_steps()


if __name__ == "__main__":
    _try(json.loads(sys.argv[1]))
