"""What a search method is, and what a search offers it: the two protocols that meet in every step.

A method knows mixtures and what is learnt about them; it never sees a network, a configuration or a device's precision.
A task knows the supernet and its data; it never sees α. Partial channels and edge normalisation belong to the supernet.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellSpace
from pcdarts.supernet.arch import Mixture


class At(NamedTuple):
    """A step's place in a search. All numbers count from 0."""

    epoch: int
    """Of the whole search."""
    step: int
    """Of the epoch."""
    stage: int
    stage_epoch: int
    """Of the stage."""
    stage_epochs: int
    """How many the stage has."""


@dataclass(frozen=True)
class Stage:
    """A part of a search with a supernet and a learning-rate schedule of its own.

    A field that is None leaves that setting as the search is configured. No field says which operations a stage allows:
    a method gives the others the weight zero in its mixtures, and the supernet does not compute them.
    """

    epochs: int | None = None
    arch_frozen_epochs: int | None = None
    """So many epochs at the beginning of the stage only move the weights: `Method.step` is not called in them."""
    num_cells: int | None = None
    added_cells: int = 0
    """So many more cells than the search is configured with, or than `num_cells`."""
    k: int | None = None
    learning_rate: float | None = None
    learning_rate_min: float | None = None
    learning_rate_share: float = 1.0
    """Of the learning rate that the stage would begin with, which then falls no lower than to itself."""
    keeps_weights: bool = False
    """The supernet goes on with the weights and momenta of the stage before, widened where more channels are sampled
    (a smaller `k`); otherwise it begins with fresh ones. Not with other `num_cells`."""
    keeps_schedule: bool = False
    """The learning rate goes on along the cosine of the stage before, whose end is then the end of this stage."""


class Batch(NamedTuple):
    """Images of one of the two splits, and the random numbers that belong to them."""

    images: Tensor
    """[B, C, H, W]"""
    labels: Tensor
    """[B]"""
    masks: list[Tensor] | None = None
    """Which channels are sampled, as `Supernet.draw_masks` gives it; None for the first 1/K."""
    chance: Callable[[], torch.Generator] = torch.Generator
    """A fresh generator, with the same numbers in every call: what is drawn for a batch is drawn from it, so that all
    passes on the batch see the same draw, whatever α has become between them."""


class Seen(NamedTuple):
    """What a pass over a batch found, as tensors on the device; with several processes, for this one's share of it."""

    loss: Tensor
    """The mean loss."""
    logits: Tensor
    """[B, classes]"""
    labels: Tensor
    """[B]"""


class Task(Protocol):
    """What a method may ask of a search: gradients, losses and errors of the supernet under a mixture.

    Parts of a batch (gradient accumulation), mixed precision, other processes and numbers that are not finite are taken
    care of behind it. Every gradient is that of the mean loss over all parts and processes. A run may be
    saved and stopped within `error`, `errors`, `jacobian` and `patterns`: they are for the end of an epoch, not for a
    step.
    """

    @property
    def weights(self) -> dict[str, Tensor]:
        """The supernet's weights w by name, as constants."""

    @property
    def weight_optimizer(self) -> torch.optim.SGD:
        """That of the supernet's weights, in one group."""

    def arch_batch(self) -> Batch:
        """The next batch of the arch split."""

    def images(self, batch: Batch) -> int:
        """How many images a batch has, those of the other processes included."""

    def gradients(
        self, mixture: Mixture, batch: Batch, inputs: Sequence[Tensor], weights: Mapping[str, Tensor] | None = None
    ) -> tuple[list[Tensor], Seen]:
        """The gradients of the batch's loss with respect to `inputs`.

        Each input is a tensor that the mixture was computed from, or one of `weights`. With `weights` the supernet
        computes with these instead of its own, and its running statistics stay as they are. Without, they move.
        """

    def hold(self, held: Mapping[str, Tensor]) -> None:
        """From now on some of the supernet's weights keep their values: by name, where a boolean mask says so."""

    def losses(self, mixtures: Sequence[Mixture], batch: Batch) -> Tensor:
        """The batch's loss under each mixture, [n], without gradients; running statistics stay as they are."""

    def errors(self, mixtures: Sequence[Mixture], batch: Batch) -> Tensor:
        """The top-1 error in % on the batch under each mixture, [n], otherwise as `losses`."""

    def error(self, mixture: Mixture, batches: int | None = None) -> float:
        """The top-1 error in % on the images of the arch split, or on the first batches of them, not augmented.

        BatchNorm takes the statistics of each batch: the running ones are those of the mixtures that were trained.
        """

    def jacobian(
        self, mixture: Mixture, batch: Batch, inputs: Sequence[Tensor], weights: Mapping[str, Tensor], images: int
    ) -> Tensor:
        """The gradient of the sum of each image's logits with respect to `inputs`, some of `weights`, as one row.

        The supernet computes with `weights`, and BatchNorm with so many `images` of the batch, as many of each part and
        process. [images of all processes, numbers].
        """

    def patterns(self, mixture: Mixture, batch: Batch, weights: Mapping[str, Tensor]) -> Tensor:
        """Which rectifiers are on for each image, of any size: boolean [images of all processes, units]."""

    def apply(self, optimizer: torch.optim.Optimizer, gradients: Sequence[Tensor], seen: Seen) -> None:
        """Let an optimiser of one group take its step along `gradients`, if they and the loss `seen` are finite.

        On a GPU its `step` is called in any case, and must change nothing where its attribute `found_inf` is not zero:
        so PyTorch's fused optimisers do it.
        """


class Method(Protocol):
    """A way to search: it owns what is learnt besides the supernet's weights.

    All that is random in it comes from the generators that it is given, which are pure functions of the place in the
    run; all else that changes is in its state. Then a resumed search ends with the same bits.

    A method that has more to say also has the properties `ended` (`why_ended`) and `figures` (`figures_of`). One whose
    weights learn under draws that are, or become, single cells has `measured_alone = True` (`is_measured_alone`).
    """

    @property
    def space(self) -> CellSpace:
        """The cell that is searched."""

    @property
    def arch(self) -> nn.Module:
        """What is learnt, as parameters: the same in every process, and saved only while finite; there may be none."""

    def stages(self) -> Sequence[Stage]:
        """The parts of the search, one after the other."""

    def mixture(self) -> Mixture:
        """The mixture of all that is learnt so far, nothing drawn: reported after every epoch.

        Its error is measured at the end, unless `is_measured_alone`.
        """

    def draws(self, at: At, task: Task, batch: Batch) -> Sequence[tuple[float | Tensor, Mixture]]:
        """The mixtures on which the weights learn from a batch, each with its share of the loss; shares sum to 1.

        Without any the weights stay as they are.
        """

    def step(self, at: At, task: Task, weight_batch: Batch) -> Seen | None:
        """Learn about mixtures before the weights take their step on `weight_batch`; return what was seen, if anything.

        What is drawn here for `weight_batch` must be what `draws` draws for it: both draw from its `chance`.
        """

    def end_epoch(self, at: At, task: Task, chance: torch.Generator) -> None:
        """What is to be done after the last step of an epoch; `at` is the place of that step."""

    def genotype(self, task: Task | None, chance: torch.Generator) -> Genotype:
        """The cell that is found. It is asked for after every epoch too, without a task: nothing is evaluated then."""

    def state_dict(self) -> dict[str, Any]:
        """All that changes, as tensors and plain values."""

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        """Go on from such a state."""


def why_ended(method: Method) -> str | None:
    """Why a search is to end before its last epoch, as a line for its user; None if it is to go on."""
    ended: str | None = getattr(method, "ended", None)
    return ended


def figures_of(method: Method) -> dict[str, float]:
    """Finite numbers by name that are told and saved after every epoch, beside losses and errors."""
    figures: dict[str, float] = getattr(method, "figures", {})
    return figures


def is_measured_alone(method: Method) -> bool:
    """Whether the error at the end of a search is that of the cell alone, and not of all operations mixed.

    Weights that learn under draws have never learnt under `mixture()`, and nor have their running statistics.
    """
    alone: bool = getattr(method, "measured_alone", False)
    return alone
