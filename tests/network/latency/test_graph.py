"""The ONNX models that are timed compute what the networks compute."""

import numpy as np
import pytest
import torch
from torch import nn

from pcdarts.cell.derive import random_genotype
from pcdarts.cell.primitives import MAKERS, make_op
from pcdarts.cell.space import CellForm, CellSpace
from pcdarts.errors import InputError
from pcdarts.network.latency.graph import Graph, network_model
from pcdarts.network.network import Network

onnxruntime = pytest.importorskip("onnxruntime")


def answer(model: bytes, images: torch.Tensor) -> torch.Tensor:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    found: np.ndarray = session.run(None, {session.get_inputs()[0].name: images.numpy()})[0]
    return torch.from_numpy(found)


def with_statistics(module: nn.Module) -> nn.Module:
    """The module in evaluation mode, with BatchNorms that change something."""
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.normal_(norm.running_mean)
            nn.init.uniform_(norm.running_var, 0.5, 2)
            nn.init.normal_(norm.weight)
            nn.init.normal_(norm.bias)
    return module.eval()


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("primitive", MAKERS)
def test_the_model_of_an_operation_computes_the_operation(primitive: str, stride: int) -> None:
    torch.manual_seed(0)
    op = with_statistics(make_op(primitive, 3, stride, affine=True))
    graph, images = Graph(), torch.randn(1, 3, 7, 7)
    maps = graph.input(1, 3, 7, 7)
    copy = graph.add("Identity", graph.operation(op, maps, lambda: graph.add("Relu", maps)))
    with torch.no_grad():
        torch.testing.assert_close(answer(graph.model(copy), images), op(images), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("kind", "side", "space"),
    [
        ("cifar", 9, CellSpace(4)),
        ("stride4", 20, CellSpace(5)),
        ("imagenet", 33, CellSpace(4)),
        ("cifar", 8, CellSpace(4, form=CellForm(kinds=("normal",), num_inputs=1, edges_kept=None), concatenates=False)),
    ],
)
def test_the_model_of_a_network_gives_its_logits(kind: str, side: int, space: CellSpace) -> None:
    torch.manual_seed(1)
    sizes = {"kind": kind, "channels": 4, "num_cells": 3, "num_classes": 5, "image_channels": 3}
    network = with_statistics(Network(random_genotype(space, 2), auxiliary=False, **sizes))
    pixels = torch.rand(1, 3, side, side)
    with torch.no_grad():
        expected = network((pixels - 0.5) / 0.5)
    torch.testing.assert_close(answer(network_model(network, side), pixels), expected, atol=1e-4, rtol=1e-4)


def test_a_layer_that_is_not_known_is_named() -> None:
    graph = Graph()
    with pytest.raises(InputError, match=r"the latency of GELU cannot be measured: .* knows convolutions"):
        graph.layers([nn.GELU()], graph.input(1, 3, 8, 8))
