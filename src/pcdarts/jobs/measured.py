"""Which images `pcdarts test` measures a trained network on: those that it has not learnt from."""

from dataclasses import replace
from typing import Any, Protocol

import torch

from pcdarts.config.configs import TestConfig, TrainConfig
from pcdarts.config.groups.values import IMAGE_FILES
from pcdarts.data.disk.depth import PixelRange
from pcdarts.data.disk.encoded import find_files
from pcdarts.data.disk.image_files import FileId, file_ids, files_digest
from pcdarts.data.disk.image_folder import ImageFolder
from pcdarts.data.disk.streaming import StreamedImages
from pcdarts.data.images import DataSet
from pcdarts.data.sources import load_data
from pcdarts.errors import InputError, counted
from pcdarts.learn.job_batches import how_to_read, reading_processes

KnownBy = tuple[str | None, str | None]
"""Fingerprints of the images of a run: of their files (names, sizes, classes), and of their pixels."""


class WhatIsKnown(Protocol):
    """What a trained network knows of the images that it has learnt from."""

    @property
    def image_size(self) -> int: ...
    @property
    def pixel_range(self) -> PixelRange | None: ...
    @property
    def known_by(self) -> KnownBy: ...


def own_data(trained: TrainConfig, *, places: dict[str, Any] | None = None, **reading: Any) -> DataSet:
    """The data that a run was trained and tested on, which may have moved to other `places` (`root`, `hub_name`).

    Raises:
        InputError: it cannot be read.
    """
    return load_data(
        trained.data,
        **{"root": trained.data_root, "hub_name": trained.hub_name} | (places or {}),
        **{"test_images": trained.test_images, "on_bad_image": trained.on_bad_image} | reading,
        train_set=trained.train_set,
        test_set=trained.test_set,
        validation_set=trained.validation_set,
        validation_fraction=trained.validation_fraction,
        train_images=trained.train_images,
        seed=trained.seed,
        **how_to_read(trained if trained.data in IMAGE_FILES else None),
    )


def data_to_measure(config: TestConfig, trained: TrainConfig, learnt: WhatIsKnown, device: torch.device) -> DataSet:
    """The images that `config` means, of which `test` is to be measured.

    Data that is not named is the run's own, which is also known where it has moved. Of other data it is the test set
    or, where there is none, all images but those that the run was trained on.

    Raises:
        InputError: they cannot be read, or the run was trained on all of them.
    """
    places = {"root": config.data_root, "hub_name": config.hub_name}
    places = {name: value for name, value in places.items() if value is not None}
    name = config.data or ("huggingface" if config.hub_name else trained.data)
    reading: dict[str, Any] = {
        "image_size": config.image_size or learnt.image_size,
        "pixel_range": config.pixel_range or learnt.pixel_range,
        "on_bad_image": config.on_bad_image or trained.on_bad_image,
        "workers": reading_processes(config.workers, device),
    }
    is_own = config.data is None and (not places or name not in IMAGE_FILES)
    if config.test_set is None and (is_own or has_moved_to(places, name, trained, learnt)):
        count = config.test_images or trained.test_images
        data = own_data(trained, places=places, test_images=count, **reading)
        if data.files is None or count != trained.test_images or is_known(data, learnt.known_by):
            return data
        changed = f"warning: these are not the images that {config.run} was trained and tested on"
        return replace(data, notes=(*data.notes, changed))
    if not places and name == trained.data:
        places = {"root": trained.data_root, "hub_name": trained.hub_name}
    options: dict[str, Any] = {**places, **reading, **how_to_read(trained if name in IMAGE_FILES else None)}
    options["learnt"] = learnt_files(trained) if name in ("folder", "imagenet") else ()
    options |= {"test_set": config.test_set, "test_images": config.test_images, "seed": trained.seed}
    return load_data(name, to_measure=True, **options)


def has_moved_to(places: dict[str, Any], name: str, trained: TrainConfig, learnt: WhatIsKnown) -> bool:
    """Whether what is at these places is what a run was trained and tested on."""
    if name not in IMAGE_FILES or name != trained.data:
        return False
    files, pixels = learnt.known_by
    try:
        if files is not None:
            found = files_of(trained, places)
            return files_digest(found.train, found.test, found.validation) == files
        own = own_data(trained, image_size=learnt.image_size, pixel_range=learnt.pixel_range, places=places)
        return own.digest() == pixels
    except InputError:  # it is something else
        return False


def is_known(data: DataSet, known_by: KnownBy) -> bool:
    """Whether these are the images of a run, as far as anybody can tell."""
    files, pixels = known_by
    return data.files == files if files is not None else pixels in (None, data.digest())


def files_of(trained: TrainConfig, places: dict[str, Any] | None = None) -> ImageFolder:
    """The files that a run was trained and tested on, as they would be found now."""
    where = {"root": trained.data_root, "hub_name": trained.hub_name} | (places or {})
    return find_files(
        trained.data,
        **where,
        train_set=trained.train_set,
        test_set=trained.test_set,
        train_images=trained.train_images,
        test_images=trained.test_images,
        seed=trained.seed,
        validation_set=trained.validation_set,
        validation_fraction=trained.validation_fraction,
    )


def learnt_files(trained: TrainConfig) -> set[FileId]:
    """The image files that a run was trained on or chosen by, as far as they are still there."""
    if trained.data not in ("folder", "imagenet"):
        return set()
    try:
        found = files_of(trained)
        parts = [files.sources for files in (found.train, found.validation) if files is not None]
        return {one for sources in parts for one in file_ids(sources) if one is not None}
    except InputError:  # the folder is gone, or is another one now
        return set()


def measured_text(data: DataSet) -> str:
    """How many images were measured, and which ones."""
    skipped = len(data.test.skipped) if isinstance(data.test, StreamedImages) else 0
    return f"of {counted(len(data.test) - skipped, 'image')} ({data.test_is})"
