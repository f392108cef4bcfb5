"""What the error of a search on the arch split is of, in the words of log, result and report."""

from typing import Any

ALONE = "the cell alone in the supernet, with the statistics of each batch"
"""Of the methods that `is_measured_alone` names; of the others it is that of the supernet under the learnt mixture, of
which nothing is said."""


def error_is_of(result: Any) -> str | None:
    """What the error on the arch split is of, if a result says so."""
    return ALONE if isinstance(result, dict) and result.get("arch_error_of") == ALONE else None
