"""Times ONNX models on this machine, by turns, so that what slows it down for a while slows all of them."""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from pcdarts.errors import InputError, check_path, shown
from pcdarts.extras import import_extra

LEAST_ROUNDS, MOST_ROUNDS = 15, 2000

Model = Path | str | bytes
"""An ONNX file, or its content."""


def onnx_milliseconds(
    models: Sequence[Model], *, threads: int = 1, seconds: float = 2.0, image_shape: Sequence[int] | None = None
) -> list[float]:
    """The median milliseconds of each model for a batch of one image, on the CPU.

    In every round each model runs twice in its turn (A A B B ... A A B B ...), of which the second run counts: the
    first one has brought its weights into the cache. With one thread the time is that which the processor has worked
    for it: on an idle machine the same as passes meanwhile, and on a busy one without the turns of other programs.

    Args:
        models: files, or their content. Each takes one float32 batch [B, C, H, W]; B may be free.
        threads: of onnxruntime, for each model.
        seconds: how long each model may run in all; but each runs `LEAST_ROUNDS` rounds or more.
        image_shape: [C, H, W], for models that leave it free.

    Raises:
        InputError: onnxruntime is missing, or a file is none that it can run with such images.
    """
    return [time_ for _, time_ in times_by_turns(models, threads=threads, seconds=seconds, image_shape=image_shape)]


def times_by_turns(
    models: Sequence[Model],
    *,
    threads: int = 1,
    seconds: float = 2.0,
    image_shape: Sequence[int] | None = None,
    merge: bool = True,
) -> list[tuple[float, float]]:
    """The same with the shortest time before each median: [(shortest, median), ...] in milliseconds.

    Without `merge`, onnxruntime computes twice what a model computes twice.

    Raises:
        InputError: as `onnx_milliseconds`.
    """
    runs = [_runner(make_session(model, threads, merge=merge), model, image_shape) for model in models]
    return by_turns(runs, seconds, threads)


def by_turns(
    runs: Sequence[Callable[[], object]], seconds: float = 2.0, threads: int | None = None
) -> list[tuple[float, float]]:
    """The same of anything that can be run, in so many threads: [(shortest, median), ...] in milliseconds.

    Each is run once before.
    """
    clock = _clock(threads)
    for run in runs:
        run()
    times: list[list[float]] = [[] for _ in runs]
    enough = time.perf_counter() + seconds * len(runs)
    for done in range(MOST_ROUNDS):
        if done >= LEAST_ROUNDS and time.perf_counter() > enough:
            break
        for run, of_run in zip(runs, times, strict=True):
            run()
            begun = clock()
            run()
            of_run.append(1000 * (clock() - begun))
    return [(min(of_run), median(of_run)) for of_run in times]


def _clock(threads: int | None) -> Callable[[], float]:
    """The seconds that this thread has worked; with several threads, or where that is too coarse, those that pass."""
    is_fine = time.get_clock_info("thread_time").resolution <= 1e-6
    return time.thread_time if threads == 1 and is_fine else time.perf_counter


def onnxruntime() -> Any:
    """The library.

    Raises:
        InputError: it is missing.
    """
    return import_extra("onnxruntime", "onnx", "measuring latency")


def make_session(model: Model, threads: int, *, merge: bool = True) -> Any:
    """A session of onnxruntime on the CPU, which without `merge` computes twice what the model computes twice.

    Raises:
        InputError: onnxruntime is missing, there is no such file, or it cannot be run.
    """
    runtime = onnxruntime()
    if not isinstance(model, bytes):
        check_path("model", model, "an ONNX file")
    name = "the model" if isinstance(model, bytes) else shown(model, 200)
    if not isinstance(model, bytes) and not Path(model).is_file():
        raise InputError(f"{name} does not exist: give an ONNX file, such as `pcdarts export RUN --format onnx` writes")
    options = runtime.SessionOptions()
    options.log_severity_level = 3  # errors
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    try:
        return runtime.InferenceSession(
            model if isinstance(model, bytes) else os.fspath(model),
            options,
            providers=["CPUExecutionProvider"],
            disabled_optimizers=[] if merge else ["CommonSubexpressionElimination"],
        )
    except Exception as error:  # onnxruntime has many types of its own
        reason = shown(" ".join(str(error).split()), 300)
        raise InputError(f"{name} is no ONNX model that onnxruntime can run ({reason})") from None


def _runner(session: Any, model: Model, image_shape: Sequence[int] | None) -> Callable[[], object]:
    """What runs a model once, on images of noise."""
    name = "the model" if isinstance(model, bytes) else shown(model, 200)
    draw, feed = np.random.default_rng(0), {}
    for wanted in session.get_inputs():
        first, *rest = wanted.shape or ["none"]
        own = [1 if isinstance(first, str) or first is None else first, *rest]
        shape = own if all(isinstance(size, int) for size in own) else [1, *(image_shape or ())]
        if wanted.type != "tensor(float)" or not all(isinstance(size, int) for size in shape) or len(shape) < 2:
            raise InputError(
                f"{name} takes {shown(wanted.type)} {shown(wanted.shape)} as {shown(wanted.name)}, but latency is "
                "measured of models that take float32 batches of images of one shape"
            )
        feed[wanted.name] = draw.random(shape, dtype=np.float32)
    try:
        session.run(None, feed)
    except Exception as error:
        reason = shown(" ".join(str(error).split()), 300)
        raise InputError(f"{name} cannot be run with a batch of one image ({reason})") from None
    return lambda: session.run(None, feed)
