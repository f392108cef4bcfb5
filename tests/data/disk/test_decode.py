import os
import socket
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from pcdarts.data.disk import decode
from pcdarts.data.disk.decode import read_images
from pcdarts.errors import InputError


def pixels_of(paths: list[Path], image_size: int | None = None) -> Tensor:
    """The pixels of images that can all be read."""
    decoded = read_images(paths, image_size)
    assert decoded.kept.tolist() == list(range(len(paths)))
    assert decoded.skipped == ()
    return decoded.pixels


def one_line(error: pytest.ExceptionInfo[InputError]) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


def numbered(folder: str, count: int) -> list[str]:
    return [f"{folder}/{number}.png" for number in range(count)]


# Pixels


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [
        ("RGB", "png"),
        ("P", "png"),
        ("RGBA", "png"),
        ("CMYK", "jpg"),
        ("YCbCr", "jpg"),
        ("RGB", "webp"),
        ("RGB", "avif"),
        ("RGBA", "avif"),
        ("RGB", "jp2"),
    ],
)
def test_colour_modes_become_rgb(save_images, mode, suffix):
    root = save_images(f"a.{suffix}", f"b.{suffix}", mode=mode)
    pixels = pixels_of([root / f"a.{suffix}", root / f"b.{suffix}"])
    assert (pixels.dtype, pixels.shape) == (torch.uint8, (2, 3, 10, 10))
    expected = torch.from_numpy(np.array(Image.open(root / f"a.{suffix}").convert("RGB")))
    assert torch.equal(pixels[0].permute(1, 2, 0), expected)


@pytest.mark.parametrize("mode", ["L", "LA", "1"])
def test_a_folder_of_greyscale_images_has_one_channel(save_images, mode):
    root = save_images("a.png", "b.png", mode=mode)
    pixels = pixels_of([root / "a.png", root / "b.png"])
    assert pixels.shape == (2, 1, 10, 10)
    assert torch.equal(pixels[1, 0], torch.from_numpy(np.array(Image.open(root / "b.png").convert("L"))))


def test_greyscale_images_among_colour_images_have_three_equal_channels(save_images):
    save_images("grey.png", mode="L")
    root = save_images("colour.png")
    grey, colour = pixels_of([root / "grey.png", root / "colour.png"])
    assert torch.equal(grey[0], grey[1])
    assert torch.equal(grey[0], grey[2])
    assert not torch.equal(colour[0], colour[1])


def test_a_palette_with_transparency_is_read_without_a_warning(save_images):
    root = save_images("a.png", mode="P")
    Image.open(root / "a.png").save(root / "b.png", transparency=bytes(range(256)))
    assert torch.equal(pixels_of([root / "b.png"]), pixels_of([root / "a.png"]))


def test_an_image_is_turned_upright(tmp_path):
    image = Image.new("RGB", (16, 16), "black")
    image.paste("white", (0, 0, 16, 8))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it upright: the white top goes to the right
    image.save(tmp_path / "a.png", exif=exif)
    pixels = pixels_of([tmp_path / "a.png"])[0]
    assert pixels[:, :, 8:].eq(255).all()
    assert pixels[:, :, :8].eq(0).all()


def test_odd_metadata_does_not_refuse_a_good_image(tmp_path):
    Image.new("RGB", (16, 16), "white").save(
        tmp_path / "a.jpg", exif=b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x05\x01"
    )
    assert pixels_of([tmp_path / "a.jpg"]).shape == (1, 3, 16, 16)


def test_the_short_side_is_resized_and_the_centre_kept(tmp_path):
    image = Image.new("RGB", (80, 40), "red")
    image.paste("green", (20, 0, 60, 40))
    image.save(tmp_path / "wide.png")
    image.rotate(90, expand=True).save(tmp_path / "tall.png")
    for pixels in pixels_of([tmp_path / "wide.png", tmp_path / "tall.png"], image_size=10):
        assert pixels.shape == (3, 10, 10)
        inside = pixels[:, 1:-1, 1:-1]  # at its borders the antialiasing reaches a little further
        assert inside.flatten(1).unique(dim=1).flatten().tolist() == [0, 128, 0]


def test_resizing_is_antialiased(tmp_path):
    stripes = np.tile(np.array([0, 255], dtype=np.uint8), (64, 32))
    Image.fromarray(stripes).save(tmp_path / "a.png")
    pixels = pixels_of([tmp_path / "a.png"], image_size=8).float()
    assert pixels.sub(127.5).abs().max() < 20


def test_small_images_are_enlarged(save_images):
    root = save_images("a.png", size=(10, 12))
    assert pixels_of([root / "a.png"], image_size=32).shape == (1, 3, 32, 32)


def test_pixels_lie_in_channels_last_memory_format(save_images):
    root = save_images("a.png", "b.png")
    assert pixels_of([root / "a.png", root / "b.png"]).is_contiguous(memory_format=torch.channels_last)


def test_large_files_are_read_in_the_same_order_by_several_threads(save_images):
    files = numbered("many", 12)
    root = save_images(*files, size=(90, 90))
    assert (root / files[0]).stat().st_size > 16_384
    together = pixels_of([root / file for file in files])
    assert all(torch.equal(pixels, pixels_of([root / file])[0]) for pixels, file in zip(together, files, strict=True))


# Bad input


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n", b"%!PS-Adobe-3.0 EPSF-3.0\n"])
def test_a_file_that_is_no_image_is_named(save_images, content):
    root = save_images("a.png", "b.png")
    (root / "b.png").write_bytes(content)
    with pytest.raises(InputError) as error:
        read_images([root / "a.png", root / "b.png"])
    assert "images/b.png' cannot be read (" in one_line(error)


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "webp", "bmp", "tiff", "ppm", "avif", "jp2", "j2k"])
def test_a_truncated_image_is_named(save_images, suffix):
    root = save_images(f"a.{suffix}", f"b.{suffix}", size=(40, 40))
    content = (root / f"b.{suffix}").read_bytes()
    (root / f"b.{suffix}").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError) as error:
        read_images([root / f"a.{suffix}", root / f"b.{suffix}"])
    assert f"b.{suffix}' cannot be read (" in one_line(error)


def test_a_link_to_nowhere_is_named(save_images):
    root = save_images("a.png")
    (root / "b.png").symlink_to(root / "gone.png")
    with pytest.raises(InputError) as error:
        read_images([root / "a.png", root / "b.png"])
    assert "b.png' cannot be read (No such file" in one_line(error)


def test_a_name_with_a_line_break_still_makes_one_line(save_images):
    root = save_images("a.png")
    (root / "b\n.png").write_bytes(b"")
    with pytest.raises(InputError) as error:
        read_images([root / "a.png", root / "b\n.png"])
    assert r"b\n.png' cannot be read" in one_line(error)


@pytest.mark.parametrize("side", [9_500, 60_000])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path, side):
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    (tmp_path / "a.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )
    with pytest.raises(InputError) as error:
        read_images([tmp_path / "a.png"], image_size=32)
    assert "could be decompression bomb" in one_line(error)


def test_images_of_several_sizes_need_a_size(save_images):
    root = save_images("a.png")
    save_images("b.png", size=(12, 10))
    with pytest.raises(InputError) as error:
        read_images([root / "a.png", root / "b.png"])
    message = one_line(error)
    assert "b.png' is 12x10 pixels but" in message
    assert "a.png' is 10x10: give --image-size" in message


def test_images_that_are_not_square_need_a_size(save_images):
    root = save_images("a.png", size=(12, 10))
    with pytest.raises(InputError, match=r"a\.png' is 12x10 pixels, not square: give --image-size"):
        read_images([root / "a.png"])


def test_more_pixels_than_memory_are_refused(save_images):
    root = save_images("a.png")
    with pytest.raises(InputError, match=r"4000000 images of 4000x4000 pixels do not fit in memory \(192000 GB\)"):
        read_images([root / "a.png"] * 4_000_000, image_size=4000)


@pytest.mark.parametrize("image_size", [None, 2**20, 2**62, 10**30])
def test_sizes_beyond_all_memory_are_refused(save_images, image_size):
    root = save_images("a.png", size=(1, 1))
    paths = [root / "a.png"] * (1 if image_size else 10**7)
    if image_size is None:
        assert read_images(paths[:3]).pixels.shape == (3, 3, 1, 1)
    else:
        with pytest.raises(InputError, match=rf"1 images of {image_size}x{image_size} pixels do not fit in memory"):
            read_images(paths, image_size)


# Odd images, and what is no image at all


@pytest.mark.parametrize("size", [(1, 1), (20_000, 1), (1, 20_000), (7, 3000)])
def test_images_of_odd_shapes_are_resized_like_all_others(save_images, size):
    root = save_images("odd.png", "good.png", size=size)
    assert pixels_of([root / "odd.png", root / "good.png"], image_size=16).shape == (2, 3, 16, 16)


def test_of_an_animation_the_first_picture_is_read(tmp_path):
    frames = [Image.new("RGB", (12, 12), colour) for colour in ("red", "green", "blue")]
    for name in ("a.gif", "a.webp", "a.png", "a.tiff"):
        frames[0].save(
            tmp_path / name, save_all=True, append_images=frames[1:], **({"lossless": True} if "w" in name else {})
        )
        assert pixels_of([tmp_path / name])[0].flatten(1).unique(dim=1).flatten().tolist() == [255, 0, 0]


def test_the_content_decides_what_an_image_is_and_not_its_name(save_images):
    root = save_images("a.png", "b.jpg")
    (root / "a.png").rename(root / "a.gif")
    (root / "b.jpg").rename(root / "b.png")
    assert pixels_of([root / "a.gif", root / "b.png"]).shape == (2, 3, 10, 10)


def test_damaged_metadata_does_not_refuse_a_good_image(tmp_path):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8))
    upside_down = b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x02\x01\x12\x00\x03\x00\x00\x00\x01\x00\x03\x00\x00"
    upside_down += b"\x01\x0f\x00\x0c\xff\xff"
    image.save(tmp_path / "a.png", exif=upside_down)
    pixels = pixels_of([tmp_path / "a.png"])[0]
    assert torch.equal(pixels, torch.from_numpy(np.array(image)).permute(2, 0, 1).flip(1, 2))


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(path))


def make_folder(path: Path) -> None:
    path.mkdir()


def make_dangling_link(path: Path) -> None:
    path.symlink_to("gone.png")


def make_link_to_itself(path: Path) -> None:
    path.symlink_to(path)


def make_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def make_huge_hole(path: Path) -> None:
    with path.open("wb") as file:
        file.write(b"RIFF\xff\xff\xff\xffWEBPVP8 ")
        file.truncate(2**40)


def make_garbage(path: Path) -> None:
    path.write_bytes(b"no image")


def make_heic(path: Path) -> None:
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")


def make_empty(path: Path) -> None:
    path.write_bytes(b"")


no_images = pytest.mark.parametrize(
    ("make", "reason"),
    [
        (make_pipe, "it is not a file"),
        (make_socket, "it is not a file"),
        (make_folder, "it is not a file"),
        (make_device, "it is not a file"),
        (make_dangling_link, "No such file or directory"),
        (make_link_to_itself, "Too many levels of symbolic links"),
        (make_huge_hole, "its 1099511627776 bytes are more than any image needs"),
        (make_garbage, "it is not an image of type AVIF, BMP, GIF, JPEG, JPEG2000, PNG, PPM, TIFF or WEBP"),
        (make_heic, "it is HEIC, which Pillow alone cannot read: convert it to JPEG"),
        (make_empty, "it is not an image of type AVIF, BMP, GIF, JPEG, JPEG2000, PNG, PPM, TIFF or WEBP"),
    ],
)


@no_images
def test_what_is_no_image_is_refused(save_images, monkeypatch, make, reason):
    root = save_images("a.png")
    monkeypatch.chdir(root)  # the path of a socket must be short
    make(root / "b.png")
    with pytest.raises(InputError) as error:
        read_images([root / "a.png", root / "b.png"])
    assert f"b.png' cannot be read ({reason}): repair or remove it, or leave out" in one_line(error)


@no_images
@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("image_size", [None, 10])
def test_what_is_no_image_is_skipped_where_that_is_wanted(save_images, monkeypatch, make, reason, place, image_size):
    root = save_images("a.png", "c.png")
    monkeypatch.chdir(root)
    make(root / "b.png")
    paths = [root / "a.png", root / "c.png"]
    paths.insert(place, root / "b.png")
    decoded = read_images(paths, image_size, "skip")
    assert decoded.kept.tolist() == [index for index in range(3) if index != place]
    assert decoded.skipped == (f"'{root / 'b.png'}': {reason}",)
    assert torch.equal(decoded.pixels, pixels_of([root / "a.png", root / "c.png"]))
    assert decoded.pixels.is_contiguous(memory_format=torch.channels_last)


def test_a_skipped_image_does_not_decide_the_number_of_channels(save_images):
    root = save_images("a.png", "b.png", mode="L")
    (root / "c.png").write_bytes(b"")
    assert read_images([root / "c.png", root / "a.png", root / "b.png"], None, "skip").pixels.shape == (2, 1, 10, 10)


def test_images_of_several_sizes_are_not_skipped(save_images):
    root = save_images("a.png")
    save_images("b.png", size=(12, 12))
    with pytest.raises(InputError, match="give --image-size"):
        read_images([root / "a.png", root / "b.png"], None, "skip")


@pytest.mark.parametrize("image_size", [None, 10])
def test_nothing_but_bad_images_is_refused(save_images, image_size):
    root = save_images()
    (root / "a.png").write_bytes(b"")
    with pytest.raises(InputError) as error:
        read_images([root / "a.png"] * 3, image_size, "skip")
    assert "none of the 3 images can be read; the first is '" in one_line(error)


def test_too_little_memory_is_not_the_fault_of_an_image(save_images, monkeypatch):
    def no_memory(image: object) -> None:
        raise MemoryError

    monkeypatch.setattr(decode, "_in_eight_bits", no_memory)
    with pytest.raises(InputError, match="there is not enough memory left to decode the image"):
        read_images([save_images("a.png") / "a.png"], None, "skip")


def test_many_large_files_are_skipped_by_several_threads_as_by_one(save_images):
    root = save_images(*numbered("many", 12), size=(90, 90))
    paths = [root / file for file in numbered("many", 12)]
    for index in (0, 5, 11):
        paths[index].write_bytes(paths[index].read_bytes()[:-200])
    decoded = read_images(paths, 32, "skip")
    assert decoded.kept.tolist() == [1, 2, 3, 4, 6, 7, 8, 9, 10]
    assert [line.partition(":")[0] for line in decoded.skipped] == [repr(str(paths[index])) for index in (0, 5, 11)]
    assert torch.equal(decoded.pixels, pixels_of([paths[index] for index in decoded.kept], 32))
