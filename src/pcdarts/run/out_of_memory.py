"""A lack of memory in the middle of a job ends it in one line."""

import gc
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from pcdarts.errors import RunError


@contextmanager
def explain_out_of_memory(explanation: Callable[[], str]) -> Iterator[None]:
    """Turn a lack of memory inside into one line; `explanation` is asked only then, when memory is free again.

    It completes the sentence "out of memory in ...", with what to do about it.

    Raises:
        RunError: memory ran out.
    """
    try:
        yield
        return
    except (MemoryError, RuntimeError) as error:
        if not is_lack_of_memory(error):
            raise
        traceback.clear_frames(error.__traceback__)  # they hold what the step has computed
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    raise RunError(f"out of memory in {explanation()}")


def is_lack_of_memory(error: BaseException) -> bool:
    """On a CPU, PyTorch and oneDNN have no error of their own for it; nor have libraries and drivers of GPUs."""
    on_a_cpu = ("can't allocate memory", "not enough memory", "bad_alloc", "could not create a", "could not execute a")
    words = (*on_a_cpu, "CUDA error: out of memory", "CUDNN_STATUS_ALLOC_FAILED", "CUBLAS_STATUS_ALLOC_FAILED")
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(part in str(error) for part in words)
