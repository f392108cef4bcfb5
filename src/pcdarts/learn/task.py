"""What the step of a search works on: the supernet with its data, as methods see it, and the step of its weights."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import count, islice
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from pcdarts.data.batches import Batches
from pcdarts.data.streams import generator
from pcdarts.learn.learning import WeightStep, in_parts, loss_scale, overflowed, step_unless
from pcdarts.learn.measure import top_errors
from pcdarts.learn.per_edge import PerEdge
from pcdarts.methods.method import Batch, Seen
from pcdarts.run.finite import FiniteCheck
from pcdarts.run.processes import Processes
from pcdarts.supernet import rectifiers
from pcdarts.supernet.arch import Mixture
from pcdarts.supernet.supernet import Supernet


class SupernetTask:
    """What `methods.method.Task` describes, and `learn`, the weights' own step.

    Args:
        network: the supernet, or the per-edge supernet that `pcdarts bench` compares it with.
        weight_optimizer: fused or not, with all weights of the network in one group.
        parts: how many parts of a batch pass through the network one after the other.
        scaler: multiplies the loss for backward passes in float16; it is disabled in other precisions.
        arch_batch: gives the next batch of the arch split.
        seed: of the search; channel masks and the chance of each batch come from it.
        measured: the batches on which `error` is measured.
        between: called after each of these, and after whatever else only the end of an epoch asks for: a run may be
            stopped there.
        count: called after each measurement of a mixture that is no step: of its error, its Jacobian, its patterns.
    """

    def __init__(
        self,
        network: Supernet | PerEdge,
        weight_optimizer: torch.optim.SGD,
        *,
        gradient_clip: float,
        parts: int,
        scaler: torch.amp.GradScaler,
        processes: Processes,
        finite: FiniteCheck,
        arch_batch: Callable[[], Batch],
        seed: int = 0,
        measured: Batches | None = None,
        between: Callable[[], None] = lambda: None,
        count: Callable[[], None] = lambda: None,
    ) -> None:
        self.network, self.weight_optimizer = network, weight_optimizer
        self.parts, self.scaler, self.processes, self.finite = parts, scaler, processes, finite
        self.arch_batch, self.seed = arch_batch, seed
        self._measured, self._between, self._count = measured, between, count
        self._weight_step = WeightStep(network, weight_optimizer, scaler, processes, finite, gradient_clip, parts)
        self._spare: dict[str, Tensor] = {}

    def batch(self, stream: str, epoch: int, number: int, images: Tensor, labels: Tensor) -> Batch:
        """A batch with its channel masks and its chance, both pure functions of its place in the run."""
        place = (stream, epoch, number)
        return Batch(images, labels, self.masks(*place), partial(generator, self.seed, "mixture", *place))

    def masks(self, *place: str | int) -> list[Tensor] | None:
        """Fresh channel masks for one batch, where they are random."""
        if not isinstance(self.network, Supernet) or not self.network.samples_randomly:
            return None
        return self.network.draw_masks(generator(self.seed, "masks", *place))

    def learn(self, batch: Batch, draws: Sequence[tuple[float | Tensor, Mixture]]) -> Seen:
        """Move the weights along the gradient of the batch's loss under the mixtures drawn, by their shares.

        Raises:
            NotFinite: the loss or the gradient is not; the weights are as they were.
        """
        constant = [(share, mixture.detach()) for share, mixture in draws]
        loss, logits = self._weight_step.along(
            [
                (part * share, partial(_weight_loss, mixture=mixture, masks=batch.masks), images, labels)
                for images, labels, part in in_parts(batch.images, batch.labels, self.parts)
                for share, mixture in constant
            ]
        )
        drawn = len(constant)
        if drawn > 1:  # each part of the batch has the logits of all mixtures in turn: report their mean by shares
            weighted = [constant[number % drawn][0] * each for number, each in enumerate(logits)]
            logits = [torch.stack(weighted[start : start + drawn]).sum(0) for start in range(0, len(logits), drawn)]
        return Seen(loss, torch.cat(logits), batch.labels)

    @property
    def weights(self) -> dict[str, Tensor]:
        return {name: weight.detach() for name, weight in self.network.named_parameters()}

    def images(self, batch: Batch) -> int:
        return len(batch.labels) * self.processes.count  # which share each batch equally

    def gradients(
        self, mixture: Mixture, batch: Batch, inputs: Sequence[Tensor], weights: Mapping[str, Tensor] | None = None
    ) -> tuple[list[Tensor], Seen]:
        state = self.weights if weights is None else {**weights, **self._spare_buffers()}
        # The gradients of weights come from the network directly, all others through the mixture.
        are_weights = [any(x is weight for weight in (weights or {}).values()) for x in inputs]
        weight_inputs = [x for x, is_weight in zip(inputs, are_weights, strict=True) if is_weight]
        mixture_inputs = [x for x, is_weight in zip(inputs, are_weights, strict=True) if not is_weight]
        scale, cut = loss_scale(self.scaler, batch.images.device), _cut(mixture)
        gradients: list[Tensor] = []
        losses, logits = [], []
        for images, labels, share in in_parts(batch.images, batch.labels, self.parts):
            logits.append(functional_call(self.network, state, (images, cut.mixture, batch.masks)))
            loss = share * F.cross_entropy(logits[-1], labels)
            found = torch.autograd.grad(loss * scale, [*cut.leaves, *weight_inputs], materialize_grads=True)
            found = found[len(cut.leaves) :] + cut.backward(found[: len(cut.leaves)], mixture_inputs)
            gradients = [total + g for total, g in zip(gradients, found, strict=True)] if gradients else list(found)
            losses.append(loss.detach())
        if isinstance(scale, Tensor) or scale != 1:
            gradients = [gradient / scale for gradient in gradients]
        of_weights, of_others = iter(gradients[: len(weight_inputs)]), iter(gradients[len(weight_inputs) :])
        ordered = [next(of_weights if is_weight else of_others) for is_weight in are_weights]
        seen = Seen(torch.stack(losses).sum(), torch.cat(logits).detach(), batch.labels)
        return self.processes.average(ordered), seen

    def hold(self, held: Mapping[str, Tensor]) -> None:
        self._weight_step.held = {self.network.get_parameter(name): mask for name, mask in held.items()}

    def losses(self, mixtures: Sequence[Mixture], batch: Batch) -> Tensor:
        return self._means(mixtures, batch, F.cross_entropy, lambda: None)

    def errors(self, mixtures: Sequence[Mixture], batch: Batch) -> Tensor:
        return self._means(mixtures, batch, _top1_error, self._between)

    @torch.no_grad()
    def _means(
        self,
        mixtures: Sequence[Mixture],
        batch: Batch,
        measure: Callable[[Tensor, Tensor], Tensor],
        between: Callable[[], None],
    ) -> Tensor:
        """The mean of what is measured on logits and labels under each mixture, over all parts and processes."""
        state = {**self.weights, **self._spare_buffers()}

        def mean(mixture: Mixture) -> Tensor:
            parts = [
                share * measure(functional_call(self.network, state, (images, mixture, batch.masks)), labels)
                for images, labels, share in in_parts(batch.images, batch.labels, self.parts)
            ]
            between()
            return torch.stack(parts).sum()

        return self.processes.average([torch.stack([mean(mixture) for mixture in mixtures])])[0]

    def error(self, mixture: Mixture, batches: int | None = None) -> float:
        return self.measured(mixture, batches)["top1_error"]

    def measured(self, mixture: Mixture, batches: int | None = None) -> dict[str, float]:
        """The errors that `learn.measure.top_errors` gives, as `error` measures them."""
        assert self._measured is not None, "this task has no images to measure an error on"
        state, numbers = {**self.weights, **self._spare_buffers()}, iter(range(len(self._measured)))
        was_training = self.network.training
        self.network.train()
        try:
            found = top_errors(
                lambda images: functional_call(
                    self.network, state, (images, mixture, self.masks("error", next(numbers)))
                ),
                _First(self._measured, batches),
                self.processes,
                self._between,
                jointly=isinstance(self.network, Supernet) and self.network.synchronize,
            )
        finally:
            self.network.train(was_training)
        self._count()
        return found

    def jacobian(
        self, mixture: Mixture, batch: Batch, inputs: Sequence[Tensor], weights: Mapping[str, Tensor], images: int
    ) -> Tensor:
        state, rows = {**weights, **self._spare_buffers()}, []
        parts = list(in_parts(batch.images, batch.labels, self.parts))
        in_each = -(-images // (len(parts) * self.processes.count))
        for some_images, _, _ in parts:
            logits = functional_call(self.network, state, (some_images[:in_each], mixture, batch.masks))
            for number in range(len(logits) * self.processes.count):  # each process makes the passes of all images
                owner, own = divmod(number, len(logits))
                chosen = logits[own].sum() if owner == self.processes.rank else 0 * logits.sum()
                found = torch.autograd.grad(chosen, inputs, retain_graph=True, materialize_grads=True)
                rows.append(torch.cat([gradient.flatten() for gradient in found]))
                self._between()
        self._count()
        return self.processes.total(torch.stack(rows))  # as statistics of all images lead to gradients in all processes

    def patterns(self, mixture: Mixture, batch: Batch, weights: Mapping[str, Tensor]) -> Tensor:
        state = {**weights, **self._spare_buffers()}
        found = [
            rectifiers.patterns(self.network, state, images, mixture, batch.masks)
            for images, _, _ in in_parts(batch.images, batch.labels, self.parts)
        ]
        self._count()
        self._between()
        return self.processes.gather(torch.cat(found).to(torch.uint8)).bool()

    def apply(self, optimizer: torch.optim.Optimizer, gradients: Sequence[Tensor], seen: Seen) -> None:
        """As in `Task`.

        Raises:
            NotFinite: the loss or the gradient is not; parameters and optimiser are as they were.
        """
        self.finite.check("the arch loss", seen.loss)
        norm = torch.cat([gradient.flatten() for gradient in gradients]).norm()
        if self.finite.every > 1:
            self._apply_on_device(optimizer, gradients, norm)
            return
        if overflowed(self.scaler, norm):  # no step, but a lower scale, as for the weights
            self.scaler.update(self.scaler.get_scale() * self.scaler.get_backoff_factor())
            return
        self.finite.check("the norm of the gradient of alpha and beta", norm)
        (group,) = optimizer.param_groups
        for parameter, gradient in zip(group["params"], gradients, strict=True):
            parameter.grad = gradient
        optimizer.step()

    def _apply_on_device(self, optimizer: torch.optim.Optimizer, gradients: Sequence[Tensor], norm: Tensor) -> None:
        """The same without waiting for the device: it decides itself whether the step is left out."""
        (group,) = optimizer.param_groups
        if not group.get("fused"):  # only a fused one can leave out a step; a loaded state may be of one that was not
            group["fused"] = True
            for parameter, state in optimizer.state.items():
                if "step" in state:
                    state["step"] = state["step"].to(parameter.device)
        infinite, excused = ~norm.isfinite(), torch.zeros_like(norm, dtype=torch.bool)
        if self.scaler.is_enabled():
            scale = torch.as_tensor(loss_scale(self.scaler, norm.device))
            excused = infinite & (scale > 1)  # as in `overflowed`: the scale's fault, unless the loss was bad already
            fault = excused if self.finite.bad is None else excused & ~self.finite.bad
            self.scaler.update(torch.where(fault, scale * self.scaler.get_backoff_factor(), scale))
        self.finite.check("the norm of the gradient of alpha and beta", norm.masked_fill(excused, 0))
        for parameter, gradient in zip(group["params"], gradients, strict=True):
            parameter.grad = gradient.contiguous()  # which fused ones insist on
        step_unless(infinite if self.finite.bad is None else infinite | self.finite.bad, optimizer)

    def _spare_buffers(self) -> dict[str, Tensor]:
        """Copies of all buffers, for passes that must not move the running statistics.

        In training BatchNorm writes these but never reads them, so what earlier passes left in the copies is harmless.
        """
        if not self._spare:
            self._spare = {name: buffer.clone() for name, buffer in self.network.named_buffers()}
        return self._spare


def _weight_loss(
    network: nn.Module, images: Tensor, labels: Tensor, *, mixture: Mixture, masks: list[Tensor] | None
) -> tuple[Tensor, Tensor, Tensor]:
    """L_weight, which is both minimised and reported, and the logits."""
    logits = network(images, mixture, masks)
    loss = F.cross_entropy(logits, labels)
    return loss, loss, logits


def _top1_error(logits: Tensor, labels: Tensor) -> Tensor:
    return 100 * (logits.argmax(dim=1) != labels).float().mean()


class _Cut(NamedTuple):
    """A mixture cut off from what it was computed from, so that each part of a batch has a backward pass of its own.

    That pass ends at the leaves; `backward` continues from there to α and β.
    """

    mixture: Mixture
    leaves: list[Tensor]
    """Its tensors that were computed from something."""
    origins: list[Tensor]
    """What they were cut off from."""

    def backward(self, gradients: Sequence[Tensor], inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The gradients of `inputs`, from which the mixture was computed, given the gradients of the leaves."""
        if not inputs:
            return ()
        # The graph is kept for the next part of the batch.
        return torch.autograd.grad(self.origins, inputs, gradients, retain_graph=True, materialize_grads=True)


def _cut(mixture: Mixture) -> _Cut:
    leaves, origins = [], []

    def leaf_of(tensor: Tensor) -> Tensor:
        if not tensor.requires_grad:
            return tensor
        origins.append(tensor)
        leaves.append(tensor.detach().requires_grad_())
        return leaves[-1]

    op_weights = {kind: leaf_of(weights) for kind, weights in mixture.op_weights.items()}
    edge_weights = {kind: leaf_of(weights) for kind, weights in mixture.edge_weights.items()}
    return _Cut(replace(mixture, op_weights=op_weights, edge_weights=edge_weights), leaves, origins)


class _First(NamedTuple):
    """The first `at_most` batches, or all where that is None."""

    batches: Batches
    at_most: int | None

    def numbered(self, epoch: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        return islice(self.batches.numbered(epoch), self.at_most)


class ArchBatches:
    """The batches of the arch split, one after the other; an epoch of the search takes as many as it needs.

    When the split is used up within an epoch, another round through it begins. That round is batched and augmented as
    an epoch whose number is too large to be one of the search, so its order is a new one.

    Args:
        epochs: how many epochs the search has.
    """

    def __init__(self, batches: Batches, epochs: int) -> None:
        self._batches, self._epochs = batches, epochs
        self._epoch = self._taken = 0
        self._source: Generator[tuple[Tensor, Tensor], None, None] | None = None

    def take(self, epoch: int) -> tuple[int, int, Tensor, Tensor]:
        """The next batch of an epoch: the epoch, its number there, images and labels."""
        if epoch != self._epoch:
            self._epoch, self._taken, self._source = epoch, 0, None
        if self._source is None:
            self._source = self._rounds(self._taken)
        number = self._taken
        self._taken += 1
        return epoch, number, *next(self._source)

    def _rounds(self, taken: int) -> Generator[tuple[Tensor, Tensor], None, None]:
        finished_rounds, start = divmod(taken, len(self._batches))
        for number in count(finished_rounds):
            yield from self._batches.epoch(self._epoch + number * self._epochs, start)
            start = 0

    def close(self) -> None:
        """End the processes that read ahead."""
        if self._source is not None:
            self._source.close()
            self._source = None

    def state_dict(self) -> dict[str, int]:
        """How many were taken, and in which epoch."""
        return {"epoch": self._epoch, "taken": self._taken}

    def load_state_dict(self, state: dict[str, int], /) -> None:
        """Go on after the batches that were taken."""
        if any(type(state[name]) is not int or state[name] < 0 for name in ("epoch", "taken")):
            raise ValueError("epochs and batches are counted")
        self._epoch, self._taken, self._source = state["epoch"], state["taken"], None
