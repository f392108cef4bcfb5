"""Kinds of values that settings have, with their limits; and ways to write numbers."""

import os
import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from pcdarts.errors import closest, listed, shown

IMAGE_FILES = ("folder", "imagenet", "huggingface")
"""Data sets of image files, which can be streamed; `imagenet` is a folder with a default place."""

DATA_NAMES = ["fashion-mini", "fashion-mnist", "cifar10", "cifar100", *IMAGE_FILES]
"""What `--data` takes; `data/sources.py` reads them."""


def _known_data(name: Any) -> Any:
    if name in DATA_NAMES:
        return name
    if os.sep in str(name) or os.path.isdir(str(name)):
        remedy = f": for a folder of class folders --data folder --data-root {shown(name)}"
    else:
        remedy = closest(str(name), DATA_NAMES)
    raise ValueError(f"data is {shown(name)}, but it must be {listed(DATA_NAMES)}{remedy}")


def _counted(value: Any) -> Any:
    """What people write for large numbers, `600M`, `1.2B` or `300k`, as a number."""
    match = re.fullmatch(r"([0-9]{1,18}(?:\.[0-9]{1,18})?)([kmb])", str(value).strip().lower())
    if match is None:
        return value
    amount = Decimal(match[1]) * 10 ** {"k": 3, "m": 6, "b": 9}[match[2]]
    return int(amount) if amount == int(amount) else value


DataName = Annotated[str, BeforeValidator(_known_data)]
Count = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Amount = Annotated[int, BeforeValidator(_counted), Field(ge=1)]
Probability = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
Percentage = Annotated[float, Field(ge=0, le=100)]
NotNegative = Annotated[float, Field(ge=0)]
NaturalNumber = Annotated[int, Field(ge=0)]
Channels = Annotated[int, Field(ge=1, le=4096)]
NumCells = Annotated[int, Field(ge=3, le=1000)]
Width = Annotated[float, Field(ge=0.01, le=16)]
