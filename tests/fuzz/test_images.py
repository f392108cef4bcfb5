"""Whatever lies in an image file, it becomes pixels, is refused by its name, or is left out and listed."""

import io
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hostile import cases, check_words, damaged, new_folder, outcome
from pcdarts.data.disk.decode import OnBadImage, read_images
from pcdarts.data.disk.depth import may_be_deep
from pcdarts.data.disk.image_files import ImagePaths
from pcdarts.data.disk.pixel_range import find_pixel_range
from pcdarts.errors import InputError

SUFFIXES = {"AVIF": "avif", "BMP": "bmp", "GIF": "gif", "JPEG": "jpg", "JPEG2000": "jp2", "PNG": "png", "PPM": "ppm"}
SUFFIXES |= {"TIFF": "tiff", "WEBP": "webp"}
MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I", "I;16", "LAB", "F")
SIZES = [(10, 10), (1, 1), (20_000, 1), (1, 3000), (17, 9)]
NOT_READ = {"LAB"}
"""A mode of TIFF that Pillow does not convert."""
EIGHT_BITS = {"avif", "bmp", "gif", "jpg", "webp"}
"""Names of files that are not looked into."""
RANGE = (0.0, 65535.0)


def picture(mode: str, size: tuple[int, int]) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    if mode == "I;16":
        return Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    image = Image.fromarray(pixels)
    return image.convert("L").convert(mode) if mode in ("I", "F") else image.convert(mode, dither=Image.Dither.NONE)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def images_that_can_be_written() -> dict[str, bytes]:
    """Images of every format, mode and odd size that Pillow writes."""
    found = {}
    for kind in SUFFIXES:
        for mode in MODES:
            for size in SIZES if mode in ("L", "RGB") and kind in ("PNG", "JPEG") else SIZES[:1]:
                with suppress(OSError, ValueError, KeyError):  # a mode that this format does not know
                    found[f"{kind} {mode} {size}"] = saved(picture(mode, size), kind)
    small, frames = picture("RGB", (10, 10)), [Image.new("RGB", (10, 10), colour) for colour in ("red", "green")]
    for kind in ("GIF", "PNG", "WEBP", "TIFF"):
        found[f"animated {kind}"] = saved(small, kind, save_all=True, append_images=frames)
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        found[f"TIFF {compression}"] = saved(small, "TIFF", compression=compression)
    for orientation in (3, 6, 9, 65_535):
        exif = Image.Exif()
        exif[0x0112] = orientation
        found[f"turned {orientation}"] = saved(small, "JPEG", exif=exif)
    found["palette with transparency"] = saved(picture("P", (10, 10)), "PNG", transparency=bytes(range(256)))
    found["progressive"] = saved(small, "JPEG", progressive=True)
    found["interlaced"] = saved(picture("P", (10, 10)), "GIF", interlace=1)
    found["raw PBM"] = b"P1\n# a comment\n3 3\n101010101"
    return found


GOOD = images_that_can_be_written()
READABLE = [name for name in GOOD if not NOT_READ & set(name.split())]
BOMBS = [
    b"P6 20000 20000 255\n",
    b"GIF89a"
    + struct.pack("<HH", 65535, 65535)
    + b"\x80\0\0"
    + bytes(6)
    + b","
    + struct.pack("<HHHH", 0, 0, 65535, 65535),
    b"BM" + struct.pack("<IIIIiiHHIIiiII", 0, 0, 54, 40, 40_000, 40_000, 1, 24, 0, 0, 0, 0, 0, 0),
    GOOD["TIFF RGB (10, 10)"].replace(struct.pack("<HHII", 256, 4, 1, 10), struct.pack("<HHII", 256, 4, 1, 10**9)),
]
contents = st.one_of(
    st.sampled_from(list(GOOD.values())),
    st.sampled_from([*GOOD.values(), *BOMBS]).flatmap(damaged),
    st.sampled_from(BOMBS),
    st.binary(max_size=30),
)
suffixes = st.sampled_from(list(SUFFIXES.values()))
sizes = st.sampled_from([None, 8, 33])


@pytest.mark.parametrize("name", READABLE)
def test_every_image_that_pillow_writes_is_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "image.png").write_bytes(GOOD[name])
    pixels = read_images([tmp_path / "image.png"], image_size=12, pixel_range=RANGE).pixels
    assert pixels.shape in ((1, 1, 12, 12), (1, 3, 12, 12))


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_is_refused(tmp_path: Path, bomb: bytes) -> None:
    (tmp_path / "image.png").write_bytes(bomb)
    with pytest.raises(InputError) as error:
        read_images([tmp_path / "image.png"], image_size=12)
    check_words(str(error.value), "image.png")


@cases(400)
@given(contents, suffixes, sizes)
def test_an_image_file_of_anything_is_read_or_refused_by_its_name(
    content: bytes, suffix: str, size: int | None
) -> None:
    with new_folder() as folder:
        path = folder / f"image.{suffix}"
        path.write_bytes(content)
        decoded = outcome(lambda: read_images([path], size, pixel_range=RANGE), path.name)
        if decoded is not None:
            count, channels, height, width = decoded.pixels.shape
            assert (count, decoded.pixels.dtype, decoded.skipped) == (1, torch.uint8, ())
            assert channels in (1, 3)
            assert height == width == (size or height)
        assert path.read_bytes() == content


@cases(300)
@given(st.lists(contents, min_size=1, max_size=4), suffixes, st.sampled_from(["stop", "skip"]))
def test_of_files_of_anything_a_pixel_range_is_found_that_holds_all_values_or_one_is_named(
    files: list[bytes], suffix: str, on_bad_image: OnBadImage
) -> None:
    with new_folder() as folder:
        paths = [folder / f"{number}.{suffix}" for number in range(len(files))]
        for path, content in zip(paths, files, strict=True):
            path.write_bytes(content)
        sources = ImagePaths(folder, paths)
        settled = outcome(lambda: find_pixel_range(sources, [], None, on_bad_image), suffix)
        if settled is None:
            return
        pixel_range, notes = settled
        assert (pixel_range is None) == (not notes)
        check_words("".join(notes) or "none")
        assert pixel_range is None or any(may_be_deep(head) for head in sources.heads())
        for path in paths:
            refused = None
            try:
                read_images([path], 12, pixel_range=pixel_range)
            except InputError as error:
                refused = str(error)
            assert refused is None or "not within" not in refused or suffix in EIGHT_BITS


@cases(200)
@given(st.lists(contents, min_size=1, max_size=5), st.sampled_from([8, 33]))
def test_of_several_files_those_that_cannot_be_read_are_skipped_and_listed(files: list[bytes], size: int) -> None:
    with new_folder() as folder:
        paths = [folder / f"{number}.png" for number in range(len(files))]
        for path, content in zip(paths, files, strict=True):
            path.write_bytes(content)
        readable = [path for path in paths if outcome(lambda path=path: read_images([path], size)) is not None]
        policy: OnBadImage = "skip"
        decoded = outcome(lambda: read_images(paths, size, policy), "none of the" if not readable else "")
        if not readable:
            assert decoded is None
            return
        assert decoded is not None
        assert [paths[index] for index in decoded.kept] == readable
        assert torch.equal(decoded.pixels, read_images(readable, size).pixels)
        for line, path in zip(decoded.skipped, [path for path in paths if path not in readable], strict=True):
            check_words(line, path.name)
