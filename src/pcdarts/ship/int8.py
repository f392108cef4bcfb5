"""ONNX models of 8-bit integers, made by onnxruntime's static quantisation, and what they lose beside the float model.

Weights get a scale for each output channel, the tensors between operations one each, found on training images: this is
the calibration. Test images are used once, to measure the finished model.
"""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pcdarts.data.disk.streaming import StreamedImages
from pcdarts.data.images import DataSet, Images
from pcdarts.errors import RunError, counted
from pcdarts.extras import import_extra
from pcdarts.learn.job_batches import plain_batches
from pcdarts.network.latency.timing import make_session, onnx_milliseconds
from pcdarts.ops.processor import processor_name

CALIBRATION_IMAGES = 256
"""The most training images that calibrate. As many others decide which calibration is used."""

METHODS = {"min-max": "MinMax", "percentile": "Percentile", "entropy": "Entropy"}
"""Calibrations in the order in which they are tried, with onnxruntime's names."""

_BATCH_SIZE = 32
_SECONDS = 1.0
"""For which each model is timed."""

Batch = tuple[np.ndarray, np.ndarray]
"""Pixels in [0, 1], float32 [B, C, H, W], and labels [B]."""


class LosesTooMuch(RunError):
    """The int8 model was refused; `found` has both accuracies, in % of so many test `images`, and the limit."""

    def __init__(self, line: str, **found: float) -> None:
        super().__init__(line)
        self.found = found


@dataclass(frozen=True)
class Quantised:
    """What card and `config.json` say of an int8 model; accuracies are top-1, in % of so many test `images`."""

    images: int
    float_accuracy: float
    int8_accuracy: float
    calibration: str
    calibration_images: int
    deciding_images: int
    """Other training images, by which the calibration was chosen."""
    float_bytes: int
    int8_bytes: int
    float_milliseconds: float
    """The median for one image, as `int8_milliseconds`: both by turns, with one thread of the `processor`."""
    int8_milliseconds: float
    processor: str | None

    @property
    def loss(self) -> float:
        """Points of accuracy that are lost; less than 0 if some are gained."""
        return self.float_accuracy - self.int8_accuracy

    def lines(self) -> list[str]:
        """What is printed about it."""
        lost = f"{self.loss:.2f} points lost" if self.loss >= 0 else f"{-self.loss:.2f} points gained"
        ratio = self.int8_milliseconds / self.float_milliseconds
        slower = " (8-bit arithmetic pays in wide networks)" if ratio > 1 else ""
        return [
            f"accuracy on {counted(self.images, 'test image')}: float {self.float_accuracy:.2f} %, int8 "
            f"{self.int8_accuracy:.2f} %, {lost}; calibrated on {counted(self.calibration_images, 'training image')} "
            f"({self.calibration}, which {counted(self.deciding_images, 'other')} decided)",
            f"size: float {self.float_bytes / 1e6:.2f} MB, int8 {self.int8_bytes / 1e6:.2f} MB; one image by turns on "
            f"{self.processor} (1 thread): float {self.float_milliseconds:.2f} ms, int8 {self.int8_milliseconds:.2f} "
            f"ms, {ratio:.2f} times as long{slower}",
        ]


def quantise(float_model: Path, target: Path, data: DataSet, labels: Tensor, max_loss: float) -> Quantised:
    """Write the int8 model of a float one to `target`, and say how good it is.

    A calibration by which more than `max_loss` is lost on other training images is given up for one that loses less.

    Args:
        float_model: takes pixels in [0, 1], and normalises them itself.
        data: its training images calibrate, its test images measure.
        labels: of the test images [N], as indices of the logits.
        max_loss: points of top-1 accuracy that may be lost on the test images.

    Raises:
        LosesTooMuch: more are lost.
    """
    ort = import_extra("onnxruntime.quantization", "onnx", "--format onnx-int8")
    prepared = target.with_name("prepared.onnx")
    with _silence():
        ort.quant_pre_process(float_model, prepared, skip_symbolic_shape=True)
    calibrating, deciding = calibration_batches(data)
    losses = {}
    for method in METHODS:
        _write(ort, prepared, target, calibrating, method)
        _, (before, after) = _accuracies(float_model, target, deciding)
        losses[method] = before - after
        if losses[method] <= max_loss:
            break
        print(f"{losses[method]:.2f} points are lost on other training images with calibration by {method}", flush=True)
    best = min(losses, key=losses.__getitem__)
    if best != method:  # another one was written last
        _write(ort, prepared, target, calibrating, best)
    test_batches = _batches(data.test.relabelled(labels), data.test.shape[0])
    images, (before, after) = _accuracies(float_model, target, test_batches)
    if before - after > max_loss:
        raise LosesTooMuch(
            f"the int8 model loses {before - after:.2f} points of accuracy ({before:.2f} % to {after:.2f} % of "
            f"{counted(images, 'test image')}), but at most {max_loss:g} may be lost; tried: calibration by "
            f"{', '.join(losses)}; nothing is exported: use --format onnx, or raise --max-loss",
            images=images,
            float_accuracy=before,
            int8_accuracy=after,
            max_loss=max_loss,
        )
    models = [float_model, target]
    of_float, of_int8 = onnx_milliseconds(models, seconds=_SECONDS, image_shape=data.test.shape)
    return Quantised(
        images=images,
        float_accuracy=before,
        int8_accuracy=after,
        calibration=best,
        calibration_images=sum(len(pixels) for pixels, _ in calibrating),
        deciding_images=sum(len(pixels) for pixels, _ in deciding),
        float_bytes=float_model.stat().st_size,
        int8_bytes=target.stat().st_size,
        float_milliseconds=of_float,
        int8_milliseconds=of_int8,
        processor=processor_name(),
    )


def calibration_batches(data: DataSet) -> tuple[list[Batch], list[Batch]]:
    """Training images as they are without augmentation, from all over the set: those that calibrate, and the others."""
    count = min(len(data.train), 2 * CALIBRATION_IMAGES)
    chosen = torch.linspace(0, len(data.train) - 1, count).long()
    channels = data.train.shape[0]
    calibrating, deciding = (list(_batches(data.train.subset(half), channels)) for half in (chosen[::2], chosen[1::2]))
    return calibrating, deciding


def _batches(images: Images | StreamedImages, channels: int) -> Iterator[Batch]:
    batches = plain_batches(images, [0.0] * channels, [1.0] * channels, _BATCH_SIZE, torch.device("cpu"))
    for pixels, labels in batches.epoch(0):
        if len(labels) > 0:  # else none of a batch's files can be read
            yield pixels.contiguous().numpy(), labels.numpy()


def _write(ort: Any, prepared: Path, target: Path, batches: Sequence[Batch], method: str) -> None:
    """Quantise for processors of all kinds.

    Weights have 7 bits: where a processor has no instructions for products of 8-bit integers (VNNI), sums of two such
    products overflow 16 bits.
    """
    with _silence():
        ort.quantize_static(
            prepared,
            target,
            _reader(ort, batches),
            quant_format=ort.QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            activation_type=ort.QuantType.QUInt8,
            weight_type=ort.QuantType.QInt8,
            calibrate_method=getattr(ort.CalibrationMethod, METHODS[method]),
            extra_options={"CalibStridedMinMax": 1},  # batch by batch, or the tensors of all are in memory at once
        )
    _tidy(target)


def _tidy(path: Path) -> None:
    """Remove what nothing needs that runs the model: shapes of tensors, a sixth of a small file, and unused domains."""
    onnx = import_extra("onnx", "onnx", "--format onnx-int8")
    model = onnx.load(path)
    model.graph.ClearField("value_info")
    used = {node.domain for node in model.graph.node}
    for place in reversed(range(len(model.opset_import))):
        if model.opset_import[place].domain not in used:
            del model.opset_import[place]
    onnx.save(model, path)


def _reader(ort: Any, batches: Sequence[Batch]) -> Any:
    """The batches as onnxruntime wants to read them."""

    class Reader(ort.CalibrationDataReader):  # type: ignore[misc]  # a class known only here
        def __init__(self) -> None:
            self.left = iter(batches)

        def __len__(self) -> int:
            return len(batches)

        def set_range(self, start_index: int, end_index: int) -> None:
            self.left = iter(batches[start_index:end_index])

        def get_next(self) -> dict[str, np.ndarray] | None:
            batch = next(self.left, None)
            return None if batch is None else {"pixels": batch[0]}

    return Reader()


def _accuracies(float_model: Path, int8_model: Path, batches: Iterable[Batch]) -> tuple[int, list[float]]:
    """How many images there are, and the share in % that each model puts in the right class.

    Raises:
        RunError: no image can be read.
    """
    sessions = [make_session(model, torch.get_num_threads()) for model in (float_model, int8_model)]
    images, right = 0, [0, 0]
    for pixels, labels in batches:
        images += len(labels)
        for place, session in enumerate(sessions):
            (logits,) = session.run(["logits"], {"pixels": pixels})
            right[place] += int((logits.argmax(axis=1) == labels).sum())
    if images == 0:
        raise RunError("none of the images to compare the float and the int8 model on can be read: repair them")
    return images, [100 * count / images for count in right]


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Hide what onnxruntime prints, logs and warns of while it quantises."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
