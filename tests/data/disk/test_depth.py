"""What the values of images of more than 8 bits are, and what becomes of them."""

import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from deep_images import colour_png, save_deep, tiff
from pcdarts.data.disk.decode import decode, open_image, read_images
from pcdarts.data.disk.depth import PixelRange, has_deep_colours, is_deep, may_be_deep, scale_to_bytes, values_of
from pcdarts.data.disk.hf_data import HubImage
from pcdarts.errors import InputError

numbers = st.floats(-1e6, 1e6, width=32)
ranges = st.tuples(numbers, numbers).map(sorted).filter(lambda pair: pair[0] < pair[1]).map(tuple)
images = arrays.arrays(np.float32, (3, 4), elements=st.floats(0, 1, width=32))


@given(ranges, images)
def test_scaling_is_monotone_and_takes_black_to_0_and_white_to_255(pixel_range: PixelRange, image: np.ndarray) -> None:
    low, high = pixel_range
    values = np.clip(low + image.astype(np.float64) * (high - low), low, high)
    values.flat[:2] = low, high
    pixels = scale_to_bytes(values, pixel_range)
    assert pixels.dtype == np.uint8
    assert pixels.flat[:2].tolist() == [0, 255]
    in_order = values.ravel().argsort()
    assert (np.diff(pixels.ravel()[in_order].astype(int)) >= 0).all()


def test_scaled_values_are_rounded_to_the_nearest() -> None:
    values = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    assert np.abs(scale_to_bytes(values, (0, 4095)) - values * (255 / 4095)).max() <= 0.5
    assert len(np.unique(scale_to_bytes(values, (0, 4095)))) == 256
    assert scale_to_bytes(np.arange(256, dtype=np.int32).reshape(16, 16), (0, 255)).ravel().tolist() == list(range(256))


@given(st.one_of(st.none(), ranges), st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"]))
def test_an_image_of_8_bits_is_the_same_whatever_the_range(pixel_range: PixelRange | None, mode: str) -> None:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(buffer, "TIFF")
    source = HubImage("image", buffer.getvalue())
    assert np.array_equal(decode(source, pixel_range=pixel_range), decode(source))


def values_in(content: bytes) -> list[float]:
    with open_image(HubImage("image", content)) as image:
        image.load()
        assert is_deep(image)
        return values_of(image).ravel().tolist()


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("<u2", [0, 255, 4095, 65535]),
        (">u2", [0, 255, 4095, 65535]),
        ("<i2", [0, -5, 4095, 32767]),
        (">i2", [0, -5, 4095, 32767]),
        ("<u4", [0, 255, 65536, 2**32 - 1]),
        ("<i4", [0, 255, -7, 2**31 - 1]),
        (">i4", [0, 255, -7, 2**31 - 1]),
        ("<f4", [0, 0.5, -2, 1e6]),
        (">f4", [0, 0.5, -2, 1e6]),
    ],
)
def test_values_of_every_kind_of_tiff_are_those_in_the_file(kind: str, values: list[float]) -> None:
    content = tiff(np.array(values, kind).reshape(2, 2))
    assert may_be_deep(content)
    assert values_in(content) == values


@pytest.mark.parametrize("suffix", ["png", "tiff", "jp2", "pgm"])
def test_16_bits_keep_all_their_values(tmp_path: Path, suffix: str) -> None:
    values = np.linspace(0, 65535, 100).astype(np.uint16).reshape(10, 10)
    save_deep(tmp_path / f"a.{suffix}", values)
    assert may_be_deep((tmp_path / f"a.{suffix}").read_bytes())
    assert np.array_equal(np.asarray(values_in((tmp_path / f"a.{suffix}").read_bytes())).reshape(10, 10), values)
    pixels = read_images([tmp_path / f"a.{suffix}"], pixel_range=(0, 65535)).pixels
    assert torch.equal(pixels[0, 0], torch.from_numpy(np.rint(values / 257).astype(np.uint8)))


@pytest.mark.parametrize("largest", [300, 1023, 4095])
def test_a_pgm_says_itself_what_is_white(largest: int) -> None:
    values = np.array([0, largest], ">u2")
    assert values_in(b"P5 2 1 %d\n" % largest + values.tobytes()) == [0, 65535]


def refusal(source: HubImage, pixel_range: PixelRange | None = None) -> str:
    with pytest.raises(InputError) as error:
        decode(source, pixel_range=pixel_range)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_values_outside_of_the_range_are_refused_and_so_are_those_without_one() -> None:
    source = HubImage("photo", tiff(np.array([[100, 5000]], "<u2")))
    assert "image 'photo' cannot be read (its values 100 to 5000 are not within the pixel range 0 to 4095):" in refusal(
        source, (0.0, 4095.0)
    )
    assert "its values 100 to 5000 have more than 8 bits, and no pixel range says what is black" in refusal(source)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_refused_whatever_the_range(value: float) -> None:
    source = HubImage("photo", tiff(np.array([[0.5, value]], "<f4")))
    assert "(some of its values are not finite (NaN or infinite)):" in refusal(source, (0.0, 1.0))


def test_16_bits_that_count_from_white_to_black_are_refused() -> None:
    source = HubImage("photo", tiff(np.array([[1, 2]], "<u2"), photometric=0))
    assert "(its zero means white, which is supported with 8 bits only:" in refusal(source, (0.0, 65535.0))


DEEP_COLOURS: list[Callable[[np.ndarray], bytes]] = [colour_png, lambda values: tiff(values.astype("<u2"))]


@pytest.mark.parametrize("encode", DEEP_COLOURS)
def test_of_16_bits_a_colour_the_upper_8_are_read_where_that_is_what_the_range_means(
    encode: Callable[[np.ndarray], bytes],
) -> None:
    values = np.random.default_rng(0).integers(0, 65536, (4, 5, 3))
    source = HubImage("photo", encode(values))
    with open_image(source) as image:
        assert has_deep_colours(image)
    for pixel_range in (None, (0.0, 65535.0)):
        assert np.array_equal(decode(source, pixel_range=pixel_range), values >> 8)
    assert (
        "(it has 16 bits per colour, of which only the upper 8 can be read, but the pixel range is 0 to 4095)"
        in refusal(source, (0.0, 4095.0))
    )


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "bmp", "webp", "avif"])
def test_no_file_of_8_bits_is_opened_to_find_a_range(tmp_path: Path, suffix: str) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / f"a.{suffix}")
    assert not may_be_deep((tmp_path / f"a.{suffix}").read_bytes())


def test_the_head_of_a_png_says_how_many_bits_it_has() -> None:
    head = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIB", 13, b"IHDR", 9, 9, 16)
    assert may_be_deep(head)
    assert not may_be_deep(head[:-1] + b"\x08")
    assert not may_be_deep(head[:20])
