"""A batch whose loss or gradient is not a finite number: it changes nothing, and ends the run if none may be skipped.

On a CPU every number is looked at when it is there. On a GPU that would mean to wait for it in every step: there steps
are left out by the GPU itself (`FiniteCheck.bad`), and what it found is read every so many batches.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from pcdarts.errors import RunError
from pcdarts.run.display.progress import Progress
from pcdarts.run.processes import Processes

ASKED_EVERY = 20
"""Batches between two times that a GPU is asked whether all its numbers were finite; a step of a search has two."""


def asked_every(device: torch.device) -> int:
    """The batches after which a device is asked."""
    return 1 if device.type == "cpu" else ASKED_EVERY


class NotFinite(ArithmeticError):
    """A loss or a gradient is infinite or NaN, found before anything was done with it."""


class FiniteCheck:
    """Stops a run at a batch whose numbers are not finite, or skips up to `at_most` of these.

    Args:
        modules: in whose running statistics a skipped batch must leave no traces, and which must stay finite.
        every: batches after which it is asked whether their numbers were finite. With 1, `check` raises `NotFinite` at
            once. With more, nothing raises it: the optimiser has to leave the step out where `bad` says so.
    """

    bad: Tensor | None = None
    """Whether a number of the batch at hand was not finite, in any process: a boolean on the device, not yet read."""

    def __init__(self, at_most: int, modules: list[nn.Module], processes: Processes, every: int = 1) -> None:
        self.at_most, self.skipped, self.every = at_most, 0, every
        self._processes = processes
        self._where = ""
        self._progress: Progress | None = None
        self._checked: list[_Checked] = []
        self._unread: list[tuple[str, list[_Checked]]] = []
        self.watch(modules)

    def watch(self, modules: list[nn.Module]) -> None:
        """Look after these modules from now on."""
        self._modules = modules
        self._buffers = [buffer for module in modules for buffer in module.buffers()]

    def check(self, what: str, value: Tensor) -> None:
        """Make sure that a loss or the norm of a gradient is finite in every process.

        Raises:
            NotFinite: it is not; in all processes, if it is so in one; not if that is asked later.
        """
        if self.every > 1:
            bad = self._processes.total((~value.isfinite()).float()) > 0
            self.bad = bad if self.bad is None else self.bad | bad
            self._checked.append(_Checked(what, value.double(), bad.double()))
            return
        finite = bool(value.isfinite())
        if self._processes.any(not finite)[0]:
            raise NotFinite(_found(what, value.item()))

    @contextmanager
    def guarded(self, progress: Progress | None, epoch: int, step: int, learning_rate: float) -> Iterator[None]:
        """What one batch does; nothing of it remains if it comes upon `NotFinite`. Epoch and step count from 1.

        Raises:
            RunError: it did, and no more batches may be skipped.
        """
        self._progress = progress
        self._where = f"epoch {epoch}, step {step}, at learning rate {learning_rate:.4g}"
        if self.every > 1:
            with self._put_back():
                yield
            self._unread.append((self._where, self._checked))
            if len(self._unread) >= self.every:
                self.read()
            return
        before = [buffer.clone() for buffer in self._buffers] if self.skipped < self.at_most else None
        try:
            yield
        except NotFinite as found:
            if before is not None:
                for buffer, earlier in zip(self._buffers, before, strict=True):
                    buffer.copy_(earlier)
            self._skip(str(found), self._where)

    @contextmanager
    def _put_back(self) -> Iterator[None]:
        """What one batch does, with the running statistics as before if it turns out to be bad; nobody is asked."""
        self.bad, self._checked = None, []
        if self.at_most == 0:  # the run ends at the first bad batch, and nothing is saved any more
            yield
            return
        groups = [[b for b in self._buffers if b.dtype == dtype] for dtype in {b.dtype for b in self._buffers}]
        before = [_together(group) for group in groups]
        yield
        if self.bad is not None:
            for group, earlier in zip(groups, before, strict=True):
                kept = torch.where(self.bad, earlier, _together(group)).split([b.numel() for b in group])
                torch._foreach_copy_(group, [part.view_as(b) for part, b in zip(kept, group, strict=True)])

    def read(self) -> None:
        """Ask the device which batches since the last time were bad, and wait for it.

        Raises:
            RunError: more than may be skipped.
        """
        unread, self._unread = self._unread, []
        checks = [check for _, checked in unread for check in checked]
        if not checks:
            return
        values = torch.stack([check.value for check in checks] + [check.bad for check in checks]).tolist()
        found = zip(values[: len(checks)], values[len(checks) :], strict=True)
        for where, checked in unread:
            bad = [_found(check.what, value) for check, (value, bad) in zip(checked, found, strict=False) if bad]
            if bad:
                self._skip(bad[0], where)

    def _skip(self, found: str, where: str) -> None:
        """Count a batch that came to nothing, and say so."""
        what = f"{found} in {where}"
        if self.skipped >= self.at_most:
            remedy = "start a new run with a lower --learning-rate"
            if self.skipped:
                remedy = f"{self.skipped} batches were skipped before: {remedy}"
            else:
                remedy += ", or resume this one with --max-skipped-batches 10"
            raise RunError(f"{what}; nothing came of this step: {remedy}") from None
        self.skipped += 1
        if self._progress is not None:
            self._progress.warn(f"{what}: this batch is skipped ({self.skipped} of {self.at_most} that may be)")

    def check_modules(self) -> None:
        """Make sure, before they are saved, that weights and running statistics are finite.

        Raises:
            RunError: they are not, or more batches were bad than may be skipped.
        """
        self.read()
        finite = all(map(_is_finite, self._modules))
        if self._processes.any(not finite)[0]:
            raise RunError(
                f"the weights or their running statistics are not numbers any more after {self._where}; they are not "
                "saved: start a new run with a lower --learning-rate"
            )

    def state_dict(self) -> dict[str, Any]:
        """How many batches were skipped."""
        return {"skipped": self.skipped}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on counting from there."""
        self.skipped = state["skipped"]


class _Checked(NamedTuple):
    """A number of which the device knows whether it is finite."""

    what: str
    value: Tensor
    bad: Tensor
    """1 where it is not finite, in any process, else 0."""


def _found(what: str, value: float) -> str:
    return f"{what} {'of another process is not finite' if math.isfinite(value) else f'is {value:.4g}'}"


def _together(tensors: list[Tensor]) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in tensors])


def _is_finite(module: nn.Module) -> bool:
    checks = [tensor.isfinite().all() for tensor in module.state_dict().values()]
    return not checks or bool(torch.stack(checks).all())
