"""The network that is trained while searching: a function of the images and the mixture, computed per source node."""

from typing import Literal

import torch
from torch import Tensor, nn

from pcdarts.cell.authors import load_translated
from pcdarts.cell.primitives import MAKERS
from pcdarts.cell.space import (
    CellSpace,
    NetworkKind,
    check_space,
    macro_plan,
    supernet_stem_channels,
)
from pcdarts.cell.stem import check_images, make_closing, make_stem, smallest_image_side
from pcdarts.errors import InputError, check_whole, listed, wrong_type
from pcdarts.ops.compiling import never_compiled
from pcdarts.ops.precision import Amp, mixed_precision
from pcdarts.ops.sending import send
from pcdarts.ops.synchronize import synchronize_norms
from pcdarts.supernet import reference
from pcdarts.supernet.absent import reaching_all
from pcdarts.supernet.arch import Mixture, check_mixture
from pcdarts.supernet.edges import are_dense, are_stacked
from pcdarts.supernet.from_authors import from_authors_state_dict
from pcdarts.supernet.masks import DrawnMasks, fitting_masks
from pcdarts.supernet.native import cells as native
from pcdarts.supernet.native.answers import kept_kernels, network_class
from pcdarts.supernet.parameters import SupernetCell
from pcdarts.supernet.plain import dense
from pcdarts.supernet.plain import per_source as plain

ChannelSampling = Literal["first", "random"]
Kernels = Literal["native", "plain"]
_WIDEST_NATIVE = 32
"""Up to so many sampled channels of the first cell native kernels should be faster, where it was not measured."""


class Supernet(nn.Module):
    """The over-parameterised network of Sec. 4.2 (CIFAR) or 4.3 (ImageNet), a function of images and mixture.

    Args:
        space: the cells searched. The plain kernels compute the paper's primitives, in spaces of any form; the native
            ones the paper's space alone. `NASBENCH201` has plain kernels and a network of its own. A space with any
            other primitive of `MAKERS` is computed by `reference.py`, one edge and one operation at a time.
        kind: the stem: "cifar" (a 3x3 convolution), "stride2" (one of stride 2), "stride4" (two) or "imagenet" (three).
        channels: channels of the nodes of the first cell; a multiple of k.
        num_cells: cells, of which those at 1/3 and 2/3 of the depth are reduction cells, or have a residual block of
            NAS-Bench-201 before them.
        num_classes: number of logits.
        k: the paper's K: 1/k of the channels go through the operations, the others bypass them.
        channel_sampling: "first" takes the first 1/k of the channels and shuffles each node (Sec. 4.1); "random"
            draws a fresh mask for every edge of every cell at each call (Eq. 1 to the letter).
        image_channels: 3 for colour, 1 for greyscale.
        kernels: "native" computes the cells with compiled kernels (`supernet/native`), "plain" with PyTorch alone;
            "auto" is native on a CPU where they can be compiled, if a search on this machine has measured such networks
            and they were faster; if it was not measured, for 32 sampled channels or fewer in the first cell. Nothing is
            measured here. The attribute of that name may be set at any time.
        amp: "bf16" and "fp16" compute in mixed precision in training, which only the plain kernels can; evaluation and
            logits are float32 in any case. The gradients of "fp16" vanish unless the loss is scaled up.
        synchronize: whether BatchNorm takes its statistics of the images of all processes of `torch.distributed`, which
            only the plain kernels can. See `ops/synchronize.py` for what gradients then are.

    Raises:
        InputError: k does not divide the channels, or another argument is out of range.
    """

    def __init__(
        self,
        space: CellSpace,
        *,
        kind: NetworkKind = "cifar",
        channels: int = 16,
        num_cells: int = 8,
        num_classes: int = 10,
        k: int = 4,
        channel_sampling: ChannelSampling = "first",
        image_channels: int = 3,
        kernels: Literal["auto", "native", "plain"] = "auto",
        amp: Amp = "off",
        synchronize: bool = False,
    ) -> None:
        super().__init__()
        check_space(space)
        check_whole(channels=channels, num_cells=num_cells, num_classes=num_classes, k=k, image_channels=image_channels)
        if k < 1 or channels < 1 or channels % k:
            raise InputError(f"k is {k}, but it must divide channels ({channels}): use 1, 2, 4 or another divisor")
        if num_cells < 1 or num_classes < 2:
            raise InputError(f"a supernet needs a cell and two classes, but num_cells={num_cells}, {num_classes=}")
        if channel_sampling not in ("first", "random"):
            raise InputError(f'channel_sampling is "{channel_sampling}", but must be "first" or "random"')
        if unknown := [primitive for primitive in space.primitives if primitive not in MAKERS]:
            raise InputError(f"a supernet has no operation {unknown[0]}: use {listed(MAKERS, 'and')}")
        self.stacked, self.dense = are_stacked(space), are_dense(space)
        if amp != "off" and not (self.stacked or self.dense):
            raise InputError(f"amp is {amp}, but a space with other primitives than the paper's needs float32: use off")
        if synchronize and space.form.macro == "nasbench201":
            raise InputError(
                "synchronize (synchronize_batch_norm) is on, but a supernet of NAS-Bench-201 takes batch statistics of "
                "one process: drop it"
            )
        self.space, self.k, self.channel_sampling = space, k, channel_sampling
        self.channels, self.image_channels = channels, image_channels
        self.amp: Amp = amp
        self.synchronize = synchronize
        self.kernels = kernels
        self.smallest_side = smallest_image_side(kind, num_cells)
        macro = space.form.macro
        stem_channels = supernet_stem_channels(channels, macro)
        self.stem = make_stem(kind, stem_channels, image_channels)
        width = len(space.outputs)
        plans = list(macro_plan(kind, channels, num_cells, dict.fromkeys(space.kinds, width), stem_channels, macro))
        self.cells: list[SupernetCell] = nn.ModuleList(  # type: ignore[assignment]  # a list that registers its items
            SupernetCell(space, plan, k) for plan in plans
        )
        self.closing = make_closing(macro, width * plans[-1].channels)
        self.classifier = nn.Linear(width * plans[-1].channels, num_classes)
        if synchronize:
            synchronize_norms(self)

    def forward(self, images: Tensor, mixture: Mixture | None = None, masks: list[Tensor] | None = None) -> Tensor:
        """Return logits [B, num_classes] for images [B, image_channels, H, W] and a mixture, without which none are.

        `masks` fixes the channel sampling: per cell a boolean [edges, C] with C/k channels selected on each edge (see
        `draw_masks`). When absent, "random" draws new ones and "first" needs none.

        Raises:
            InputError: no images, or of another shape or type, or too small for the network; no mixture, or one of
                another space, or at odds with what it calls active; masks that are not like those of `draw_masks`; or a
                precision that the device of the images or the native kernels do not have.
            MemoryError: the native kernels found none.
        """
        check_images(images, self.image_channels, self.smallest_side)
        if not isinstance(mixture, Mixture):
            raise wrong_type(
                "mixture", mixture, "a Mixture of operations and edges", "give supernet(images, arch.mixture())"
            )
        self._check_mixing(mixture, masks)
        if masks is None and self.samples_randomly:
            masks = self.draw_masks()
        drops = self.training and mixture.skip_dropout is not None and mixture.skip_dropout.rate > 0
        if self.kernels == "native" and not drops:  # dropout is the plain path's business
            if self.amp != "off":
                raise InputError(f"amp is {self.amp}, but kernels is native, which computes in float32: use plain")
            return native.logits(self, images, mixture, masks)
        compute = plain.logits if self.stacked else dense.logits if self.dense else reference.supernet
        if self.amp == "off" or not self.training:
            logits = compute(self, images, mixture, masks)
        else:
            with mixed_precision(self.amp, images.device.type):
                logits = compute(self, images, mixture, masks)
            logits = logits.float()
        return logits if self.stacked else reaching_all(logits, self.space, mixture, self.parameters())

    @never_compiled
    def _check_mixing(self, mixture: Mixture, masks: list[Tensor] | None) -> None:
        """Refuse a mixture or masks of wrong shapes, which native kernels would read beyond their end."""
        edges = self.space.num_edges
        check_mixture(mixture, self.space)
        if masks is None:
            return
        if len(masks) != len(self.cells):
            raise InputError(f"there are {len(masks)} masks, but {len(self.cells)} cells: use supernet.draw_masks()")
        for position, fits in enumerate(
            fitting_masks(masks, [cell.plan.channels for cell in self.cells], edges, self.k)
        ):
            if not fits:
                channels = self.cells[position].plan.channels
                raise InputError(
                    f"the mask of cell {position} must select {channels // self.k} of {channels} channels on each of "
                    f"{edges} edges: use supernet.draw_masks()"
                )

    @property
    def kernels(self) -> Kernels:
        """What computes the cells where the weights are now: "native" or "plain".

        May be set, to "auto" as well; "native" without a compiler is an InputError.
        """
        if self._kernels != "auto":
            return self._kernels
        return "native" if self.prefers_native and native.available() else "plain"

    @kernels.setter
    def kernels(self, kernels: Literal["auto", "native", "plain"]) -> None:
        if kernels not in ("auto", "native", "plain"):
            raise InputError(f'kernels is "{kernels}", but must be "auto", "native" or "plain"')
        if kernels == "native" and not native.available():
            raise InputError(
                'kernels is "native", but no C++ compiler works here: install g++ or clang, or '
                "run pip install 'pcdarts[native]', or use \"plain\""
            )
        if kernels == "native" and not native.has_kernels_for(self.space):
            raise InputError('kernels is "native", but these compute the cells of the paper alone: use "plain"')
        if kernels == "native" and self.synchronize:
            raise InputError('kernels is "native", but these take batch statistics of one process: use "plain"')
        self._kernels = kernels

    @property
    def why_not_native(self) -> str | None:
        """What the native kernels lack for device, precision, statistics or space; None where they can compute."""
        if self.amp != "off":
            return f"the native ones compute in float32, not in {self.amp}"
        if self.synchronize:
            return "the native ones take batch statistics of one process"
        if not native.has_kernels_for(self.space):
            return "the native ones compute the cells of the paper alone"
        if not native.can_compute(self.classifier.weight):
            return "the native ones compute float32 and float64 on a CPU"
        return None

    @property
    def prefers_native(self) -> bool:
        """Whether "auto" is to be native where a compiler works, by what was measured here or by the rule."""
        if self.why_not_native is not None:
            return False
        network = network_class(self.channels, self.k, self.space.num_nodes, self.channel_sampling)
        if (measured := kept_kernels(network)) is not None:
            return measured == "native"
        return self.cells[0].plan.channels // self.k <= _WIDEST_NATIVE

    @property
    def samples_randomly(self) -> bool:
        """Whether masks matter: random sampling, and not of all channels."""
        return self.channel_sampling == "random" and self.k > 1

    def draw_masks(self, generator: torch.Generator | None = None) -> list[Tensor]:
        """Draw the channel masks S of Eq. (1): per cell a boolean [edges, C], C/k channels of every edge, uniformly.

        Drawn on the CPU (from its global generator when none is given), so that every device samples the same.
        """
        masks = []
        for cell in self.cells:
            noise = torch.rand(self.space.num_edges, cell.plan.channels, generator=generator)
            ranks = noise.argsort(dim=1).argsort(dim=1)
            masks.append(ranks < cell.plan.channels // self.k)
        sent = send(torch.cat([mask.flatten() for mask in masks]), self.classifier.weight.device)
        parts = sent.split([mask.numel() for mask in masks])
        return DrawnMasks(part.view(mask.shape) for part, mask in zip(parts, masks, strict=True))

    def load_authors_state_dict(self, state: dict[str, Tensor]) -> None:
        """Load what the DARTS and PC-DARTS search scripts save (`cells.0._ops.3._ops.4.op.1.weight`, ...).

        Raises:
            InputError: keys are missing, unexpected or of another shape; nothing is loaded then.
        """
        load_translated(self, from_authors_state_dict(state, self.state_dict(), self.cells))
