"""Kinds of values that settings have, with their limits; and ways to write numbers."""

import re
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

DataName = Literal["fashion-mini", "fashion-mnist", "cifar10", "cifar100", "folder", "imagenet", "huggingface"]


def _counted(value: Any) -> Any:
    """What people write for large numbers, `600M`, `1.2B` or `300k`, as a number."""
    match = re.fullmatch(r"([0-9]{1,18}(?:\.[0-9]{1,18})?)([kmb])", str(value).strip().lower())
    if match is None:
        return value
    amount = Decimal(match[1]) * 10 ** {"k": 3, "m": 6, "b": 9}[match[2]]
    return int(amount) if amount == int(amount) else value


Count = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Amount = Annotated[int, BeforeValidator(_counted), Field(ge=1)]
Probability = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
NaturalNumber = Annotated[int, Field(ge=0)]
Channels = Annotated[int, Field(ge=1, le=4096)]
NumCells = Annotated[int, Field(ge=3, le=1000)]
