"""The cluster that does the runs of a study: this machine, an existing Dask cluster, or SLURM jobs."""

import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from multiprocessing import resource_tracker
from typing import Any

import pcdarts
from pcdarts.config.study_config import StudyRunConfig
from pcdarts.errors import InputError, shown
from pcdarts.extras import import_extra
from pcdarts.run.interruption import ending_afterwards

CONNECT_SECONDS = 15.0
GIGABYTES_PER_RUN = 4
"""A search of the paper's size needs up to 3 GB of memory."""


@dataclass(frozen=True)
class Cluster:
    """A connected Dask client, and the flags of the runs on its workers."""

    client: Any
    """A `distributed.Client`."""
    described: str
    flags: tuple[str, ...]
    gpus: tuple[str, ...] = ()
    """The GPUs of this machine that its workers share, as in CUDA_VISIBLE_DEVICES."""


@contextmanager
def connected(config: StudyRunConfig, cells: int) -> Iterator[Cluster]:
    """A cluster for `cells` runs; everything that it starts ends with the context.

    Raises:
        InputError: Dask is not installed, or there is no such scheduler.
    """
    distributed = import_extra("distributed", "cluster", "pcdarts study")
    for name in [name for name in logging.root.manager.loggerDict if name.partition(".")[0] == "distributed"]:
        logging.getLogger(name).setLevel(logging.CRITICAL)  # we report losses ourselves, in one line
    if config.scheduler is not None:
        found = _connected_to(distributed, config)
    else:
        found = (_slurm if config.slurm else _local)(distributed, config, cells)
    with found as cluster:
        yield cluster


@contextmanager
def _local(distributed: Any, config: StudyRunConfig, cells: int) -> Iterator[Cluster]:
    gpus = visible_gpus() if config.device in ("auto", "cuda") else ()
    runs = min(cells, config.parallel or len(gpus) or (parallel_runs() if "cuda" not in config.device else 1))
    threads = config.threads or max(1, _cores() // runs)
    import_module("dask.config").set({"distributed.worker.profile.enabled": False})  # workers do nothing but wait
    with (
        _started(
            distributed.LocalCluster,
            n_workers=runs,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",  # any free port: another study may run
            memory_limit=0,  # the runs are processes of their own
            silence_logs=logging.CRITICAL,
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        where = f"{len(gpus)} GPUs" if gpus else f"{_cores()} core{'s' * (_cores() > 1)}"
        described = f"{runs} at once on {where}, {threads} {'thread' if threads == 1 else 'threads'} each"
        yield Cluster(client, described, _flags(config, threads), gpus)


@contextmanager
def _connected_to(distributed: Any, config: StudyRunConfig) -> Iterator[Cluster]:
    address = config.scheduler
    try:
        client = distributed.Client(address, timeout=CONNECT_SECONDS)
    except Exception as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"cannot reach a Dask scheduler at {shown(address)} ({shown(why, 200)}): start one with `dask scheduler`, "
            "and workers with `dask worker ADDRESS --nthreads 1`"
        ) from None
    with client:
        check_workers(client)
        workers = len(client.scheduler_info(n_workers=-1)["workers"])
        described = f"by the workers of {address} ({workers} there now)"
        yield Cluster(client, described, _flags(config, config.threads))


@contextmanager
def _slurm(distributed: Any, config: StudyRunConfig, cells: int) -> Iterator[Cluster]:
    jobqueue = import_extra("dask_jobqueue", "cluster", "--slurm")
    jobs = min(cells, config.parallel or cells)
    try:
        cores = int(import_module("dask.config").get("jobqueue.slurm.cores") or 0)
        cluster = jobqueue.SLURMCluster(
            cores=min(cores, 1) or None,  # one run at a time, with all the cores of its job
            job_cpu=cores,
            processes=1,
            scheduler_options={"dashboard_address": ":0"},
        )
    except Exception as error:
        raise InputError(
            f"cannot make SLURM jobs ({shown(' '.join(str(error).split()), 300)}): set cores, memory, queue and "
            "walltime below jobqueue.slurm in ~/.config/dask/jobqueue.yaml"
        ) from None
    with cluster, distributed.Client(cluster) as client:
        cluster.adapt(minimum_jobs=jobs, maximum_jobs=jobs)  # starts another job when one has ended
        yield Cluster(client, f"by {jobs} SLURM job{'s' * (jobs != 1)}", _flags(config, config.threads or cores))


def _started(cluster_class: Callable[..., Any], **options: Any) -> Any:
    """A cluster whose processes do not get the signals of the terminal: only this process handles them."""
    resource_tracker.ensure_running()  # later it would unblock SIGINT in the thread that starts a process
    from_terminal = {signal.SIGINT, signal.SIGHUP}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, from_terminal)  # threads and processes inherit it
    try:
        with ending_afterwards():
            return cluster_class(**options)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def check_workers(client: Any) -> None:
    """Make sure that the present workers have this version of pcdarts.

    Raises:
        InputError: a worker has no pcdarts, or another version.
    """
    try:
        versions = client.run(_version)
    except Exception as error:
        why = shown(" ".join(str(error).split()), 200)
        raise InputError(
            f"the Dask workers cannot load pcdarts ({why}): install this version of it where they run, with this "
            "version of Dask"
        ) from None
    for worker, version in versions.items():
        if version != pcdarts.__version__:
            raise InputError(
                f"the Dask worker {worker} has pcdarts {version}, not {pcdarts.__version__}: install the same"
            )


def _version() -> str:
    return pcdarts.__version__


def _flags(config: StudyRunConfig, threads: int | None) -> tuple[str, ...]:
    device = ("--device", config.device) if config.device != "auto" else ()
    return (*device, *(("--threads", str(threads)) if threads else ()))


def visible_gpus() -> tuple[str, ...]:
    """The GPUs that a process started here may use, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = torch.cuda.device_count()
    return tuple(listed.split(",")[:count]) if listed and count else tuple(map(str, range(count)))


def parallel_runs() -> int:
    """How many runs fit on this machine at once without a GPU: one per core, if there is enough memory."""
    memory = 0
    with suppress(AttributeError, ValueError, OSError):
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1, min(_cores(), memory // (GIGABYTES_PER_RUN * 2**30) if memory else 1))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
