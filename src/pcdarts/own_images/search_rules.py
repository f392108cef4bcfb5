"""The rules of `pcdarts fit` about a search: whether there is one, and how long it is.

Pure functions, as in `rules.py`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pcdarts.cell.space import STEM_STRIDES
from pcdarts.own_images.rules import EPOCH_SECONDS, GOOD_EPOCHS, Facts, Shape, least_epochs, steps_in

SEARCH_IMAGES, SEARCH_LEAST_IMAGES = 4000, 2000
"""Training images of the shortest search that is shown to beat chance, and the least to search on by itself."""
SEARCH_STEPS, SEARCH_EPOCHS, SEARCH_BATCH = 930, 30, 64
"""Weight steps and epochs of that search."""
SEARCH_SHARE = 0.1
"""Of the time, the most that a search takes unless it is asked for."""
SEARCH_MOST_SHARE = 0.4
"""The most that one takes that is asked for."""
SEARCH_MAP = 16
"""Side of the maps that the cells of a search see."""
TRIAL_SHARE = 0.06
"""Of the time left, the training of each cell between which validation chooses."""
BEFORE_TRAINING = SEARCH_MOST_SHARE + 2 * max(TRIAL_SHARE, 2 / GOOD_EPOCHS)
"""Of the time, the most that a search and these trainings take, of two epochs at least."""


@dataclass(frozen=True)
class Search:
    """A search that is planned."""

    settings: Mapping[str, Any]
    """Those that follow from images and time; all others are those of the recipe for own images."""
    seconds: float


def search_settings(facts: Facts, shape: Shape) -> dict[str, Any]:
    """The settings of a search as short as one may be, for the images and the stem of a training.

    As many weight steps as the shortest search that is shown to beat chance, on maps as small as there.
    """
    images = min(facts.images, SEARCH_IMAGES)
    epochs = least_epochs(images // 2, SEARCH_BATCH, SEARCH_EPOCHS, SEARCH_STEPS)
    settings: dict[str, Any] = {
        "image_size": min(shape.image_size, SEARCH_MAP * STEM_STRIDES[shape.kind]),
        "kind": shape.kind,
        **_epochs(epochs),
        "network_channels": shape.channels,
        "network_cells": shape.num_cells,
        "network_image_size": shape.image_size,
    }
    return settings | ({"train_images": images} if images < facts.images else {})


def why_not_to_search(facts: Facts, mode: str) -> str | None:
    """Why no search is to be thought of, whatever it takes; None if one is."""
    if mode == "never":
        return "--search never"
    if mode == "always":
        return None
    if facts.images < SEARCH_LEAST_IMAGES:
        return (
            f"searches on fewer than {SEARCH_LEAST_IMAGES:,} training images are not shown to beat chance "
            "(--search always)"
        )
    return None


def plan_search(
    facts: Facts, shape: Shape, seconds: float, mode: str, step: tuple[float, float], epochs: int | None = None
) -> Search | str:
    """The search, or why there is none.

    Args:
        seconds: of the whole time.
        step: measured seconds of a weight step and of an α step.
        epochs: as many as the user has fixed.
    """
    settings = search_settings(facts, shape)
    images = settings.get("train_images", facts.images) // 2
    weight, arch = step
    moving = 1 - settings["arch_frozen_epochs"] / settings["epochs"]
    each = EPOCH_SECONDS + steps_in(images, SEARCH_BATCH) * (weight + moving * arch)
    needed = facts.load_seconds + settings["epochs"] * each
    if epochs is not None:
        return Search(settings | _epochs(epochs), facts.load_seconds + epochs * each)
    share = SEARCH_SHARE if mode == "auto" else SEARCH_MOST_SHARE
    if needed <= share * seconds:
        return Search(settings, needed)
    if mode == "auto":
        return (
            f"the shortest search that is shown to beat chance takes {needed / 60:.1f} min here, more than a tenth of "
            "the time (--minutes, --search always)"
        )
    epochs = max(3, math.floor((share * seconds - facts.load_seconds) / each))
    return Search(settings | _epochs(epochs), facts.load_seconds + epochs * each)


def _epochs(epochs: int) -> dict[str, int]:
    """The epochs of a search: in the first third α and β do not change."""
    return {"epochs": epochs, "arch_frozen_epochs": epochs // 3}
