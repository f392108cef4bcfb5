"""Read ahead in worker processes; results come in the order of the requests."""

import atexit
import signal
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import BaseContext
from types import ModuleType
from typing import Any, Generic, TypeVar, cast

import torch
from torch import multiprocessing
from torch.utils.data import DataLoader, Dataset

from pcdarts.errors import InputError, RunError

PREFETCHED = 2
"""How many requests each worker is ahead of the result that is needed."""

_PRELOADED = ["torchvision.transforms.v2", __name__]
"""Modules imported once, before the workers are forked."""

_SIGNALS = {getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)}

Request = TypeVar("Request")
Result = TypeVar("Result")


def in_workers(
    read: Callable[[Request], Result], requests: Iterable[Request], workers: int, pin_memory: bool = False
) -> Iterator[Result]:
    """Yield `read(request)` for each request, in order, computed ahead of time by `workers` processes.

    The processes live as long as the iterator (close it to end them) and end with the main process, also if that is
    killed. They ignore SIGINT, SIGTERM and SIGHUP, which the main process handles after its step. Tensors come back in
    shared memory and take a file descriptor each: return few large ones.

    Args:
        read: must be picklable, as must the requests; it is sent to each worker once, so it may be large.
        requests: consumed lazily, at most `PREFETCHED` per worker ahead of the result that is needed.
        workers: 0 reads in this process, when a result is needed.
        pin_memory: put tensors in page-locked memory, from which a GPU copies faster (with workers only).

    Raises:
        InputError, RunError: `read` raised it; or a worker was killed (RunError).
    """
    if workers == 0:
        yield from map(read, requests)
        return
    loader = DataLoader(
        _Reading(read),
        batch_size=None,
        sampler=requests,
        num_workers=workers,
        prefetch_factor=PREFETCHED,
        collate_fn=_unchanged,
        pin_memory=pin_memory,
        multiprocessing_context=_forkserver(),
        generator=torch.Generator(),  # otherwise starting the workers would draw from the global one
    )
    with _explain_lost_worker(workers), warnings.catch_warnings(), _without_main_module():
        warnings.filterwarnings("ignore", message="This DataLoader will create")  # more workers than cores
        results: Any = iter(loader)
    # At the end of Python multiprocessing sends its processes SIGTERM, which these ignore, and waits for them.
    atexit.register(results._shutdown_workers)
    try:
        while True:
            with _explain_lost_worker(workers):
                result: Any = next(results, _END)
            if result is _END:
                return
            if isinstance(result, _Failure):
                raise result.kind(result.line)
            yield result
    finally:
        atexit.unregister(results._shutdown_workers)
        results._shutdown_workers()  # now, instead of when it is garbage-collected


_END = object()


@dataclass(frozen=True)
class _Failure:
    """An error to be raised in the main process. (DataLoader would wrap an exception in a traceback.)"""

    kind: type[InputError] | type[RunError]
    line: str


class _Reading(Dataset[Any], Generic[Request, Result]):
    """A data set that maps a request to its result."""

    def __init__(self, read: Callable[[Request], Result]) -> None:
        self._read = read

    def __getitem__(self, request: Request) -> Result | _Failure:
        try:
            return self._read(request)
        except (InputError, RunError) as error:
            return _Failure(InputError if isinstance(error, InputError) else RunError, str(error))


def _unchanged(result: Result) -> Result:
    return result


@contextmanager
def _explain_lost_worker(workers: int) -> Iterator[None]:
    """Turn the errors that `DataLoader` raises if a worker is lost into one line."""
    try:
        yield
    except (RuntimeError, OSError, EOFError) as error:
        if isinstance(error, RuntimeError) and "DataLoader worker (pid" not in str(error):
            raise
        who = "the process that reads" if workers == 1 else f"one of the {workers} processes that read"
        raise RunError(
            f"{who} images has ended or was killed, perhaps because memory ran out "
            f"({str(error) or type(error).__name__}): start again or resume, with fewer --workers (0: no such process)"
        ) from error


@contextmanager
def _without_main_module() -> Iterator[None]:
    """What is started in here does not import the main module of this process.

    Nothing in it is for workers, and a script that calls us at its top level, not below `if __name__ == "__main__":`,
    would begin its work anew in each of them.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _forkserver() -> BaseContext:
    """The context that forks workers from a process without threads that has imported what they need.

    The server is started with signals blocked, and the workers inherit that: a signal to the whole process group does
    not reach them.
    """
    context = cast(BaseContext, multiprocessing.get_context("forkserver"))
    context.set_forkserver_preload(_PRELOADED)
    resource_tracker.ensure_running()  # before, because it unblocks the signals
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return context
