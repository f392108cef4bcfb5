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
    said = _said(result, "ended_early")
    done, wanted = _numbers(said)
    return f"{done:,} of {wanted:,} epochs: {said['by']}" if done < wanted and said.get("by") in BY else None


def more_than_planned(result: Any) -> str | None:
    """`61 epochs instead of 39`; None of a training that did no more than planned, and of a damaged result."""
    done, wanted = _numbers(_said(result, "more_epochs"))
    return f"{done:,} epochs instead of {wanted:,}" if done > wanted else None


def _said(result: Any, name: str) -> dict[str, Any]:
    said = result.get(name) if isinstance(result, dict) else None
    return said if isinstance(said, dict) else {}


def _numbers(said: dict[str, Any]) -> tuple[int, int]:
    """The epochs that were done and those that were wanted; 0 and 0 if these are no such numbers."""
    done, wanted = said.get("done"), said.get("epochs")
    if type(done) is int and type(wanted) is int and 0 <= done < 10**9 and 0 <= wanted < 10**9:
        return done, wanted
    return 0, 0
