"""Classes of unequal size."""

import pytest
import torch
import torch.nn.functional as F

from pcdarts.config.configs import SearchConfig, TrainConfig
from pcdarts.data.images import DataSet, Images
from pcdarts.data.streams import generator
from pcdarts.learn.few_images.balance import balance_lines, class_weights, cross_entropy

LABELS = torch.tensor([0] * 6 + [1] * 3 + [3])
LOGITS = torch.randn(10, 4, generator=generator(0))


def test_class_weights_are_inverse_to_the_sizes_of_classes_and_their_mean_over_the_images_is_one() -> None:
    weights = class_weights(LABELS, 4)
    assert weights.tolist() == pytest.approx([10 / 18, 10 / 9, 0, 10 / 3])
    assert float(weights[LABELS].mean()) == pytest.approx(1)


def test_the_weighted_loss_of_all_images_is_the_mean_over_classes_of_their_mean_losses() -> None:
    each = F.cross_entropy(LOGITS, LABELS, reduction="none")
    means = [each[label == LABELS].mean() for label in (0, 1, 3)]
    torch.testing.assert_close(cross_entropy(LOGITS, LABELS, 0, class_weights(LABELS, 4)), torch.stack(means).mean())


@pytest.mark.parametrize("smoothing", [0, 0.1])
def test_the_weighted_losses_of_parts_make_that_of_the_batch(smoothing: float) -> None:
    weights = class_weights(LABELS, 4)
    whole = cross_entropy(LOGITS, LABELS, smoothing, weights)
    first, second = (
        cross_entropy(LOGITS[part], LABELS[part], smoothing, weights) for part in (slice(0, 4), slice(4, 10))
    )
    torch.testing.assert_close(0.4 * first + 0.6 * second, whole)


def test_equal_weights_and_unmixed_shares_change_no_loss() -> None:
    plain = F.cross_entropy(LOGITS, LABELS, label_smoothing=0.1)
    assert torch.equal(cross_entropy(LOGITS, LABELS, 0.1, None), plain)
    torch.testing.assert_close(cross_entropy(LOGITS, LABELS, 0.1, torch.ones(4)), plain)
    torch.testing.assert_close(cross_entropy(LOGITS, F.one_hot(LABELS, 4).float(), 0.1, None), plain)


def test_a_job_says_with_numbers_what_it_does_about_classes_of_unequal_size() -> None:
    images = Images(torch.zeros(10, 1, 8, 8, dtype=torch.uint8), LABELS)
    data = DataSet("some", ("ant", "bee", "cow", "dog"), images, images, (0.5,), (0.2,))
    assert balance_lines(TrainConfig(), data) == []
    assert balance_lines(TrainConfig(class_weights="balanced"), data) == [
        "class weights in the loss: from 0.556 for ant (6 images) to 3.33 for dog (1 image)"
    ]
    assert balance_lines(SearchConfig(sampling="balanced"), data) == [
        "balanced sampling: 3 images of each class in an epoch of 10: one of ant (6 images) comes 0.56 times on "
        "average, one of dog (1 image) 3.33 times"
    ]
    equal = DataSet(
        "some", ("ant", "bee"), images.relabelled(torch.arange(10) % 2), images.relabelled(LABELS * 0), (0.5,), (0.2,)
    )
    assert balance_lines(TrainConfig(sampling="balanced"), equal) == [
        "every class has 5 training images: balanced sampling changes hardly anything"
    ]
