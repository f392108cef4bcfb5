from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from coco_set import box, write_set
from hostile import cases, new_folder
from pcdarts.data.coco.boxes import BoxBatch, BoxBatches
from pcdarts.data.coco.coco import load_coco_test
from pcdarts.data.coco.coco_images import CocoImages
from pcdarts.errors import InputError, RunError

DARK = (0.02, 0.02, 0.02)
"""A mean colour that does not stand out on a black ground."""
ONES = (1.0, 1.0, 1.0)


def some_images(
    root: Path, objects: list[list[dict[str, Any]]], on_bad_image: Any = "stop", **options: Any
) -> CocoImages:
    write_set(root, "set", objects, **options)
    return load_coco_test(root, "set", test_images=None, seed=0, on_bad_image=on_bad_image).test


@pytest.fixture
def images(tmp_path: Path) -> CocoImages:
    """Seven, with 0 to 3 objects."""
    all_objects = [box(7, 10, 5, 20, 10), box(90, 40, 20, 15, 15), box(2, 0, 30, 5, 5)]
    return some_images(tmp_path, [all_objects[: number % 4] for number in range(7)])


def batches(images: CocoImages, **options: Any) -> BoxBatches:
    usual: dict[str, Any] = {"batch_size": 3, "image_size": 32, "mean": DARK, "std": ONES, "augment": True}
    usual |= {"shuffle": True, "seed": 1, "stream": "train", "device": "cpu"}
    return BoxBatches(images, **usual | options)


def contents(epoch: Iterator[BoxBatch]) -> list[tuple[Any, ...]]:
    return [(batch.images, batch.targets, batch.image_ids, batch.sizes) for batch in epoch]


def assert_equal(first: Any, second: Any) -> None:
    torch.testing.assert_close(first, second, rtol=0, atol=0)


def test_a_batch_is_as_documented(images: CocoImages) -> None:
    found = list(batches(images).epoch(0))
    assert [len(batch.images) for batch in found] == [3, 3, 1]
    assert sorted(image_id for batch in found for image_id in batch.image_ids) == list(images.image_ids)
    for batch in found:
        assert batch.images.shape[1:] == (3, 32, 32)
        assert batch.images.dtype == torch.float32
        assert batch.images.is_contiguous(memory_format=torch.channels_last)
        assert batch.sizes.tolist() == [[40, 60]] * len(batch.image_ids)
        for target in batch.targets:
            assert type(target["boxes"]) is type(target["labels"]) is Tensor
            assert target["boxes"].dtype == torch.float32
            assert target["boxes"].shape == (len(target["labels"]), 4)
            assert target["labels"].dtype == torch.int64


def test_without_augmentation_images_and_boxes_are_resized(images: CocoImages) -> None:
    (batch,) = batches(images, batch_size=7, augment=False, shuffle=False).epoch(0)
    assert batch.image_ids == list(images.image_ids)
    scale = torch.tensor([32 / 60, 32 / 40, 32 / 60, 32 / 40])
    for index, target in enumerate(batch.targets):
        boxes, labels = images.target(index)
        torch.testing.assert_close(target["boxes"], boxes * scale)
        assert_equal(target["labels"], labels)
    red = batch.images[1, :, 8, 10] + torch.tensor(DARK)  # in the middle of the first object
    torch.testing.assert_close(red, torch.tensor([1.0, 0.0, 0.0]), atol=0.02, rtol=0)


def test_images_are_normalised(images: CocoImages) -> None:
    (batch,) = batches(images, batch_size=7, augment=False, shuffle=False, mean=(0, 0.5, 1), std=(1, 2, 4)).epoch(0)
    grey = 128 / 255
    torch.testing.assert_close(batch.images[0, :, 5, 5], torch.tensor([grey, (grey - 0.5) / 2, (grey - 1) / 4]))


def test_workers_change_nothing(images: CocoImages) -> None:
    assert_equal(contents(batches(images, workers=2).epoch(3)), contents(batches(images).epoch(3)))


def test_an_epoch_can_be_gone_on_with_in_the_middle(images: CocoImages) -> None:
    whole = contents(batches(images).epoch(2))
    assert_equal(contents(batches(images).epoch(2, start=1)), whole[1:])
    assert_equal(contents(batches(images).epoch(2)), whole)


def test_epochs_seeds_and_streams_differ(images: CocoImages) -> None:
    firsts = [
        next(batches(images, seed=seed, stream=stream, shuffle=False).epoch(epoch)).images
        for seed, stream, epoch in [(1, "train", 0), (1, "train", 1), (2, "train", 0), (1, "other", 0)]
    ]
    for index, first in enumerate(firsts):
        assert all(not torch.equal(first, other) for other in firsts[index + 1 :])


@pytest.mark.parametrize("shuffle", [True, False])
def test_shares_together_are_the_batch(images: CocoImages, shuffle: bool) -> None:
    whole = contents(batches(images, batch_size=4, shuffle=shuffle).epoch(0))
    shares = [contents(batches(images, batch_size=4, shuffle=shuffle, share=(rank, 2)).epoch(0)) for rank in (0, 1)]
    for (pixels, targets, ids, _), *parts in zip(whole, *shares, strict=True):
        count = len(ids) - (len(ids) % 2 if shuffle else 0)
        assert_equal(torch.cat([part[0] for part in parts]), pixels[:count])
        assert_equal(parts[0][1] + parts[1][1], targets[:count])
        assert parts[0][2] + parts[1][2] == ids[:count]
        assert not shuffle or len(parts[0][2]) == len(parts[1][2])


def test_the_last_batch_can_be_left_out(images: CocoImages) -> None:
    assert len(batches(images)) == 3
    dropping = batches(images, drop_last=True)
    assert len(dropping) == len(list(dropping.epoch(0))) == 2


def test_nothing_is_drawn_from_the_global_generator(images: CocoImages) -> None:
    before = torch.get_rng_state()
    list(batches(images).epoch(0))
    assert_equal(torch.get_rng_state(), before)


def monochrome(images: CocoImages, brightness: dict[int, int]) -> None:
    """Repaint the objects in greys by their label, on black, which no distortion of colours brings out of order."""
    for index in range(len(images)):
        height, width = images.sizes[index]
        pixels = np.zeros((height, width, 3), dtype=np.uint8)
        boxes, labels = images.target(index)
        for (left, top, right, bottom), label in zip(boxes.int().tolist(), labels.tolist(), strict=True):
            pixels[top:bottom, left:right] = brightness[label]
        Image.fromarray(pixels).save(images.files[index])


def test_boxes_follow_the_pixels(tmp_path: Path) -> None:
    images = some_images(tmp_path, [[box(7, 100, 50, 90, 60)]] * 40, size=(300, 200))
    monochrome(images, {2: 255})
    scales = set()
    for batch in batches(images, batch_size=40, image_size=128).epoch(0):
        for pixels, target in zip(batch.images, batch.targets, strict=True):
            rows, columns = (pixels.mean(0) > 0.3).nonzero().unbind(1)
            seen = torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
            torch.testing.assert_close(target["boxes"], seen.float()[None], rtol=0, atol=1.5)
            scales.add(round(float(target["boxes"][0, 2] - target["boxes"][0, 0])))
    assert len(scales) > 10  # they were zoomed and cropped


def test_labels_stay_with_their_boxes(tmp_path: Path) -> None:
    images = some_images(tmp_path, [[box(90, 20, 20, 60, 60), box(2, 200, 90, 70, 80)]] * 40, size=(300, 200))
    monochrome(images, {3: 255, 1: 90})
    orders = set()
    for batch in batches(images, batch_size=40, image_size=128).epoch(0):
        for pixels, target in zip(batch.images, batch.targets, strict=True):
            middle = ((target["boxes"][:, :2] + target["boxes"][:, 2:]) / 2).int()
            bright = {
                label: float(pixels[:, y, x].mean())
                for (x, y), label in zip(middle.tolist(), target["labels"].tolist(), strict=True)
            }
            if len(bright) == 2:
                assert bright[3] > bright[1] + 0.1
                orders.add(bool(middle[0, 0] < middle[1, 0]))
    assert orders == {True, False}  # some were mirrored


sides = st.integers(1, 70)
boxes_in_images = st.lists(
    st.builds(box, st.sampled_from([2, 7, 90]), st.integers(-5, 55), st.integers(-5, 35), sides, sides), max_size=5
)


@cases(25)
@given(objects=boxes_in_images, seed=st.integers(0, 2**40), augment=st.booleans(), image_size=st.integers(16, 64))
def test_boxes_stay_inside_and_labels_among_those_there_were(
    objects: list[dict[str, Any]], seed: int, augment: bool, image_size: int
) -> None:
    with new_folder() as root:
        images = some_images(root, [objects + [box(7, 30, 20, 5, 5)] * 6])  # so many plain ones that it is not refused
        (batch,) = batches(images, seed=seed, augment=augment, image_size=image_size).epoch(0)
        (target,) = batch.targets
        boxes = target["boxes"]
        assert batch.images.isfinite().all()
        assert boxes.shape == (len(target["labels"]), 4)
        assert (boxes >= 0).all()
        assert (boxes <= image_size).all()
        assert (boxes[:, 2:] > boxes[:, :2]).all()
        there = images.target(0)[1].tolist()
        assert all(target["labels"].tolist().count(label) <= there.count(label) for label in (1, 2, 3))
        if not augment and image_size > 60:  # no box has become thinner than a pixel
            assert target["labels"].tolist() == there


def test_a_box_that_is_too_thin_to_learn_from_is_left_out_without_augmentation_too(tmp_path: Path) -> None:
    thin = {**box(7, 10, 5, 20, 10), "bbox": [10, 5, 1e-5, 10]}
    (batch,) = batches(some_images(tmp_path, [[thin, box(7, 10, 5, 20, 10)]] * 2), augment=False).epoch(0)
    assert [len(target["boxes"]) for target in batch.targets] == [1, 1]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_bad_image_stops_it(images: CocoImages, workers: int) -> None:
    images.files[2].write_bytes(b"nothing")
    with pytest.raises(RunError, match=r"0003\.png': .*--on-bad-image skip, also when a run is resumed"):
        list(batches(images, workers=workers).epoch(0))


@pytest.mark.parametrize("workers", [0, 1])
def test_where_bad_images_are_skipped_others_stand_in_for_them(tmp_path: Path, workers: int) -> None:
    images = some_images(tmp_path, [[box(7, 10, 5, 20, 10)]] * 6, on_bad_image="skip")
    images.files[2].write_bytes(b"nothing")
    learning = batches(images, batch_size=6, workers=workers)
    (batch,) = learning.epoch(0)
    assert len(batch.images) == len(batch.targets) == len(batch.image_ids) == len(batch.sizes) == 6
    assert set(batch.image_ids) == {1, 2, 4, 5, 6}
    first, second = (index for index, i in enumerate(batch.image_ids) if batch.image_ids.count(i) == 2)
    assert_equal(batch.images[first], batch.images[second])
    assert_equal(batch.targets[first], batch.targets[second])
    assert list(learning.skipped) == [2]
    assert learning.skipped[2].startswith(repr(str(images.files[2])))


def test_a_measurement_leaves_bad_images_out(tmp_path: Path) -> None:
    images = some_images(tmp_path, [[box(7, 10, 5, 20, 10)]] * 6, on_bad_image="skip")
    for index in (2, 4, 5):
        images.files[index].write_bytes(b"nothing")
    measuring = batches(images, batch_size=2, shuffle=False, augment=False)
    assert [batch.image_ids for batch in measuring.epoch(0)] == [[1, 2], [4]]
    assert list(measuring.skipped) == [2, 4, 5]


def test_a_batch_of_bad_images_alone_ends_it(tmp_path: Path) -> None:
    images = some_images(tmp_path, [[], []], on_bad_image="skip")
    for path in images.files:
        path.write_bytes(b"nothing")
    with pytest.raises(RunError, match="none of the 2 images of a batch of"):
        list(batches(images, batch_size=2).epoch(0))


@pytest.mark.parametrize(("batch_size", "count"), [(0, 7), (-1, 7), (3, 0)])
def test_a_batch_needs_an_image(images: CocoImages, batch_size: int, count: int) -> None:
    with pytest.raises(InputError, match="both must be 1 or more"):
        batches(images.subset(range(count)), batch_size=batch_size)
