"""The pixel range of a data set: what its images of more than 8 bits mean by black and by white, found or given."""

import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pcdarts.data.disk.decode import BadImage, OnBadImage, opened, quoted, warnings_settled
from pcdarts.data.disk.depth import (
    SIXTEEN_BITS,
    PixelRange,
    has_deep_colours,
    in_words,
    is_deep,
    may_be_deep,
    number,
    values_of,
)
from pcdarts.data.disk.image_files import ImageFile, ImageSources
from pcdarts.errors import InputError

LITTLE = 1 / 4
"""The share of a pixel range that is little use of it."""

_LOOKED_AT = 2**16
"""Pixels of an image, spread over it, that show where nearly all of its values lie."""

_WHITE = [255, 1023, 4095, 16383, 65535, *(2**bits - 1 for bits in range(17, 33))]
"""The largest whole numbers: of the numbers of bits that cameras and scanners have, up to 16; then of any number."""


class _Values(NamedTuple):
    """The smallest and the largest value of an image."""

    source: ImageFile
    smallest: float
    largest: float
    inner: PixelRange
    """Between which 99 % of them lie, in every so many pixels of a large image."""
    whole: bool
    """Whole numbers, or fractions."""
    colours: bool
    """Whether these are the bounds that the upper 8 of 16 bits leave open."""

    def __str__(self) -> str:
        return f"{quoted(self.source)} (values {in_words((self.smallest, self.largest))})"


def settle_range(
    train: ImageSources, test: ImageSources, given: PixelRange | None, on_bad_image: OnBadImage
) -> tuple[PixelRange | None, tuple[str, ...]]:
    """The pixel range of a data set, None if no image has more than 8 bits, and what a job must say about it.

    Of images that may have more than 8 bits the headers are read, and those that have them are decoded. Unless it is
    given, the range is found over the training images. Whole numbers: 0 to the smallest of 255, 1023, 4095, 16383,
    65535 (and on with every bit) that none exceeds; fractions: 0 to 1, or to 255.

    Args:
        on_bad_image: with "skip", an image that cannot be read tells nothing; the job leaves it out later.

    Raises:
        InputError: an image that cannot be read, or values that no such range holds, or not the given one.
    """
    with warnings_settled():
        known, others = (_values(sources, on_bad_image) for sources in (train, test))
    every = known + others
    if not every:
        return None, ()
    pixel_range = given or _found(known, every)
    _check(every, pixel_range)
    notes = [
        f"{len(every)} of {len(train) + len(test)} images have more than 8 bits; their values {in_words(pixel_range)} "
        "become 0 to 255"
    ]
    return pixel_range, tuple(notes + _little_used(every, pixel_range))


def _little_used(every: Sequence[_Values], pixel_range: PixelRange) -> list[str]:
    """A warning where the values of all images, or nearly all values of nearly all images, use little of the range."""
    used = _bounds(every)
    inner = (
        float(np.percentile([some.inner[0] for some in every], 1)),
        float(np.percentile([some.inner[1] for some in every], 99)),
    )
    beginning = f"warning: of the pixel range {in_words(pixel_range)}"
    if _share(used, pixel_range) < LITTLE:
        remedy = "scale them" if any(some.colours for some in every) else f"{_give(every)} would use all"
        return [f"{beginning} these images use only {in_words(used)}, {_grey_values(used, pixel_range)}: {remedy}"]
    if _share(inner, pixel_range) < LITTLE:
        return [
            f"{beginning} 99 % of the values lie in {in_words(inner)}, {_grey_values(inner, pixel_range)}: cut off the "
            "few others in the files"
        ]
    return []


def _share(part: PixelRange, whole: PixelRange) -> float:
    return (part[1] - part[0]) / (whole[1] - whole[0])


def _grey_values(part: PixelRange, pixel_range: PixelRange) -> str:
    return f"which leaves {int(_share(part, pixel_range) * 255) + 1} of 256 grey values"


def _values(sources: ImageSources, on_bad_image: OnBadImage) -> list[_Values]:
    """What is in those of some images that have more than 8 bits."""
    deep = [index for index, head in enumerate(sources.heads()) if may_be_deep(head)]

    def read(index: int) -> _Values | None:
        try:
            return _values_in(sources[index])
        except BadImage:
            if on_bad_image == "stop":
                raise
            return None

    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        return [values for values in pool.map(read, deep) if values is not None]


def _values_in(source: ImageFile) -> _Values | None:
    """Those of one image; None if it has 8 bits."""
    with opened(source) as image:
        colours = has_deep_colours(image)
        if not colours and not is_deep(image):
            return None
        image.load()
        if colours:
            upper = np.asarray(image)
            return _Values(source, 256.0 * upper.min(), 256.0 * upper.max() + 255, _inner(upper, 256.0), True, True)
        values = values_of(image)
        return _Values(source, float(values.min()), float(values.max()), _inner(values), image.mode != "F", False)


def _inner(values: NDArray[Any], factor: float = 1.0) -> PixelRange:
    some = values.reshape(-1)[:: values.size // _LOOKED_AT + 1]
    low, high = np.percentile(some, (0.5, 99.5))
    return factor * float(low), factor * float(high)


def _found(known: Sequence[_Values], every: Sequence[_Values]) -> PixelRange:
    """The range of training images.

    Raises:
        InputError: there is none that would be right for sure.
    """
    if not known:
        raise InputError(
            f"{len(every)} test images have more than 8 bits, the first is {every[0]}, but no training image has: "
            f"convert them, or say what is black and white with {_give(every)}"
        )
    negative = next((some for some in known if some.smallest < 0), None)
    if negative:
        raise InputError(
            f"{negative} has negative values, and nobody knows what is black then: say what is black and white with "
            f"{_give(every)}"
        )
    whole = max((some for some in known if some.whole), key=lambda some: some.largest, default=None)
    fractions = max((some for some in known if not some.whole), key=lambda some: some.largest, default=None)
    if fractions and fractions.largest > 255:
        raise InputError(
            f"{fractions} has floating-point values beyond 255, and nobody knows what is white then: say what is black "
            f"and white with {_give(every)}"
        )
    found = [float(next(white for white in _WHITE if white >= whole.largest))] if whole else []
    found += [1.0 if fractions.largest <= 1 else 255.0] if fractions else []
    if len(set(found)) > 1:
        raise InputError(
            f"some images have whole numbers, others fractions, such as {whole} and {fractions}: no pixel range is "
            "right for both, convert some of them"
        )
    return 0.0, found[0]


def _check(every: Sequence[_Values], pixel_range: PixelRange) -> None:
    """Make sure that the range holds all values.

    Raises:
        InputError: it does not, or it means another part of 16 bits than the one that is read of colours.
    """
    low, high = pixel_range
    outside = [some for some in every if not some.colours and not low <= some.smallest <= some.largest <= high]
    if outside:
        raise InputError(
            f"{len(outside)} images have values outside of the pixel range {in_words(pixel_range)}, the first is "
            f"{outside[0]}: {_give(every)} would hold all, or scale these images"
        )
    colours = next((some for some in every if some.colours), None)
    if colours and pixel_range != SIXTEEN_BITS:
        raise InputError(
            f"{quoted(colours.source)} has 16 bits a colour, of which only the upper 8 can be read, but the pixel "
            f"range is {in_words(pixel_range)}: convert such images to 8 bits, or take them as they are with "
            f"--pixel-range {' '.join(map(number, SIXTEEN_BITS))}"
        )


def _bounds(every: Sequence[_Values]) -> PixelRange:
    return min(some.smallest for some in every), max(some.largest for some in every)


def _give(every: Sequence[_Values]) -> str:
    """A setting that holds all values."""
    low, high = _bounds(every)
    if high - low > 1:
        low, high = math.floor(low), math.ceil(high)
    return f"--pixel-range {number(low)} {number(high if high > low else low + 1)}"
