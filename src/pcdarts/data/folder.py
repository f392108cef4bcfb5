"""Image folders: which files are which class and set, and their pixels as one uint8 tensor."""

import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from pcdarts.data.split import stratified_split
from pcdarts.data.streams import generator
from pcdarts.errors import InputError

SUFFIXES = frozenset(
    {".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"}
)
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""What Pillow may take a file for: nothing that would start another program, as its EPS reader does."""

THREADS_PAY_FROM = 16_384
"""Bytes of an image file: a smaller one is decoded before another thread has the interpreter's lock (measured)."""

TEST_FRACTION = 0.2
"""The share of each class that becomes the test set of a folder without one."""

_SET_OF = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


@dataclass(frozen=True, eq=False)
class ImageFiles:
    """Image files and their classes: `labels`, int64 `[N]`, index the classes of the folder."""

    paths: list[Path]
    labels: Tensor

    def subset(self, indices: Tensor) -> "ImageFiles":
        return ImageFiles([self.paths[index] for index in indices.tolist()], self.labels[indices])


@dataclass(frozen=True, eq=False)
class ImageFolder:
    """A folder of class folders, by class name in sorted order."""

    classes: tuple[str, ...]
    train: ImageFiles
    test: ImageFiles


def find_images(root: Path) -> ImageFolder:
    """List the images of a folder in one of these layouts, without opening them.

    * `root/CLASS/...`, or `root/train/CLASS/...` alone: a fifth of each class becomes the test set. Which images are
      drawn depends on the folder alone, never on a run's seed: no run trains on what another one was tested on.
    * `root/train/CLASS/...` and `root/test/CLASS/...`.
    * `root/train` and `root/val`: `val` is the test set.
    * `root/train`, `root/val` and `root/test`: `val` joins the training set (the search splits that itself).

    Raises:
        InputError: a folder that cannot be listed, holds no or only one class, has a class without images, or whose
            sets have different classes.
    """
    folders, _ = _contents(root)
    sets = {_SET_OF[folder.name.lower()]: folder for folder in folders if folder.name.lower() in _SET_OF}
    if sets and len(sets) == len(folders) and "train" not in sets:
        raise InputError(f"image folder {_name(root)} has {' and '.join(sorted(sets))} but no folder train: add one")
    if "train" not in sets or len(sets) == 1 < len(folders):
        return _split_by_class(_images_by_class(root))
    train = _images_by_class(sets["train"])
    if len(sets) == 1:
        return _split_by_class(train)
    others = {name: _images_by_class(sets[name]) for name in ("val", "test") if name in sets}
    for name, by_class in others.items():
        _check_same_classes(train, by_class, sets[name])
    if len(others) == 2:
        val = others.pop("val")
        train = {name: paths + val[name] for name, paths in train.items()}
    (test,) = others.values()
    return ImageFolder(tuple(train), _labelled(train), _labelled(test))


def read_images(paths: Sequence[Path], image_size: int | None = None) -> Tensor:
    """Decode images to uint8 `[N, C, S, S]` in channels_last memory format: one channel if all are greyscale, else RGB.

    Args:
        image_size: S; an image's short side is resized to it (antialiased) and the centre cropped. When None, all
            images must have one square size already.

    Raises:
        InputError: an image that cannot be read (it is named), images of several sizes without `image_size`, or more
            pixels than memory.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # odd metadata, as some ImageNet photographs have
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        first = _read_image(paths[0], image_size)
        height, width, _ = first.shape
        if height != width:
            raise InputError(f"{_name(paths[0])} is {width}x{height} pixels, not square: give --image-size")
        pixels = _allocate(len(paths), height)

        def read_into_place(index: int) -> bool:
            image = _read_image(paths[index], image_size)
            if image.shape[:2] != (height, width):
                raise InputError(
                    f"{_name(paths[index])} is {image.shape[1]}x{image.shape[0]} pixels but {_name(paths[0])} is "
                    f"{width}x{height}: give --image-size"
                )
            pixels[index] = image  # a single channel becomes three equal ones
            return bool(image.shape[2] == 1)

        with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
            run = pool.map if paths[0].stat().st_size >= THREADS_PAY_FROM else map
            greyscale = list(run(read_into_place, range(len(paths))))
    if all(greyscale):
        pixels = np.ascontiguousarray(pixels[..., :1])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


def _contents(folder: Path) -> tuple[list[Path], list[Path]]:
    """The visible sub-folders of a folder and its image files, by name; links are followed."""
    folders, images = [], []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    folders.append(Path(entry.path))
                elif os.path.splitext(entry.name)[1].lower() in SUFFIXES:
                    images.append(Path(entry.path))
    except FileNotFoundError:
        raise InputError(f"image folder {_name(folder)} does not exist: check --data-root") from None
    except NotADirectoryError:
        raise InputError(f"{_name(folder)} is a file, but an image folder is expected: check --data-root") from None
    except OSError as error:
        raise InputError(f"image folder {_name(folder)} cannot be read: {error.strerror}") from error
    return sorted(folders), sorted(images)


def _images_by_class(root: Path) -> dict[str, list[Path]]:
    """The images of each class folder of `root`, also of folders nested in it, by class name in sorted order."""
    folders, _ = _contents(root)
    if not folders:
        raise InputError(f"image folder {_name(root)} has no class folders: expected {_name(root / 'CLASS' / 'IMAGE')}")
    if len(folders) == 1:
        raise InputError(
            f"image folder {_name(root)} has only one class, {folders[0].name!r}: a classifier needs two or more"
        )
    by_class = {folder.name: _images_under(folder, {os.path.realpath(root)}) for folder in folders}
    for folder in folders:
        if not by_class[folder.name]:
            raise InputError(
                f"class folder {_name(folder)} has no images ({', '.join(sorted(SUFFIXES))}): add some or remove it"
            )
    return by_class


def _images_under(folder: Path, visited: set[str]) -> list[Path]:
    """All images below `folder`; `visited` folders are not entered (again), so that links in a circle end."""
    found: list[Path] = []
    pending = [folder]
    while pending:
        current = pending.pop()
        real = os.path.realpath(current)
        if real not in visited:
            visited.add(real)
            folders, images = _contents(current)
            found += images
            pending += folders
    return sorted(found)


def _check_same_classes(train: dict[str, list[Path]], other: dict[str, list[Path]], folder: Path) -> None:
    problems = [
        f"{what} {', '.join(map(repr, sorted(names)))}"
        for what, names in (("lacks", train.keys() - other.keys()), ("adds", other.keys() - train.keys()))
        if names
    ]
    if problems:
        raise InputError(
            f"{_name(folder)} has not the classes of the training set: it {' and '.join(problems)}; "
            "both need the same class folders"
        )


def _labelled(by_class: dict[str, list[Path]]) -> ImageFiles:
    sizes = torch.tensor([len(paths) for paths in by_class.values()])
    labels = torch.arange(len(by_class)).repeat_interleave(sizes)
    return ImageFiles([path for paths in by_class.values() for path in paths], labels)


def _split_by_class(by_class: dict[str, list[Path]]) -> ImageFolder:
    for name, paths in by_class.items():
        if len(paths) == 1:
            raise InputError(
                f"class {name!r} has only one image, {_name(paths[0])}: it takes one to train and one to test, "
                "or folders train and test"
            )
    files = _labelled(by_class)
    train, test = stratified_split(files.labels, TEST_FRACTION, generator(0, "test set of an image folder"))
    return ImageFolder(tuple(by_class), files.subset(train), files.subset(test))


def _allocate(count: int, size: int) -> NDArray[np.uint8]:
    try:
        return np.empty((count, size, size, 3), dtype=np.uint8)
    except MemoryError:
        raise InputError(
            f"{count} images of {size}x{size} pixels do not fit in memory ({3e-9 * count * size**2:.0f} GB): "
            "use a smaller --image-size or --train-images"
        ) from None


def _read_image(path: Path, image_size: int | None) -> NDArray[np.uint8]:
    """Decode one image, upright, as `[H, W, C]`: one channel if it is greyscale, else RGB."""
    try:
        with Image.open(path, formats=FORMATS) as opened:
            ImageOps.exif_transpose(opened, in_place=True)
            image = _in_eight_bits(opened)
        if image_size is not None and image.size != (image_size, image_size):
            image = ImageOps.fit(image, (image_size, image_size), Image.Resampling.BILINEAR)
        return np.asarray(image).reshape(image.height, image.width, -1)
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"image {_name(path)} cannot be read ({reason}): repair or remove it") from error


def _in_eight_bits(image: Image.Image) -> Image.Image:
    """Convert any mode to "L" (greyscale modes) or "RGB" (the others); transparency is dropped."""
    if image.mode.startswith("I"):  # 16 bits: keep the upper eight, where Pillow's own conversion would clip at 255
        return Image.fromarray((np.asarray(image).astype(np.int32) >> 8).clip(0, 255).astype(np.uint8))
    if image.mode == "F":
        raise ValueError("floating-point pixels have no known range")
    if image.mode in ("1", "L", "LA", "La"):
        return image.convert("L")
    if "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")


def _name(path: Path) -> str:
    """A path for a message: quoted, on one line whatever its name holds."""
    return repr(str(path))
