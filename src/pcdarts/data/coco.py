"""Data sets in COCO's format: images, and boxes around the objects in them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from pcdarts.data.coco_file import Objects, read_coco_file
from pcdarts.data.decode import BadImage, OnBadImage, decoded, quoted
from pcdarts.data.files import ImagePaths
from pcdarts.data.streams import generator
from pcdarts.errors import InputError, listed


@dataclass(frozen=True, eq=False)
class CocoImages:
    """Image files and the objects in them. It can be sent to another process."""

    name: str
    classes: tuple[str, ...]
    """Category names by ascending category id: label l, from 1, is `classes[l - 1]`; 0 is the background."""
    category_ids: tuple[int, ...]
    """COCO's ids of the same; there may be gaps between them."""
    image_ids: tuple[int, ...]
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
        """What a detector should find in one image: no crowds, and no box without an area inside the image.

        Returns:
            Boxes (left, top, right, bottom) in pixels of the stored image, float32 `[n, 4]`; labels, int64 `[n]`.
        """
        objects = self.objects_of(index)
        height, width = self.sizes[index]
        corners = np.concatenate([objects.boxes[:, :2], objects.boxes[:, :2] + objects.boxes[:, 2:]], axis=1)
        boxes = torch.from_numpy(corners.clip(0, [width, height, width, height])).float()
        usable = (boxes[:, 2:] > boxes[:, :2]).all(dim=1) & ~torch.from_numpy(objects.crowd)
        return boxes[usable], torch.from_numpy(objects.labels)[usable]

    def read(self, index: int) -> Image.Image:
        """Decode one image to RGB, as its boxes mean it: not turned by its EXIF data, as COCO's own tools read it.

        Where only the turned image has the size on record, whoever drew the boxes has seen that one.

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
        for name, size in self.files.identities():
            found.update(f"{name}\0{size}\0".encode(errors="surrogateescape"))
        of_objects = (self.objects.boxes, self.objects.labels, self.objects.areas, self.objects.crowd)
        for array in (self.sizes, self.ends, *of_objects):
            found.update(array.tobytes())
        return found.hexdigest()


@dataclass(frozen=True, eq=False)
class CocoData:
    """What a detector learns from (`train`) and is measured on (`test`): the same images, or none in both."""

    train: CocoImages
    test: CocoImages
    skipped: tuple[str, ...] = ()
    """A line for each image that was left out because its file is missing: its path and the reason."""

    @property
    def classes(self) -> tuple[str, ...]:
        return self.train.classes

    def digest(self) -> str:
        """A fingerprint of both sets."""
        return blake2b((self.train.digest() + self.test.digest()).encode(), digest_size=16).hexdigest()


def load_coco(
    root: Path | str,
    *,
    train_sets: tuple[str, ...],
    test_set: str | None = None,
    held_out: int = 0,
    train_images: int | None = None,
    test_images: int | None = None,
    seed: int = 0,
    on_bad_image: OnBadImage = "stop",
) -> CocoData:
    """Read the annotations of some sets; no image is opened yet.

    A set NAME is `root/annotations/instances_NAME.json` and the images in `root/NAME`; or, for testing alone,
    `image_info_NAME.json`, which has no objects. The images of test-dev lie in the folder of test.

    Args:
        train_sets: their images together are the training set.
        test_set: None takes `held_out` images out of the last training set, the same for every seed: no run trains on
            what another one was tested on. The paper's "trainval minus 5k" is train2014 and val2014 with 5,000 held
            out; train2017 and val2017 are the official form of it.
            The only training set takes the training images themselves: how well a detector remembers them.
        train_images, test_images: keep so many if there are more, drawn by `seed`.
        on_bad_image: what a missing image file does: "stop" raises, "skip" leaves the image out.

    Raises:
        InputError: annotations that are missing or cannot be used (one line says which record); sets with different
            categories or with images in common; a missing image file; a set without images.
    """
    folder = Path(root).expanduser()
    sets = [_load_set(folder, name, on_bad_image, needs_objects=True) for name in train_sets]
    test: CocoImages | None
    if test_set is None:
        sets[-1], test = _without(sets[-1], held_out)
    elif train_sets == (test_set,):
        test = None
    else:
        test = _load_set(folder, test_set, on_bad_image, needs_objects=False)
    _check_disjoint(sets if test is None else [*sets, test])
    skipped: list[str] = []
    train = _present(_some(_together(sets), train_images, "train", seed), skipped)
    measured = train if test is None else _present(_some(test, test_images, "test", seed), skipped)
    return CocoData(train, measured, tuple(skipped))


def load_coco_test(
    root: Path | str, test_set: str, *, test_images: int | None, seed: int, on_bad_image: OnBadImage
) -> CocoImages:
    """The test set that `load_coco` would give with these arguments, where the training sets need not be.

    Raises:
        InputError: as there.
    """
    images = _load_set(Path(root), test_set, on_bad_image, needs_objects=False)
    return _present(_some(images, test_images, "test", seed), [])


def _some(images: CocoImages, count: int | None, which: str, seed: int) -> CocoImages:
    """`count` of the images, drawn by `seed`; all if there are no more, or if it is None."""
    if count is None or count >= len(images):
        return images
    order = torch.randperm(len(images), generator=generator(seed, which, "images kept"))
    return images.subset(order[:count].sort().values)


def _load_set(root: Path, name: str, on_bad_image: OnBadImage, *, needs_objects: bool) -> CocoImages:
    if not name or "/" in name or "\0" in name or name in (".", ".."):
        raise InputError(f"the COCO set {quoted(name)} is no name of a folder: use one such as train2017")
    path = root / "annotations" / f"instances_{name}.json"
    without_objects = root / "annotations" / f"image_info_{name}.json"
    if not path.is_file() and (needs_objects or not without_objects.is_file()):
        raise InputError(f"the COCO set {name!r} needs {quoted(path)}, which is not there: check --data-root")
    has_annotations = path.is_file()
    content = read_coco_file(path if has_annotations else without_objects, has_annotations)
    folder = root / name
    if not folder.is_dir():
        folder = root / name.replace("-dev", "")  # test-dev2015 is a part of test2015
    if not folder.is_dir():
        raise InputError(f"the COCO set {name!r} needs its images in {quoted(root / name)}: check --data-root")
    return CocoImages(
        name,
        tuple(content.categories.values()),
        tuple(content.categories),
        content.image_ids,
        ImagePaths(root, [folder / image for image in content.names]),
        content.sizes,
        content.counts.cumsum(),
        content.objects,
        has_annotations,
        on_bad_image,
    )


def _without(images: CocoImages, count: int) -> tuple[CocoImages, CocoImages]:
    """All but `count` of the images, and these."""
    if not 0 < count < len(images):
        raise InputError(
            f"{count} of the {len(images)} images of {images.name!r} are to be held out for testing: "
            f"use 1 to {len(images) - 1}, or give a test set"
        )
    order = torch.randperm(len(images), generator=generator(0, "images held out"))
    held_out = images.subset(order[:count].sort().values)
    return images.subset(order[count:].sort().values), replace(held_out, name=f"{count} of {images.name}")


def _check_disjoint(sets: list[CocoImages]) -> None:
    """No image may be in two sets, and all must have the same categories."""
    seen: dict[int, str] = {}
    for images in sets:
        if (images.category_ids, images.classes) != (sets[0].category_ids, sets[0].classes):
            raise InputError(f"the COCO sets {sets[0].name!r} and {images.name!r} have different categories")
        for image_id in images.image_ids:
            if image_id in seen:
                raise InputError(
                    f"image id {image_id} is in the COCO sets {seen[image_id]!r} and {images.name!r}: leave out one"
                )
            seen[image_id] = images.name


def _together(sets: list[CocoImages]) -> CocoImages:
    """Several sets as one."""
    if len(sets) == 1:
        return sets[0]
    first = sets[0]
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


def _present(images: CocoImages, skipped: list[str]) -> CocoImages:
    """The images whose files are there; a line for each of the others is added to `skipped`."""
    kept = []
    for index, path in enumerate(images.files):
        if path.is_file():
            kept.append(index)
            continue
        missing = BadImage(path, "it is not there")
        if images.on_bad_image == "stop":
            raise missing
        skipped.append(missing.line)
    if not kept:
        reason = f"; the first is {skipped[-1]}" if skipped else ""
        raise InputError(f"the COCO set {images.name!r} has no image whose file is there{reason}: check --data-root")
    return images if len(kept) == len(images) else images.subset(kept)
