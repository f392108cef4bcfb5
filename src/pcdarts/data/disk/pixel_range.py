"""The pixel range of a data set: which values are black and white in images with more than 8 bits, found or given."""

import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pcdarts.data.disk.decode import BadImage, OnBadImage, open_image, quoted, strict_warnings
from pcdarts.data.disk.depth import (
    SIXTEEN_BITS,
    PixelRange,
    has_deep_colours,
    is_deep,
    may_be_deep,
    number_text,
    range_text,
    values_of,
)
from pcdarts.data.disk.image_files import ImageFile, ImageSources
from pcdarts.errors import InputError

LITTLE = 1 / 4
"""A warning says so if images use less than this share of the pixel range."""

_SAMPLED = 2**16
"""The most pixels of an image, evenly spread, from which percentiles are computed."""

_WHITE = [255, 1023, 4095, 16383, 65535, *(2**bits - 1 for bits in range(17, 33))]
"""The largest integers of the bit depths that cameras and scanners have, and of every depth above 16."""


class _Values(NamedTuple):
    """The values of one image."""

    source: ImageFile
    smallest: float
    largest: float
    inner: PixelRange
    """The 0.5th and the 99.5th percentile, of a sample in large images."""
    is_whole: bool
    """Whether the values are integers."""
    is_colour: bool
    """Whether these are bounds on 16-bit values of which only the upper 8 bits are known."""

    def __str__(self) -> str:
        return f"{quoted(self.source)} (values {range_text((self.smallest, self.largest))})"


def find_pixel_range(
    train: ImageSources, others: Sequence[ImageSources], given: PixelRange | None, on_bad_image: OnBadImage
) -> tuple[PixelRange | None, tuple[str, ...]]:
    """The pixel range of a data set, None if no image has more than 8 bits, and notes for the user about it.

    Reads the headers of images that may have more than 8 bits, and decodes those that do. Unless it is given, the
    range comes from the training images. Integers: from 0 to the smallest of 255, 1023, 4095, 16383, 65535 (then one
    bit more each) that no value exceeds; floating-point numbers: 0 to 1, or to 255.

    Args:
        others: the sets that are not trained on.
        on_bad_image: with "skip", an image that cannot be read is ignored here; the job leaves it out later.

    Raises:
        InputError: an image cannot be read, no such range holds all values, or the given range does not.
    """
    with strict_warnings():
        known, *unknown = (_read_all(sources, on_bad_image) for sources in (train, *others))
    every = [*known, *chain(*unknown)]
    if not every:
        return None, ()
    pixel_range = given or _range_of(known, every)
    _check(every, pixel_range)
    count = f"{len(every)} of {sum(map(len, (train, *others)))} images have more than 8 bits"
    notes = [f"{count}; their values {range_text(pixel_range)} become 0 to 255"]
    return pixel_range, tuple(notes + _warn_of_little_use(every, pixel_range))


def _warn_of_little_use(every: Sequence[_Values], pixel_range: PixelRange) -> list[str]:
    """A warning if all values, or nearly all values of nearly all images, use little of the range."""
    used = _bounds(every)
    inner = (
        float(np.percentile([some.inner[0] for some in every], 1)),
        float(np.percentile([some.inner[1] for some in every], 99)),
    )
    start = f"warning: of the pixel range {range_text(pixel_range)}"
    if _share(used, pixel_range) < LITTLE:
        remedy = "scale them" if any(some.is_colour for some in every) else f"{_flag_for(every)} would use all"
        return [f"{start} these images use only {range_text(used)}, {_grey_values(used, pixel_range)}: {remedy}"]
    if _share(inner, pixel_range) < LITTLE:
        part = f"99 % of the values lie in {range_text(inner)}, {_grey_values(inner, pixel_range)}"
        return [f"{start} {part}: cut off the few others in the files"]
    return []


def _share(part: PixelRange, whole: PixelRange) -> float:
    return (part[1] - part[0]) / (whole[1] - whole[0])


def _grey_values(part: PixelRange, pixel_range: PixelRange) -> str:
    return f"which leaves {int(_share(part, pixel_range) * 255) + 1} of 256 grey values"


def _read_all(sources: ImageSources, on_bad_image: OnBadImage) -> list[_Values]:
    """The values of those images that have more than 8 bits."""
    deep = [index for index, head in enumerate(sources.heads()) if may_be_deep(head)]

    def read(index: int) -> _Values | None:
        try:
            return _read_values(sources[index])
        except BadImage:
            if on_bad_image == "stop":
                raise
            return None

    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        return [values for values in pool.map(read, deep) if values is not None]


def _read_values(source: ImageFile) -> _Values | None:
    """The values of one image; None if it has 8 bits."""
    with open_image(source) as image:
        is_colour = has_deep_colours(image)
        if not is_colour and not is_deep(image):
            return None
        image.load()
        if is_colour:
            upper = np.asarray(image)
            return _Values(source, 256.0 * upper.min(), 256.0 * upper.max() + 255, _inner(upper, 256.0), True, True)
        values = values_of(image)
        return _Values(source, float(values.min()), float(values.max()), _inner(values), image.mode != "F", False)


def _inner(values: NDArray[Any], factor: float = 1.0) -> PixelRange:
    some = values.reshape(-1)[:: values.size // _SAMPLED + 1]
    low, high = np.percentile(some, (0.5, 99.5))
    return factor * float(low), factor * float(high)


def _range_of(known: Sequence[_Values], every: Sequence[_Values]) -> PixelRange:
    """The range of the training images (`known`).

    Raises:
        InputError: it cannot be told from them.
    """
    if not known:
        raise InputError(
            f"{len(every)} test or validation images have more than 8 bits, the first is {every[0]}, but no training "
            f"image has: convert them, or say what is black and white with {_flag_for(every)}"
        )
    negative = next((some for some in known if some.smallest < 0), None)
    if negative:
        raise InputError(
            f"{negative} has negative values, so it is unknown which value is black: say what is black and white with "
            f"{_flag_for(every)}"
        )
    whole, fractions = (
        max((some for some in known if some.is_whole == is_whole), key=lambda some: some.largest, default=None)
        for is_whole in (True, False)
    )
    if fractions and fractions.largest > 255:
        raise InputError(
            f"{fractions} has floating-point values above 255, so it is unknown which value is white: say what is "
            f"black and white with {_flag_for(every)}"
        )
    found = [float(next(white for white in _WHITE if white >= whole.largest))] if whole else []
    found += [1.0 if fractions.largest <= 1 else 255.0] if fractions else []
    if len(set(found)) > 1:
        raise InputError(
            f"some images have integers, others floating-point values, such as {whole} and {fractions}: no pixel range "
            "is right for both, convert some of them"
        )
    return 0.0, found[0]


def _check(every: Sequence[_Values], pixel_range: PixelRange) -> None:
    """Check that the range holds all values.

    Raises:
        InputError: it does not, or there are colours of 16 bits and it is another range than theirs.
    """
    low, high = pixel_range
    outside = [some for some in every if not some.is_colour and not low <= some.smallest <= some.largest <= high]
    if outside:
        raise InputError(
            f"{len(outside)} images have values outside of the pixel range {range_text(pixel_range)}, the first is "
            f"{outside[0]}: use {_flag_for(every)}, which holds all values, or scale these images"
        )
    colour = next((some for some in every if some.is_colour), None)
    if colour and pixel_range != SIXTEEN_BITS:
        raise InputError(
            f"{quoted(colour.source)} has 16 bits per colour, of which only the upper 8 can be read, but the pixel "
            f"range is {range_text(pixel_range)}: convert such images to 8 bits, or read them as they are with "
            f"--pixel-range {' '.join(map(number_text, SIXTEEN_BITS))}"
        )


def _bounds(every: Sequence[_Values]) -> PixelRange:
    return min(some.smallest for some in every), max(some.largest for some in every)


def _flag_for(every: Sequence[_Values]) -> str:
    """A setting that holds all values."""
    low, high = _bounds(every)
    if high - low > 1:
        low, high = math.floor(low), math.ceil(high)
    return f"--pixel-range {number_text(low)} {number_text(high if high > low else low + 1)}"
