import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pcdarts.data.batches import Augmentation, Batches
from pcdarts.data.images import Images
from pcdarts.data.streams import generator
from pcdarts.errors import InputError

MEAN = (0.49, 0.48, 0.45)
STD = (0.25, 0.24, 0.26)
NOTHING = Augmentation()


def some_images(count: int, channels: int = 3, height: int = 8, width: int = 8) -> Images:
    """Random images; each label is the image's position, so that a batch tells which images it holds."""
    pixels = torch.randint(0, 256, (count, channels, height, width), dtype=torch.uint8, generator=generator(0))
    return Images(pixels, torch.arange(count))


def batches_of(images: Images, augmentation: Augmentation = NOTHING, **changes) -> Batches:
    channels = images.pixels.shape[1]
    settings = {"batch_size": 4, "shuffle": True, "drop_last": False, "seed": 0, "stream": "weight", "device": "cpu"}
    return Batches(images, mean=MEAN[:channels], std=STD[:channels], augmentation=augmentation, **(settings | changes))


def image_by_image(images: Images, labels: Tensor, augmentation: Augmentation, draw: torch.Generator) -> Tensor:
    """The reference: what the authors' script does to one image after the other, for the same random numbers."""
    _, channels, height, width = images.pixels.shape
    padding, side = augmentation.crop_padding, augmentation.cutout
    limits = (2 * padding + 1, 2 * padding + 1, 2, height, width)
    draws = torch.stack([torch.randint(limit, labels.shape, generator=draw) for limit in limits], dim=1)
    results = []
    for label, (down, right, mirrored, centre_y, centre_x) in zip(labels.tolist(), draws.tolist(), strict=True):
        padded = torch.zeros(channels, height + 2 * padding, width + 2 * padding, dtype=torch.uint8)
        padded[:, padding : padding + height, padding : padding + width] = images.pixels[label]
        image = padded[:, down : down + height, right : right + width]
        if augmentation.flip and mirrored:
            image = image.flip(-1)
        image = image.float() / 255
        for channel in range(channels):
            image[channel] = (image[channel] - MEAN[channel]) / STD[channel]
        top, left = centre_y - side // 2, centre_x - side // 2
        image[:, max(top, 0) : max(top + side, 0), max(left, 0) : max(left + side, 0)] = 0
        results.append(image)
    return torch.stack(results)


@settings(max_examples=60, deadline=None)
@given(
    channels=st.sampled_from([1, 3]),
    height=st.integers(5, 12),
    width=st.integers(5, 12),
    augmentation=st.builds(Augmentation, crop_padding=st.integers(0, 6), flip=st.booleans(), cutout=st.integers(0, 9)),
    seed=st.integers(0, 1000),
    epoch=st.integers(0, 5),
)
def test_a_batch_equals_its_images_augmented_one_by_one(channels, height, width, augmentation, seed, epoch):
    images = some_images(6, channels, height, width)
    for index, (batch, labels) in enumerate(batches_of(images, augmentation, seed=seed).epoch(epoch)):
        expected = image_by_image(images, labels, augmentation, generator(seed, "weight", epoch, index))
        assert torch.equal(batch, expected)


def test_batches_are_float32_in_channels_last_memory_format():
    for channels in (1, 3):
        batch, labels = next(batches_of(some_images(9, channels), Augmentation(4, True, 4)).epoch(0))
        assert batch.dtype == torch.float32
        assert batch.shape == (4, channels, 8, 8)
        assert batch.is_contiguous(memory_format=torch.channels_last)
        assert (labels.dtype, labels.shape) == (torch.int64, (4,))


def test_without_augmentation_a_batch_is_what_torchvision_normalises():
    functional = pytest.importorskip("torchvision.transforms.functional")
    images = some_images(4)
    batch, _ = next(batches_of(images, shuffle=False).epoch(0))
    for image, pixels in zip(batch, images.pixels, strict=True):
        as_torchvision = functional.to_tensor(pixels.permute(1, 2, 0).numpy())
        assert torch.equal(image, functional.normalize(as_torchvision, MEAN, STD))


def test_the_same_seed_gives_the_same_batches_and_anything_else_gives_others():
    images, augmentation = some_images(12), Augmentation(4, True, 4)

    def everything(epoch: int, **changes) -> list[list[float]]:
        return [image.flatten().tolist() for image, _ in batches_of(images, augmentation, **changes).epoch(epoch)]

    expected = everything(1)
    assert everything(1) == expected
    assert everything(2) != expected
    assert everything(1, seed=1) != expected
    assert everything(1, stream="arch") != expected


def test_an_epoch_holds_every_image_once_in_an_order_of_its_own():
    batches = batches_of(some_images(50))
    orders = [torch.cat([labels for _, labels in batches.epoch(epoch)]).tolist() for epoch in range(3)]
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert orders[0] != orders[1] != orders[2] != orders[0]
    assert list(range(50)) not in orders


def test_without_shuffling_the_order_is_that_of_the_images():
    batches = batches_of(some_images(10), shuffle=False)
    assert torch.cat([labels for _, labels in batches.epoch(3)]).tolist() == list(range(10))


@pytest.mark.parametrize(("drop_last", "sizes"), [(False, [4, 4, 2]), (True, [4, 4])])
def test_the_last_smaller_batch_is_kept_or_dropped(drop_last, sizes):
    batches = batches_of(some_images(10), drop_last=drop_last)
    assert [len(labels) for _, labels in batches.epoch(0)] == sizes
    assert len(batches) == len(sizes)


def assert_same(some: list[tuple[Tensor, Tensor]], others: list[tuple[Tensor, Tensor]]) -> None:
    assert len(some) == len(others) > 0
    for (images, labels), (other_images, other_labels) in zip(some, others, strict=True):
        assert torch.equal(images, other_images)
        assert torch.equal(labels, other_labels)


def test_an_epoch_taken_up_in_the_middle_goes_on_with_the_same_batches():
    batches = batches_of(some_images(22), Augmentation(4, True, 4))
    whole, rest = list(batches.epoch(5)), list(batches.epoch(5, start=2))
    assert len(rest) == 4
    assert_same(rest, whole[2:])


def test_cutout_changes_nothing_but_the_square():
    images = some_images(8)
    for (cut, _), (whole, _) in zip(
        batches_of(images, Augmentation(4, True, 4)).epoch(0),
        batches_of(images, Augmentation(4, True)).epoch(0),
        strict=True,
    ):
        assert torch.equal(cut[cut != 0], whole[cut != 0])
        assert ((cut == 0) & (whole != 0)).any()


def test_half_of_the_images_are_mirrored_and_every_crop_occurs():
    images = Images(torch.arange(1, 26, dtype=torch.uint8).view(1, 1, 5, 5).repeat(2000, 1, 1, 1), torch.arange(2000))
    batch, _ = next(batches_of(images, Augmentation(flip=True), batch_size=2000).epoch(0))
    assert (batch[:, 0, 0, 0] > batch[:, 0, 0, 1]).float().mean().item() == pytest.approx(0.5, abs=0.03)
    batch, _ = next(batches_of(images, Augmentation(crop_padding=1), batch_size=2000).epoch(0))
    assert sorted(round((value * STD[0] + MEAN[0]).item() * 255) for value in batch[:, 0, 2, 2].unique()) == [
        *(7, 8, 9, 12, 13, 14, 17, 18, 19)
    ]


@given(
    sizes=st.lists(st.integers(0, 9), min_size=1, max_size=5).filter(lambda sizes: sum(sizes) >= 4),
    seed=st.integers(0, 99),
)
def test_balanced_batches_hold_equally_many_images_of_each_class_and_all_of_a_class_equally_often(sizes, seed):
    classes = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    batches = batches_of(some_images(len(classes)).relabelled(classes), balanced=True, seed=seed)
    for epoch in range(2):
        indices = torch.cat([own for own, _ in batches.order.batches(epoch, 0)])
        assert len(indices) == len(classes)
        of_class = classes[indices].bincount(minlength=len(sizes))[torch.tensor(sizes) > 0]
        assert of_class.max() - of_class.min() <= 1
        times = indices.bincount(minlength=len(classes)).split(sizes)
        assert all(of_one.max() - of_one.min() <= 1 for of_one in times if len(of_one))


def test_balanced_batches_are_those_of_their_place_in_the_run():
    images = some_images(12).relabelled(torch.arange(12) // 9)
    first, second = (list(batches_of(images, Augmentation(2), balanced=True).epoch(epoch)) for epoch in (0, 1))
    assert not torch.equal(first[0][0], second[0][0])
    assert_same(list(batches_of(images, Augmentation(2), balanced=True).epoch(1, start=2)), second[2:])


def test_randaugment_depends_on_the_place_in_the_run_alone_and_leaves_orders_and_random_state_as_they_were():
    images, changed = some_images(22), Augmentation(4, True, randaugment=9)
    torch.manual_seed(3)
    state = torch.get_rng_state()
    whole = list(batches_of(images, changed).epoch(1))
    assert torch.equal(torch.get_rng_state(), state)
    assert_same(list(batches_of(images, changed).epoch(1, start=2)), whole[2:])
    shares = [list(batches_of(images, changed, share=(rank, 2)).epoch(1)) for rank in (0, 1)]
    assert_same([tuple(map(torch.cat, zip(*pair, strict=True))) for pair in zip(*shares, strict=True)], whole)
    more = some_images(400)
    (plain, _), (other, _) = (
        next(batches_of(more, x, batch_size=400).epoch(1)) for x in (Augmentation(4, True), changed)
    )
    same = (plain == other).flatten(1).all(dim=1).float().mean()
    assert 0 < same < 0.1  # these drew twice what changes nothing: they are cropped and mirrored as before


def test_the_images_stay_as_they_were():
    images = some_images(8)
    before = images.pixels.clone()
    list(batches_of(images, Augmentation(4, True, 4)).epoch(0))
    assert torch.equal(images.pixels, before)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_another_device_gives_the_same_batches():
    images = some_images(22)
    here, there = (batches_of(images, Augmentation(4, True, 4), device=device) for device in ("cpu", "cuda"))
    for (batch, labels), (other_batch, other_labels) in zip(here.epoch(1), there.epoch(1), strict=True):
        torch.testing.assert_close(other_batch.cpu(), batch, rtol=1e-6, atol=1e-6)
        assert torch.equal(other_labels.cpu(), labels)


@pytest.mark.parametrize(("batch_size", "drop_last"), [(0, False), (11, True)])
def test_a_batch_size_that_gives_no_batch_is_refused(batch_size, drop_last):
    with pytest.raises(InputError, match=rf"batch_size is {batch_size}, but there are 10 'weight' images: use"):
        batches_of(some_images(10), batch_size=batch_size, drop_last=drop_last)


@pytest.mark.parametrize("name", ["crop_padding", "cutout"])
def test_a_negative_number_of_pixels_is_refused(name):
    with pytest.raises(InputError, match=f"{name} is -1, but it counts pixels"):
        Augmentation(**{name: -1})


def test_a_process_whose_share_is_empty_gets_an_empty_batch():
    (images, labels) = list(batches_of(some_images(5), shuffle=False, share=(1, 2)).epoch(0))[-1]
    assert images.shape == (0, 3, 8, 8)
    assert len(labels) == 0
