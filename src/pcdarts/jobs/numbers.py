"""What happens to a batch whose loss or gradient is not a number any more: it changes nothing, and is one too many."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from pcdarts.errors import RunError
from pcdarts.run.processes import Processes
from pcdarts.run.progress import Progress


class NotFinite(ArithmeticError):
    """A loss or a gradient is infinite or NaN, found before anything was done with it."""


class Numbers:
    """Stops a run at a batch whose numbers are not finite, or skips up to `at_most` of these.

    Args:
        modules: in whose running statistics a skipped batch must leave no traces, and which must stay finite.
    """

    def __init__(self, at_most: int, modules: list[nn.Module], processes: Processes) -> None:
        self.at_most, self.skipped = at_most, 0
        self._processes = processes
        self._where = ""
        self.watch(modules)

    def watch(self, modules: list[nn.Module]) -> None:
        """Look after these modules from now on."""
        self._modules = modules
        self._buffers = [buffer for module in modules for buffer in module.buffers()]

    def check(self, what: str, value: Tensor) -> None:
        """Make sure that a loss or the norm of a gradient is finite in every process.

        Raises:
            NotFinite: it is not; in all processes, if it is so in one.
        """
        finite = bool(value.isfinite())
        if self._processes.any(not finite)[0]:
            raise NotFinite(f"{what} {'of another process is not finite' if finite else f'is {value.item():.4g}'}")

    @contextmanager
    def guarded(self, progress: Progress, epoch: int, step: int, learning_rate: float) -> Iterator[None]:
        """What one batch does; nothing of it remains if it comes upon `NotFinite`. Epoch and step count from 1.

        Raises:
            RunError: it did, and no more batches may be skipped.
        """
        self._where = f"epoch {epoch}, step {step}, at learning rate {learning_rate:.4g}"
        before = [buffer.clone() for buffer in self._buffers] if self.skipped < self.at_most else None
        try:
            yield
        except NotFinite as found:
            what = f"{found} in {self._where}"
            if before is None:
                remedy = "start a new run with a lower --learning-rate"
                if self.skipped:
                    remedy = f"{self.skipped} batches were skipped before: {remedy}"
                else:
                    remedy += ", or resume this one with --max-skipped-batches 10"
                raise RunError(f"{what}; nothing came of this step: {remedy}") from None
            for buffer, earlier in zip(self._buffers, before, strict=True):
                buffer.copy_(earlier)
            self.skipped += 1
            progress.warn(f"{what}: this batch is skipped ({self.skipped} of {self.at_most} that may be)")

    def check_modules(self) -> None:
        """Make sure, before they are saved, that weights and running statistics are finite.

        Raises:
            RunError: they are not.
        """
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


def _is_finite(module: nn.Module) -> bool:
    checks = [tensor.isfinite().all() for tensor in module.state_dict().values()]
    return bool(torch.stack(checks).all())
