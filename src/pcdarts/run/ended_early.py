"""What the result of a training or a search says where it made fewer epochs than planned, or more, and it in words."""

from typing import Any

MINUTES, PATIENCE, EIGENVALUE = "--max-minutes", "--patience", "--eigenvalue-every"
BY = (MINUTES, PATIENCE, EIGENVALUE)
"""What may end a training, or a search, before its last epoch."""


def about_the_end(done: int, wanted: int, by: str) -> dict[str, Any]:
    """For the result of a job that has done so many epochs where so many were wanted; nothing where it did these."""
    if done > wanted:
        return {"more_epochs": {"done": done, "epochs": wanted}}
    return {"ended_early": {"done": done, "epochs": wanted, "by": by}} if done < wanted else {}


def how_it_ended(result: Any) -> str | None:
    """`31 of 69 epochs: --max-minutes`; None of a training that did all its epochs, and of a damaged result."""
    said = result.get("ended_early") if isinstance(result, dict) else None
    if not isinstance(said, dict) or said.get("by") not in BY:
        return None
    done, wanted = (said.get(name) for name in ("done", "epochs"))
    if not (type(done) is int and type(wanted) is int and 0 <= done < wanted < 10**9):
        return None
    return f"{done:,} of {wanted:,} epochs: {said['by']}"
