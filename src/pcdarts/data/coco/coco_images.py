"""Images in COCO's format, and the objects in them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from pcdarts.data.coco.coco_file import Objects
from pcdarts.data.disk.decode import BadImage, OnBadImage, decoded
from pcdarts.data.disk.image_files import ImagePaths, add_identities
from pcdarts.errors import listed

MIN_SIDE = 1
"""Pixels of the stored image: a box of which less is in the image shows nothing to learn."""


def inside(boxes: NDArray[np.float64], sizes: NDArray[np.int64]) -> NDArray[np.float64]:
    """What of boxes `[M, 4]` (left, top, width, height) is in an image: left, top, right, bottom.

    `sizes`: height and width of the image of each, `[M, 2]`, or of that of all, `[2]`.
    """
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
    limits = np.concatenate([sizes[..., ::-1], sizes[..., ::-1]], axis=-1)
    return np.asarray(corners.clip(0, limits))


def _is_large(corners: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.asarray((corners[:, 2:] - corners[:, :2] >= MIN_SIDE).all(axis=1))


@dataclass(frozen=True, eq=False)
class CocoImages:
    """Image files and the objects in them. It can be sent to another process."""

    name: str
    classes: tuple[str, ...]
    """Category names, those of a file by ascending id: label l, from 1, is `classes[l - 1]`; 0 is the background."""
    category_ids: tuple[int | None, ...]
    """COCO's ids of the same, with gaps between them; None for a class that this set does not name."""
    image_ids: tuple[int, ...]
    """Those of the file that each image is in: in sets that were joined, an id may be there twice."""
    files: ImagePaths
    sizes: NDArray[np.int64]
    """`[N, 2]`: height and width in pixels."""
    ends: NDArray[np.int64]
    """`[N]`: where in `objects` those of each image end, and those of the next one begin."""
    objects: Objects
    has_annotations: bool = True
    """Whether the objects are known; those of test-dev are not."""
    on_bad_image: OnBadImage = "stop"

    def __len__(self) -> int:
        return len(self.image_ids)

    def subset(self, indices: Tensor | Sequence[int]) -> "CocoImages":
        """The images at `indices`, in that order."""
        chosen = np.asarray(indices, dtype=np.int64)
        counts = np.diff(self.ends, prepend=0)[chosen]
        ends = counts.cumsum()
        rows = np.arange(counts.sum()) + np.repeat(self.ends[chosen] - ends, counts)
        return replace(
            self,
            image_ids=tuple(self.image_ids[index] for index in chosen.tolist()),
            files=self.files.subset(torch.from_numpy(chosen)),
            sizes=self.sizes[chosen],
            ends=ends,
            objects=self.objects[rows],
        )

    def objects_of(self, index: int) -> Objects:
        """What the file says about one image."""
        return self.objects[self.ends[index - 1] if index > 0 else 0 : self.ends[index]]

    def target(self, index: int) -> tuple[Tensor, Tensor]:
        """What a detector should find in one image: no crowds, and no box of which less than a pixel is in the image.

        Returns:
            Boxes (left, top, right, bottom) in pixels of the stored image, float32 `[n, 4]`; labels, int64 `[n]`.
        """
        objects = self.objects_of(index)
        boxes = inside(objects.boxes, self.sizes[index])
        usable = ~objects.crowd & _is_large(boxes)
        return torch.from_numpy(boxes[usable]).float(), torch.from_numpy(objects.labels[usable])

    def targets(self) -> NDArray[np.bool_]:
        """Which of all objects are targets, `[M]`."""
        sizes = np.repeat(self.sizes, np.diff(self.ends, prepend=0), axis=0)
        return ~self.objects.crowd & _is_large(inside(self.objects.boxes, sizes))

    def read(self, index: int) -> Image.Image:
        """Decode one image to RGB, as its boxes mean it: not turned by its EXIF data, as COCO's own tools read it.

        Where only the turned image has the size on record, the boxes were drawn on that one.

        Raises:
            BadImage: it cannot be read, or has another size than its record says.
        """
        height, width = self.sizes[index].tolist()
        path = self.files[index]
        for upright in (False, True):
            image = decoded(path, upright)
            if image.size == (width, height):
                return image.convert("RGB")
        stored = "x".join(map(str, image.size))
        raise BadImage(path, f"it is {stored} pixels, but its record says {width}x{height}")

    def digest(self) -> str:
        """A fingerprint of names and sizes of the files, and of all that is known about them."""
        found = blake2b(repr((self.classes, self.category_ids, self.image_ids)).encode(), digest_size=16)
        add_identities(found, self.files)
        of_objects = (self.objects.boxes, self.objects.labels, self.objects.areas, self.objects.crowd)
        for array in (self.sizes, self.ends, *of_objects):
            found.update(array.tobytes())
        return found.hexdigest()


def joined(sets: Sequence[CocoImages]) -> CocoImages:
    """Several sets of the same classes as one."""
    first, *others = sets
    if not others:
        return first
    objects = [images.objects for images in sets]
    return replace(
        first,
        name=listed([images.name for images in sets], "and"),
        image_ids=tuple(image_id for images in sets for image_id in images.image_ids),
        files=ImagePaths(first.files.root, [path for images in sets for path in images.files]),
        sizes=np.concatenate([images.sizes for images in sets]),
        ends=np.concatenate([np.diff(images.ends, prepend=0) for images in sets]).cumsum(),
        objects=Objects(
            np.concatenate([each.boxes for each in objects]),
            np.concatenate([each.labels for each in objects]),
            np.concatenate([each.areas for each in objects]),
            np.concatenate([each.crowd for each in objects]),
        ),
    )
