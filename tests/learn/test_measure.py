"""What is reported of a classifier."""

from pathlib import Path

import pytest
import torch

from command_line import copy_of
from pcdarts.data.batches import Augmentation, Batches
from pcdarts.data.disk.streaming import StreamedImages
from pcdarts.data.images import Images
from pcdarts.data.sources import load_data
from pcdarts.learn.job_batches import plain_batches
from pcdarts.learn.measure import Mistake, errors_text, measure, top_errors
from pcdarts.run.processes import Processes

CPU = torch.device("cpu")


def brightness(images: torch.Tensor) -> torch.Tensor:
    """Logits of two classes, [B, 2]: the brighter an image, the more certainly it is of class 1."""
    light = images.mean(dim=(1, 2, 3))
    return torch.stack([-light, light], dim=1)


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


def test_the_mistakes_of_which_the_network_is_most_certain_come_first() -> None:
    shades = torch.tensor([10, 250, 140, 200, 8, 250], dtype=torch.uint8)
    images = Images(shades.view(-1, 1, 1, 1).expand(-1, 3, 8, 8).clone(), torch.tensor([0, 0, 0, 1, 1, 0]))
    measured = measure(brightness, plain_batches(images, (0.5,) * 3, (0.25,) * 3, 4, CPU))
    assert measured.predictions.tolist() == [0, 1, 1, 1, 0, 1]
    assert [mistake.image for mistake in measured.mistakes(9)] == [1, 5, 4, 2]  # equal ones in their order
    certain = torch.tensor([(8 / 255 - 0.5) / 0.25]).mul(-2).sigmoid().item()
    assert measured.mistakes(3)[2] == Mistake(4, 1, 0, pytest.approx(certain))
    assert measured.errors == {"top1_error": pytest.approx(400 / 6)}


def test_the_shares_of_two_processes_together_are_all_images() -> None:
    images = Images(torch.zeros(7, 1, 8, 8, dtype=torch.uint8), torch.arange(7) % 2)
    shares = [
        measure(brightness, plain_batches(images, (0.0,), (1.0,), 4, CPU, Processes(rank, 2))).images for rank in (0, 1)
    ]
    assert sorted(torch.cat(shares).tolist()) == list(range(7))


def test_streamed_images_that_cannot_be_read_are_left_out_and_the_others_keep_their_numbers(
    colour_images: Path, tmp_path: Path
) -> None:
    folder = copy_of(colour_images, tmp_path / "images")
    options = {"root": folder, "image_size": 16, "loading": "streaming", "on_bad_image": "skip"}
    test = load_data("folder", **options).test
    assert isinstance(test, StreamedImages)
    Path(str(test.files.sources[1])).write_bytes(b"no image")
    measured = measure(brightness, plain_batches(test, (0.0,) * 3, (1.0,) * 3, 2, CPU))
    left = [index for index in range(len(test)) if index != 1]
    assert measured.images.tolist() == left
    assert measured.labels.tolist() == test.labels[left].tolist()
    assert len(test.skipped) == 1
