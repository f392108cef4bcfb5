"""The images of a COCO set and the objects in them."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from hashlib import blake2b

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from pcdarts.data.coco.coco_file import Objects
from pcdarts.data.disk.decode import BadImage, OnBadImage, decode
from pcdarts.data.disk.image_files import ImagePaths, add_identities
from pcdarts.errors import listed

MIN_SIDE = 1
"""Pixels of the stored image: smaller visible boxes are not trained on."""


def clip_boxes(boxes: NDArray[np.float64], sizes: NDArray[np.int64]) -> NDArray[np.float64]:
    """The visible part (left, top, right, bottom) of boxes `[M, 4]` (left, top, width, height).

    `sizes`: height and width of each box's image, `[M, 2]`, or of the image of all boxes, `[2]`.
    """
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
    limits = np.concatenate([sizes[..., ::-1], sizes[..., ::-1]], axis=-1)
    return np.asarray(corners.clip(0, limits))


def _is_large(corners: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.asarray((corners[:, 2:] - corners[:, :2] >= MIN_SIDE).all(axis=1))


@dataclass(frozen=True, eq=False)
class CocoImages:
    """N image files and the objects in them; can be sent to another process."""

    name: str
    classes: tuple[str, ...]
    """Category names, in ascending order of the file's ids: label l (from 1) is `classes[l - 1]`; 0 is background."""
    category_ids: tuple[int | None, ...]
    """COCO's ids of the classes, which need not be consecutive; None for a class that this set does not have."""
    image_ids: tuple[int, ...]
    """The ids in the annotation files: in joined sets an id may occur twice."""
    files: ImagePaths
    sizes: NDArray[np.int64]
    """`[N, 2]`: height and width in pixels."""
    ends: NDArray[np.int64]
    """`[N]`: the index in `objects` at which each image's objects end and the next image's begin."""
    objects: Objects
    has_annotations: bool = True
    """Whether the objects are known; those of test-dev are not public."""
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
        """The objects in one image, as they are in the file."""
        return self.objects[self.ends[index - 1] if index > 0 else 0 : self.ends[index]]

    def target(self, index: int) -> tuple[Tensor, Tensor]:
        """What a detector should find in one image: no crowds, and no boxes with less than a pixel in the image.

        Returns:
            Boxes (left, top, right, bottom) in pixels of the stored image, float32 `[n, 4]`; labels, int64 `[n]`.
        """
        objects = self.objects_of(index)
        boxes = clip_boxes(objects.boxes, self.sizes[index])
        usable = ~objects.crowd & _is_large(boxes)
        return torch.from_numpy(boxes[usable]).float(), torch.from_numpy(objects.labels[usable])

    def targets(self) -> NDArray[np.bool_]:
        """Which of all objects are targets, `[M]`."""
        return ~self.objects.crowd & _is_large(clip_boxes(self.objects.boxes, self.size_of_each_object()))

    def size_of_each_object(self) -> NDArray[np.int64]:
        """Height and width of the image of each object, `[M, 2]`."""
        return np.repeat(self.sizes, np.diff(self.ends, prepend=0), axis=0)

    def read(self, index: int) -> Image.Image:
        """Decode one image to RGB, ignoring its EXIF orientation, as COCO's own tools do.

        If only the turned image has the size on record, the boxes were drawn on that one, so it is used.

        Raises:
            BadImage: it cannot be read, or its size is not that on record.
        """
        height, width = self.sizes[index].tolist()
        path = self.files[index]
        for upright in (False, True):
            image = decode(path, upright)
            if image.size == (width, height):
                return image.convert("RGB")
        stored = "x".join(map(str, image.size))
        raise BadImage(path, f"it is {stored} pixels, but its record says {width}x{height}")

    def digest(self) -> str:
        """A digest of the names and sizes of the files and of all annotations."""
        found = blake2b(repr((self.classes, self.category_ids, self.image_ids)).encode(), digest_size=16)
        add_identities(found, self.files)
        of_objects = (self.objects.boxes, self.objects.labels, self.objects.areas, self.objects.crowd)
        for array in (self.sizes, self.ends, *of_objects):
            found.update(array.tobytes())
        return found.hexdigest()


def join_sets(sets: Sequence[CocoImages]) -> CocoImages:
    """Several sets with the same classes as one."""
    first, *others = sets
    if not others:
        return first
    boxes, labels, areas, crowd = (
        np.concatenate([getattr(images.objects, field.name) for images in sets]) for field in fields(Objects)
    )
    return replace(
        first,
        name=listed([images.name for images in sets], "and"),
        image_ids=tuple(image_id for images in sets for image_id in images.image_ids),
        files=ImagePaths(first.files.root, [path for images in sets for path in images.files]),
        sizes=np.concatenate([images.sizes for images in sets]),
        ends=np.concatenate([np.diff(images.ends, prepend=0) for images in sets]).cumsum(),
        objects=Objects(boxes, labels, areas, crowd),
    )
