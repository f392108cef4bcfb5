"""`pcdarts show`: a genotype as text and pictures, with the size of the networks it makes."""

from typing import Any

from pcdarts.cell.draw import draw_text
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CELL_KINDS, CellKind, NetworkKind
from pcdarts.config import ShowConfig
from pcdarts.jobs.genotype import draw_cells, find_genotype
from pcdarts.network.complexity import complexity
from pcdarts.network.network import Network
from pcdarts.run.folder import RunFolder

EVALUATION_SIZES: dict[NetworkKind, tuple[int, int]] = {"cifar": (36, 20), "imagenet": (48, 14)}
"""Channels and cells of the evaluation networks of Secs. 4.2 and 4.3."""


def run_show(config: ShowConfig) -> None:
    """Print a genotype and the size of the networks it makes; draw both cells into a folder when one is given.

    Raises:
        InputError: there is no such genotype, or it is inconsistent.
        RunError: the drawings cannot be saved.
    """
    genotype = find_genotype(config.genotype)
    if config.as_json:
        print(genotype.to_json(), end="")
    else:
        for kind in CELL_KINDS:
            print(draw_text(genotype, kind))
        print(genotype.to_text() + "\n")
        print(f"CIFAR network:    {size_text(evaluation_size(genotype, 'cifar', 10, 3, 32))}")
        print(f"ImageNet network: {size_text(evaluation_size(genotype, 'imagenet', 1000, 3, 224))}")
    if config.svg is not None:
        for path in draw_cells(genotype, RunFolder(config.svg)):
            if not config.as_json:
                print(f"drawn in {path}")


def evaluation_size(
    genotype: Genotype, kind: NetworkKind, num_classes: int, image_channels: int, image_size: int
) -> dict[str, Any]:
    """Parameters and mult-adds of the paper's evaluation network made of `genotype`, for such images."""
    channels, num_cells = EVALUATION_SIZES[kind]
    network = Network(
        genotype,
        kind=kind,
        channels=channels,
        num_cells=num_cells,
        num_classes=num_classes,
        auxiliary=False,
        image_channels=image_channels,
    )
    size = complexity(network, (image_channels, image_size, image_size))
    return {
        "channels": channels,
        "num_cells": num_cells,
        "num_classes": num_classes,
        "image_size": image_size,
        "params": size.params,
        "mult_adds": size.mult_adds,
    }


def size_text(size: dict[str, Any]) -> str:
    """One line: how large the network is, and at which setting."""
    return (
        f"{size['params'] / 1e6:.2f} M parameters, {size['mult_adds'] / 1e6:.0f} M mult-adds "
        f"({size['num_cells']} cells, {size['channels']} channels, {size['image_size']}x{size['image_size']} images, "
        f"{size['num_classes']} classes)"
    )


def count_skips(genotype: Genotype, kind: CellKind) -> int:
    """Edges of one cell that are skip-connections."""
    return sum(primitive == "skip_connect" for primitive, _ in genotype.edges(kind))
