"""The sizes and limits of networks in words; needs no torch."""

import math
from collections.abc import Mapping
from typing import Any

from pcdarts.cell.budget import Budget
from pcdarts.errors import listed


def size_text(size: Mapping[str, Any]) -> str:
    """One line about an `evaluation_network` of `result.json`: its size and its setting."""
    return f"{cost_text(size)} ({setting_text(size)})"


def cost_text(size: Mapping[str, Any]) -> str:
    """`3.63 M parameters, 571 M mult-adds`, and `12.3 ms predicted` where a latency is known."""
    counts = f"{millions(size['params'])} parameters, {millions(size['mult_adds'])} mult-adds"
    return f"{counts}, {size['latency_ms']:.3g} ms predicted" if size.get("latency_ms") is not None else counts


def setting_text(size: Mapping[str, Any]) -> str:
    """`5 cells, 8 channels, cifar stem, 28x28 images, 10 classes`."""
    return (
        f"{size['num_cells']} cells, {size['channels']} channels, {size['kind']} stem, {size['image_size']}x"
        f"{size['image_size']} images, {size['num_classes']} classes"
    )


def millions(count: float) -> str:
    """A count in millions with three significant digits: `0.0312 M`, `3.63 M`, `571 M`."""
    amount = count / 1e6
    decimals = max(0, 2 - math.floor(math.log10(amount))) if amount > 0 else 0
    return f"{amount:.{decimals}f} M"


def limits_text(budget: Budget) -> str:
    """`at most 600 M mult-adds and 2 skip-connections in the normal cell`."""
    limits = [
        f"{limit / scale:g}{unit}"
        for limit, scale, unit in (
            (budget.max_mult_adds, 1e6, " M mult-adds"),
            (budget.max_params, 1e6, " M parameters"),
            (budget.max_skips, 1, " skip-connections in the normal cell"),
            (budget.max_latency, 1, " ms for one image"),
        )
        if limit is not None
    ]
    return f"at most {listed(limits, 'and')}" if limits else "no limits"
