"""Parts e and f of `gpu_session.py`: the paper's search and its evaluation network, as real jobs that are stopped."""

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from gpu_session_commands import Session, pcdarts
from gpu_session_parts import Ask

SEARCH_EPOCHS, FROZEN_EPOCHS, TRAIN_EPOCHS = 50, 15, 600
"""Of the paper (Sec. 4.2): its search, those of it with α and β frozen, and its training."""

LIMITS = (0.4, 0.5, 0.55, 1.0)
"""Of the time that is left when the turn of each precision comes: the first two must not fail for lack of it."""

WORTH_SECONDS = 90
"""Without so many left, a second search would end before its first epoch does."""

TRAIN_IMAGES = 50_000
"""Of CIFAR-10."""

EARLY_IMAGES = 7_680
"""Of the short search: 15 batches of each split, so that a second epoch of each kind comes within a minute or two."""


@dataclass
class Epochs:
    """The epochs of a run that is going on, read from its folder."""

    run: Path
    records: list[dict[str, Any]] = field(default_factory=list)
    seen_at: list[float] = field(default_factory=list)
    """On the monotonic clock, when each was first seen: with checkpoint and everything."""

    def read(self) -> int:
        """Take what is new; returns how many epochs there are."""
        path = self.run / "metrics.jsonl"
        lines = path.read_text("utf-8").split("\n")[:-1] if path.exists() else []  # the last may be half written
        for line in lines[len(self.records) :]:
            self.records.append(json.loads(line))
            self.seen_at.append(time.monotonic())
        return len(self.records)

    def seconds(self) -> list[float]:
        """Of the steps of each epoch, as the job counts them: the first one warms up, too."""
        totals = [0.0, *(record["seconds"] for record in self.records)]
        return [round(after - before, 3) for before, after in pairwise(totals)]

    def steady(self) -> float | None:
        """The median of all epochs but the first; of that one where there is no other."""
        found = self.seconds()[1:] or self.seconds()
        return statistics.median(found) if found else None

    def between(self) -> list[float]:
        """Seconds from the end of one epoch to that of the next: checkpoint, metrics and everything."""
        return [round(after - before, 2) for before, after in pairwise(self.seen_at)]


def enough(epochs: Epochs, count: int, each: Callable[[], None] = lambda: None) -> Callable[[], bool]:
    """For `Session.command`: says so when there are so many epochs; calls `each` whenever there is a new one."""
    before = 0

    def watch() -> bool:
        nonlocal before
        now = epochs.read()
        if now > before:
            before = now
            each()
        return now >= count

    return watch


# ---- f: the evaluation network ----

PRECISIONS: list[tuple[str, list[str], dict[str, str]]] = [
    ("float32", [], {}),
    ("bf16", ["--amp", "bf16"], {}),
    ("tf32", [], {"TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "1"}),
    ("float32-without-tf32", [], {"NVIDIA_TF32_OVERRIDE": "0"}),
]
"""Flags and environment of each. Without either, PyTorch has convolutions in TF32 and matrix products in float32."""


def training_rate(session: Session, ask: Ask) -> None:
    """Images per second of the training job itself, at the paper's setting, in each precision."""
    assert ask.images is not None
    steps = 4 if ask.tiny else 20
    batch = 8 if ask.tiny else 128
    size = ["--channels", "4", "--num-cells", "3", "--auxiliary"] if ask.tiny else []
    part = session.part("f")
    part["images"], rates = ask.images.what, part.setdefault("rates", {})
    precisions = PRECISIONS[:1] if ask.tiny else PRECISIONS
    for place, (name, flags, environment) in enumerate(precisions):
        run = session.work / "runs" / f"f-{name}"
        epochs = Epochs(run)
        words = ["train", "--recipe", "cifar10", "--genotype", "pc_darts_cifar10", "--data", "folder"]
        words += ["--data-root", str(ask.images.folder), "--train-images", str(steps * batch), "--test-images", "100"]
        words += ["--batch-size", str(batch), "--test-every", str(TRAIN_EPOCHS), "--run", str(run), *size, *flags]
        limit = ask.left() * LIMITS[place]
        session.command(
            "f",
            name,
            pcdarts(*words, "--device", ask.device),
            limit,
            environment=environment,
            watch=enough(epochs, 3),
        )
        epochs.read()
        rates[name] = {"steps_per_epoch": steps, "batch": batch, "seconds": epochs.seconds()}
        if steady := epochs.steady():
            rate = steps * batch / steady
            hours = TRAIN_EPOCHS * TRAIN_IMAGES / rate / 3600
            rates[name] |= {"images_per_second": round(rate, 1), "hours_of_600_epochs_estimated": round(hours, 2)}
            rates[name]["of_the_first_epoch_alone"] = len(epochs.records) == 1
        session.save()
    part["lines"] = [
        f"{name}: {rate['images_per_second']:.0f} images/s; 600 epochs of 50,000 images would take "
        f"{rate['hours_of_600_epochs_estimated']:.1f} h (estimated)"
        + (", from the first epoch alone, with its warm-up" if rate["of_the_first_epoch_alone"] else "")
        if "images_per_second" in rate
        else f"{name}: no epoch came to its end"
        for name, rate in rates.items()
    ]


# ---- e: the search ----


def paper_search(session: Session, ask: Ask) -> None:
    """First epochs of few images, two with α and β frozen and two with them learning, for their cost; then the paper's.

    Where the time is short the second one is left out: a process reads all images first, and cuDNN takes a while until
    it has chosen how to compute every shape.
    """
    assert ask.images is not None
    part = session.part("e")
    part["images"] = ask.images.what
    few = ["--arch-frozen-epochs", "2"] + ([] if ask.tiny else ["--train-images", str(EARLY_IMAGES)])
    early = search(session, ask, "early-alpha", few, ask.left(), until_epochs=4)
    paper = search(session, ask, "paper", [], ask.left() if ask.left() > WORTH_SECONDS or ask.tiny else 0)
    share = 1 if ask.tiny else TRAIN_IMAGES / EARLY_IMAGES
    of_early = [seconds * share for seconds in early.seconds()]
    frozen = paper.seconds()[1:FROZEN_EPOCHS] or of_early[1:2] or of_early
    learning = paper.seconds()[FROZEN_EPOCHS + 1 :] or of_early[3:] or of_early[2:]
    lines = [f"{ask.images.what}; {len(paper.records)} of {SEARCH_EPOCHS} epochs of the paper's search were done"]
    if frozen and learning:
        each, each_learning = statistics.median(frozen), statistics.median(learning)
        whole = FROZEN_EPOCHS * each + (SEARCH_EPOCHS - FROZEN_EPOCHS) * each_learning
        part["seconds_per_epoch"] = {"frozen": each, "with_alpha": each_learning}
        part["minutes_of_all_epochs_estimated"] = round(whole / 60, 2)
        lines.append(
            f"seconds per epoch: {each:.1f} with α and β frozen, {each_learning:.1f} while they learn; "
            f"all {SEARCH_EPOCHS} epochs would take {whole / 60:.1f} min (estimated)"
        )
    for name, epochs in (("early-alpha", early), ("paper", paper)):
        lines.append(f"{name}: seconds of each epoch {epochs.seconds()}, from end to end {epochs.between()}")
        lines += [f"  last record: {json.dumps(short(epochs.records[-1]))}"] if epochs.records else []
    part["lines"] = lines


def search(
    session: Session, ask: Ask, name: str, flags: list[str], limit: float, until_epochs: int = SEARCH_EPOCHS + 1
) -> Epochs:
    """Run a search of the paper's setting, stop it, and keep what came of each epoch."""
    assert ask.images is not None
    run = session.work / "runs" / f"e-{name}"
    epochs, part = Epochs(run), session.part("e")
    words = ["search", "--recipe", "cifar10", "--data", "folder", "--data-root", str(ask.images.folder), *flags]
    if ask.tiny:
        words += [
            "--channels",
            "4",
            "--num-cells",
            "3",
            "--num-nodes",
            "4",
            "--batch-size",
            "20",
            "--train-images",
            "160",
        ]
        words += ["--kernels", "plain"]
        until_epochs = min(until_epochs, 3)

    def keep() -> None:
        part[name] = {"records": epochs.records, "seconds": epochs.seconds(), "end_to_end": epochs.between()}
        part[name]["genotypes"] = {
            path.stem: json.loads(path.read_text("utf-8")) for path in sorted((run / "genotypes").glob("*.json"))
        }
        session.save()

    session.command(
        "e",
        name,
        pcdarts(*words, "--run", run, "--device", ask.device),
        limit,
        watch=enough(epochs, until_epochs, keep),
    )
    epochs.read()
    keep()
    for file in ("state.json", "result.json"):
        if (run / file).exists():
            part[name][file] = json.loads((run / file).read_text("utf-8"))
    return epochs


def short(record: dict[str, Any]) -> dict[str, Any]:
    """The numbers of an epoch without the mixture."""
    return {name: value for name, value in record.items() if isinstance(value, int | float)}
