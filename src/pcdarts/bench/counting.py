"""Counting the networks of the paper's tables: nothing is trained, and no weights are made or loaded."""

import copy
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from pcdarts.bench.published import SSDLITE, Row
from pcdarts.cell.primitives import FactorizedReduce, ReluFirst
from pcdarts.cell.space import NetworkKind
from pcdarts.cell.zoo import published
from pcdarts.detect.detector import Detector, detector_complexity
from pcdarts.extras import import_extra
from pcdarts.jobs.outcome.evaluation import EVALUATION_NETWORKS
from pcdarts.network.complexity import Complexity, complexity
from pcdarts.network.network import Network


def count(row: Row, kind: NetworkKind) -> dict[str, int | None]:
    """Parameters, mult-adds, and for a cell mult-adds with norms and ReLUs, of a row's network at one image.

    `kind` is the evaluation network that its cell makes.

    Raises:
        InputError: the library that has the network is not installed.
    """
    if row.cell is None:
        assert row.model is not None
        return asdict(library_model(row.model)) | {"mult_adds_with_norms": None}
    setting = EVALUATION_NETWORKS[kind]
    network = setting.network(published(row.cell))
    counted = complexity(network, setting.input_shape)
    with_norms = counted.mult_adds + norms_and_relus(network, setting.input_shape)
    return asdict(counted) | {"mult_adds_with_norms": with_norms}


def library_model(name: str) -> Complexity:
    """The size of a network that torchvision, timm or `detect/detector.py` makes, without weights or data.

    Raises:
        InputError: the library is not installed.
    """
    if name == "pc_darts_ssd":
        return detector_complexity(Detector(published("pc_darts_imagenet")))["all"]
    if name.startswith(SSDLITE):
        return detector_complexity(Detector(name.removeprefix(SSDLITE)))["all"]
    if name == "mobilenetv1_100":
        timm = import_extra("timm", "timm", "MobileNet v1")
        return _imagenet_model(lambda: timm.create_model(name, pretrained=False))
    from torchvision import models  # type: ignore[import-untyped]

    match name:
        case "ssd512_vgg16":
            return _ssd512(models)
        case "densenet_bc_190_40":
            options = {"growth_rate": 40, "block_config": (31, 31, 31), "num_init_features": 80, "num_classes": 10}
            return _imagenet_model(lambda: models.DenseNet(**options), side=32)
        case "googlenet":
            return _imagenet_model(lambda: models.googlenet(weights=None, aux_logits=False, init_weights=False))
        case "ssd300_vgg16" | "ssdlite320_mobilenet_v3_large":
            side = 300 if name == "ssd300_vgg16" else 320
            with torch.device("meta"):
                detector = getattr(models.detection, name)(weights=None, weights_backbone=None).eval()
            with torch.no_grad(), FlopCounterMode(display=False) as counter:
                detector.head(list(detector.backbone(torch.empty(1, 3, side, side, device="meta")).values()))
            return Complexity(sum(p.numel() for p in detector.parameters()), counter.get_total_flops() // 2)
        case _:
            return _imagenet_model(lambda: getattr(models, name)(weights=None))


def norms_and_relus(network: Network, input_shape: tuple[int, int, int]) -> int:
    """Two operations for each output of a BatchNorm and one for each of a ReLU, at one image.

    Our network applies the ReLU with which several operations on one map begin only once; here each counts its own, as
    in the authors' code.
    """
    total = 0

    def counting(weight: int) -> Callable[[nn.Module, Any, Tensor], None]:
        def add(_: nn.Module, __: Any, output: Tensor) -> None:
            nonlocal total
            total += weight * output.numel()

        return add

    def rectified(after_relu: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        def counted(x: Tensor) -> Tensor:
            nonlocal total
            total += x.numel()
            return after_relu(x)

        return counted

    skeleton = copy.deepcopy(network).to("meta").eval()
    for module in skeleton.modules():
        if isinstance(module, nn.BatchNorm2d | nn.ReLU):
            module.register_forward_hook(counting(2 if isinstance(module, nn.BatchNorm2d) else 1))
        if isinstance(module, ReluFirst | FactorizedReduce):
            module.after_relu = rectified(module.after_relu)  # type: ignore[method-assign,assignment]
    with torch.no_grad():
        skeleton(torch.empty(1, *input_shape, device="meta"))
    return total


def _imagenet_model(make: Callable[[], nn.Module], side: int = 224) -> Complexity:
    with torch.device("meta"):
        model = make()
    return complexity(model, (3, side, side))


def _ssd512(models: Any) -> Complexity:
    """torchvision makes SSD with 300 pixels alone, but has the parts of that with 512."""
    ssd = models.detection.ssd
    with torch.device("meta"):
        extractor = ssd.SSDFeatureExtractorVGG(models.vgg16(weights=None).features, highres=True).eval()
        images, boxes = torch.empty(1, 3, 512, 512), [4, 6, 6, 6, 6, 4, 4]
        with torch.no_grad():
            widths = [maps.shape[1] for maps in extractor(images).values()]
        head = ssd.SSDHead(widths, boxes, num_classes=91).eval()
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            head(list(extractor(images).values()))
    params = sum(p.numel() for part in (extractor, head) for p in part.parameters())
    return Complexity(params, counter.get_total_flops() // 2)
