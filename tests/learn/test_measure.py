"""What is reported of a classifier."""

import pytest
import torch

from pcdarts.data.batches import Augmentation, Batches
from pcdarts.data.images import Images
from pcdarts.learn.measure import errors_text, top_errors


def test_top_1_and_top_5_count_the_images_whose_class_is_not_among_the_largest_logits() -> None:
    labels = torch.arange(10)
    images = Images(torch.zeros(10, 3, 8, 8, dtype=torch.uint8), labels)
    batches = Batches(
        images,
        batch_size=4,
        mean=(0.0,) * 3,
        std=(1.0,) * 3,
        augmentation=Augmentation(),
        shuffle=False,
        drop_last=False,
        seed=0,
        stream="test",
        device="cpu",
    )
    order = torch.arange(10.0).flip(0)  # the largest logit is that of class 0, the five largest those of 0 to 4
    errors = top_errors(lambda batch: order.expand(len(batch), 10), batches)
    assert errors == {"top1_error": 90.0, "top5_error": 50.0}
    assert errors_text("imagenet", errors) == "top-1 error 90.00 %, top-5 error 50.00 %"
    assert errors_text("cifar", errors) == "top-1 error 90.00 %"
    few = top_errors(lambda batch: order[:3].expand(len(batch), 3), batches)
    assert few == {"top1_error": pytest.approx(90.0)}
