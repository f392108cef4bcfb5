"""RandAugment on batches is torchvision's on each image."""

import pytest
import torch
from torchvision.transforms import v2

from pcdarts.data.randaugment import CHANGES, DRAWS, draw_changes, rand_augment
from pcdarts.data.streams import generator


@pytest.mark.parametrize("channels", [1, 3])
def test_each_image_is_changed_as_torchvision_changes_it_alone(channels: int) -> None:
    images = torch.randint(0, 256, (48, channels, 12, 12), dtype=torch.uint8, generator=generator(0))
    before, seeds = images.clone(), draw_changes(48, generator(1))
    changed = rand_augment(images, seeds, magnitude=9)
    assert torch.equal(images, before)
    one_change = v2.RandAugment(num_ops=1, magnitude=9)
    for image, own, seeds_of_image in zip(images, changed, seeds.T.tolist(), strict=True):
        with torch.random.fork_rng(devices=[]):
            for seed in seeds_of_image:
                torch.manual_seed(seed)
                image = one_change(image)
        assert torch.equal(own, image)


def test_every_image_gets_any_of_the_draws_of_its_batch_for_each_change() -> None:
    seeds = draw_changes(2000, generator(0))
    assert seeds.shape == (CHANGES, 2000)
    drawn = [of_change.unique(return_counts=True)[1] for of_change in seeds]
    assert all(len(counts) == DRAWS and counts.min() > 80 for counts in drawn)  # 125 on average
    assert len(seeds.unique(dim=1).T) > DRAWS**2 * 0.95  # nearly all pairs: one change says nothing of the other


def test_a_larger_magnitude_changes_more() -> None:
    images = torch.randint(0, 256, (64, 3, 12, 12), dtype=torch.uint8, generator=generator(0))
    seeds = draw_changes(64, generator(1))
    weak, strong = ((rand_augment(images, seeds, m).float() - images.float()).abs().mean() for m in (2, 20))
    assert weak < 0.7 * strong
