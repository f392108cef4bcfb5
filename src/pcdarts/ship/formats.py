"""The formats of exported classifiers (safetensors, ONNX, PyTorch's exported programs), and the check of a file.

In every format the classifier takes pixels in [0, 1], `[B, C, H, W]` float32 with any B and the H and W of its
blueprint, and normalises them itself. (`load_network` gives the network alone, for normalised images.)
"""

import copy
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from pcdarts.errors import RunError
from pcdarts.extras import import_extra, without_collection
from pcdarts.network.classifier import WEIGHTS, AnyBlueprint, Classifier, StockBlueprint, load_classifier
from pcdarts.network.stock import AnyNetwork

FormatName = Literal["safetensors", "onnx", "onnx-int8", "torch-export"]

BLUEPRINT = "pcdarts.json"
"""The key under which an exported program and an ONNX model store the blueprint."""

TOLERANCE = 1e-4
"""The largest difference of logits that the check accepts, relative to the largest logit if that is above 1."""


@dataclass(frozen=True)
class Format:
    """A file format: the file's name, a function that saves a classifier (given two images), and one that loads it."""

    file_name: str
    save: Callable[[Classifier, Tensor, Path], None]
    load: Callable[[Path], Callable[[Tensor], Tensor]]
    libraries: tuple[str, ...] = ()
    """The optional libraries that it needs to be written and checked."""


def check(path: Path, form: Format, network: AnyNetwork, pixels: Tensor, normalized: Tensor) -> float:
    """The largest difference between the logits of an exported file and those of its network.

    Compared in batches of 1, of 2 and of all `pixels` [B, C, H, W] in [0, 1], B >= 2. The network (in evaluation mode)
    gets the same images `normalized`, so that the file's own normalisation is checked too.

    Raises:
        RunError: they differ by more than `TOLERANCE`, or a logit is not finite.
    """
    run = form.load(path)
    largest = 0.0
    for batch in (slice(0, 1), slice(0, 2), slice(None)):
        with torch.no_grad():
            expected, found = network(normalized[batch]), run(pixels[batch])
        allowed = TOLERANCE * max(1.0, expected.abs().max().item())
        difference = (found - expected).abs().max().item() if found.shape == expected.shape else float("inf")
        if not difference <= allowed:  # also true for NaN
            raise RunError(
                f"the exported {path.name} differs from the network: its logits for {len(expected)} images by up to "
                f"{difference:.3g}, where {allowed:.1g} is allowed; nothing is exported"
            )
        largest = max(largest, difference)
    return largest


def timm_settings(blueprint: AnyBlueprint, network: AnyNetwork) -> dict[str, Any]:
    """The fields that timm reads in a model's `config.json`: how to build `network`, and how to prepare images.

    None for a stock network, whose strides timm would not know.
    """
    if isinstance(blueprint, StockBlueprint):
        return {}
    side = blueprint.image_size
    first_conv = next(name for name, module in network.named_modules() if isinstance(module, nn.Conv2d))
    return {
        "architecture": "pcdarts",  # registered by `pcdarts.timm_models`
        "num_classes": len(blueprint.classes),
        "model_args": {
            "genotype": blueprint.genotype.to_text(),
            "kind": blueprint.kind,
            "channels": blueprint.channels,
            "num_cells": blueprint.num_cells,
            "in_chans": blueprint.image_channels,
        },
        "pretrained_cfg": {
            "num_classes": len(blueprint.classes),
            "label_names": blueprint.classes,
            "input_size": (blueprint.image_channels, side, side),
            "crop_pct": 1 - 2 * blueprint.border,
            "interpolation": "bilinear",
            "mean": blueprint.mean,
            "std": blueprint.std,
            "first_conv": first_conv,
            "classifier": "classifier",
        },
    }


def _save_safetensors(classifier: Classifier, pixels: Tensor, path: Path) -> None:
    classifier.save(path)


def _save_program(classifier: Classifier, pixels: Tensor, path: Path) -> None:
    with _silence():
        program = torch.export.export(classifier, (pixels,), dynamic_shapes=_any_batch())
        for node in program.graph_module.graph.nodes:
            node.meta.pop("stack_trace", None)  # it has the paths of this machine
        torch.export.save(program, path, extra_files={BLUEPRINT: classifier.blueprint.model_dump_json()})


def _load_program(path: Path) -> Callable[[Tensor], Tensor]:
    with _silence():
        module: Callable[[Tensor], Tensor] = torch.export.load(path).module()
    return module


def _save_onnx(classifier: Classifier, pixels: Tensor, path: Path) -> None:
    with _silence(), without_collection():
        program = torch.onnx.export(
            _with_folded_norms(classifier),
            (pixels,),
            dynamo=True,
            dynamic_shapes=_any_batch(),
            input_names=["pixels"],
            output_names=["logits"],
            verbose=False,
        )
        assert program is not None
        for part in (program.model.graph, *program.model.graph):  # half of the file, with the paths of this machine
            part.metadata_props.clear()
        program.model.metadata_props[BLUEPRINT] = classifier.blueprint.model_dump_json()
        program.save(path)


def _with_folded_norms(classifier: Classifier) -> Classifier:
    """A copy in which each BatchNorm after a convolution is folded into it.

    The exporter would do the same, but is much faster with the smaller graph.
    """
    folded = copy.deepcopy(classifier)
    for layers in [module for module in folded.modules() if isinstance(module, nn.Sequential)]:
        for place, (layer, after) in enumerate(pairwise(layers)):
            if type(layer) is nn.Conv2d and isinstance(after, nn.BatchNorm2d):
                layers[place], layers[place + 1] = fuse_conv_bn_eval(layer, after), nn.Identity()
    return folded


def _load_onnx(path: Path) -> Callable[[Tensor], Tensor]:
    runtime = import_extra("onnxruntime", "onnx", "ONNX")
    options = runtime.SessionOptions()
    options.log_severity_level = 3  # errors
    options.intra_op_num_threads = torch.get_num_threads()
    session = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda pixels: torch.from_numpy(session.run(["logits"], {"pixels": pixels.numpy()})[0])


def _any_batch() -> dict[str, dict[int, torch.export.Dim]]:
    return {"pixels": {0: torch.export.Dim("batch")}}


@contextmanager
def _silence() -> Iterator[None]:
    """Hide the warnings of exporters about their internals."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


FORMATS: dict[FormatName, Format] = {
    "safetensors": Format(WEIGHTS, _save_safetensors, load_classifier),
    "onnx": Format("model.onnx", _save_onnx, _load_onnx, ("onnx", "onnxscript", "onnxruntime")),
    "onnx-int8": Format("model-int8.onnx", _save_onnx, _load_onnx, ("onnx", "onnxscript", "onnxruntime")),
    "torch-export": Format("model.pt2", _save_program, _load_program),
}
"""In the order in which the card lists them."""
