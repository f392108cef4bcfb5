"""`pcdarts detect test`: measure a trained detector, write its detections for COCO's server, or draw them."""

import math
from dataclasses import dataclass, replace

from pcdarts.config.detect_config import DetectTestConfig, DetectTrainConfig
from pcdarts.config.recipes import resolve
from pcdarts.data.coco.coco import CocoData, load_coco_test
from pcdarts.data.coco.coco_sets import with_classes
from pcdarts.data.images import classes_line
from pcdarts.detect.average_precision import precisions, write_submission
from pcdarts.detect.detecting import detection_data, drop_unreadable, find_objects, make_detector, measuring_batches
from pcdarts.detect.detector import Detector
from pcdarts.detect.draw_boxes import MOST_DRAWN, draw_detections
from pcdarts.errors import InputError
from pcdarts.learn.contact_sheet import names_beside
from pcdarts.run.checkpoint import load_checkpoint
from pcdarts.run.device import choose_device
from pcdarts.run.run_folder import RunFolder
from pcdarts.run.whole_files import refuse_existing

DRAWN_IMAGES = 16
"""The most images on one sheet."""


def run_detect_test(config: DetectTestConfig) -> dict[str, float]:
    """Print and return the average precision of a trained detector; write or draw its detections if asked to.

    Raises:
        InputError: there is no finished detect train run, or the data does not fit its training data.
        RunError: a file cannot be saved.
    """
    refuse_existing("--submission", config.submission)
    refuse_existing("--draw", config.draw)
    refuse_existing("--draw", config.draw and names_beside(config.draw))
    run = RunFolder.open(config.run)
    trained = resolve(DetectTrainConfig, file=run.config)
    run.read_result()
    known = load_detector(trained, run)
    data = _test_data(config, trained, tuple(known.classes), f"the run {run.path}")
    images = data.test
    if not images.has_annotations and not (config.submission or config.draw):
        raise InputError(f"{images.name} has no annotations to measure against: give --submission FILE, or --draw FILE")
    for note in (classes_line(known.classes), *data.notes):
        print(note)
    device = choose_device(config.device, config.threads)
    batches = measuring_batches(config, images, trained.image_size, known.mean, known.std, device)
    found = find_objects(known.detector.to(device), batches)
    images = drop_unreadable(images, batches)
    for line in [*data.skipped, *batches.skipped.values()]:
        print(f"skipped: {line}")
    if config.submission:
        left_out = write_submission(config.submission, images, found)
        without = f", without {left_out} of categories that {images.name} does not have" if left_out else ""
        print(f"{config.submission}: the detections in {len(images)} images of {images.name}{without}")
    if config.draw:
        drawn = images.subset(range(min(DRAWN_IMAGES, len(images))))
        undrawn = draw_detections(drawn, found, config.draw, threshold=config.threshold, columns=4)
        fewer = f", at most {MOST_DRAWN} in each ({undrawn} with lower scores are not drawn)" if undrawn else ""
        print(
            f"{config.draw}: what was found in {len(drawn)} images with a score of {config.threshold:g} or more{fewer};"
            " what the annotations say is white"
        )
    if not images.has_annotations:
        return {}
    precision, by_class = precisions(images, found)
    figures = "  ".join(
        f"{name.replace('_', ' ')} " + ("unknown" if math.isnan(value) else f"{value:.2f} %")
        for name, value in precision.items()
    )
    print(f"{run.path} on {len(images)} images of {images.name}: {figures}")
    for line in by_class.lines():
        print(line)
    return precision


def _test_data(config: DetectTestConfig, trained: DetectTrainConfig, classes: tuple[str, ...], whose: str) -> CocoData:
    """The images that `config` names, or the test set of the run, labelled by the `classes` of `whose` detector."""
    update = {"data_root": config.data_root, "test_images": config.test_images, "on_bad_image": config.on_bad_image}
    like = trained.model_copy(update={name: value for name, value in update.items() if value is not None})
    if config.test_set is None and (like.test_set is None or like.train_sets == (like.test_set,)):
        data = detection_data(like)  # the test images depend on the training sets
        return replace(data, test=with_classes(data.test, classes, whose))
    assert like.data_root is not None  # no run is trained without it
    data = load_coco_test(
        like.data_root,
        config.test_set or like.test_set or "",
        test_images=config.test_images if config.test_set else like.test_images,
        seed=like.seed,
        on_bad_image=like.on_bad_image,
        classes=classes,
        whose=whose,
    )
    if config.data_root is None and config.test_set in trained.train_sets:
        note = f"warning: {whose} was trained on images of {config.test_set!r}, so the measured precision is too high"
        data = replace(data, notes=(*data.notes, note))
    return data


@dataclass(frozen=True)
class TrainedDetector:
    """The content of the checkpoint of a finished training."""

    detector: Detector
    classes: list[str]
    mean: list[float]
    std: list[float]


def load_detector(trained: DetectTrainConfig, run: RunFolder) -> TrainedDetector:
    """The detector trained in `run`, its classes, and the statistics of its images.

    Raises:
        InputError: the checkpoint is missing, damaged, or not of this run.
    """
    state = load_checkpoint(run.checkpoint, trained.fingerprint())
    try:
        classes = [str(name) for name in state["classes"]]
        mean, std = ([float(value) for value in state[name]] for name in ("mean", "std"))
        if not len(mean) == len(std) == 3:
            raise ValueError
        detector = make_detector(trained, len(classes))
        detector.load_state_dict(state["detector"])
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError):
        raise InputError(
            f"{run.checkpoint} does not fit the detector of its run: restore the file from a copy, or train again"
        ) from None
    return TrainedDetector(detector, classes, mean, std)
