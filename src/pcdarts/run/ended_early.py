"""What the result of a training says of epochs that were planned and not made, and it in words."""

from typing import Any

BY = ("--max-minutes", "--patience")
"""What may end a training before its last epoch."""


def about_the_end(done: int, wanted: int, by_time: bool) -> dict[str, Any]:
    """For the result of a training that has done so many epochs of those wanted; nothing where it did all."""
    if done >= wanted:
        return {}
    return {"ended_early": {"done": done, "epochs": wanted, "by": BY[0] if by_time else BY[1]}}


def how_it_ended(result: Any) -> str | None:
    """`31 of 69 epochs: --max-minutes`; None of a training that did all its epochs, and of a damaged result."""
    said = result.get("ended_early") if isinstance(result, dict) else None
    if not isinstance(said, dict) or said.get("by") not in BY:
        return None
    done, wanted = (said.get(name) for name in ("done", "epochs"))
    if not (type(done) is int and type(wanted) is int and 0 <= done < wanted < 10**9):
        return None
    return f"{done:,} of {wanted:,} epochs: {said['by']}"
