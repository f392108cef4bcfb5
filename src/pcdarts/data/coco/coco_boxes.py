"""Implausible boxes of a COCO set: counted and reported, and refused if most of them must be a mistake."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pcdarts.data.coco.coco_images import MIN_SIDE, CocoImages, clip_boxes
from pcdarts.errors import InputError, listed

_FEW = 0.01
"""Share of boxes that may be exceptions when the format of a whole file is judged."""

_SOME = 0.05
"""Share of boxes that cannot be due to chance."""

_FAR = 0.1
"""Share of an image's side by which a carelessly drawn box does not reach over the border."""

_NORMALISED = (
    "all values between 0 and 1, as in normalised coordinates, but pixels are expected: multiply left and width by the "
    "width of the image, top and height by its height"
)


def check_boxes(images: CocoImages, learnt_from: bool) -> list[str]:
    """A line, with a count, for each kind of box that cannot be used as it is.

    Crowds are not checked. The sizes of all images must be known.

    Args:
        learnt_from: whether the set is for training, where such boxes are left out or clipped. In a measurement all
            objects are used as they are in the file, as COCO's own tools do.

    Raises:
        InputError: most boxes cannot be used, or they look like corners; the line gives counts and the likely cause.
    """
    single = ~images.objects.crowd
    objects = images.objects[single]
    total = len(objects)
    sizes = images.size_of_each_object()[single]
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
            line += f" ({fitting} of them would fit as [left, top, right, bottom]: check how they were written)"
        lines.append(line)
    return lines


@dataclass(frozen=True, eq=False)
class _Kinds:
    """Which boxes `[M]` are implausible in which way; the first three exclude each other."""

    without_area: NDArray[np.bool_]
    outside: NDArray[np.bool_]
    too_small: NDArray[np.bool_]
    """Visible in less than a pixel of width or height."""
    reaching_out: NDArray[np.bool_]
    """Over the border by a pixel or more; less may be rounding."""
    reaching_far: NDArray[np.bool_]
    normalised: NDArray[np.bool_]
    """All four values between 0 and 1."""
    fit_as_corners: NDArray[np.bool_]
    """Plausible if read as left, top, right and bottom."""

    @classmethod
    def of(cls, boxes: NDArray[np.float64], sizes: NDArray[np.int64]) -> "_Kinds":
        """The kinds of boxes `[M, 4]` (left, top, width, height) in images of `sizes` `[M, 2]` (height, width)."""
        limits = sizes[:, ::-1].astype(np.float64)
        start, extent = boxes[:, :2], boxes[:, 2:]
        visible = clip_boxes(boxes, sizes)
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
    """Whether any element is true, for each row of `[M, n]`."""
    return np.asarray(facts.any(axis=1))


def _as_corners(
    boxes: NDArray[np.float64], areas: NDArray[np.float64], sizes: NDArray[np.int64], kinds: _Kinds
) -> str | None:
    """The reason why boxes look like corners; None if they do not.

    Either most reach far out of their image but fit as corners; or nearly all fit as corners (which is rare for true
    boxes) and some reach far out; or the areas on record are those of corners, which is conclusive even if all objects
    are at the top left.
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
