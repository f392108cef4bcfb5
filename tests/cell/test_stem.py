"""The stems, and the images that a network takes."""

import pytest
import torch

from pcdarts.cell.space import STEM_STRIDES, largest_map, suggested_kind
from pcdarts.cell.stem import ImageNetStem, SingleStem, check_images, make_stem, smallest_image_side
from pcdarts.errors import InputError


def test_the_cifar_stem_feeds_both_inputs_of_the_first_cell():
    before_last, last = make_stem("cifar", 12, image_channels=1)(torch.randn(2, 1, 7, 5))
    assert before_last is last
    assert last.shape == (2, 12, 7, 5)


@pytest.mark.parametrize(("side", "quarter", "eighth"), [(32, 8, 4), (33, 9, 5), (31, 8, 4)])
def test_the_imagenet_stem_feeds_maps_of_a_quarter_and_an_eighth(side, quarter, eighth):
    before_last, last = make_stem("imagenet", 4, image_channels=3)(torch.randn(2, 3, side, side))
    assert before_last.shape == (2, 4, quarter, quarter)
    assert last.shape == (2, 4, eighth, eighth)


@pytest.mark.parametrize(("kind", "side", "reached"), [("stride2", 64, 32), ("stride2", 9, 5), ("stride4", 130, 33)])
def test_the_stems_between_feed_both_inputs_of_the_first_cell_with_one_smaller_map(kind, side, reached):
    before_last, last = make_stem(kind, 5, image_channels=3)(torch.randn(2, 3, side, side))
    assert before_last is last
    assert last.shape == (2, 5, reached, reached)
    assert largest_map(kind, side) == reached


def test_make_stem_takes_the_stem_of_the_kind():
    convolutions = {"cifar": [1], "stride2": [2], "stride4": [2, 2], "imagenet": [2, 2, 2]}
    for kind, strides in convolutions.items():
        stem = make_stem(kind, 4, 3)
        assert isinstance(stem, ImageNetStem if kind == "imagenet" else SingleStem)
        assert [layer.stride[0] for layer in stem.modules() if isinstance(layer, torch.nn.Conv2d)] == strides
        assert sum(isinstance(layer, torch.nn.ReLU) for layer in stem.modules()) == len(strides) - 1
        assert torch.tensor(strides).prod() == STEM_STRIDES[kind]


def test_a_stem_that_does_not_exist_is_refused():
    with pytest.raises(InputError, match=r"kind is 'stride8', but a network is of kind 'cifar', .* or 'imagenet'"):
        make_stem("stride8", 3, 3)


def test_the_stem_suggested_keeps_the_maps_of_the_cells_at_32_pixels_or_less():
    sides = [28, 32, 33, 64, 65, 128, 129, 224, 512]
    assert [suggested_kind(side) for side in sides] == [
        *("cifar", "cifar", "stride2", "stride2", "stride4", "stride4", "imagenet", "imagenet", "imagenet")
    ]


def test_an_imagenet_stem_of_odd_channels_is_refused():
    with pytest.raises(InputError, match=r"makes 5 channels.*even"):
        ImageNetStem(5, 3)


@pytest.mark.parametrize(
    ("kind", "num_cells", "side"),
    [
        ("cifar", 1, 2),
        ("cifar", 20, 4),
        ("stride2", 5, 8),
        ("stride4", 5, 16),
        ("imagenet", 1, 16),
        ("imagenet", 14, 32),
    ],
)
def test_every_halving_needs_two_pixels(kind, num_cells, side):
    assert smallest_image_side(kind, num_cells) == side


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(3, 8, 8), r"shape \[3, 8, 8\], expected \[batch, channels, height, width\]"),
        (torch.zeros(0, 3, 8, 8), "the batch holds no images, but a network needs 1 or more"),
        (torch.zeros(2, 3, 8, 8, dtype=torch.uint8), "torch.uint8"),
        (torch.zeros(2, 1, 8, 8), "1 channels.*made for 3: make it with image_channels=1"),
        (torch.zeros(2, 3, 8, 3), "8 x 3 pixels are too small.*4 x 4 or larger"),
    ],
)
def test_what_is_not_a_batch_of_fitting_images_is_refused(images, message):
    with pytest.raises(InputError, match=message):
        check_images(images, image_channels=3, smallest_side=4)
