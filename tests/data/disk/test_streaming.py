"""Streamed images: the same batches as resident ones, whoever decodes them and whenever."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pcdarts.data.batches import Augmentation, Batches
from pcdarts.data.disk.decode import decode, fit_to_square
from pcdarts.data.disk.encoded import RESIDENT_BYTES
from pcdarts.data.disk.streaming import StreamedImages
from pcdarts.data.images import DataSet, Images
from pcdarts.data.sources import load_data
from pcdarts.errors import InputError, RunError

NAMES = [f"{which}/{name}/{i}.png" for which in ("train", "test") for name in ("ant", "bee") for i in range(5)]
NOTHING = Augmentation()
PHOTOGRAPHS = Augmentation(flip=True, resized=True, color_jitter=0.4)
Batch = tuple[Tensor, Tensor]


@pytest.fixture
def folder(save_images: Callable[..., Path]) -> Path:
    """Ten training and ten test images of 16 x 12 pixels."""
    return save_images(*NAMES, size=(16, 12))


def load(folder: Path, loading: str = "streaming", **options: object) -> DataSet:
    return load_data("folder", root=folder, image_size=12, loading=loading, **options)  # type: ignore[arg-type]


def batches_of(images: Images | StreamedImages, augmentation: Augmentation = NOTHING, **changes: object) -> Batches:
    arguments = {"batch_size": 4, "shuffle": True, "drop_last": False, "seed": 0, "stream": "train", "device": "cpu"}
    statistics = {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.25)}
    return Batches(images, augmentation=augmentation, **(arguments | statistics | changes))  # type: ignore[arg-type]


def assert_same(some: list[Batch], others: list[Batch]) -> None:
    assert len(some) == len(others) > 0
    for (images, labels), (other_images, other_labels) in zip(some, others, strict=True):
        assert torch.equal(images, other_images)
        assert torch.equal(labels, other_labels)


@pytest.mark.parametrize("workers", [0, 2])
def test_streamed_batches_are_the_resident_ones_bit_for_bit(folder: Path, workers: int) -> None:
    resident, streamed = load(folder, "resident"), load(folder, workers=workers)
    augmentation = Augmentation(crop_padding=2, flip=True, cutout=3, randaugment=9)
    for epoch, start in ((0, 0), (1, 1)):
        expected = list(batches_of(resident.train, augmentation, balanced=True).epoch(epoch, start))
        assert_same(list(batches_of(streamed.train, augmentation, balanced=True).epoch(epoch, start)), expected)
    expected = list(batches_of(resident.test, shuffle=False).epoch(0))
    assert_same(list(batches_of(streamed.test, shuffle=False).epoch(0)), expected)


def test_a_random_part_of_an_image_depends_on_the_place_in_the_run_and_on_nothing_else(folder: Path) -> None:
    whole = list(batches_of(load(folder).train, PHOTOGRAPHS).epoch(3))
    torch.manual_seed(7)
    state = torch.get_rng_state()
    assert_same(list(batches_of(load(folder, workers=1).train, PHOTOGRAPHS).epoch(3, 1)), whole[1:])
    assert torch.equal(torch.get_rng_state(), state)
    other_epoch = next(batches_of(load(folder).train, PHOTOGRAPHS).epoch(4))
    assert not torch.equal(other_epoch[0], whole[0][0])


def test_the_shares_of_two_processes_are_the_batch_of_one(folder: Path) -> None:
    train = load(folder).train
    shares = [list(batches_of(train, PHOTOGRAPHS, share=(rank, 2)).epoch(0)) for rank in range(2)]
    together = [tuple(map(torch.cat, zip(*pair, strict=True))) for pair in zip(*shares, strict=True)]
    assert_same(together, list(batches_of(train, PHOTOGRAPHS).epoch(0)))


def test_photographs_are_measured_on_the_middle_of_seven_eighths_of_their_side(folder: Path) -> None:
    image = decode(folder / NAMES[0])
    middle = image.crop((16 // 2 - 6, 0, 16 // 2 + 6, 12))  # the largest square
    inner = middle.resize((12, 12), 2, (0.75, 0.75, 11.25, 11.25))
    shown = fit_to_square(image, 12, 1 / 16)
    difference = torch.tensor(list(shown.tobytes())).sub(torch.tensor(list(inner.tobytes()))).abs()
    assert difference.float().mean() < 3  # of 255, in noise: the crop of an oblong image is rounded otherwise
    streamed = load(folder, border=1 / 16)
    pixels = next(batches_of(streamed.train, shuffle=False, mean=(0.0,) * 3, std=(1.0,) * 3).epoch(0))[0][0]
    assert torch.equal((pixels * 255).round().byte().permute(1, 2, 0).flatten(), torch.tensor(list(shown.tobytes())))


def test_large_folders_are_streamed_and_small_ones_are_not_unless_told_otherwise(folder: Path) -> None:
    side = int((RESIDENT_BYTES / 3 / 20) ** 0.5)
    large = load_data("folder", root=folder, image_size=side + 10)
    assert isinstance(large.train, StreamedImages)
    assert large.train.shape == (3, side + 10, side + 10)
    assert isinstance(load(folder, "auto").train, Images)


def test_images_can_only_be_streamed_at_a_size_and_from_files(folder: Path) -> None:
    with pytest.raises(InputError, match="add --image-size"):
        load_data("folder", root=folder, loading="streaming")
    with pytest.raises(InputError, match="'fashion-mini' is read whole and cannot be streamed"):
        load_data("fashion-mini", loading="streaming")
    with pytest.raises(InputError, match="--loading streaming"):
        batches_of(load(folder, "resident").train, PHOTOGRAPHS)


def test_data_is_known_by_the_names_sizes_and_classes_of_its_files(folder: Path) -> None:
    digest = load(folder).digest()
    assert load(folder, workers=2).digest() == digest
    assert load(folder, train_images=4).digest() != digest
    (folder / NAMES[0]).write_bytes((folder / NAMES[0]).read_bytes() + b"0")
    assert load(folder).digest() != digest


@pytest.mark.parametrize("workers", [0, 1])
def test_a_bad_image_stops_or_another_one_takes_its_place(folder: Path, workers: int) -> None:
    (folder / NAMES[3]).write_bytes(b"no image")
    with pytest.raises(RunError, match=rf"{NAMES[3]}': .*--on-bad-image skip, also when a run is resumed"):
        list(batches_of(load(folder, workers=workers).train).epoch(0))
    data = load(folder, on_bad_image="skip", workers=workers)
    (folder / NAMES[13]).unlink()
    batches = list(batches_of(data.train, stream="x").epoch(0))
    assert [len(labels) for _, labels in batches] == [4, 4, 2]
    seen = {tuple(image.flatten().tolist()) for images, _ in batches for image in images}
    assert len(seen) == 9
    measured = list(batches_of(data.test, shuffle=False).epoch(0))
    assert [len(labels) for _, labels in measured] == [3, 4, 2]
    assert [line.split("'")[1].removeprefix(f"{folder}/") for line in data.skipped] == [NAMES[3], NAMES[13]]


def test_a_measurement_goes_on_after_a_batch_of_bad_images_alone(folder: Path) -> None:
    for name in NAMES[10:14]:
        (folder / name).write_bytes(b"")
    batches = batches_of(load(folder, on_bad_image="skip").test, shuffle=False)
    assert [tuple(images.shape) for images, _ in batches.epoch(0)] == [(0, 3, 12, 12), (4, 3, 12, 12), (2, 3, 12, 12)]


def test_a_batch_of_bad_images_alone_ends_the_run(folder: Path) -> None:
    for name in NAMES[:10]:
        (folder / name).write_bytes(b"")
    with pytest.raises(RunError, match="none of the 4 images of a batch of train can be read"):
        next(batches_of(load(folder, on_bad_image="skip").train).epoch(0))
