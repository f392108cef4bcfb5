"""Libraries that only some uses need: imported when they are, with one line for whoever lacks them."""

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
