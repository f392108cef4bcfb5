"""COCO's average precision, computed by COCO's own tools, and the results file for its evaluation server."""

import contextlib
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pcdarts.data.coco.coco_images import CocoImages
from pcdarts.detect.by_class import PrecisionByClass
from pcdarts.errors import InputError
from pcdarts.extras import import_extra
from pcdarts.run.whole_files import write_text

_MEASURED = ("AP", "AP50", "AP75", "AP_S", "AP_M", "AP_L")
"""In the order of pycocotools: mean over IoU thresholds of 0.5 to 0.95; at 0.5; at 0.75; for objects with areas below
32², up to 96², and larger."""


def average_precision(images: CocoImages, detections: list[dict[str, Any]]) -> dict[str, float]:
    """The figures of `precisions` for all classes together."""
    return precisions(images, detections)[0]


def precisions(images: CocoImages, detections: list[dict[str, Any]]) -> tuple[dict[str, float], PrecisionByClass]:
    """Compare detections with the known objects; crowds are ignored.

    Args:
        detections: dicts with "image_id", "boxes" (left, top, right, bottom in pixels of the stored image) `[n, 4]`,
            "scores" `[n]` and "labels" `[n]`; an image may have several dicts, or none if nothing was found in it.

    Returns:
        AP, AP50, AP75, AP_S, AP_M and AP_L in %, NaN if there is no object of that size; and AP and AP50 of each class.

    Raises:
        InputError: pycocotools is missing, the objects are unknown, or a detection has another image or class.
    """
    if not images.has_annotations:
        raise InputError(f"the objects in {images.name!r} are not known: write a submission instead of measuring")
    coco = import_extra("pycocotools.coco", "detection", "average precision")
    cocoeval = import_extra("pycocotools.cocoeval", "detection", "average precision")
    objects = images.objects
    owners = np.repeat(images.image_ids, np.diff(images.ends, prepend=0))
    columns = (owners, objects.labels, objects.boxes, objects.areas, objects.crowd.astype(int))
    names = ("image_id", "category_id", "bbox", "area", "iscrowd")
    rows = zip(*(column.tolist() for column in columns), strict=True)
    known = [dict(zip(names, row, strict=True)) for row in rows]
    labels = range(1, len(images.classes) + 1)
    found = [
        one | {"area": one["bbox"][2] * one["bbox"][3], "iscrowd": 0} for one in _results(images, detections, labels)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = cocoeval.COCOeval(*(_indexed(coco, images, labels, boxes) for boxes in (known, found)), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    figures: NDArray[np.float64] = evaluation.stats[: len(_MEASURED)]  # -1 if there is no such object
    of_all = {
        name: 100 * float(figure) if figure >= 0 else float("nan")
        for name, figure in zip(_MEASURED, figures, strict=True)
    }
    counts = np.bincount(objects.labels[~objects.crowd], minlength=len(images.classes) + 1)[1:]
    # [IoU thresholds, recalls, classes], for objects of all sizes and the most detections in an image
    of_each: NDArray[np.float64] = evaluation.eval["precision"][:, :, :, 0, -1]
    per_class = [
        {"class": name, "objects": int(count), "AP": _mean(of_one), "AP50": _mean(of_one[0])}
        for name, count, of_one in zip(images.classes, counts, np.moveaxis(of_each, 2, 0), strict=True)
    ]
    return of_all, PrecisionByClass.model_validate({"per_class": per_class})


def _mean(precision: NDArray[np.float64]) -> float | None:
    """In %; None if there is no object, which pycocotools marks by -1."""
    return 100 * float(precision.mean()) if precision.min() >= 0 else None


def write_submission(path: Path, images: CocoImages, detections: list[dict[str, Any]]) -> int:
    """Write detections, as described in `average_precision`, to a file in COCO's results format.

    Returns:
        How many detections are left out because the annotation file has no category for their class.

    Raises:
        InputError: a detection has another image or class.
        RunError: the file cannot be written.
    """
    results = list(_results(images, detections, images.category_ids))
    known = [result for result in results if result["category_id"] is not None]
    write_text(path, json.dumps(known))
    return len(results) - len(known)


def _results(
    images: CocoImages, detections: list[dict[str, Any]], category_ids: Sequence[int | None]
) -> Iterator[dict[str, Any]]:
    """The detections one by one in COCO's results format; label l becomes `category_ids[l - 1]`."""
    image_ids = set(images.image_ids)
    if len(image_ids) < len(images):
        raise InputError(f"images of {images.name!r} have the same ids: measure the sets one by one")
    for of_image in detections:
        image_id = of_image["image_id"]
        if image_id not in image_ids:
            raise InputError(f"image {image_id}, which has detections, is not in {images.name!r}: give its image set")
        boxes, scores, labels = (of_image[name].tolist() for name in ("boxes", "scores", "labels"))
        for (left, top, right, bottom), score, label in zip(boxes, scores, labels, strict=True):
            if not 1 <= label <= len(images.classes):
                raise InputError(
                    f"a detection in image {image_id} has label {label}, but {images.name!r} has the classes "
                    f"1 to {len(images.classes)}: use a detector for these"
                )
            yield {
                "image_id": image_id,
                "category_id": category_ids[label - 1],
                "bbox": [left, top, right - left, bottom - top],
                "score": score,
            }


def _indexed(coco: Any, images: CocoImages, category_ids: Sequence[int], annotations: list[dict[str, Any]]) -> Any:
    """Annotations in the form of pycocotools: with ids from 1, since its matching uses 0 for "none"."""
    index = coco.COCO()
    index.dataset = {
        "images": [{"id": image_id} for image_id in images.image_ids],
        "categories": [{"id": category_id} for category_id in category_ids],
        "annotations": [{"id": number} | annotation for number, annotation in enumerate(annotations, start=1)],
    }
    index.createIndex()
    return index
