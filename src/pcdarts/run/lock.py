"""One job at a time on a run: the kernel keeps the lock, and lets go of it however the job ends."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from pcdarts.errors import InputError, shown
from pcdarts.run.run_folder import RunFolder

WAIT_SECONDS = 1.0
"""A job that was just killed needs a moment to be gone."""


@contextmanager
def lock(run: RunFolder) -> Iterator[None]:
    """Keep every other job away from `run`, and say in its `state.json` who works on it.

    Raises:
        InputError: another job works on it, or nothing can be written there.
    """
    from filelock import FileLock, Timeout

    held = FileLock(run.lock_file, timeout=WAIT_SECONDS)
    try:
        held.acquire()
    except Timeout:
        raise InputError(
            f"{run.path} is being worked on by {_holder(run)}: wait for it, or use another run folder"
        ) from None
    except (OSError, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot lock {run.path}: {reason}") from None
    try:
        run.write_state("running")
        yield
    finally:
        held.release()


def is_locked(run: RunFolder) -> bool | None:
    """Whether a job works on `run`; None if that cannot be told. Touches nothing."""
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    try:
        descriptor = os.open(run.lock_file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return False
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: two that look do not see one another
    except (BlockingIOError, PermissionError):
        return True
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return False


def _holder(run: RunFolder) -> str:
    state = run.read_state()
    if not {"pid", "host"} <= state.keys():
        return "another process"
    since = f" (since {shown(state['since'])})" if "since" in state else ""
    return f"process {shown(state['pid'])} on {shown(state['host'])}{since}"
