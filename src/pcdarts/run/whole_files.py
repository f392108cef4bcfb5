"""Files replaced whole or not at all, and files that grow by whole lines: no kill and no full disk loses anything."""

import os
from contextlib import suppress
from pathlib import Path

from pcdarts.errors import InputError, RunError


def write_text(path: Path, text: str) -> None:
    """Replace `path` by `text` (UTF-8), whole or not at all.

    Raises:
        RunError: it cannot be saved; an earlier version stays as it was.
    """
    write_bytes(path, text.encode())


def refuse_existing(flag: str, path: Path | None) -> None:
    """Make sure that a file which a flag names is not there yet.

    Raises:
        InputError: it is.
    """
    if path is not None and os.path.lexists(path):
        raise InputError(f"{path} is there already, and nothing is overwritten: choose another {flag}")


def write_bytes(path: Path, content: bytes | memoryview, previous: Path | None = None) -> None:
    """Replace `path` by `content`, whole or not at all, and wait until the disk has it.

    With `previous` (in the same folder) the earlier version stays, under that name. A kill between any two steps leaves
    `path` whole, the earlier version or the new one.

    Raises:
        RunError: it cannot be saved; an earlier version stays as it was.
    """
    temporary = _temporary(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)  # of a process that was killed
        with temporary.open("xb") as file:  # x: what is there, a link for instance, is never written through
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if previous is not None and path.exists():
            _replace_and_keep(temporary, path, previous)
        else:
            temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise _cannot_save(path, error) from error
    finally:
        _remove(temporary)


def rename(path: Path, new: Path) -> None:
    """Give a file of a folder another name there, one that is free.

    Raises:
        RunError: it cannot be done.
    """
    try:
        path.rename(new)
        _sync_folder(path.parent)
    except OSError as error:
        raise _cannot_save(new, error) from error


def append_line(path: Path, line: str) -> None:
    """Add `line` in one write and wait until the disk has it; a line that a kill has torn is ended first.

    Raises:
        RunError: it cannot be saved.
    """
    try:
        with open(path, "ab+", buffering=0, opener=_open_no_link) as file:
            content = memoryview(line.encode(errors="backslashreplace") + b"\n")
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    content = memoryview(b"\n" + content)
            while content:  # a second time only on a disk that is full, for the reason
                content = content[file.write(content) :]
            os.fsync(file.fileno())
    except OSError as error:
        raise _cannot_save(path, error) from error


def cut_torn_line(path: Path) -> None:
    """Remove what a kill has left after the last whole line of a file; nothing else is ever removed from it.

    Raises:
        RunError: it cannot be saved.
    """
    try:
        with open(path, "rb+", opener=_open_no_link) as file:
            content = file.read()
            whole = content.rfind(b"\n") + 1
            if whole < len(content):
                file.truncate(whole)
                os.fsync(file.fileno())
    except FileNotFoundError:
        return
    except OSError as error:
        raise _cannot_save(path, error) from error


def _replace_and_keep(temporary: Path, path: Path, previous: Path) -> None:
    spare = _temporary(previous)
    spare.unlink(missing_ok=True)
    try:
        os.link(path, spare)
    except OSError:  # this file system has no hard links: for one instant there is only `previous`
        path.replace(previous)
        temporary.replace(path)
        return
    try:
        temporary.replace(path)
        spare.replace(previous)
    finally:
        _remove(spare)


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.tmp")


def _open_no_link(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)  # Windows has no such flag


def _sync_folder(folder: Path) -> None:
    """Wait until the disk has the folder's entries: a rename survives a power cut only then."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()


def _cannot_save(path: Path, error: OSError) -> RunError:
    return RunError(f"cannot save {path}: {error.strerror} (nothing saved before is lost)")
