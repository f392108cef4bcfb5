"""Large libraries: those that only some uses need, and what makes their start shorter."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from pcdarts.errors import InputError, shown


def import_extra(module: str, extra: str, purpose: str) -> Any:
    """Import `module` of the optional dependencies `extra`, which `purpose` (the start of a sentence) needs.

    Raises:
        InputError: it cannot be imported.
    """
    try:
        return import_module(module)
    except Exception as error:  # missing, or broken
        why = "" if isinstance(error, ModuleNotFoundError) else f" ({shown(' '.join(str(error).split()), 200)})"
        package = module.partition(".")[0]
        raise InputError(f"{purpose} needs {package}{why}: pip install 'pcdarts[{extra}]'") from None


@contextmanager
def without_collection() -> Iterator[None]:
    """Nobody looks for garbage in here: for work that makes millions of objects and needs nearly all of them.

    Imports are such work (a twelfth of the time that PyTorch's takes), and so is an export to ONNX.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()
