"""A small network that has seen images, and what an export says of it."""

import torch

import pcdarts
from pcdarts.network.classifier import Blueprint
from pcdarts.network.network import Network

BLUEPRINT = Blueprint(
    genotype=pcdarts.published("pc_darts_cifar10"),
    kind="cifar",
    channels=4,
    num_cells=3,
    classes=("ant", "bee", "wasp"),
    mean=(0.5, 0.4, 0.3),
    std=(0.2, 0.3, 0.4),
    image_size=8,
)


def trained(auxiliary: bool = True) -> Network:
    """A network whose weights and statistics are not those of a fresh one."""
    torch.manual_seed(0)
    network = Network(BLUEPRINT.genotype, channels=4, num_cells=3, num_classes=3, auxiliary=auxiliary)
    network(torch.randn(4, 3, 8, 8))
    return network.eval()
