"""Reading in other processes: batches come in the order of their requests, whoever read them."""

import signal
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import BaseContext
from typing import Any, Generic, TypeVar, cast

import torch
from torch import multiprocessing
from torch.utils.data import DataLoader, Dataset

from pcdarts.errors import InputError, RunError

PREFETCHED = 2
"""Requests that each worker is given ahead of the one whose result is awaited."""

_PRELOADED = ["torchvision.transforms.v2", __name__]
"""What a worker need not import any more when it starts."""

_SIGNALS = {getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)}

Request = TypeVar("Request")
Result = TypeVar("Result")


def in_workers(
    read: Callable[[Request], Result], requests: Iterable[Request], workers: int, pin_memory: bool = False
) -> Iterator[Result]:
    """Yield `read(request)` for each request, in order, computed by `workers` processes ahead of time.

    The processes live as long as the iterator (close it to end them), are deaf to SIGINT, SIGTERM and SIGHUP, which
    the main process heeds when its step is done, and end with the main process if that is killed. Tensors come back in
    shared memory, a file descriptor each: return few large ones.

    Args:
        read: can be pickled, as can requests; it is sent to a worker once, so it may hold much.
        requests: drawn from lazily, at most `PREFETCHED` for each worker ahead of the result that is awaited.
        workers: 0 reads in this process, each request when its result is asked for.
        pin_memory: put tensors in page-locked memory, from which a GPU copies faster (only by workers).

    Raises:
        InputError, RunError: what `read` raised; or a worker was killed (RunError).
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
        generator=torch.Generator(),  # else starting the workers would draw from the global one
    )
    with _losses_explained(workers), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="This DataLoader will create")  # more than cores, as was asked
        results: Any = iter(loader)
    try:
        while True:
            with _losses_explained(workers):
                result: Any = next(results, _END)
            if result is _END:
                return
            if isinstance(result, _Failure):
                raise result.kind(result.line)
            yield result
    finally:
        results._shutdown_workers()  # what its destructor does, but now


_END = object()


@dataclass(frozen=True)
class _Failure:
    """An error on its way: as an exception, DataLoader would wrap its line in a traceback."""

    kind: type[InputError] | type[RunError]
    line: str


class _Reading(Dataset[Any], Generic[Request, Result]):
    """A data set whose item at a request is what is read for it."""

    def __init__(self, read: Callable[[Request], Result]) -> None:
        self._read = read

    def __getitem__(self, request: Request) -> Result | _Failure:
        try:
            return self._read(request)
        except InputError as error:
            return _Failure(InputError, str(error))
        except RunError as error:
            return _Failure(RunError, str(error))


def _unchanged(result: Result) -> Result:
    return result


@contextmanager
def _losses_explained(workers: int) -> Iterator[None]:
    """Say in one line that a worker is gone; all other errors of `DataLoader` stay what they are."""
    try:
        yield
    except (RuntimeError, OSError, EOFError) as error:
        if isinstance(error, RuntimeError) and "DataLoader worker (pid" not in str(error):
            raise
        raise RunError(
            f"one of the {workers} processes that read images has ended or was killed, perhaps for want of memory "
            f"({str(error) or type(error).__name__}): resume with fewer --workers"
        ) from error


def _forkserver() -> BaseContext:
    """How workers are started: forked from a process that has imported what they need and has no threads.

    It is started with its signals blocked, which it and the workers keep: a signal to the whole group of processes
    leaves them alone.
    """
    context = cast(BaseContext, multiprocessing.get_context("forkserver"))
    context.set_forkserver_preload(_PRELOADED)
    resource_tracker.ensure_running()  # which would unblock the signals
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return context
