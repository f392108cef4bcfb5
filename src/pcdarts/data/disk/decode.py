"""Image files to pixels: many files, whatever they hold, as one uint8 tensor."""

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

from pcdarts.data.disk.depth import (
    PixelRange,
    check_deep_colours,
    has_deep_colours,
    is_deep,
    scaled,
    values_of,
)
from pcdarts.data.disk.image_files import ImageFile, head_of
from pcdarts.errors import InputError, RunError

OnBadImage = Literal["stop", "skip"]

for _plugin in ("Avif", "Bmp", "Gif", "Jpeg", "Jpeg2K", "Png", "Ppm", "Tiff", "WebP"):
    import_module(f"PIL.{_plugin}ImagePlugin")  # or Pillow imports all of its forty at the first image

_OPTIONAL = {"avif": "AVIF", "jpg_2000": "JPEG2000", "webp": "WEBP"}
"""Formats that a build of Pillow may lack: what it calls the library, and the format."""

FORMATS = tuple(
    sorted(
        {"BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF"}
        | {form for name, form in _OPTIONAL.items() if features.check(name)}
    )
)
"""What Pillow may take a file for: nothing that would start another program, as its EPS reader does."""

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
"""What image files are called, in lower case."""

MAX_FILE_BYTES = 2**30
"""More than any image of Pillow's largest number of pixels needs; some decoders read a file whole."""

_HEIC = "it is HEIC, which Pillow alone cannot read: convert it to JPEG"

THREADS_PAY_FROM = 16_384
"""Bytes of an image file: a smaller one is decoded before another thread has the interpreter's lock (measured)."""


class BadImage(InputError):
    """An image that cannot be read; `line` says which and why, without a remedy."""

    def __init__(self, source: ImageFile, why: str) -> None:
        super().__init__(
            f"image {quoted(source)} cannot be read ({why}): repair or remove it, or leave out all such images with "
            "--on-bad-image skip"
        )
        self.line = f"{quoted(source)}: {why}"

    def met_at_work(self) -> RunError:
        """What to say of it in the middle of a job, which can be resumed."""
        return RunError(
            f"image {self.line}: leave out all such images with --on-bad-image skip, also when a run is resumed"
        )


@dataclass(frozen=True, eq=False)
class DecodedImages:
    """Those of some image files that can be read, and what is wrong with the others."""

    pixels: Tensor
    """uint8 `[M, C, S, S]` in channels_last memory format: one channel if all are greyscale, else RGB."""
    kept: Tensor
    """Which files these are: their indices, int64 `[M]`, ascending."""
    skipped: tuple[str, ...]
    """A line for each of the others: its path and the reason."""


def read_images(
    sources: Sequence[ImageFile],
    image_size: int | None = None,
    on_bad_image: OnBadImage = "stop",
    border: float = 0.0,
    pixel_range: PixelRange | None = None,
) -> DecodedImages:
    """Decode image files.

    Args:
        image_size: S; an image's short side is resized to it (antialiased) and the centre cropped. When None, all
            images must have one square size already.
        border: what is cut off either side before, see `fitted`.
        pixel_range: see `decoded`.
        on_bad_image: what an image that cannot be read does: end it all, or be left out.

    Raises:
        InputError: an image that cannot be read (it is named), or, where these are skipped, nothing but such images;
            images of several sizes without `image_size`; more pixels than memory.
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
                _check_square(source, image)
                return source, len(image)
        raise InputError(f"none of the {len(sources)} images can be read; the first is {skipped[0]}")

    def read_into_place(index: int) -> bool:
        image = read(index)
        if image is None:
            return True
        _check_size(sources[index], image, first, size)
        pixels[index] = image  # a single channel becomes three equal ones
        return bool(image.shape[2] == 1)

    with warnings_settled():
        first, size = first_readable() if image_size is None else (sources[0], image_size)
        pixels = _allocate(len(sources), size)
        with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
            run = pool.map if any(map(_is_large, sources[:8])) else map
            greyscale = list(run(read_into_place, range(len(sources))))
    kept = [index for index in range(len(sources)) if index not in skipped]
    if not kept:
        raise InputError(f"none of the {len(sources)} images can be read; the first is {skipped[0]}")
    pixels = _moved_up(pixels, kept)
    if all(greyscale):
        pixels = np.ascontiguousarray(pixels[..., :1])
    lines = tuple(skipped[index] for index in sorted(skipped))
    return DecodedImages(torch.from_numpy(pixels).permute(0, 3, 1, 2), torch.tensor(kept), lines)


@contextmanager
def warnings_settled() -> Iterator[None]:
    """Where images are decoded: Pillow's warnings are errors or nothing. Not to be entered by several threads."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # odd metadata, as some ImageNet photographs have
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def quoted(path: ImageFile | str) -> str:
    """A path or a part of one for a message: in quotes, on one line of bounded length whatever it holds."""
    text = repr(str(path))
    return text if len(text) <= 500 else f"{text[:240]}...{text[-240:]}"


def _check_square(path: ImageFile, image: NDArray[np.uint8]) -> None:
    height, width, _ = image.shape
    if height != width:
        raise InputError(f"{quoted(path)} is {width}x{height} pixels, not square: give --image-size")


def _check_size(path: ImageFile, image: NDArray[np.uint8], first: ImageFile, size: int) -> None:
    height, width, _ = image.shape
    if (height, width) != (size, size):
        raise InputError(
            f"{quoted(path)} is {width}x{height} pixels but {quoted(first)} is {size}x{size}: give --image-size"
        )


def _is_large(source: ImageFile) -> bool:
    try:
        return isinstance(source, Path) and source.stat().st_size >= THREADS_PAY_FROM
    except OSError:
        return False


def _moved_up(pixels: NDArray[np.uint8], kept: list[int]) -> NDArray[np.uint8]:
    """The images at the places `kept`, ascending, within the memory that is there."""
    for place, index in enumerate(kept):
        if place != index:
            pixels[place] = pixels[index]
    return pixels[: len(kept)]


def _allocate(count: int, size: int) -> NDArray[np.uint8]:
    try:
        return np.empty((count, size, size, 3), dtype=np.uint8)
    except (MemoryError, ValueError, OverflowError):  # the others: more bytes than can be counted
        raise does_not_fit(count, 3, size) from None


def does_not_fit(count: int, channels: int, size: int) -> InputError:
    """What to say of more images than memory; shared with the data sets that are resized."""
    return InputError(
        f"{count} images of {size}x{size} pixels do not fit in memory ({channels * count * size**2 // 10**9} GB): "
        "use a smaller --image-size or --train-images"
    )


def _as_array(
    source: ImageFile, image_size: int | None, border: float, pixel_range: PixelRange | None
) -> NDArray[np.uint8]:
    """An image as `[H, W, C]`, of one size if one is given."""
    image = decoded(source, pixel_range=pixel_range)
    if image_size is not None:
        image = fitted(image, image_size, border)
    return np.asarray(image).reshape(image.height, image.width, -1)


def fitted(image: Image.Image, size: int, border: float = 0.0) -> Image.Image:
    """The short side resized to `size` (bilinear, antialiased), the centre cropped to a square.

    Before that, `border` of either side is cut off: 1/16 gives the 224 pixels in the middle of 256.
    """
    if image.size == (size, size) and border == 0:
        return image
    return ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR, border)


def decoded(source: ImageFile, upright: bool = True, pixel_range: PixelRange | None = None) -> Image.Image:
    """Decode one image, of mode "L" if it is greyscale, else "RGB"; `upright` as its EXIF orientation says.

    Args:
        pixel_range: what is black and white in images of more than 8 bits, without which they cannot be read.

    Raises:
        BadImage: it cannot be read.
        InputError: it can, but not in the memory that is left.
    """
    with opened(source) as image:
        if has_deep_colours(image):
            check_deep_colours(pixel_range)
        image.load()
        if upright:
            with suppress(Exception):  # damaged metadata, which may be all that is damaged
                ImageOps.exif_transpose(image, in_place=True)
        return Image.fromarray(scaled(values_of(image), pixel_range)) if is_deep(image) else _in_eight_bits(image)


@contextmanager
def opened(source: ImageFile) -> Iterator[Image.Image]:
    """Open an image without decoding it; what goes wrong with it in the context is put in words.

    Raises:
        BadImage: it cannot be read.
        InputError: it can, but not in the memory that is left.
    """
    try:
        with Image.open(_checked(source), formats=FORMATS) as image:
            yield image
    except MemoryError:
        raise InputError(f"there is not enough memory left to decode the image {quoted(source)}") from None
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
        raise BadImage(source, _HEIC if _is_heic(source, error) else reason(error)) from error


def _is_heic(source: ImageFile, error: Exception) -> bool:
    """Whether a file that is unknown to Pillow says that it is HEIC, whatever it is called."""
    if not isinstance(error, UnidentifiedImageError):
        return False
    head = head_of(source) if isinstance(source, Path) else source.read_bytes()
    return head[4:8] == b"ftyp" and head[8:12] in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")


def stored_size(source: ImageFile) -> tuple[tuple[int, int], bool]:
    """Height and width of an image as it is stored, and whether its EXIF data swap them; no pixel is decoded.

    Raises:
        BadImage: it cannot be read.
    """
    with opened(source) as image:
        turned = False
        with suppress(Exception):  # damaged metadata
            turned = image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
        return (image.height, image.width), turned


def _checked(source: ImageFile) -> Path | BytesIO:
    """What Pillow may open: a plain file of a size that an image may have, or the bytes of an image."""
    if not isinstance(source, Path):
        return BytesIO(source.read_bytes())
    status = source.stat()
    if not stat.S_ISREG(status.st_mode):  # a pipe would keep us waiting
        raise ValueError("it is not a file")
    if status.st_size > MAX_FILE_BYTES:
        raise ValueError(f"its {status.st_size} bytes are more than any image needs")
    return source


def reason(error: Exception) -> str:
    """Why a file cannot be read, on one line of bounded length."""
    if isinstance(error, UnidentifiedImageError):
        return f"it is no {', '.join(FORMATS[:-1])} or {FORMATS[-1]} image"
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
