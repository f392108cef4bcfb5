"""Images with more than 8 bits per value: how their values are read and scaled to 0 to 255."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

PixelRange = tuple[float, float]
"""The values that become black (0) and white (255), the same for a whole data set. Images of 8 bits do not need it:
their black and white are 0 and 255."""

SIXTEEN_BITS: PixelRange = (0.0, 65535.0)

HEAD = 26
"""How many bytes at the start of a file `may_be_deep` needs."""

_MAY_BE_DEEP = (b"P", b"II", b"MM", b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0cjP  ")
"""How PGM and PFM, TIFF and JPEG 2000 files start. PNG states its bits there; all other formats have 8."""

_SAMPLE_FORMAT, _BITS_PER_SAMPLE, _PHOTOMETRIC = 339, 258, 262
"""Tags of TIFF."""


def may_be_deep(head: bytes) -> bool:
    """Whether a file that starts with `head` may be an image with more than 8 bits per value."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return head[24:25] == b"\x10"
    return head.startswith(_MAY_BE_DEEP)


def is_deep(image: Image.Image) -> bool:
    """Whether Pillow holds more than 8 bits per value. Such images are greyscale."""
    return image.mode.startswith("I") or image.mode == "F"


def has_deep_colours(opened: Image.Image) -> bool:
    """Whether an opened file, not loaded yet, has more than 8 bits per value of which Pillow reads only the upper 8."""
    return not is_deep(opened) and any(";16" in str(tile[-1]) for tile in getattr(opened, "tile", ()))


def values_of(image: Image.Image) -> NDArray[Any]:
    """The values `[H, W]` of a loaded image that `is_deep`: integers, or floating-point numbers in mode F.

    Raises:
        ValueError: a value is not finite, or zero means white in the file.
    """
    tags: Any = getattr(image, "tag_v2", {})
    if tags.get(_PHOTOMETRIC) == 0:  # Pillow does not invert such values
        raise ValueError("its zero means white, which is supported with 8 bits only: convert it to zero for black")
    values = np.asarray(image)
    if image.mode == "I" and tags and (tags.get(_SAMPLE_FORMAT, (1,))[0], tags.get(_BITS_PER_SAMPLE)) == (1, (32,)):
        values = values.view(np.uint32)  # Pillow reads them as signed
    if not np.isfinite(values).all():
        raise ValueError("some of its values are not finite (NaN or infinite)")
    return values


def scale_to_bytes(values: NDArray[Any], pixel_range: PixelRange | None) -> NDArray[np.uint8]:
    """Scale values with more than 8 bits from the data set's pixel range to 0 to 255, rounded to the nearest integer.

    Raises:
        ValueError: there is no pixel range, or a value lies outside it.
    """
    own = float(values.min()), float(values.max())
    if pixel_range is None:
        raise ValueError(
            f"its values {range_text(own)} have more than 8 bits, and no pixel range says what is black and white "
            "(--pixel-range of search, train, test and predict)"
        )
    low, high = pixel_range
    if own[0] < low or own[1] > high:
        raise ValueError(f"its values {range_text(own)} are not within the pixel range {range_text(pixel_range)}")
    return np.rint((values.astype(np.float64) - low) / (high - low) * 255).astype(np.uint8)


def check_deep_colours(pixel_range: PixelRange | None) -> None:
    """Check that the pixel range suits colours of 16 bits, of which only the upper 8 are read.

    Raises:
        ValueError: it is not the range of 16 bits.
    """
    if pixel_range not in (None, SIXTEEN_BITS):
        raise ValueError(
            "it has 16 bits per colour, of which only the upper 8 can be read, but the pixel range is "
            f"{range_text(pixel_range)}"
        )


def range_text(pixel_range: PixelRange) -> str:
    """Text such as "0 to 4095"; fractions are rounded."""
    return " to ".join(number_text(float(f"{value:.5g}") if value % 1 else value) for value in pixel_range)


def number_text(value: float) -> str:
    """The number in full; an integer has no decimal point."""
    value = float(value)
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
