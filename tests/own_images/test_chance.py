"""What chance explains is no choice, and no network to use."""

from dataclasses import replace

import pytest

from made_facts import CIFAR
from pcdarts.own_images.chance import beats_chance, chance_error, choice_between
from pcdarts.own_images.rules import MOST_EPOCHS, Shape, Training, mirroring_of, settings_for
from pcdarts.own_images.words import no_better_than_chance


def test_chance_is_the_largest_class() -> None:
    assert chance_error((60, 20, 20)) == pytest.approx(40)
    assert not beats_chance(66.67, (15, 15, 15))
    assert beats_chance(40.0, (100, 100, 100))


@pytest.mark.parametrize(
    ("searched", "published", "images", "taken", "why"),
    [
        (66.67, 57.78, 15, False, "no difference is shown: neither is shown to be better than always naming the larg"),
        (57.78, 66.67, 15, False, "no difference is shown: neither is shown to be better than always naming the larg"),
        (40.0, 41.0, 100, False, "no difference is shown: of 300 images, chance explains as much"),
        (30.0, 45.0, 100, True, "the searched one is trained"),
        (45.0, 30.0, 100, False, "the published one is trained"),
    ],
)
def test_nothing_is_chosen_at_chance(searched: float, published: float, images: int, taken: bool, why: str) -> None:
    found, said = choice_between(searched, published, (images,) * 3)
    assert (found, said.startswith(why)) == (taken, True)


def test_a_network_that_is_no_better_than_chance_is_not_praised() -> None:
    (line,) = no_better_than_chance(91.0, CIFAR)
    assert line.startswith("warning: this is not shown to be better than always naming the largest class (a), which")
    assert no_better_than_chance(60.0, CIFAR) == []


def test_letters_and_digits_are_not_mirrored() -> None:
    assert mirroring_of(replace(CIFAR, classes=tuple("0123456789"))) == {"flip": False}
    assert mirroring_of(replace(CIFAR, classes=("ant", "b"))) == {}


def test_without_validation_images_test_images_are_measured_once() -> None:
    training = Training(Shape(32, "cifar", 5, 8), 64, 18, 1.0, 1.0)
    for epochs in (18, MOST_EPOCHS, 700):  # also where a faster machine makes more than 18 of them
        every = settings_for(CIFAR, replace(training, epochs=epochs))["test_every"]
        assert every >= max(epochs, MOST_EPOCHS)
    chosen_by_validation = settings_for(replace(CIFAR, validation=(30,) * 10), training)
    assert "test_every" not in chosen_by_validation
