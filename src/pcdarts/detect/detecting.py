"""What training and testing a detector share: the data, the batches, the detector, its detections and losses."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from pcdarts.config.detect_config import DetectTestConfig, DetectTrainConfig
from pcdarts.data.coco.boxes import BoxBatches
from pcdarts.data.coco.coco import CocoData, load_coco
from pcdarts.data.coco.coco_images import CocoImages
from pcdarts.detect.detector import Detector
from pcdarts.errors import InputError, RunError
from pcdarts.extras import import_extra
from pcdarts.jobs.outcome.find_genotype import find_genotype
from pcdarts.learn.job_batches import reading_processes, shared_batch_size
from pcdarts.run.processes import ALONE, Processes

Detections = dict[str, Any]
"""For one image: "image_id", "boxes" [n, 4] (left, top, right, bottom in pixels of the stored image), "scores" [n] and
"labels" [n]."""


def detection_data(config: DetectTrainConfig) -> CocoData:
    """The data that `config` names.

    Raises:
        InputError: it is missing or cannot be used, or pycocotools is not installed.
    """
    import_extra("pycocotools.cocoeval", "detection", "average precision")  # fails now, not after the first epochs
    if config.data_root is None:
        raise InputError(
            "data_root is not given, but a detector needs images with boxes: name a folder in COCO's layout"
        )
    data = load_coco(
        config.data_root,
        train_sets=config.train_sets,
        test_set=config.test_set,
        held_out=config.held_out,
        train_images=config.train_images,
        test_images=config.test_images,
        seed=config.seed,
        on_bad_image=config.on_bad_image,
    )
    for images in (data.train, data.test):
        if images.objects.crowd.all():  # or if there are none
            raise InputError(f"the objects in {images.name!r} are unknown, or there are none: use another set")
    return data


def learning_batches(
    config: DetectTrainConfig,
    images: CocoImages,
    mean: Sequence[float],
    std: Sequence[float],
    device: torch.device,
    processes: Processes,
) -> BoxBatches:
    """Shuffled, augmented batches for training.

    Raises:
        InputError: as in `shared_batch_size`.
    """
    batch_size, drop_last = shared_batch_size(config.batch_size, len(images), "train", processes)
    return BoxBatches(
        images,
        batch_size=batch_size,
        image_size=config.image_size,
        mean=mean,
        std=std,
        augment=config.augment,
        shuffle=True,
        seed=config.seed,
        stream="train",
        device=device,
        drop_last=drop_last,
        share=(processes.rank, processes.count),
        workers=reading_processes(config.workers, device, processes),
    )


def measuring_batches(
    config: DetectTrainConfig | DetectTestConfig,
    images: CocoImages,
    image_size: int,
    mean: Sequence[float],
    std: Sequence[float],
    device: torch.device,
    processes: Processes = ALONE,
) -> BoxBatches:
    """Batches for a measurement: in order, with images that are only resized and normalised."""
    return BoxBatches(
        images,
        batch_size=config.batch_size,
        image_size=image_size,
        mean=mean,
        std=std,
        augment=False,
        shuffle=False,
        seed=0,
        stream="test",
        device=device,
        share=(processes.rank, processes.count),
        workers=reading_processes(config.workers, device, processes),
    )


def make_detector(config: DetectTrainConfig, num_classes: int) -> Detector:
    """The detector that `config` describes, with random weights.

    Raises:
        InputError: there is no such network, or it cannot be the backbone of a detector.
    """
    return Detector(
        config.backbone or find_genotype(config.genotype),
        channels=config.channels,
        num_cells=config.num_cells,
        num_classes=num_classes,
        image_size=config.image_size,
        head_channels=config.head_channels,
        amp=config.amp,
        synchronize=config.synchronize_batch_norm,
    )


@torch.no_grad()
def find_objects(
    detector: Detector,
    batches: BoxBatches,
    processes: Processes = ALONE,
    between: Callable[[], None] = lambda: None,
) -> list[Detections]:
    """The detections in the images of one epoch, by image id; images without detections are left out.

    Every process handles its share of each batch and returns the detections of all. `between` is called after each
    batch.
    """
    detector.eval()
    rows = [torch.empty(0, 7, dtype=torch.float64)]
    seen = 0
    for seen, batch in enumerate(batches.epoch(0), 1):  # noqa: B007  # used below
        found = detector(batch.images)
        for image_id, objects, size in zip(batch.image_ids, found, batch.sizes, strict=True):
            scale = (size.flip(0).double() / detector.image_size).repeat(2)  # width, height, width, height
            boxes = objects["boxes"].cpu().double() * scale
            scores, labels = (objects[name].cpu().double().unsqueeze(1) for name in ("scores", "labels"))
            rows.append(torch.cat([torch.full_like(scores, image_id), boxes, scores, labels], dim=1))
        between()
    for _ in range(seen, len(batches)):  # a process may have no share of a small batch, but all must call this equally
        between()
    together = processes.gather(torch.cat(rows))
    together = together[together[:, 0].argsort(stable=True)]
    _, counts = together[:, 0].unique_consecutive(return_counts=True)
    return [
        {
            "image_id": int(of_image[0, 0]),
            "boxes": of_image[:, 1:5].float(),
            "scores": of_image[:, 5].float(),
            "labels": of_image[:, 6].long(),
        }
        for of_image in together.split(counts.tolist())
    ]


def drop_unreadable(images: CocoImages, batches: BoxBatches, processes: Processes = ALONE) -> CocoImages:
    """The images without those that a process skipped because they cannot be read; every process must call this.

    Raises:
        RunError: none is left.
    """
    skipped = processes.gather(torch.tensor(list(batches.skipped), dtype=torch.int64).view(-1, 1)).flatten().tolist()
    if not skipped:
        return images
    left = sorted(set(range(len(images))) - set(skipped))
    if not left:
        raise RunError(
            f"none of the {len(images)} images of {images.name!r} can be read: repair them, or use another set"
        )
    return images.subset(left)


class BoxLosses:
    """The losses of an epoch so far, per matched default box, over all processes."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self.clear()

    def clear(self) -> None:
        """Begin a new epoch."""
        self.sums: Tensor = torch.zeros(3, dtype=torch.float64)

    def add(self, losses: dict[str, Tensor], left_out: Tensor | None = None) -> None:
        """Add the losses that `Detector` returns for a batch, unless the boolean tensor `left_out` is true."""
        matched = losses["num_matched"].double()
        of_batch = [losses[name].detach().double() * matched for name in ("bbox_regression", "classification")]
        sums = torch.stack([*of_batch, matched])
        self.sums = self.sums.to(matched.device) + (sums if left_out is None else sums.masked_fill(left_out, 0))

    def so_far(self) -> dict[str, Tensor]:
        """`train_loss` and its parts `train_box_loss` and `train_class_loss`, of this process, on its device."""
        return _per_match(self.sums)

    def named(self) -> dict[str, float]:
        """The same over all processes, as plain numbers."""
        return {name: float(loss) for name, loss in _per_match(self.state_dict()["sums"]).items()}

    def state_dict(self) -> dict[str, Tensor]:
        """The sums over all processes, each of which must call this."""
        return {"sums": self._processes.total(self.sums.cpu())}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Continue from saved sums; the first process holds those of all."""
        self.clear()
        if self._processes.is_first:
            self.sums = state["sums"]


def _per_match(sums: Tensor) -> dict[str, Tensor]:
    box, classes = sums[:2] / sums[2].clamp(min=1)
    return {"train_loss": box + classes, "train_box_loss": box, "train_class_loss": classes}
