"""What `pcdarts fit` looks at before it plans: which images there are, from names and headers alone."""

import os
import statistics
import time
from contextlib import suppress

import numpy as np

from pcdarts.config.fit_config import FitConfig
from pcdarts.data.disk.decode import BadImage, decode, open_image, stored_size, strict_warnings
from pcdarts.data.disk.encoded import find_files
from pcdarts.data.disk.image_files import ImageFiles
from pcdarts.data.disk.image_folder import ImageFolder
from pcdarts.data.leaks import leaks_of_files
from pcdarts.errors import InputError, counted
from pcdarts.own_images.rules import LEAST_VALIDATION, VALIDATION, Facts

SAMPLE = 200
"""Images of which the header is read, evenly spread over the training images."""
DECODED = 8
"""Of these, images that are decoded, for the time that it takes."""


def look_at(config: FitConfig) -> tuple[Facts, tuple[str, ...]]:
    """The facts about the folder that `config` names, and what to say about what was found, used and ignored.

    Raises:
        InputError: as `load_data` refuses such a folder, or no image of the sample can be read.
    """
    found, fraction = _found(config)
    sides, square, grey, seconds = _sample_of(found.train, config.on_bad_image == "skip")
    sets = {"training": found.train, "validation": found.validation, "test": found.test}
    leaks = leaks_of_files({which: files.sources for which, files in sets.items() if files is not None})
    facts = Facts(
        classes=found.classes,
        train=_per_class(found.train, len(found.classes)),
        validation=_per_class(found.validation, len(found.classes)) if found.validation else (),
        test=_per_class(found.test, len(found.classes)),
        validation_fraction=fraction,
        sides=(min(sides), round(statistics.median(sides)), max(sides)),
        square=square,
        image_channels=1 if grey else 3,
        decode_seconds=seconds / min(8, os.cpu_count() or 1),
        leaks=leaks.counts,
    )
    return facts, (*found.notes, *leaks.notes)


def _found(config: FitConfig) -> tuple[ImageFolder, float]:
    """The files of the sets, and the part of the training images that is kept for validation.

    Where hardly any images would be kept, none are, unless the user wants it.

    Raises:
        InputError: as `load_data`.
    """

    def find(fraction: float) -> ImageFolder:
        return find_files(
            "folder",
            config.folder,
            None,
            config.train_set,
            config.test_set,
            config.train_images,
            None,
            config.seed or 0,
            validation_set=config.validation_set,
            validation_fraction=fraction,
        )

    wanted = VALIDATION if config.validation_fraction is None else config.validation_fraction
    if config.validation_fraction is not None or config.validation_set is not None:
        return find(wanted), wanted
    try:
        found = find(wanted)
    except InputError:  # which may be that there are too few to keep some of them
        return find(0.0), 0.0
    return (found, wanted) if found.validation and len(found.validation) >= LEAST_VALIDATION else (find(0.0), 0.0)


def _per_class(files: ImageFiles, classes: int) -> tuple[int, ...]:
    return tuple(files.labels.bincount(minlength=classes).tolist())


def _sample_of(files: ImageFiles, may_skip: bool) -> tuple[list[int], bool, bool, float]:
    """Of some images: their shorter sides, whether all are squares of one size and grey, and seconds to decode one.

    Raises:
        InputError: one cannot be read and none may be skipped, or none can be read at all.
    """
    every = np.unique(np.linspace(0, len(files) - 1, SAMPLE).round().astype(int))
    shapes, grey, unread = [], True, ""
    with strict_warnings():
        for index in every.tolist():
            try:
                (height, width), _ = stored_size(files.sources[index])
                with open_image(files.sources[index]) as image:
                    grey = grey and image.mode in ("1", "L", "LA", "La", "I", "F", "I;16")
                shapes.append((height, width))
            except BadImage as error:
                if not may_skip:
                    raise
                unread = error.line
        if not shapes:
            raise InputError(f"none of {counted(len(every), 'image')} can be read; one of them is {unread}")
        started, decoded = time.perf_counter(), 0
        for index in every[:: max(1, len(every) // DECODED)].tolist():
            with suppress(BadImage):  # the jobs say what cannot be decoded
                decode(files.sources[index])
                decoded += 1
    seconds = (time.perf_counter() - started) / max(decoded, 1)
    return [min(shape) for shape in shapes], len(set(shapes)) == 1 and shapes[0][0] == shapes[0][1], grey, seconds
