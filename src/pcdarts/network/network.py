"""The network of a genotype: stem, cells, global average pooling and a linear classifier."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pcdarts.cell.authors import load_translated, translate_state
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import (
    NetworkKind,
    evaluation_stem_channels,
    macro_plan,
    reduction_positions,
    stem_stride,
)
from pcdarts.cell.stem import check_images, make_closing, make_stem, smallest_image_side
from pcdarts.errors import InputError, check_whole, wrong_type
from pcdarts.network.parts import AuxiliaryHead, Cell, dense_gradient
from pcdarts.ops.compiling import compile_modules
from pcdarts.ops.precision import Amp, mixed_precision
from pcdarts.ops.synchronize import process_count, synchronize_norms


class Network(nn.Module):
    """The evaluation network of Sec. 4.2 (CIFAR: 36 channels, 20 cells) and 4.3 (ImageNet: 48 channels, 14 cells).

    Images may have any size from a few pixels; for 32 x 32 (CIFAR) and 224 x 224 (ImageNet) the network is the
    authors'. The cells of a genotype of NAS-Bench-201 stand in that benchmark's network (16 channels, 15 cells).

    Args:
        genotype: the normal and the reduction cell; or one of another form.
        kind: the stem: "cifar" (a 3x3 convolution), "stride2" (one of stride 2), "stride4" (two) or "imagenet" (three).
        channels: channels of the nodes in the first cell; they double at each reduction cell or residual block.
        num_cells: number of cells; those at 1/3 and 2/3 of the depth are reduction cells, or have a residual block of
            NAS-Bench-201 before them.
        num_classes: number of logits.
        auxiliary: whether there is a second classifier for training, on the output of the cell at 2/3 of the depth.
        image_channels: 3 for colour, 1 for greyscale.
        drop_path: the probability that an operation is dropped for a sample in training; a settable attribute.
        amp: "bf16" and "fp16" train in mixed precision; evaluation and logits are always float32. With "fp16" the loss
            must be scaled, or gradients vanish.
        synchronize: whether BatchNorm uses the statistics of all processes of `torch.distributed`; see
            `ops/synchronize.py` about the gradients.

    Raises:
        InputError: an argument is out of range.
    """

    def __init__(
        self,
        genotype: Genotype,
        *,
        kind: NetworkKind = "cifar",
        channels: int = 36,
        num_cells: int = 20,
        num_classes: int = 10,
        auxiliary: bool = True,
        image_channels: int = 3,
        drop_path: float = 0.0,
        amp: Amp = "off",
        synchronize: bool = False,
    ) -> None:
        super().__init__()
        stem_stride(kind)  # refuses an unknown kind before all other checks
        if not isinstance(genotype, Genotype):
            raise wrong_type(
                "genotype",
                genotype,
                "a Genotype",
                "give pcdarts.published(NAME), pcdarts.Genotype.from_text(TEXT) or pcdarts.Genotype.from_file(FILE)",
            )
        sizes = {"channels": channels, "num_cells": num_cells, "num_classes": num_classes}
        sizes["image_channels"] = image_channels
        check_whole(**sizes)
        for name, size in sizes.items():
            least = 2 if name == "num_classes" else 1
            if size < least:
                raise InputError(f"{name} is {size}, but a network needs at least {least}")
        self.genotype = genotype
        self.drop_path = drop_path
        self.amp = amp
        self.synchronize = synchronize
        self._compiled_for: tuple[int, ...] | None = None
        self.image_channels = image_channels
        self.smallest_image_side = smallest_image_side(kind, num_cells)
        self.auxiliary_position = 2 * num_cells // 3

        macro = genotype.form.macro
        self.rectifies = macro == "darts"
        stem_channels = evaluation_stem_channels(kind, channels, macro)
        self.stem = make_stem(kind, stem_channels, image_channels)
        concat_sizes = {cell_kind: len(genotype.concat(cell_kind)) for cell_kind in genotype.kinds}
        plans = macro_plan(kind, channels, num_cells, concat_sizes, stem_channels, macro)
        cells = [Cell(genotype, plan) for plan in plans]
        self.cells: list[Cell] = nn.ModuleList(cells)  # type: ignore[assignment]  # a list that registers its items
        self.auxiliary_head = (
            AuxiliaryHead(cells[self.auxiliary_position].out_channels, num_classes, kind) if auxiliary else None
        )
        self.closing = make_closing(macro, cells[-1].out_channels)
        self.classifier = nn.Linear(cells[-1].out_channels, num_classes)
        if synchronize:
            synchronize_norms(self)

    @property
    def drop_path(self) -> float:
        """The current drop-path probability, in [0, 1); evaluation ignores it."""
        return self._drop_path

    @drop_path.setter
    def drop_path(self, probability: float) -> None:
        if not 0 <= probability < 1:
            raise InputError(f"drop_path is {probability}, expected a probability of at least 0 and less than 1")
        self._drop_path = probability

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Return logits `[B, num_classes]` for images `[B, image_channels, H, W]`.

        In training with an auxiliary head, return the pair (logits, auxiliary logits).

        Raises:
            InputError: the images do not have `image_channels` channels, or are too small for the reduction cells; or
                the device does not support the precision.
        """
        check_images(images, self.image_channels, self.smallest_image_side)
        if self.amp == "off" or not self.training:
            return self._classify(images)
        with mixed_precision(self.amp, images.device.type):
            outputs = self._classify(images)
        return outputs.float() if isinstance(outputs, Tensor) else (outputs[0].float(), outputs[1].float())

    def features(self, images: Tensor) -> list[Tensor]:
        """The last feature map of each resolution, after ReLU, for a detector.

        For images `[B, image_channels, H, W]` and the ImageNet stem: `[B, feature_channels[i], H/s, W/s]`, rounded up,
        for s = 8, 16 and 32; always float32.

        Raises:
            InputError: as `forward`.
        """
        check_images(images, self.image_channels, self.smallest_image_side)
        wanted = self.feature_positions
        amp: Amp = self.amp if self.training else "off"
        with mixed_precision(amp, images.device.type):
            maps = [
                self._map(last) for position, (_, last) in enumerate(self._cell_outputs(images)) if position in wanted
            ]
        return maps if amp == "off" else [map_.float() for map_ in maps]

    @property
    def has_idle_weights(self) -> bool:
        """Whether some weights get no gradient, because the output of a cell does not depend on one of its nodes."""
        return any(self.genotype.idle(kind) for kind in self.genotype.kinds)

    @property
    def feature_positions(self) -> list[int]:
        """The cells whose outputs are `features`: the one before each reduction cell, and the last one."""
        before = [position - 1 for position in sorted(reduction_positions(len(self.cells))) if position > 0]
        return [*before, len(self.cells) - 1]

    @property
    def feature_channels(self) -> list[int]:
        """The number of channels of each of the `features`."""
        return [self.cells[position].out_channels for position in self.feature_positions]

    def _classify(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        auxiliary_logits: Tensor | None = None
        output = images
        for position, (output, last) in enumerate(self._cell_outputs(images)):  # noqa: B007  # the last one is used
            if position == self.auxiliary_position and self.auxiliary_head is not None and self.training:
                auxiliary_logits = self.auxiliary_head(self._map(last))
        logits: Tensor = self.classifier(dense_gradient(self.closing(output)).mean(dim=(2, 3)))
        return logits if auxiliary_logits is None else (logits, auxiliary_logits)

    def _cell_outputs(self, images: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Compute the cells in order; yields the output of each, and what the next cells read of it."""
        compiled = self.training and images.shape == self._compiled_for
        # All readers of a stem's or cell's output, except the classifier, start with a ReLU: it is computed once here.
        # In the network of NAS-Bench-201 they do not.
        read = F.relu if self.rectifies else _unchanged
        larger, output = self.stem(images.contiguous(memory_format=torch.channels_last))
        last = read(output)
        before_last = last if larger is output else read(larger)
        for cell in self.cells:
            compute = cell if compiled or self._compiled_for is None else cell.forward
            drops = compiled or (self.training and self.drop_path > 0)  # the same compiled code for all probabilities
            output = compute(before_last, last, cell.draw_shares(last, self.drop_path) if drops else None)
            before_last, last = last, read(output)
            yield output, last

    def _map(self, read: Tensor) -> Tensor:
        """A cell's output after ReLU, from what the next cells read of it."""
        return read if self.rectifies else F.relu(read)

    def compile_parts(self, batch_shape: Sequence[int], backend: str = "inductor") -> None:
        """Compile the cells with `torch.compile`, for training with batches of `batch_shape` [B, C, H, W].

        The code is compiled in the first such pass, which takes minutes. Other batches and evaluation run without it,
        since each would take as long again. The state dict, random numbers and, except for rounding, results do not
        change.

        Raises:
            InputError: BatchNorm is synchronised over several processes, which compiled code does not support.
        """
        if self.synchronize and process_count() > 1:
            raise InputError("batch statistics over all processes cannot be compiled: drop one of the two")
        compile_modules(self.cells, backend)
        self._compiled_for = tuple(batch_shape)

    def load_authors_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load a state dict saved by the training scripts of DARTS or PC-DARTS (`cells.0._ops.3.op.1.weight`, ...).

        The weights of an auxiliary head are ignored if this network has none.

        Raises:
            InputError: a key is missing, unexpected or of another shape; nothing is loaded then.
        """
        translated = translate_state(state)
        if self.auxiliary_head is None:
            translated = {k: v for k, v in translated.items() if not k.startswith("auxiliary_head.")}
        load_translated(self, translated)


def _unchanged(x: Tensor) -> Tensor:
    return x


def network_without_data(genotype: Genotype, **sizes: Any) -> Network:
    """A network without an auxiliary head whose weights have shapes but no values (on the `meta` device).

    Args:
        sizes: the other arguments of `Network`.

    Raises:
        InputError: as `Network`, or the number of weights overflows.
    """
    try:
        with torch.device("meta"):
            return Network(genotype, auxiliary=False, **sizes)
    except (RuntimeError, OverflowError):
        raise InputError("a network of so many channels cannot exist") from None
