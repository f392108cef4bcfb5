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


@dataclass(frozen=True)
class Tested:
    """A network that was measured on the test images of `data`."""

    path: Path
    data: DataSet
    images: Images | StreamedImages
    """The test images with the labels and the channels of the network."""
    classes: list[str]
    """Those of the network, in its order."""
    measured: Measured

    @property
    def details(self) -> ByClass:
        return by_class(self.classes, self.measured.labels.tolist(), self.measured.predictions.tolist())

    def as_json(self) -> dict[str, Any]:
        """Errors and accuracies in %, by class; the surest mistakes; what was said of the data and left out."""
        mistakes = [
            {
                "image": image_name(mistake.image, self.data.test_sources),
                "class": self.classes[mistake.label],
                "prediction": self.classes[mistake.prediction],
                "probability": mistake.probability,
            }
            for mistake in self.measured.mistakes(MOST)
        ]
        return {
            "run": str(self.path),
            "measured_on": self.data.test_is,
            **self.measured.errors,
            **self.details.to_json(),
            "mistakes": mistakes,
            "skipped": list(self.data.skipped),
            "notes": list(self.data.notes),
        }


def tell(config: TestConfig, tested: Sequence[Tested], say: Say) -> None:
    """Say what the networks (one for each seed) are bad at, and draw what they were surest of, if that is asked for.

    Raises:
        RunError: the sheet cannot be saved.
    """
    first, *others = tested
    if others:
        errors = [one.measured.errors["top1_error"] for one in tested]
        mean, std = statistics.mean(errors), statistics.stdev(errors)
        say(f"top-1 error {mean:.2f} ± {std:.2f} % (mean ± std of {len(errors)} seeds)")
    for line in mean_by_class([one.details for one in tested]).lines():
        say(line)
    if config.mistakes is not None:
        drawn = draw_mistakes(config.mistakes, first.images, first.measured, first.classes, first.data.test_sources)
        of_first = f" of {first.path}, the first of {len(tested)} seeds" if others else ""
        if drawn:
            say(in_one_line(f"{config.mistakes}: the {drawn} surest mistakes{of_first}"))
        else:
            say(in_one_line(f"{config.mistakes} is not written: there is no mistake{of_first}"))
    if config.as_json:
        print(json.dumps([one.as_json() for one in tested], indent=2))
