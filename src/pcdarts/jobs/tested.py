"""What `pcdarts test` tells of the networks that it has measured: lines, JSON and a contact sheet of mistakes."""

import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pcdarts.config.configs import TestConfig
from pcdarts.data.disk.streaming import StreamedImages
from pcdarts.data.images import DataSet, Images
from pcdarts.errors import in_one_line
from pcdarts.learn.by_class import ByClass, by_class, mean_by_class
from pcdarts.learn.contact_sheet import MOST, draw_mistakes, image_name
from pcdarts.learn.measure import Measured

Say = Callable[[str], None]
SomeImages = Images | StreamedImages


@dataclass(frozen=True)
class Tested:
    """What was measured of a network, without the images."""

    path: Path
    classes: list[str]
    """Those of the network, in its order."""
    measured: Measured
    about: dict[str, Any]
    """What else is told as JSON: which images these were, the surest mistakes, what was skipped, the notes, and how
    many images are in two sets."""
    drawn: int | None
    """How many mistakes are on the sheet; None if none was asked for."""

    @property
    def details(self) -> ByClass:
        return by_class(self.classes, self.measured.labels.tolist(), self.measured.predictions.tolist())

    def as_json(self) -> dict[str, Any]:
        """Errors and accuracies in %, by class, and `about`."""
        return {"run": str(self.path), **self.measured.errors, **self.details.to_json(), **self.about}


def tested(
    path: Path, data: DataSet, images: SomeImages, classes: list[str], measured: Measured, sheet: Path | None
) -> Tested:
    """What was measured on `images`, the test images of `data` with labels and channels of the network from `path`.

    The surest mistakes are drawn in the file `sheet`, if it is given.

    Raises:
        RunError: the sheet cannot be saved.
    """
    mistakes = [
        {
            "image": image_name(mistake.image, data.test_sources),
            "class": classes[mistake.label],
            "prediction": classes[mistake.prediction],
            "probability": mistake.probability,
        }
        for mistake in measured.mistakes(MOST)
    ]
    about = {
        "measured_on": data.test_is,
        "mistakes": mistakes,
        "skipped": list(data.skipped),
        "leaks": data.leaks,
        "notes": list(data.notes),
    }
    drawn = None if sheet is None else draw_mistakes(sheet, images, measured, classes, data.test_sources)
    return Tested(path, classes, measured, about, drawn)


def tell(config: TestConfig, tested: Sequence[Tested], say: Say) -> None:
    """Say what the networks (one for each seed) are bad at, and what is on the sheet of the first one."""
    first, *others = tested
    if others:
        errors = [one.measured.errors["top1_error"] for one in tested]
        mean, std = statistics.mean(errors), statistics.stdev(errors)
        say(f"top-1 error {mean:.2f} ± {std:.2f} % (mean ± std of {len(errors)} seeds)")
    for line in mean_by_class([one.details for one in tested]).lines():
        say(line)
    of_first = f" of {first.path}, the first of {len(tested)} seeds" if others else ""
    if first.drawn:
        say(in_one_line(f"{config.mistakes}: the {first.drawn} surest mistakes{of_first}"))
    elif first.drawn == 0:
        say(in_one_line(f"{config.mistakes} is not written: there is no mistake{of_first}"))
    if config.as_json:
        print(json.dumps([one.as_json() for one in tested], indent=2))
