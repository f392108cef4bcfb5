"""Images of more than 8 bits: what values they hold, and how these become 0 to 255."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

PixelRange = tuple[float, float]
"""The values that become black (0) and white (255); one pair for a whole data set. Images of 8 bits have no need of it:
theirs are 0 and 255."""

SIXTEEN_BITS: PixelRange = (0.0, 65535.0)

HEAD = 26
"""Bytes at the beginning of a file that `may_be_deep` looks at."""

_MAY_BE_DEEP = (b"P", b"II", b"MM", b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0cjP  ")
"""What PGM and PFM, TIFF and JPEG 2000 begin with; PNG says by itself, and no other format has so many bits."""

_SAMPLE_FORMAT, _BITS_PER_SAMPLE, _PHOTOMETRIC = 339, 258, 262
"""Tags of TIFF."""


def may_be_deep(head: bytes) -> bool:
    """Whether a file that begins like this may be an image of more than 8 bits for each value."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return head[24:25] == b"\x10"
    return head.startswith(_MAY_BE_DEEP)


def is_deep(image: Image.Image) -> bool:
    """Whether Pillow has the values of an image in more than 8 bits. Such images have no colours."""
    return image.mode.startswith("I") or image.mode == "F"


def has_deep_colours(opened: Image.Image) -> bool:
    """Whether a file that was opened and not yet loaded has more than 8 bits where Pillow reads the upper 8 alone."""
    return not is_deep(opened) and any(";16" in str(tile[-1]) for tile in getattr(opened, "tile", ()))


def values_of(image: Image.Image) -> NDArray[Any]:
    """The values `[H, W]` of a loaded image that `is_deep`: whole numbers, or of mode F fractions.

    Raises:
        ValueError: they are not all numbers, or the file counts from white to black.
    """
    tags: Any = getattr(image, "tag_v2", {})
    if tags.get(_PHOTOMETRIC) == 0:  # Pillow leaves such values as they are
        raise ValueError("its zero means white, which is known of 8 bits alone: convert it to zero for black")
    values = np.asarray(image)
    if image.mode == "I" and tags and (tags.get(_SAMPLE_FORMAT, (1,))[0], tags.get(_BITS_PER_SAMPLE)) == (1, (32,)):
        values = values.view(np.uint32)  # which Pillow takes for signed numbers
    if not np.isfinite(values).all():
        raise ValueError("some of its values are no numbers (NaN or infinite)")
    return values


def scaled(values: NDArray[Any], pixel_range: PixelRange | None) -> NDArray[np.uint8]:
    """Values of more than 8 bits as 0 to 255, rounded to the nearest; the range is that of their data set.

    Raises:
        ValueError: there is no range, or they leave it.
    """
    smallest, largest = float(values.min()), float(values.max())
    if pixel_range is None:
        raise ValueError(
            f"its values {in_words((smallest, largest))} have more than 8 bits, and no pixel range says what is black "
            "and white (--pixel-range of search, train, test and predict)"
        )
    low, high = pixel_range
    if smallest < low or largest > high:
        raise ValueError(
            f"its values {in_words((smallest, largest))} are not within the pixel range {in_words(pixel_range)}"
        )
    return np.rint((values.astype(np.float64) - low) / (high - low) * 255).astype(np.uint8)


def check_deep_colours(pixel_range: PixelRange | None) -> None:
    """Make sure that the upper 8 of 16 bits, all that is read of colours, are what the range means.

    Raises:
        ValueError: it is another one than that of 16 bits.
    """
    if pixel_range not in (None, SIXTEEN_BITS):
        raise ValueError(
            f"of its 16 bits a colour only the upper 8 can be read, but the pixel range is {in_words(pixel_range)}"
        )


def in_words(pixel_range: PixelRange) -> str:
    """Such as "0 to 4095"; fractions are rounded."""
    return " to ".join(number(float(f"{value:.5g}") if value % 1 else value) for value in pixel_range)


def number(value: float) -> str:
    """In full, and without a point if it is whole."""
    value = float(value)
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
