"""The processes that share a job: one alone, or those that torchrun started; what they tell each other."""

import os
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from pcdarts.errors import RunError

LAST_MOMENT_SECONDS = 0.3


@dataclass(frozen=True)
class Processes:
    """This process and how many there are. With one alone, nothing below communicates.

    All must call the same methods in the same order. The first one is the only one that writes and prints.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    """The rank among those of this machine: the number of the GPU to use."""
    local_count: int = 1
    """How many there are on this machine."""

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def average(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """The mean over processes of each tensor, by one all-reduce; the results are the same bits everywhere."""
        if self.count == 1:
            return list(tensors)
        together = torch.cat([tensor.detach().flatten() for tensor in tensors])
        dist.all_reduce(together)
        together /= self.count
        parts = together.split([tensor.numel() for tensor in tensors])
        return [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)]

    def total(self, values: Tensor) -> Tensor:
        """The sum over processes."""
        if self.count > 1:
            values = values.clone()
            dist.all_reduce(values)
        return values

    def gather(self, rows: Tensor) -> Tensor:
        """The rows [n, m] of all processes, which may differ in n, one process after the other; on the CPU."""
        if self.count == 1:
            return rows.cpu()
        counts = torch.zeros(self.count, dtype=torch.int64)
        counts[self.rank] = len(rows)
        counts = self.total(counts)
        together = torch.zeros(int(counts.sum()), *rows.shape[1:], dtype=rows.dtype)
        start = int(counts[: self.rank].sum())
        together[start : start + len(rows)] = rows.cpu()
        return self.total(together)

    def gather_lines(self, lines: Iterable[str]) -> list[str]:
        """The lines of all processes, each line once."""
        if self.count > 1:
            content = "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")
            together = self.gather(torch.tensor(list(content), dtype=torch.uint8))
            lines = together.numpy().tobytes().decode().split("\n")[:-1]
        return list(dict.fromkeys(lines))

    def any(self, *facts: bool) -> list[bool]:
        """Of each fact, whether it is so in any process."""
        if self.count == 1:
            return list(facts)
        counted = torch.tensor(facts, dtype=torch.int32)
        dist.all_reduce(counted, op=dist.ReduceOp.MAX)
        return [bool(fact) for fact in counted.tolist()]

    def share(self, content: bytes | None) -> bytes | None:
        """What the first process has, for all; what the others pass is not looked at."""
        if self.count == 1:
            return content
        size = torch.tensor([-1 if content is None or not self.is_first else len(content)])
        dist.broadcast(size, src=0)
        if int(size) < 0:
            return None
        data = torch.empty(int(size), dtype=torch.uint8)
        if self.is_first and content:
            data = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        if int(size):
            dist.broadcast(data, src=0)
        return data.numpy().tobytes()

    def share_buffers(self, module: nn.Module) -> None:
        """Give all processes the running statistics of the first one, which are those that are saved."""
        if self.count == 1:
            return
        buffers = [buffer for buffer in module.buffers() if buffer.is_floating_point()]
        together = torch.cat([buffer.flatten() for buffer in buffers])
        dist.broadcast(together, src=0)
        for buffer, part in zip(buffers, together.split([b.numel() for b in buffers]), strict=True):
            buffer.copy_(part.view_as(buffer))

    def check_same(self, module: nn.Module, what: str) -> None:
        """Make sure that a module's parameters are the same bits in every process.

        Raises:
            RunError: they are not.
        """
        if self.count == 1 or next(module.parameters(), None) is None:
            return
        values = torch.cat([parameter.detach().flatten() for parameter in module.parameters()])
        least, greatest = values.clone(), values.clone()
        dist.all_reduce(least, op=dist.ReduceOp.MIN)
        dist.all_reduce(greatest, op=dist.ReduceOp.MAX)
        if not torch.equal(least, greatest):
            raise RunError(f"{what} differ between the {self.count} processes: they do not compute the same")

    def distribute(self, module: nn.Module) -> nn.Module:
        """The module to call in a step whose gradients are to be averaged over processes.

        BatchNorm's running statistics stay those of each process (`share_buffers`).
        """
        if self.count == 1:
            return module
        idle = bool(getattr(module, "has_idle_weights", False))  # else each step waits for their gradients
        return DistributedDataParallel(module, broadcast_buffers=False, find_unused_parameters=idle)

    def barrier(self) -> None:
        """Wait for all."""
        if self.count > 1:
            self.any(False)

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        """The first process of each machine does it alone; then the others do it, and find its files."""
        if self.local_rank > 0:
            self.barrier()
        yield
        if self.local_rank == 0:
            self.barrier()


ALONE = Processes()


def unsynchronized(module: nn.Module) -> AbstractContextManager[None]:
    """Backward passes in this context add up gradients in each process alone; the next one outside averages them."""
    return module.no_sync() if isinstance(module, DistributedDataParallel) else nullcontext()


@contextmanager
def joined() -> Iterator[Processes]:
    """Join the processes that torchrun started, or be alone.

    Raises:
        RunError: another process has ended or cannot be reached.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or "RANK" not in os.environ:
        yield ALONE
        return
    rank, count, local_rank = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    processes = Processes(rank, count, local_rank, int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    # The name that is to replace it does not exist in every version, and means something else.
    warnings.filterwarnings("ignore", message="`broadcast_buffers` is deprecated")
    # Kernels of depthwise convolutions have strides of their own: a copy more, and no error.
    warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
    try:
        with losses_explained(processes):
            if torch.cuda.is_available():
                torch.cuda.set_device(processes.local_rank % torch.cuda.device_count())
            dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
            yield processes
            processes.barrier()  # nobody leaves while another still listens
    finally:
        with suppress(Exception):
            dist.destroy_process_group()
        # Gloo's threads let go of their last tensors now: when Python has ended, that would abort the process.
        time.sleep(LAST_MOMENT_SECONDS)


@contextmanager
def losses_explained(processes: Processes) -> Iterator[None]:
    """Say in one line that another process was lost.

    Raises:
        RunError: it was.
    """
    try:
        yield
    except RuntimeError as error:
        if processes.count == 1 or isinstance(error, RunError) or not _is_loss_of_a_process(error):
            raise
        raise RunError(
            f"process {processes.rank} of {processes.count} has lost another one, which ended or cannot be reached; "
            "what was saved is intact"
        ) from ConnectionError(str(error))


def _is_loss_of_a_process(error: RuntimeError) -> bool:
    """Gloo has no error of its own for a connection that ended."""
    words = ("Connection closed", "Connection reset", "Broken pipe", "Timed out waiting", "Connect timeout", "gloo")
    return isinstance(error, dist.DistError) or any(word in str(error) for word in words)
