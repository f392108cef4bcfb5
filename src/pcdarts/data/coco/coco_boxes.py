"""What is odd about the boxes of a COCO set: counted and said, and refused where they can hardly be meant."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pcdarts.data.coco.coco_images import MIN_SIDE, CocoImages, inside
from pcdarts.errors import InputError, listed

_FEW = 0.01
"""Share of boxes that may be an exception to what a whole file is found to be."""

_SOME = 0.05
"""Share of boxes that is no accident."""

_FAR = 0.1
"""Share of an image's side by which no careless stroke reaches over its border."""

_NORMALISED = (
    "all values between 0 and 1, as in normalised coordinates, but pixels are expected: multiply left and width by the "
    "width of the image, top and height by its height"
)


def check_boxes(images: CocoImages, learnt_from: bool) -> list[str]:
    """A line for each kind of box that cannot be used as it is, with how many there are.

    Crowds are not looked at. The sizes of all images must be known.

    Args:
        learnt_from: whether the set is trained on, where such boxes are left out or clipped; in a measurement all
            objects are what the file says, as in COCO's own tools.

    Raises:
        InputError: no box can be used, or most cannot; or they look like corners. The line says how many there are of
            which kind, and names the likely cause.
    """
    single = ~images.objects.crowd
    objects = images.objects[single]
    total = len(objects)
    sizes = np.repeat(images.sizes, np.diff(images.ends, prepend=0), axis=0)[single]
    kinds = _Kinds.of(objects.boxes, sizes)
    unusable = {
        "without an area (a width or height of 0 or less)": kinds.without_area,
        "outside of their image": kinds.outside,
        "with less than a pixel in their image": kinds.too_small,
    }
    found = {kind: int(which.sum()) for kind, which in unusable.items() if which.any()}
    normalised = int(kinds.normalised.sum())
    if 2 * normalised > total:
        raise InputError(f"{images.name!r}: {normalised} of {total} boxes have {_NORMALISED}")
    if 2 * sum(found.values()) > total:
        raise InputError(
            f"{images.name!r}: {sum(found.values())} of {total} boxes cannot be used "
            f"({listed([f'{count} {kind}' for kind, count in found.items()], 'and')}): write all as [left, top, width, "
            "height] in pixels of the stored image"
        )
    corners = _as_corners(objects.boxes, objects.areas, sizes, kinds)
    if corners:
        raise InputError(
            f"{images.name!r}: the boxes look like [left, top, right, bottom], but COCO's format is [left, top, width, "
            f"height]: write right - left and bottom - top ({corners})"
        )
    treatment = "left out" if learnt_from else "measured as they are, so that no detection matches them"
    lines = [f"{images.name!r}: {count} of {total} boxes {kind}: {treatment}" for kind, count in found.items()]
    if normalised:
        lines.append(f"{images.name!r}: {normalised} of {total} boxes have {_NORMALISED}")
    if kinds.reaching_out.any():
        reaching, far = int(kinds.reaching_out.sum()), int(kinds.reaching_far.sum())
        treatment = "cut off at its border" if learnt_from else "measured as they are"
        line = (
            f"{images.name!r}: {reaching} of {total} boxes reaching out of their image by a pixel or more: {treatment}"
        )
        fitting = int((kinds.reaching_far & kinds.fit_as_corners).sum())
        if fitting and fitting >= (1 - _SOME) * far:
            line += f" ({fitting} of them would fit as [left, top, right, bottom]: look at how they were written)"
        lines.append(line)
    return lines


@dataclass(frozen=True, eq=False)
class _Kinds:
    """Which boxes are odd in which way; the first three exclude each other."""

    without_area: NDArray[np.bool_]
    outside: NDArray[np.bool_]
    too_small: NDArray[np.bool_]
    """Less than a pixel of the image in width or height."""
    reaching_out: NDArray[np.bool_]
    """By a pixel or more: less is a matter of rounding."""
    reaching_far: NDArray[np.bool_]
    normalised: NDArray[np.bool_]
    """All four values between 0 and 1."""
    fit_as_corners: NDArray[np.bool_]
    """If taken for left, top, right and bottom."""

    @classmethod
    def of(cls, boxes: NDArray[np.float64], sizes: NDArray[np.int64]) -> "_Kinds":
        """Those of boxes `[M, 4]` (left, top, width, height) in images of `sizes` `[M, 2]` (height, width)."""
        limits = sizes[:, ::-1].astype(np.float64)
        start, extent = boxes[:, :2], boxes[:, 2:]
        visible = inside(boxes, sizes)
        shown = visible[:, 2:] - visible[:, :2]
        over = np.maximum(-start, start + extent - limits)
        without_area = _any(extent <= 0)
        outside = ~without_area & _any(shown <= 0)
        too_small = ~without_area & ~outside & _any(shown < MIN_SIDE)
        usable = ~(without_area | outside | too_small)
        return cls(
            without_area,
            outside,
            too_small,
            usable & _any(over >= 1),
            usable & _any(over > _FAR * limits),
            ~without_area & ~_any((boxes < 0) | (boxes > 1)) & _any(limits > 1),
            ~_any((start < -1) | (extent < start) | (extent > limits + 1)),
        )


def _any(facts: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Of each row of `[M, n]`, whether any of its facts is so."""
    return np.asarray(facts.any(axis=1))


def _as_corners(
    boxes: NDArray[np.float64], areas: NDArray[np.float64], sizes: NDArray[np.int64], kinds: _Kinds
) -> str | None:
    """Why boxes look like corners, if they do.

    Either most reach out of their image, and fit as corners; or all fit (which few true boxes do), and some reach out
    far; or the areas on record are those of corners, which tells even where all objects are at the top left.
    """
    total, far, fitting = len(boxes), int(kinds.reaching_far.sum()), int(kinds.fit_as_corners.sum())
    both = int((kinds.reaching_far & kinds.fit_as_corners).sum())
    if (2 * both > total and both >= (1 - _SOME) * far) or (fitting >= (1 - _FEW) * total and far >= _SOME * total > 0):
        return (
            f"as widths and heights, {far} of {total} reach far out of their image, as corners {fitting} fit; if they "
            "are widths and heights, cut them off at the border of their image"
        )
    sides = boxes[:, 2:] - boxes[:, :2]
    of_corners = kinds.fit_as_corners & np.isclose(areas, sides.prod(axis=1), rtol=0.01) & ~_any(sides <= 0)
    told = int((of_corners & ~np.isclose(areas, boxes[:, 2:].prod(axis=1), rtol=0.01)).sum())
    if 2 * told > total:
        return f"the area on record of {told} of {total} is that of corners"
    return None
