"""Files that are kept for later starts, in a folder of the user's own: compiled kernels, fitted regressors."""

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path


def cache_folder() -> Path:
    """Where they are kept."""
    if cache := os.environ.get("XDG_CACHE_HOME"):
        return Path(cache) / "pcdarts"
    try:
        return Path.home() / ".cache" / "pcdarts"
    except RuntimeError:  # no home, as in some containers
        return Path(tempfile.gettempdir()) / f"pcdarts-{os.geteuid()}"


def is_private(folder: Path) -> bool:
    """Whether nobody else can put a file there: a library would run with this user's rights."""
    if os.name != "posix":
        return False  # who may write there is not told by these numbers
    status = folder.stat()
    return status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Wait for the process that makes such a file already; where nobody can wait, several make the same."""
    with ExitStack() as stack:
        with suppress(OSError, ImportError):  # no such folder, or a system without such locks
            import fcntl

            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, descriptor)
            if is_private(folder):  # nobody else can keep us waiting
                fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


def replace_file(content: bytes, file: Path) -> None:
    """Write a file in one step into a folder that belongs to this user alone.

    Raises:
        OSError: it cannot be written there, or others could replace it.
    """
    if not is_private(file.parent):
        raise PermissionError(f"{file.parent} belongs to another user, or others may write to it")
    descriptor, name = tempfile.mkstemp(dir=file.parent)
    try:
        with open(descriptor, "wb") as temporary:
            temporary.write(content)
            temporary.flush()
            os.fsync(temporary.fileno())  # a library cut off by a power cut would end every process that loads it
        os.replace(name, file)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
