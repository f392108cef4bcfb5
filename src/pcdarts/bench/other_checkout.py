"""The search network of another checkout of the DARTS interface, timed by turns in a process of its own.

That is `Network(C, num_classes, layers, criterion, steps, multiplier)` of a folder's `model_search.py`, a function of
the images that holds its own α. Its code runs in that process, with the folder as working directory.
"""

import contextlib
import inspect
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor, nn

from pcdarts.errors import InputError
from pcdarts.learn.child import peak_of
from pcdarts.learn.steps import Setting
from pcdarts.run.device import choose_device


class ForeignNetwork:
    """The process; `close` ends it.

    Raises:
        InputError: the folder holds no search network of the DARTS interface.
    """

    def __init__(self, folder: Path, setting: Setting) -> None:
        if not (folder / "model_search.py").is_file():
            raise InputError(
                f"cannot compare with {folder}: there is no model_search.py in it, as DARTS checkouts have"
            )
        if (setting.kind, setting.image_channels) != ("cifar", 3):
            raise InputError(f"cannot compare with {folder}: its Network has a stem for CIFAR, so leave --kind cifar")
        self.folder = folder
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", __name__, json.dumps(asdict(setting))],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            self.step_bytes = int(self._answer())
        except BaseException:
            self.close()
            raise

    def seconds(self) -> float:
        """How long a forward and backward pass takes."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # the missing answer tells of it
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        return float(self._answer())

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        answer: dict[str, Any] = json.loads(self._process.stdout.readline() or '{"error": "its process ended early"}')
        if "error" in answer:
            raise InputError(f"cannot compare with {self.folder}: {answer['error']}")
        return str(answer["value"])


def serve(setting: Setting, orders: IO[str], answer: Callable[[dict[str, Any]], None]) -> None:
    """Answer with the peak memory of the first pass in bytes, then with the seconds of one more for every line."""
    try:
        device = choose_device(setting.device, setting.threads)
        with cuda_means_here(device):
            ForeignStep(replace(setting, num_cells=3, batch_size=2, image_size=8), device).run()  # loads what it needs
            step = ForeignStep(setting, device)
            answer({"value": peak_of(step.run, device)[0]})
            for _ in orders:
                started = time.perf_counter()
                step.run()
                answer({"value": time.perf_counter() - started})
    except Exception as error:  # the code of a stranger may raise anything
        reason = " ".join(str(error).split())[:200]
        answer({"error": f"its search network failed ({type(error).__name__}: {reason})"})


class ForeignStep:
    """A forward and backward pass of the other network on random images."""

    def __init__(self, setting: Setting, device: torch.device) -> None:
        self.network = make_network(setting).to(device)
        self.images = torch.randn(setting.batch_size, 3, setting.image_size, setting.image_size, device=device)
        self.labels = torch.randint(setting.num_classes, (setting.batch_size,), device=device)

    def run(self) -> None:
        """Logits, loss, and the gradients of the weights and of its own α."""
        nn.functional.cross_entropy(logits_of(self.network(self.images)), self.labels).backward()
        self.network.zero_grad()
        if self.images.is_cuda:
            torch.cuda.synchronize(self.images.device)


def make_network(setting: Setting) -> nn.Module:
    """The `Network` of the `model_search.py` in this folder."""
    import model_search  # type: ignore[import-not-found]

    asked = {"steps": setting.num_nodes - 2, "multiplier": setting.num_nodes - 2}
    taken = inspect.signature(model_search.Network).parameters
    more = {name: value for name, value in asked.items() if name in taken}
    network: nn.Module = model_search.Network(
        setting.channels, setting.num_classes, setting.num_cells, nn.CrossEntropyLoss(), **more
    )
    return network


def logits_of(output: Tensor | tuple[Tensor, ...]) -> Tensor:
    """Networks with an auxiliary head return a tuple with the logits first."""
    return output[0] if isinstance(output, tuple) else output


@contextlib.contextmanager
def cuda_means_here(device: torch.device) -> Iterator[None]:
    """Let `.cuda()`, which the published scripts call, leave tensors and modules on the CPU where there is no GPU."""
    if device.type == "cuda":
        yield
        return
    originals = torch.Tensor.cuda, nn.Module.cuda
    torch.Tensor.cuda = nn.Module.cuda = lambda self, *arguments, **options: self  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        torch.Tensor.cuda, nn.Module.cuda = originals  # type: ignore[method-assign]


if __name__ == "__main__":
    with os.fdopen(os.dup(1), "w") as answers:
        sys.path.insert(0, os.getcwd())
        os.dup2(2, 1)  # what the other code prints is no answer
        serve(
            Setting(**json.loads(sys.argv[1])),
            sys.stdin,
            lambda line: print(json.dumps(line), file=answers, flush=True),
        )
