import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pcdarts.data.folder import ImageFiles, find_images, read_images
from pcdarts.errors import InputError


def names(files: ImageFiles, root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in files.paths)


def one_line(error: pytest.ExceptionInfo[InputError]) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


def numbered(folder: str, count: int) -> list[str]:
    return [f"{folder}/{number}.png" for number in range(count)]


# Layouts


def test_without_sets_a_fifth_of_each_class_becomes_the_test_set(save_images):
    root = save_images(*numbered("cat", 10), *numbered("dog", 20))
    found = find_images(root)
    assert found.classes == ("cat", "dog")
    assert found.train.labels.bincount().tolist() == [8, 16]
    assert found.test.labels.bincount().tolist() == [2, 4]
    assert sorted(names(found.train, root) + names(found.test, root)) == sorted(
        numbered("cat", 10) + numbered("dog", 20)
    )


def test_the_test_set_of_a_folder_without_one_is_the_same_every_time(save_images):
    root = save_images(*numbered("cat", 10), *numbered("dog", 20))
    assert find_images(root).test.paths == find_images(root).test.paths


def test_train_alone_is_split_too(save_images):
    root = save_images(*numbered("train/cat", 5), *numbered("train/dog", 5))
    found = find_images(root)
    assert found.classes == ("cat", "dog")
    assert (len(found.train.paths), len(found.test.paths)) == (8, 2)


@pytest.mark.parametrize("test_folder", ["test", "val", "valid", "validation", "Test"])
def test_train_and_one_other_folder_are_the_training_and_the_test_set(save_images, test_folder):
    root = save_images("train/cat/a.png", "train/dog/b.png", f"{test_folder}/cat/c.png", f"{test_folder}/dog/d.png")
    found = find_images(root)
    assert names(found.train, root) == ["train/cat/a.png", "train/dog/b.png"]
    assert names(found.test, root) == [f"{test_folder}/cat/c.png", f"{test_folder}/dog/d.png"]
    assert found.test.labels.tolist() == [0, 1]


def test_with_train_val_and_test_val_joins_the_training_set(save_images):
    root = save_images(*(f"{which}/{name}/a.png" for which in ("train", "val", "test") for name in ("cat", "dog")))
    found = find_images(root)
    assert names(found.train, root) == ["train/cat/a.png", "train/dog/a.png", "val/cat/a.png", "val/dog/a.png"]
    assert [found.classes[label] for label in found.train.labels] == [path.parent.name for path in found.train.paths]
    assert names(found.test, root) == ["test/cat/a.png", "test/dog/a.png"]


def test_a_class_may_be_called_train(save_images):
    root = save_images(*numbered("bus", 5), *numbered("train", 5))
    assert find_images(root).classes == ("bus", "train")


def test_classes_are_the_folder_names_in_plain_sorted_order(save_images):
    root = save_images(*(f"{name}/{number}.png" for name in ("9", "10", "été", "猫", "Zebra") for number in (0, 1)))
    assert find_images(root).classes == ("10", "9", "Zebra", "été", "猫")


def test_hidden_files_and_files_that_are_no_images_are_ignored(save_images):
    root = save_images("cat/a.png", "cat/B.JPEG", "cat/.hidden.png", "dog/a.png", "dog/b.png", ".cache/a.png", "x.png")
    (root / "cat" / "notes.txt").write_text("not an image")
    found = find_images(root)
    assert found.classes == ("cat", "dog")
    assert sorted(names(found.train, root) + names(found.test, root)) == [
        *("cat/B.JPEG", "cat/a.png", "dog/a.png", "dog/b.png")
    ]


def test_folders_nested_in_a_class_belong_to_it(save_images):
    root = save_images("cat/old/a.png", "cat/new/deep/b.png", "dog/a.png", "dog/b.png")
    assert find_images(root).train.labels.bincount().tolist() == [1, 1]


def test_links_are_followed_once_and_circles_end(save_images):
    root = save_images("cat/a.png", "cat/b.png", "elsewhere/a.png", "elsewhere/b.png")
    (root / "elsewhere").rename(root.parent / "elsewhere")
    (root / "dog").symlink_to(root.parent / "elsewhere", target_is_directory=True)
    (root / "cat" / "again").symlink_to(root / "cat", target_is_directory=True)
    (root / "cat" / "up").symlink_to(root, target_is_directory=True)
    found = find_images(root)
    assert found.classes == ("cat", "dog")
    assert len(found.train.paths) + len(found.test.paths) == 4


# Pixels


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [("RGB", "png"), ("P", "png"), ("RGBA", "png"), ("CMYK", "jpg"), ("YCbCr", "jpg"), ("RGB", "webp")],
)
def test_colour_modes_become_rgb(save_images, mode, suffix):
    root = save_images(f"a.{suffix}", f"b.{suffix}", mode=mode)
    pixels = read_images([root / f"a.{suffix}", root / f"b.{suffix}"])
    assert (pixels.dtype, pixels.shape) == (torch.uint8, (2, 3, 10, 10))
    expected = torch.from_numpy(np.array(Image.open(root / f"a.{suffix}").convert("RGB")))
    assert torch.equal(pixels[0].permute(1, 2, 0), expected)


@pytest.mark.parametrize("mode", ["L", "LA", "1"])
def test_a_folder_of_greyscale_images_has_one_channel(save_images, mode):
    root = save_images("a.png", "b.png", mode=mode)
    pixels = read_images([root / "a.png", root / "b.png"])
    assert pixels.shape == (2, 1, 10, 10)
    assert torch.equal(pixels[1, 0], torch.from_numpy(np.array(Image.open(root / "b.png").convert("L"))))


def test_greyscale_images_among_colour_images_have_three_equal_channels(save_images):
    save_images("grey.png", mode="L")
    root = save_images("colour.png")
    grey, colour = read_images([root / "grey.png", root / "colour.png"])
    assert torch.equal(grey[0], grey[1])
    assert torch.equal(grey[0], grey[2])
    assert not torch.equal(colour[0], colour[1])


def test_sixteen_bits_keep_their_upper_eight(tmp_path):
    values = np.linspace(0, 65535, 100).astype(np.uint16).reshape(10, 10)
    for suffix in ("png", "tiff", "pgm"):
        Image.fromarray(values).save(tmp_path / f"a.{suffix}")
        pixels = read_images([tmp_path / f"a.{suffix}"])
        assert pixels.shape == (1, 1, 10, 10)
        assert torch.equal(pixels[0, 0], torch.from_numpy((values >> 8).astype(np.uint8)))


def test_a_palette_with_transparency_is_read_without_a_warning(save_images):
    root = save_images("a.png", mode="P")
    Image.open(root / "a.png").save(root / "b.png", transparency=bytes(range(256)))
    assert torch.equal(read_images([root / "b.png"]), read_images([root / "a.png"]))


def test_an_image_is_turned_upright(tmp_path):
    image = Image.new("RGB", (16, 16), "black")
    image.paste("white", (0, 0, 16, 8))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it upright: the white top goes to the right
    image.save(tmp_path / "a.png", exif=exif)
    pixels = read_images([tmp_path / "a.png"])[0]
    assert pixels[:, :, 8:].eq(255).all()
    assert pixels[:, :, :8].eq(0).all()


def test_odd_metadata_does_not_refuse_a_good_image(tmp_path):
    Image.new("RGB", (16, 16), "white").save(
        tmp_path / "a.jpg", exif=b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x05\x01"
    )
    assert read_images([tmp_path / "a.jpg"]).shape == (1, 3, 16, 16)


def test_the_short_side_is_resized_and_the_centre_kept(tmp_path):
    image = Image.new("RGB", (80, 40), "red")
    image.paste("green", (20, 0, 60, 40))
    image.save(tmp_path / "wide.png")
    image.rotate(90, expand=True).save(tmp_path / "tall.png")
    for pixels in read_images([tmp_path / "wide.png", tmp_path / "tall.png"], image_size=10):
        assert pixels.shape == (3, 10, 10)
        inside = pixels[:, 1:-1, 1:-1]  # at its borders the antialiasing reaches a little further
        assert inside.flatten(1).unique(dim=1).flatten().tolist() == [0, 128, 0]


def test_resizing_is_antialiased(tmp_path):
    stripes = np.tile(np.array([0, 255], dtype=np.uint8), (64, 32))
    Image.fromarray(stripes).save(tmp_path / "a.png")
    pixels = read_images([tmp_path / "a.png"], image_size=8).float()
    assert pixels.sub(127.5).abs().max() < 20


def test_small_images_are_enlarged(save_images):
    root = save_images("a.png", size=(10, 12))
    assert read_images([root / "a.png"], image_size=32).shape == (1, 3, 32, 32)


def test_pixels_lie_in_channels_last_memory_format(save_images):
    root = save_images("a.png", "b.png")
    assert read_images([root / "a.png", root / "b.png"]).is_contiguous(memory_format=torch.channels_last)


def test_large_files_are_read_in_the_same_order_by_several_threads(save_images):
    files = numbered("many", 12)
    root = save_images(*files, size=(90, 90))
    assert (root / files[0]).stat().st_size > 16_384
    together = read_images([root / file for file in files])
    assert all(torch.equal(pixels, read_images([root / file])[0]) for pixels, file in zip(together, files, strict=True))


# Bad input


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(InputError) as error:
        find_images(tmp_path / "nowhere")
    assert "nowhere' does not exist: check --data-root" in one_line(error)


def test_a_file_is_no_image_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError) as error:
        find_images(tmp_path / "file")
    assert "file' is a file, but an image folder is expected" in one_line(error)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may read everything")
def test_a_folder_without_permission_is_refused(save_images):
    root = save_images("cat/a.png", "dog/a.png")
    (root / "cat").chmod(0)
    with pytest.raises(InputError) as error:
        find_images(root)
    (root / "cat").chmod(0o700)
    assert "cat' cannot be read: Permission denied" in one_line(error)


def test_a_link_to_itself_is_refused_rather_than_followed(save_images):
    root = save_images("cat/a.png", "cat/b.png", "dog/a.png", "dog/b.png")
    (root / "cat" / "loop").symlink_to(root / "cat" / "loop")
    with pytest.raises(InputError) as error:
        find_images(root)
    assert "cat' cannot be read" in one_line(error)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(InputError) as error:
        find_images(tmp_path)
    assert "has no class folders: expected" in one_line(error)


def test_one_class_is_refused(save_images):
    with pytest.raises(InputError) as error:
        find_images(save_images("train/cat/a.png", "test/cat/b.png"))
    assert "train' has only one class, 'cat'" in one_line(error)


@pytest.mark.parametrize("which", ["train", "val", "test"])
def test_a_class_without_images_is_refused(save_images, which):
    root = save_images(*(f"{which}/{name}/a.png" for which in ("train", "val", "test") for name in ("cat", "dog")))
    (root / which / "dog" / "a.png").rename(root / which / "dog" / "a.txt")
    with pytest.raises(InputError) as error:
        find_images(root)
    assert f"{which}/dog' has no images (.bmp, " in one_line(error)


@pytest.mark.parametrize("which", ["val", "test"])
def test_other_classes_than_the_training_set_has_are_named(save_images, which):
    root = save_images("train/cat/a.png", "train/dog/a.png", "train/emu/a.png")
    save_images(f"{which}/cat/a.png", f"{which}/cow/a.png", f"{which}/ape/a.png")
    with pytest.raises(InputError) as error:
        find_images(root)
    assert f"{which}' has not the classes of the training set: it lacks 'dog', 'emu' and adds 'ape', 'cow'" in one_line(
        error
    )


def test_a_class_with_one_image_cannot_be_split(save_images):
    with pytest.raises(InputError) as error:
        find_images(save_images("cat/a.png", "cat/b.png", "dog/a.png"))
    assert "class 'dog' has only one image" in one_line(error)


def test_sets_without_a_training_set_are_refused(save_images):
    with pytest.raises(InputError) as error:
        find_images(save_images("test/cat/a.png", "val/cat/a.png"))
    assert "has test and val but no folder train" in one_line(error)


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n", b"%!PS-Adobe-3.0 EPSF-3.0\n"])
def test_a_file_that_is_no_image_is_named(save_images, content):
    root = save_images("a.png", "b.png")
    (root / "b.png").write_bytes(content)
    with pytest.raises(InputError) as error:
        read_images([root / "a.png", root / "b.png"])
    assert "images/b.png' cannot be read (" in one_line(error)


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "webp", "bmp", "tiff", "ppm"])
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
    assert "b.png' cannot be read ([Errno 2] No such file" in one_line(error)


def test_a_name_with_a_line_break_still_makes_one_line(save_images):
    root = save_images("a.png")
    (root / "b\n.png").write_bytes(b"")
    with pytest.raises(InputError) as error:
        read_images([root / "a.png", root / "b\n.png"])
    assert r"b\n.png' cannot be read" in one_line(error)


def test_floating_point_pixels_are_refused(tmp_path):
    Image.fromarray(np.zeros((10, 10), dtype=np.float32)).save(tmp_path / "a.tiff")
    with pytest.raises(InputError, match="floating-point pixels have no known range"):
        read_images([tmp_path / "a.tiff"])


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
