"""Decode image files of any kind and content, one by one or all into one uint8 tensor."""

import os
import stat
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError, features
from torch import Tensor

from pcdarts.data.disk.depth import PixelRange, check_deep_colours, has_deep_colours, is_deep, scale_to_bytes, values_of
from pcdarts.data.disk.image_files import ImageFile, head_of
from pcdarts.errors import InputError, RunError, listed

OnBadImage = Literal["stop", "skip"]

for _plugin in ("Avif", "Bmp", "Gif", "Jpeg", "Jpeg2K", "Png", "Ppm", "Tiff", "WebP"):
    import_module(f"PIL.{_plugin}ImagePlugin")  # otherwise the first image makes Pillow import all forty plugins

_OPTIONAL = {"avif": "AVIF", "jpg_2000": "JPEG2000", "webp": "WEBP"}
"""Formats that a build of Pillow may lack: Pillow's name of the feature, and the format."""

_ALWAYS = {"BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF"}
FORMATS = tuple(sorted(_ALWAYS | {form for name, form in _OPTIONAL.items() if features.check(name)}))
"""The formats that Pillow may read; none whose reader starts another program, as that of EPS does."""

_SUFFIXES = {
    "AVIF": {".avif"},
    "BMP": {".bmp"},
    "GIF": {".gif"},
    "JPEG": {".jfif", ".jpe", ".jpeg", ".jpg"},
    "JPEG2000": {".j2k", ".jp2"},
    "PNG": {".png"},
    "PPM": {".pbm", ".pgm", ".pnm", ".ppm"},
    "TIFF": {".tif", ".tiff"},
    "WEBP": {".webp"},
}

SUFFIXES = frozenset().union(*(_SUFFIXES[form] for form in FORMATS))
"""The extensions of image files, in lower case."""

MAX_FILE_BYTES = 2**30
"""Some decoders read a file whole. No image within Pillow's limit on pixels needs more."""

_HEIC = "it is HEIC, which Pillow alone cannot read: convert it to JPEG"

THREADS_PAY_FROM = 16_384
"""Size of an image file in bytes from which decoding in threads is faster (measured)."""


class BadImage(InputError):
    """An image that cannot be read; `line` names it and the reason, without a remedy."""

    def __init__(self, source: ImageFile, why: str) -> None:
        super().__init__(
            f"image {quoted(source)} cannot be read ({why}): repair or remove it, or leave out all such images with "
            "--on-bad-image skip"
        )
        self.line = f"{quoted(source)}: {why}"

    def during_job(self) -> RunError:
        """The error for a running job, which can be resumed."""
        return RunError(
            f"image {self.line}: leave out all such images with --on-bad-image skip, also when a run is resumed"
        )


@dataclass(frozen=True, eq=False)
class DecodedImages:
    """The images of those files that can be read, and the reasons why the others cannot."""

    pixels: Tensor
    """uint8 `[M, C, S, S]` in channels_last memory format: one channel if all are greyscale, else RGB."""
    kept: Tensor
    """The indices of the files that can be read, int64 `[M]`, ascending."""
    skipped: tuple[str, ...]
    """A line for each other file: its path and the reason."""


def read_images(
    sources: Sequence[ImageFile],
    image_size: int | None = None,
    on_bad_image: OnBadImage = "stop",
    border: float = 0.0,
    pixel_range: PixelRange | None = None,
) -> DecodedImages:
    """Decode image files.

    Args:
        image_size: S; the short side is resized to it (antialiased) and the centre cropped. If None, all images must
            be squares of one size.
        border: the share cut off each side before, see `fit_to_square`.
        pixel_range: see `decode`.
        on_bad_image: "stop" raises if an image cannot be read, "skip" leaves it out.

    Raises:
        InputError: an image cannot be read, or with "skip" none can; images of several sizes without `image_size`;
            they do not fit in memory.
    """
    skipped: dict[int, str] = {}

    def read(index: int) -> NDArray[np.uint8] | None:
        try:
            return _as_array(sources[index], image_size, border, pixel_range)
        except BadImage as error:
            if on_bad_image == "stop":
                raise
            skipped[index] = error.line
            return None

    def first_readable() -> tuple[ImageFile, int]:
        for index, source in enumerate(sources):
            if (image := read(index)) is not None:
                height, width, _ = image.shape
                if height != width:
                    raise InputError(f"{quoted(source)} is {width}x{height} pixels, not square: give --image-size")
                return source, height
        raise InputError(f"none of the {len(sources)} images can be read; the first is {skipped[0]}")

    def read_into_place(index: int) -> bool:
        image = read(index)
        if image is None:
            return True
        height, width, channels = image.shape
        if (height, width) != (size, size):
            this, that = quoted(sources[index]), quoted(first)
            raise InputError(f"{this} is {width}x{height} pixels but {that} is {size}x{size}: give --image-size")
        pixels[index] = image  # a single channel is copied to all three
        return channels == 1

    with strict_warnings():
        first, size = first_readable() if image_size is None else (sources[0], image_size)
        pixels = _allocate(len(sources), size)
        with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
            run = pool.map if any(map(_is_large, sources[:8])) else map
            greyscale = list(run(read_into_place, range(len(sources))))
    return _readable(pixels, skipped, all(greyscale))


def _readable(pixels: NDArray[np.uint8], skipped: dict[int, str], greyscale: bool) -> DecodedImages:
    """The images [N, S, S, 3] without those that were skipped, with one channel if all are greyscale.

    Raises:
        InputError: none is left.
    """
    kept = [index for index in range(len(pixels)) if index not in skipped]
    if not kept:
        raise InputError(f"none of the {len(pixels)} images can be read; the first is {skipped[0]}")
    pixels = _compact(pixels, kept)
    if greyscale:
        pixels = np.ascontiguousarray(pixels[..., :1])
    lines = tuple(skipped[index] for index in sorted(skipped))
    return DecodedImages(torch.from_numpy(pixels).permute(0, 3, 1, 2), torch.tensor(kept), lines)


@contextmanager
def strict_warnings() -> Iterator[None]:
    """While images are decoded, Pillow's warnings are ignored or errors. Not thread-safe: enter it in one thread."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # unusual metadata, as in some ImageNet photographs
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def quoted(path: ImageFile | str) -> str:
    """A path or a part of one for a message: in quotes, on one line of bounded length whatever characters it has."""
    text = repr(str(path))
    return text if len(text) <= 500 else f"{text[:240]}...{text[-240:]}"


def _is_large(source: ImageFile) -> bool:
    try:
        return isinstance(source, Path) and source.stat().st_size >= THREADS_PAY_FROM
    except OSError:
        return False


def _compact(pixels: NDArray[np.uint8], kept: list[int]) -> NDArray[np.uint8]:
    """Move the images at `kept`, ascending, to the front, without more memory."""
    for place, index in enumerate(kept):
        if place != index:
            pixels[place] = pixels[index]
    return pixels[: len(kept)]


def _allocate(count: int, size: int) -> NDArray[np.uint8]:
    try:
        return np.empty((count, size, size, 3), dtype=np.uint8)
    except (MemoryError, ValueError, OverflowError):  # the last two if the size in bytes overflows
        raise too_many_pixels(count, 3, size) from None


def too_many_pixels(count: int, channels: int, size: int) -> InputError:
    """The error for images that do not fit in memory."""
    return InputError(
        f"{count} images of {size}x{size} pixels do not fit in memory ({channels * count * size**2 // 10**9} GB): "
        "use a smaller --image-size or --train-images"
    )


def _as_array(
    source: ImageFile, image_size: int | None, border: float, pixel_range: PixelRange | None
) -> NDArray[np.uint8]:
    """An image as `[H, W, C]`, resized if a size is given."""
    image = decode(source, pixel_range=pixel_range)
    if image_size is not None:
        image = fit_to_square(image, image_size, border)
    return np.asarray(image).reshape(image.height, image.width, -1)


def fit_to_square(image: Image.Image, size: int, border: float = 0.0) -> Image.Image:
    """Resize the short side to `size` (bilinear, antialiased) and crop the centre to a square.

    Before that, the share `border` is cut off each side: 1/16 leaves the middle 224 of 256 pixels.
    """
    if image.size == (size, size) and border == 0:
        return image
    return ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR, border)


def decode(source: ImageFile, upright: bool = True, pixel_range: PixelRange | None = None) -> Image.Image:
    """Decode one image, to mode "L" if it is greyscale, else "RGB".

    Args:
        upright: turn the image as its EXIF orientation says.
        pixel_range: black and white in images with more than 8 bits, which cannot be read without it.

    Raises:
        BadImage: it cannot be read.
        InputError: memory is too short for it.
    """
    with open_image(source) as image:
        if has_deep_colours(image):
            check_deep_colours(pixel_range)
        image.load()
        if upright:
            with suppress(Exception):  # damaged metadata in an otherwise readable image
                ImageOps.exif_transpose(image, in_place=True)
        return (
            Image.fromarray(scale_to_bytes(values_of(image), pixel_range)) if is_deep(image) else _in_eight_bits(image)
        )


@contextmanager
def open_image(source: ImageFile) -> Iterator[Image.Image]:
    """Open an image without decoding it; errors in the context are reported as this function's own.

    Raises:
        BadImage: it cannot be read.
        InputError: memory is too short for it.
    """
    try:
        with Image.open(_openable(source), formats=FORMATS) as image:
            yield image
    except MemoryError:
        raise InputError(f"there is not enough memory left to decode the image {quoted(source)}") from None
    except Exception as error:  # Pillow's decoders raise errors of many types for damaged files
        raise BadImage(source, _HEIC if _is_heic(source, error) else reason(error)) from error


def _is_heic(source: ImageFile, error: Exception) -> bool:
    """Whether a file that Pillow does not know has the header of HEIC, whatever its extension."""
    if not isinstance(error, UnidentifiedImageError):
        return False
    head = head_of(source) if isinstance(source, Path) else source.read_bytes()
    return head[4:8] == b"ftyp" and head[8:12] in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")


def stored_size(source: ImageFile) -> tuple[tuple[int, int], bool]:
    """Height and width of an image as stored, and whether its EXIF orientation swaps them; decodes no pixel.

    Raises:
        BadImage: it cannot be read.
    """
    with open_image(source) as image:
        turned = False
        with suppress(Exception):  # damaged metadata
            turned = image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
        return (image.height, image.width), turned


def _openable(source: ImageFile) -> Path | BytesIO:
    """What Pillow may open: a regular file of a reasonable size, or the bytes of an image."""
    if not isinstance(source, Path):
        return BytesIO(source.read_bytes())
    status = source.stat()
    if not stat.S_ISREG(status.st_mode):  # reading a pipe would block
        raise ValueError("it is not a file")
    if status.st_size > MAX_FILE_BYTES:
        raise ValueError(f"its {status.st_size} bytes are more than any image needs")
    return source


def reason(error: Exception) -> str:
    """Why a file cannot be read, on one line of bounded length."""
    if isinstance(error, UnidentifiedImageError):
        return f"it is not an image of type {listed(FORMATS)}"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    text = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(text.split())[:200] or type(error).__name__


def _in_eight_bits(image: Image.Image) -> Image.Image:
    """Convert any mode of 8 bits to "L" (greyscale modes) or "RGB" (the others); transparency is dropped."""
    if image.mode in ("1", "L", "LA", "La"):
        return image.convert("L")
    if "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")
