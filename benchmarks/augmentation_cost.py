"""What RandAugment and mixing cost beside a training step: made by turns, on one CPU thread.

    python benchmarks/augmentation_cost.py --image-size 64 --kind stride2

Prints milliseconds (median) of a batch made plainly, of what each kind of augmentation adds, and of a step of a small
network (`pc_darts_cifar10`, 8 channels, 5 cells), and what is added in % of plain batch and step. Other load makes all
times longer, so look at the shares.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F

import pcdarts
from pcdarts.config.configs import TrainConfig
from pcdarts.data.batches import Augmentation, Batches
from pcdarts.data.images import Images
from pcdarts.data.streams import generator
from pcdarts.learn.few_images.average_weights import AverageWeights
from pcdarts.learn.few_images.mixing import Mixing
from pcdarts.learn.learning import make_sgd


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--kind", default="cifar", choices=("cifar", "stride2", "stride4"))
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    torch.set_num_threads(1)
    side, batch_size = options.image_size, options.batch_size
    draw = generator(0)
    pixels = torch.randint(0, 256, (batch_size, 3, side, side), dtype=torch.uint8, generator=draw)
    images = Images(pixels, torch.randint(0, 10, (batch_size,), generator=draw))
    network = pcdarts.Network(pcdarts.published("pc_darts_cifar10"), kind=options.kind, channels=8, num_cells=5)
    network = network.to(memory_format=torch.channels_last)
    optimizer, average = make_sgd(network, TrainConfig()), AverageWeights(network, 0.99)
    mixup, cutmix = Mixing(TrainConfig(mixup=0.2), 10), Mixing(TrainConfig(cutmix=1), 10)

    def maker(randaugment: int) -> Callable[[int], tuple[torch.Tensor, torch.Tensor]]:
        batches = Batches(
            images,
            batch_size=batch_size,
            mean=(0.5,) * 3,
            std=(0.25,) * 3,
            augmentation=Augmentation(4, True, 8, randaugment=randaugment),
            shuffle=True,
            drop_last=False,
            seed=0,
            stream="train",
            device="cpu",
        )
        return lambda epoch: next(iter(batches.epoch(epoch)))

    plain, changed = maker(0), maker(9)
    batch, labels = plain(0)

    def step(epoch: int) -> None:
        optimizer.zero_grad()
        logits, auxiliary = network(batch)
        (F.cross_entropy(logits, labels) + 0.4 * F.cross_entropy(auxiliary, labels)).backward()
        optimizer.step()

    parts: dict[str, Callable[[int], object]] = {
        "step": step,
        "plain batch": plain,
        "batch with RandAugment": changed,
        "MixUp": lambda epoch: mixup(batch, labels, epoch, 0),
        "CutMix": lambda epoch: cutmix(batch, labels, epoch, 0),
        "average of weights": lambda epoch: average.update(network, epoch + 1),
    }
    times: dict[str, list[float]] = {name: [] for name in parts}
    for number in range(options.rounds + 1):
        for name, part in parts.items():
            started = time.perf_counter()
            part(number)
            if number > 0:  # the first one warms up
                times[name].append(1000 * (time.perf_counter() - started))
    whole = [one + other for one, other in zip(times["step"], times["plain batch"], strict=True)]
    changed_batches = zip(times.pop("batch with RandAugment"), times["plain batch"], strict=True)
    times["RandAugment"] = [one - other for one, other in changed_batches]
    for name, of_part in times.items():
        share = statistics.median(100 * one / other for one, other in zip(of_part, whole, strict=True))
        print(f"{name:20} {statistics.median(of_part):8.2f} ms  {share:5.1f} %")


if __name__ == "__main__":
    main()
