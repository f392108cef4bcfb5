"""The pixel range of a data set: found over its training images or given, said aloud, and never guessed."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from deep_images import colour_png, save_deep
from pcdarts.data.batches import Augmentation, Batches
from pcdarts.data.disk.decode import OnBadImage, read_images
from pcdarts.data.disk.depth import PixelRange
from pcdarts.data.disk.image_files import ImagePaths
from pcdarts.data.disk.pixel_range import find_pixel_range
from pcdarts.data.sources import load_data
from pcdarts.errors import InputError

Settled = tuple[PixelRange | None, tuple[str, ...]]


def settled(
    folder: Path, given_range: PixelRange | None = None, on_bad_image: OnBadImage = "stop", test: str = "*/none"
) -> Settled:
    """Of the files in `folder`, where those that match `test` are test images."""
    tests = sorted(folder.glob(test))
    train = [path for path in sorted(folder.rglob("*.*")) if path not in tests]
    return find_pixel_range(ImagePaths(folder, train), [ImagePaths(folder, tests)], given_range, on_bad_image)


def refusal(folder: Path, **options: object) -> str:
    with pytest.raises(InputError) as error:
        settled(folder, **options)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)
    return str(error.value)


def row(*values: float, kind: str = "u2") -> np.ndarray:
    return np.array([values], kind)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=4))
def test_the_range_that_is_found_holds_all_values_and_is_one_that_bits_have(largest: list[int]) -> None:
    with TemporaryDirectory() as folder:
        for number, value in enumerate(largest):
            save_deep(Path(folder) / f"{number}.tif", row(0, value, kind="i4"))
        found, notes = settled(Path(folder))
    assert found is not None
    low, high = found
    assert low == 0
    assert max(largest) <= high
    assert (int(high) + 1).bit_count() == 1
    assert high == 255 or high < 8 * max(largest)
    assert notes[0].startswith(f"{len(largest)} of {len(largest)} images have more than 8 bits; their values 0 to ")


@pytest.mark.parametrize(
    ("largest", "white"),
    [
        (1, 255),
        (255, 255),
        (256, 1023),
        (4095, 4095),
        (4096, 16383),
        (65535, 65535),
        (65536, 2**17 - 1),
        (2**31 - 1, 2**31 - 1),
    ],
)
def test_whole_numbers_have_the_smallest_range_that_holds_them(tmp_path: Path, largest: int, white: int) -> None:
    save_deep(tmp_path / "a.tif", row(0, largest, kind="i4"))
    save_deep(tmp_path / "b.tif", row(0, 0, kind="i4"))
    assert settled(tmp_path)[0] == (0, white)


@pytest.mark.parametrize(("largest", "white"), [(0.5, 1), (1, 1), (1.5, 255), (255, 255)])
def test_fractions_run_to_1_or_to_255(tmp_path: Path, largest: float, white: int) -> None:
    save_deep(tmp_path / "a.tif", row(0, largest, kind="f4"))
    assert settled(tmp_path)[0] == (0, white)


def test_12_bits_in_files_of_16_keep_their_grey_values_and_a_32_bit_file_of_0_to_255_is_read_as_it_is(
    tmp_path: Path,
) -> None:
    save_deep(tmp_path / "sensor" / "a.png", np.arange(4096, dtype=np.uint16).reshape(64, 64))
    save_deep(tmp_path / "labelled" / "a.tif", np.arange(256, dtype=np.int32).reshape(16, 16))
    for name, count in (("sensor", 4096), ("labelled", 256)):
        found, _ = settled(tmp_path / name)
        (path,) = (tmp_path / name).iterdir()
        pixels = read_images([path], pixel_range=found).pixels.ravel()
        assert len(pixels.unique()) == 256
        assert torch.equal(pixels.sort().values, pixels)
        assert len(pixels) == count


def test_in_a_mixed_folder_the_same_scene_has_the_same_brightness_whatever_its_file(tmp_path: Path) -> None:
    scene = np.random.default_rng(0).random((12, 12))
    scene.flat[:2] = 0, 1
    for name in ("ant", "bee"):
        for number in range(4):
            if name == "ant":
                save_deep(tmp_path / name / f"{number}.png", np.rint(scene * 4095).astype(np.uint16))
            else:
                save_deep(tmp_path / name / f"{number}.png", np.rint(scene * 255).astype(np.uint8))
    data = load_data("folder", root=tmp_path)
    assert data.pixel_range == (0, 4095)
    assert data.notes[2] == "4 of 8 images have more than 8 bits; their values 0 to 4095 become 0 to 255"
    images = data.train.pixels.int()  # type: ignore[union-attr]
    assert (images - images[0]).abs().max() <= 1


def test_images_of_8_bits_have_no_range_and_nothing_to_say(tmp_path: Path) -> None:
    for suffix in ("png", "jpg", "tif", "ppm", "avif"):
        Image.new("RGB", (9, 9)).save(tmp_path / f"a.{suffix}")
    assert settled(tmp_path) == (None, ())
    assert settled(tmp_path, (0.0, 4095.0)) == (None, ())


@pytest.mark.parametrize(
    ("kind", "values", "words"),
    [
        ("i4", (-1000, 3000), "'{}' (values -1000 to 3000) has negative values, so it is unknown which value is black"),
        ("f4", (-0.5, 1), "'{}' (values -0.5 to 1) has negative values"),
        (
            "f4",
            (0, 1000),
            "'{}' (values 0 to 1000) has floating-point values above 255, so it is unknown which value is",
        ),
    ],
)
def test_what_cannot_be_scaled_honestly_is_refused_until_the_range_is_given(
    tmp_path: Path, kind: str, values: tuple[float, float], words: str
) -> None:
    save_deep(tmp_path / "a.tif", row(*values, kind=kind))
    message = refusal(tmp_path)
    assert words.format(tmp_path / "a.tif") in message
    low, high = message.partition("--pixel-range ")[2].split()
    assert settled(tmp_path, (float(low), float(high)))[0] == (float(low), float(high))


def test_whole_numbers_and_fractions_have_one_range_only_where_both_mean_0_to_255(tmp_path: Path) -> None:
    save_deep(tmp_path / "a.tif", row(0, 200, kind="i4"))
    save_deep(tmp_path / "b.tif", row(0, 200, kind="f4"))
    assert settled(tmp_path)[0] == (0, 255)
    save_deep(tmp_path / "b.tif", row(0, 1, kind="f4"))
    assert "some images have integers, others floating-point values, such as " in refusal(tmp_path)


def test_values_outside_of_the_range_are_counted_and_named(tmp_path: Path) -> None:
    save_deep(tmp_path / "a.tif", row(0, 4095))
    for name in ("b.tif", "c.tif"):
        save_deep(tmp_path / name, row(7, 5000))
    for options in ({"given_range": (0.0, 4095.0)}, {"test": "[bc].tif"}):
        assert refusal(tmp_path, **options) == (
            f"2 images have values outside of the pixel range 0 to 4095, the first is '{tmp_path / 'b.tif'}' (values 7 "
            "to 5000): use --pixel-range 0 5000, which holds all values, or scale these images"
        )


def test_test_images_decide_nothing(tmp_path: Path) -> None:
    save_deep(tmp_path / "a.tif", row(0, 60_000))
    save_deep(tmp_path / "b.tif", row(0, 200))
    assert settled(tmp_path, test="b.tif")[0] == (0, 65535)
    (tmp_path / "a.tif").unlink()
    Image.new("L", (2, 2)).save(tmp_path / "a.png")
    assert "1 test or validation images have more than 8 bits" in refusal(tmp_path, test="b.tif")
    assert settled(tmp_path, (0.0, 255.0), test="b.tif")[0] == (0, 255)


def test_a_range_of_which_little_is_used_is_a_warning(tmp_path: Path) -> None:
    save_deep(tmp_path / "a.tif", row(30_000, 31_000))
    _, (_, warning) = settled(tmp_path)
    assert warning == (
        "warning: of the pixel range 0 to 65535 these images use only 30000 to 31000, which leaves 4 of 256 grey "
        "values: --pixel-range 30000 31000 would use all"
    )
    assert len(settled(tmp_path, (30_000.0, 31_000.0))[1]) == 1
    assert len(settled(tmp_path, (0.0, 65535.0))[1]) == 2
    save_deep(tmp_path / "b.tif", row(0, 16_384))
    assert len(settled(tmp_path)[1]) == 1


def test_a_range_that_few_values_need_is_a_warning(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0)
    for name in "abc":
        values = numbers.integers(100, 2000, (40, 40), dtype=np.uint16)
        values[0, 0] = 65_535  # a hot pixel
        save_deep(tmp_path / f"{name}.png", values)
    found, (_, warning) = settled(tmp_path)
    assert found == (0, 65535)
    assert warning.startswith("warning: of the pixel range 0 to 65535 99 % of the values lie in 1")
    assert warning.endswith(", which leaves 8 of 256 grey values: cut off the few others in the files")
    save_deep(tmp_path / "d.png", numbers.integers(100, 65_000, (40, 40), dtype=np.uint16))  # a bright one
    assert len(settled(tmp_path)[1]) == 1


def test_colours_of_16_bits_have_the_range_of_16_bits(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(colour_png(np.full((4, 4, 3), 65535)))
    assert settled(tmp_path)[0] == (0, 65535)
    (tmp_path / "a.png").write_bytes(colour_png(np.full((4, 4, 3), 4095)))
    assert refusal(tmp_path).endswith(
        "a.png' has 16 bits per colour, of which only the upper 8 can be read, but the pixel range is 0 to 4095: "
        "convert such images to 8 bits, or read them as they are with --pixel-range 0 65535"
    )
    found, (_, warning) = settled(tmp_path, (0.0, 65535.0))
    assert found == (0, 65535)
    assert warning.startswith("warning: of the pixel range 0 to 65535 these images use only 3840 to 4095, which leaves")


def test_an_image_that_cannot_be_read_stops_or_tells_nothing(tmp_path: Path) -> None:
    save_deep(tmp_path / "a.tif", row(0, 300))
    save_deep(tmp_path / "b.tif", row(0, np.nan, kind="f4"))
    (tmp_path / "c.tif").write_bytes((tmp_path / "a.tif").read_bytes()[:-10])
    assert "b.tif' cannot be read (some of its values are not finite (NaN or infinite))" in refusal(tmp_path)
    found, notes = settled(tmp_path, on_bad_image="skip")
    assert found == (0, 1023)
    assert notes[0].startswith("1 of 3 images have more than 8 bits")


@pytest.mark.parametrize("workers", [0, 1])
def test_streamed_images_of_many_bits_are_the_resident_ones_bit_for_bit(tmp_path: Path, workers: int) -> None:
    numbers = np.random.default_rng(0)
    for name in ("ant", "bee"):
        for number in range(5):
            values = numbers.integers(0, 4000, (14, 12), dtype=np.uint16)
            save_deep(tmp_path / name / f"{number}.{'png' if number % 2 else 'tif'}", values)
    save_deep(tmp_path / "bee" / "5.png", (numbers.random((12, 12)) * 255).astype(np.uint8))
    resident, streamed = (
        load_data("folder", root=tmp_path, image_size=10, loading=loading, workers=workers)  # type: ignore[arg-type]
        for loading in ("resident", "streaming")
    )
    assert resident.pixel_range == streamed.pixel_range == (0, 4095)
    assert resident.notes == streamed.notes
    for which in ("train", "test"):
        batches = [
            next(
                Batches(
                    getattr(data, which),
                    batch_size=2,
                    mean=[0.0] * data.image_channels,
                    std=[1.0] * data.image_channels,
                    augmentation=Augmentation(),
                    shuffle=False,
                    drop_last=False,
                    seed=0,
                    stream="test",
                    device="cpu",
                ).epoch(0)
            )[0]
            for data in (resident, streamed)
        ]
        assert torch.equal(batches[0].expand(-1, 3, -1, -1), batches[1])
        assert batches[0].max() > 0.5


def test_other_values_of_black_and_white_are_other_data(tmp_path: Path) -> None:
    for name in ("ant", "bee"):
        for number in range(3):
            save_deep(tmp_path / name / f"{number}.png", np.full((9, 9), 900 + number, np.uint16))
    digests = {
        load_data("folder", root=tmp_path, image_size=9, loading="streaming", pixel_range=pixel_range).digest()
        for pixel_range in (None, (0.0, 1023.0), (0.0, 4095.0))
    }
    assert len(digests) == 2
