"""The detector: torchvision's SSD reading our cells; what it is made of, what it costs, what it refuses."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.ssd import SSD

from pcdarts.cell.zoo import PUBLISHED, published
from pcdarts.detect.detector import Detector, detector_complexity
from pcdarts.errors import InputError
from pcdarts.network.complexity import complexity
from pcdarts.network.network import Network
from pcdarts.ops.precision import has_bf16

SIZES = {"channels": 4, "num_cells": 5, "num_classes": 3, "image_size": 64}


def make(**options) -> Detector:
    torch.manual_seed(0)
    return Detector(published("pc_darts_imagenet"), **SIZES | options)


def some_targets() -> list[dict[str, Tensor]]:
    """Two images: one with two objects, one with none."""
    boxes = torch.tensor([[4.0, 6.0, 30.0, 40.0], [20.0, 10.0, 60.0, 60.0]])
    empty = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
    return [{"boxes": boxes, "labels": torch.tensor([1, 3])}, empty]


def some_images(size: int = 64) -> Tensor:
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))


def params_of_projection(wide: int, narrow: int) -> int:
    return wide * narrow + 2 * narrow


def params_of_extra_block(channels: int) -> int:
    half = channels // 2
    return (channels * half + 2 * half) + (9 * half + 2 * half) + (half * channels + 2 * channels)


def params_of_prediction(channels: int, outputs: int) -> int:
    return (9 * channels + 2 * channels) + (channels * outputs + outputs)


def test_the_paper_s_detector_to_the_last_parameter_and_mult_add():
    """Sec. 4.5, Table 5: 1.2 B for 320 x 320 images, 80 classes."""
    with torch.device("meta"):
        detector = Detector(published("pc_darts_imagenet"))
        network = Network(
            published("pc_darts_imagenet"),
            kind="imagenet",
            channels=48,
            num_cells=14,
            num_classes=1000,
            auxiliary=False,
        )
    size = detector_complexity(detector)

    classifier = 768 * 1000 + 1000
    whole = complexity(network, (3, 320, 320))
    assert size["backbone"].params == whole.params - classifier == 4_573_464
    narrow = zip((192, 384, 768), (24, 48, 96), strict=True)
    extras = sum(params_of_projection(*widths) for widths in narrow) + 3 * params_of_extra_block(96)
    assert size["extras"].params == extras
    heads = zip((24, 48, 96, 96, 96, 96), (4, 6, 6, 6, 4, 4), strict=True)
    assert size["heads"].params == sum(
        params_of_prediction(channels, count * outputs) for channels, count in heads for outputs in (81, 4)
    )
    assert size["all"].params == sum(parameter.numel() for parameter in detector.parameters()) == 4_909_086

    assert size["backbone"].mult_adds == whole.mult_adds - 768 * 1000
    heads = zip((24, 48, 96, 96, 96, 96), (4, 6, 6, 6, 4, 4), (1600, 400, 100, 25, 9, 4), strict=True)
    assert size["heads"].mult_adds == sum(
        places * (2 * 9 * channels + channels * count * 85) for channels, count, places in heads
    )
    assert round(size["all"].mult_adds / 1e9, 1) == 1.2


@pytest.mark.parametrize(
    ("image_size", "sides"), [(320, [40, 20, 10, 5, 3, 2]), (300, [38, 19, 10, 5, 3, 2]), (64, [8, 4, 2, 1, 1, 1])]
)
def test_the_maps_have_strides_8_16_32_and_then_halve(image_size, sides):
    detector = make(image_size=image_size).to("meta").eval()
    maps = detector.backbone(torch.empty(1, 3, image_size, image_size, device="meta"))
    assert [tuple(map_.shape[1:]) for map_ in maps.values()] == [
        (channels, side, side) for channels, side in zip(detector.backbone.out_channels, sides, strict=True)
    ]


def test_the_default_boxes_of_a_map_lie_on_its_grid_and_grow_from_map_to_map():
    detector = make(image_size=320).eval()
    images = torch.zeros(1, 3, 320, 320)
    maps = [torch.zeros(1, 1, side, side) for side in (40, 20, 10, 5, 3, 2)]
    (boxes,) = detector.anchor_generator(ImageList(images, [(320, 320)]), maps)
    first = 0
    for side, per_place, scale in zip(
        (40, 20, 10, 5, 3, 2), (4, 6, 6, 6, 4, 4), (0.07, 0.15, 0.33, 0.51, 0.69, 0.87), strict=True
    ):
        of_map = boxes[first : first + side * side * per_place].view(side, side, per_place, 4)
        centres = (of_map[..., :2] + of_map[..., 2:]) / 2
        expected = (torch.arange(side) + 0.5) * 320 / side
        torch.testing.assert_close(centres[0, :, 0, 0], expected)
        torch.testing.assert_close(centres[:, 0, 0, 1], expected)
        torch.testing.assert_close(of_map[0, 0, 0, 2] - of_map[0, 0, 0, 0], torch.tensor(scale * 320))
        first += side * side * per_place
    assert first == len(boxes)


@pytest.mark.parametrize("name", PUBLISHED)
def test_features_are_the_outputs_of_the_cells_before_each_reduction_and_of_the_last(name):
    torch.manual_seed(0)
    network = Network(published(name), kind="imagenet", channels=4, num_cells=7, num_classes=5).eval()
    images = some_images(70).contiguous(memory_format=torch.channels_last)
    before_last, last = network.stem(images)
    outputs = []
    for cell in network.cells:
        outputs.append(cell(F.relu(before_last), F.relu(last)))
        before_last, last = last, outputs[-1]
    features = network.features(images)
    assert [feature.shape[2] for feature in features] == [9, 5, 3]
    assert [feature.shape[1] for feature in features] == network.feature_channels
    for feature, position in zip(features, (1, 3, 6), strict=True):  # the cells at 2 and 4 reduce
        assert torch.equal(feature, F.relu(outputs[position]))


def test_images_and_boxes_that_come_resized_and_normalised_stay_as_they_are():
    detector = make()
    images, targets = some_images(), some_targets()
    for mode in (True, False):
        seen, boxes = detector.train(mode).transform(images, targets)
        assert torch.equal(seen.tensors, images)
        assert all(torch.equal(one["boxes"], other["boxes"]) for one, other in zip(boxes, targets, strict=True))


def test_the_loss_is_torchvision_s():
    detector = make()
    images, targets = some_images(), some_targets()
    plain = SSD(
        detector.backbone,
        detector.anchor_generator,
        (64, 64),
        4,
        image_mean=[0.0] * 3,
        image_std=[1.0] * 3,
        head=detector.head,
    )
    losses, expected = detector(images, targets), plain(list(images), targets)
    assert all(torch.equal(losses[name], expected[name]) for name in ("bbox_regression", "classification"))
    assert expected.keys() | {"num_matched"} == losses.keys()
    assert losses["num_matched"] >= 2  # every object has a default box


def test_images_without_objects_have_a_loss_of_zero_and_finite_gradients():
    detector = make()
    losses = detector(some_images(), 2 * some_targets()[1:])
    assert (losses["bbox_regression"], losses["classification"], losses["num_matched"]) == (0, 0, 0)
    (losses["bbox_regression"] + losses["classification"]).backward()
    assert all(parameter.grad.isfinite().all() for parameter in detector.parameters())


def test_every_parameter_learns():
    detector = make(image_size=128)
    objects = [
        {"boxes": torch.tensor([[0.0, 0, side, side]]), "labels": torch.tensor([1])}
        for side in (9, 19, 42, 65, 88, 111)
    ]
    losses = detector(torch.randn(6, 3, 128, 128), objects)  # an object for each map
    (losses["bbox_regression"] + losses["classification"]).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in detector.parameters())


def test_detections_are_boxes_inside_the_image_best_first():
    detector = make().eval()
    with torch.no_grad():
        found = detector(some_images())
    assert len(found) == 2
    for of_image in found:
        boxes, scores, labels = of_image["boxes"], of_image["scores"], of_image["labels"]
        assert len(boxes) == len(scores) == len(labels) <= 300
        assert boxes.min() >= 0
        assert boxes.max() <= 64
        assert torch.equal(scores, scores.sort(descending=True).values)
        assert set(labels.tolist()) <= {1, 2, 3}


def test_the_state_dict_has_the_network_and_neither_classifier_nor_auxiliary_head():
    detector = make()
    state = detector.state_dict()
    assert {name.split(".")[0] for name in state} == {"backbone", "head"}
    assert {".".join(name.split(".")[1:3]) for name in state if name.startswith("backbone.network")} == {
        "network.stem",
        "network.cells",
    }
    other = Detector(published("pc_darts_imagenet"), **SIZES)
    other.load_state_dict(state)
    images = some_images()
    for one, same in zip(detector.eval()(images), other.eval()(images), strict=True):
        assert all(torch.equal(one[name], same[name]) for name in one)


def test_the_backbone_takes_a_classifier_s_weights_whatever_its_classes():
    detector = make()
    sizes = {"kind": "imagenet", "channels": 4, "num_cells": 5, "num_classes": 7}
    classifier = Network(published("pc_darts_imagenet"), **sizes).eval()
    detector.load_backbone(classifier.state_dict())
    images = some_images()
    for feature, same in zip(
        detector.eval().backbone.network.features(images), classifier.features(images), strict=True
    ):
        assert torch.equal(feature, same)


def test_the_weights_of_other_cells_are_refused():
    other = Network(published("darts_v1"), kind="imagenet", channels=4, num_cells=5)
    with pytest.raises(InputError, match="the classifier has other cells than the detector"):
        make().load_backbone(other.state_dict())


@pytest.mark.skipif(not has_bf16("cpu"), reason="no bfloat16 here")
def test_in_mixed_precision_losses_and_statistics_stay_float32():
    detector, exact = make(amp="bf16"), make()
    images, targets = some_images(), some_targets()
    losses, expected = detector(images, targets), exact(images, targets)
    assert losses["classification"].dtype == torch.float32
    assert losses["classification"].item() == pytest.approx(expected["classification"].item(), rel=0.02)
    assert losses["classification"].item() != expected["classification"].item()
    assert {value.dtype for value in detector.state_dict().values()} == {torch.float32, torch.int64}


def test_batch_statistics_over_all_processes_reach_every_norm():
    detector = make(synchronize=True)
    assert not [module for module in detector.modules() if type(module) is nn.BatchNorm2d]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 63}, "image_size is 63, but a detector needs images of 64 pixels or more"),
        ({"num_cells": 2}, "num_cells is 2, but a detector needs at least 3"),
        ({"num_classes": 0}, "num_classes is 0, but a detector needs at least 1"),
        ({"head_channels": 0}, "head_channels is 0, but a detector needs at least 1"),
        ({"channels": 5}, "an even number of channels"),
    ],
)
def test_what_no_detector_can_be_made_of_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        make(**options)
