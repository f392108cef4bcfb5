"""MixUp and CutMix of the batches of a training."""

from typing import Any

import pytest
import torch

from pcdarts.config.configs import TrainConfig
from pcdarts.data.streams import generator
from pcdarts.learn.few_images.mixing import Mixing
from pcdarts.learn.measure import Average

IMAGES = torch.rand(6, 3, 8, 8, generator=generator(0)).contiguous(memory_format=torch.channels_last)
LABELS = torch.tensor([0, 1, 2, 3, 0, 1])


def mixed(epoch: int = 0, step: int = 0, **settings: Any) -> tuple[torch.Tensor, torch.Tensor]:
    return Mixing(TrainConfig(**settings), 4)(IMAGES, LABELS, epoch, step)


def test_without_mixing_a_batch_is_what_it_was() -> None:
    images, labels = mixed()
    assert images is IMAGES
    assert labels is LABELS


@pytest.mark.parametrize("step", range(4))
def test_mixup_mixes_each_image_with_the_one_before_it_and_its_label_alike(step: int) -> None:
    images, shares = mixed(mixup=1, step=step)
    share = float(shares[0, 0])
    torch.testing.assert_close(images, share * IMAGES + (1 - share) * IMAGES.roll(1, 0))
    torch.testing.assert_close(shares[1], torch.tensor([1 - share, share, 0, 0]))
    assert 0 < share < 1
    assert images.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("step", range(4))
def test_cutmix_takes_a_piece_of_the_image_before_and_its_label_by_the_area(step: int) -> None:
    images, shares = mixed(cutmix=1, step=step)
    own, other = ((images == source).all(dim=1) for source in (IMAGES, IMAGES.roll(1, 0)))
    assert bool((own | other).all())
    torch.testing.assert_close(shares[2, 2], own[2].float().mean())
    assert images.is_contiguous(memory_format=torch.channels_last)


def test_the_mixture_is_that_of_its_place_in_the_run_and_with_both_kinds_each_batch_has_one() -> None:
    def is_cut(images: torch.Tensor) -> bool:
        return bool((images == IMAGES).any())

    both = {"mixup": 1, "cutmix": 1}
    batches = [mixed(step=step, **both)[0] for step in range(12)]
    assert 0 < sum(map(is_cut, batches)) < 12
    torch.manual_seed(5)
    assert torch.equal(mixed(step=3, **both)[0], batches[3])
    assert not torch.equal(mixed(epoch=1, step=3, **both)[0], batches[3])


def test_of_a_mixed_image_a_prediction_is_right_by_the_share_of_its_class() -> None:
    shares = torch.tensor([[0.75, 0.25, 0], [0, 1, 0]])
    average = Average("train")
    average.add(torch.tensor(1.0), torch.tensor([[2.0, 1, 0], [2, 1, 0]]), shares)
    assert average.named()["train_top1_error"] == pytest.approx(100 * (0.25 + 1) / 2)
    average.add(torch.tensor(1.0), torch.tensor([[0.0, 1, 0], [2, 1, 0]]), torch.tensor([1, 0]))
    assert average.named()["train_top1_error"] == pytest.approx(100 * (0.25 + 1 + 0 + 0) / 4)
