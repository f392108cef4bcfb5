"""What fragmented cells cost: cells beside networks of torchvision, at batch 1, one thread, by turns.

    python benchmarks/fragmented_cells.py [--sides 32 224] [--seconds 3]

Milliseconds through onnxruntime and of PyTorch, and onnxruntime's microseconds for a million mult-adds.
"""

import argparse
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import nn

import pcdarts
from pcdarts.network.latency.graph import network_model
from pcdarts.network.latency.timing import by_turns, times_by_turns
from pcdarts.network.network import Network
from pcdarts.network.stock import StockNetwork

CELLS = {
    32: [("pc_darts_cifar10", "cifar", channels, 8) for channels in (12, 16, 32, 36)],
    224: [("pc_darts_imagenet", "imagenet", 48, 14)],
}
STOCK = {
    32: [("shufflenet_v2_x1_0", None), ("mobilenet_v2", 0.5), ("mobilenet_v3_small", None)],
    224: [(name, None) for name in ("shufflenet_v2_x2_0", "mnasnet1_3", "mobilenet_v2", "mobilenet_v3_large")],
}


def stock_model(network: nn.Module, side: int, place: Path) -> Path:
    """The network as PyTorch exports it, which takes some seconds."""
    torch.onnx.export(network, (torch.rand(1, 3, side, side),), place, dynamo=True, verbose=False, external_data=False)
    return place


def measure(side: int, seconds: float, scratch: Path) -> None:
    """Print a line for each network on images of this side."""
    classes = 10 if side == 32 else 1000
    networks: dict[str, nn.Module] = {}
    models: list[bytes | Path] = []
    for name, kind, channels, cells in CELLS[side]:
        sizes = {"kind": kind, "channels": channels, "num_cells": cells, "num_classes": classes, "auxiliary": False}
        network = Network(pcdarts.published(name), **sizes).eval()
        networks[f"{name}, {cells} cells, {channels} channels"] = network
        models.append(network_model(network, side))
    for name, width in STOCK[side]:
        stock = StockNetwork(name, num_classes=classes, image_size=side, width=width).eval()
        networks[name if width is None else f"{name}, width {width}"] = stock
        models.append(stock_model(stock, side, scratch / f"{name}.onnx"))
    images = torch.rand(1, 3, side, side)
    forward: list[Callable[[], object]] = [partial(network, images) for network in networks.values()]
    onnx, eager = times_by_turns(models, seconds=seconds), by_turns(forward, seconds, threads=1)
    for (name, network), (shortest, _), (pytorch, _) in zip(networks.items(), onnx, eager, strict=True):
        millions = pcdarts.complexity(network, (3, side, side)).mult_adds / 1e6
        print(
            f"{side}x{side}  {name:40} {millions:6.1f} M  onnxruntime {shortest:6.2f} ms "
            f"({1000 * shortest / millions:4.1f} us/M)  PyTorch {pytorch:6.2f} ms",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sides", type=int, nargs="+", choices=sorted(CELLS), default=sorted(CELLS))
    parser.add_argument("--seconds", type=float, default=3.0, help="for each network, twice")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch, torch.no_grad():
        for side in arguments.sides:
            measure(side, arguments.seconds, Path(scratch))


if __name__ == "__main__":
    main()
