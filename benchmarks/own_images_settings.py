"""Which settings for imbalanced and few images help: a fixed cell, trained with each of them on and off.

    python benchmarks/own_images_settings.py OUT --cifar10 FOLDER --imagenette FOLDER --seeds 5

Both folders are image folders; of CIFAR-10 (`train/CLASS`, `test/CLASS`) 3,000 training images are used, of the other
one all that `train/CLASS` and `val/CLASS` hold. OUT gets links to the images, a run folder for each training, and
`table.md`, which is printed too. Killed at any time, the same command goes on; with more `--seeds` it adds to what is
there. `--only table` prints the table of what is done. A seed of everything takes 70 minutes of an EPYC core; `--data`
and `--lengths` choose a part, so two processes can share the work in one folder.

Every seed draws its own training and test images and, in the imbalanced variant, which classes are rare. So seeds are
independent, and a setting is compared with the baseline seed by seed: the interval is Student's for the mean of these
differences. `shown` stands for that interval alone: of twenty settings that change nothing, one is `shown` too.
"""

import argparse
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

from pcdarts.cli import run_command
from pcdarts.learn.by_class import read_by_class
from pcdarts.report.statistics import mean_interval
from pcdarts.run.run_folder import RunFolder

IMAGES, RARER, TESTED = 3000, 10, 500
"""Of CIFAR-10: training images, how many times larger the largest class is, test images of each class."""

BASELINE = "baseline"
SETTINGS = {
    BASELINE: "",
    "label smoothing 0.1": "--label-smoothing 0.1",
    "RandAugment 9": "--randaugment 9",
    "MixUp 0.2": "--mixup 0.2",
    "CutMix 1": "--cutmix 1",
    "EMA 0.99": "--ema 0.99",
    "no cutout": "--cutout 0",
    "no drop-path": "--drop-path 0",
    "class weights": "--class-weights balanced",
    "balanced sampling": "--sampling balanced",
}
OF_IMBALANCE = ("class weights", "balanced sampling")

FIXED = (
    "--recipe cifar10-small --data folder --genotype pc_darts_cifar10 --channels 8 --num-cells 5 --drop-path 0.1 "
    "--select last --validation-fraction 0 --loading resident --device cpu --threads 1"
)
DATA = {
    "cifar": "--image-size 32 --kind stride2 --batch-size 64 --cutout 8",
    "imbalanced": "--image-size 32 --kind stride2 --batch-size 64 --cutout 8",
    "imagenette": "--image-size 64 --kind stride4 --batch-size 32 --cutout 16",
}
EPOCHS = {
    "long": {"cifar": 24, "imbalanced": 24, "imagenette": 50},
    "short": {"cifar": 8, "imbalanced": 8, "imagenette": 16},
}
"""A long training takes about two minutes of an EPYC core, a short one three quarters of a minute."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--cifar10", type=Path)
    parser.add_argument("--imagenette", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--lengths", nargs="+", choices=EPOCHS, default=list(EPOCHS))
    parser.add_argument("--epochs", type=int, help="of every training instead, to try the script out")
    parser.add_argument("--only", choices=("table",))
    options = parser.parse_args()
    if options.only is None:
        for seed in range(options.seeds):  # every seed of all settings before the next one: there is always a table
            for length in options.lengths:
                for data in options.data:
                    source = options.imagenette if data == "imagenette" else options.cifar10
                    if source is None:
                        parser.error(f"{data} needs its images: --cifar10 FOLDER, --imagenette FOLDER")
                    folder = linked(options.out / "data" / f"{data}-{seed}", data, source, seed)
                    for name in settings_for(data):
                        epochs = options.epochs or EPOCHS[length][data]
                        train(run_of(options.out, length, data, name, seed), folder, data, name, epochs, seed)
            save_table(options.out)
    print(save_table(options.out))


def settings_for(data: str) -> list[str]:
    """The names of the settings that are tried on this data."""
    return [name for name in SETTINGS if data == "imbalanced" or name not in OF_IMBALANCE]


def run_of(out: Path, length: str, data: str, name: str, seed: int) -> RunFolder:
    return RunFolder(out / "runs" / length / data / name.replace(" ", "-") / f"seed-{seed}")


def linked(folder: Path, data: str, source: Path, seed: int) -> Path:
    """An image folder of links to the training and test images of this seed."""
    if folder.exists():
        return folder
    draw, making = random.Random(f"{data} {seed}"), folder.with_name(f"{folder.name}.making-{seed}")
    classes = sorted(path.name for path in (source / "train").iterdir() if path.is_dir())
    ranks = draw.sample(range(len(classes)), len(classes))
    for name, rank in zip(classes, ranks, strict=True):
        for part, images in chosen(data, source, name, rank, len(classes), draw):
            (making / part / name).mkdir(parents=True, exist_ok=True)
            for image in images:
                link = making / part / name / f"{image.parent.parent.name}-{image.name}"
                if not link.is_symlink():
                    link.symlink_to(image.resolve())
    making.rename(folder)
    return folder


def chosen(
    data: str, source: Path, name: str, rank: int, classes: int, draw: random.Random
) -> Iterator[tuple[str, list[Path]]]:
    """The training images and the test images of a class; by its rank it is a frequent or a rare one."""
    train, test = (
        sorted((source / part / name).glob("*.*")) for part in ("train", "val" if data == "imagenette" else "test")
    )
    if data == "imagenette":  # so few are tested that every seed tests others
        both = draw.sample(train + test, len(train) + len(test))
        yield from (("train", both[len(test) :]), ("test", both[: len(test)]))
        return
    shares = [1.0 if data == "cifar" else RARER ** (-i / (classes - 1)) for i in range(classes)]
    yield "train", draw.sample(train, round(IMAGES * shares[rank] / sum(shares)))
    yield "test", draw.sample(test, min(TESTED, len(test)))


def train(run: RunFolder, folder: Path, data: str, name: str, epochs: int, seed: int) -> None:
    """Begin one training or resume it, unless it is finished."""
    if run.is_finished:
        return
    command = ["train", "--resume", str(run.path)]
    if not run.config.is_file():
        flags = f"{FIXED} {DATA[data]} --epochs {epochs} --test-every {epochs} --seed {seed} {SETTINGS[name]}"
        command = ["train", *merged(flags), "--data-root", str(folder), "--run", str(run.path)]
    code = run_command(command)
    if code != 0:
        sys.exit(code)


def merged(flags: str) -> list[str]:
    """The flags, of each the last one."""
    words = flags.split()
    last = dict(zip(words[::2], words[1::2], strict=True))
    return [word for flag in last.items() for word in flag]


def scores(run: RunFolder, folder: Path) -> dict[str, float] | None:
    """Balanced accuracy, and the accuracy on test images that are as imbalanced as the training images, in %."""
    if not run.is_finished:
        return None
    details = read_by_class(run.read_result()["test_details"])
    assert details is not None, f"{run.path} does not say what it recognises class by class"
    counts = [len(list((folder / "train" / name).iterdir())) for name in details.classes]
    weighted = sum(count * (one.accuracy or 0) for count, one in zip(counts, details.per_class, strict=True))
    return {"balanced accuracy": details.balanced_accuracy, "accuracy": weighted / sum(counts)}


def save_table(out: Path) -> str:
    """Write what the finished runs say to `table.md`, and return it."""
    parts = []
    for length in EPOCHS:
        for data in DATA:
            found: dict[str, dict[int, dict[str, float]]] = {}
            for name in settings_for(data):
                for path in sorted(run_of(out, length, data, name, 0).path.parent.glob("seed-*")):
                    seed = int(path.name.removeprefix("seed-"))
                    if (values := scores(RunFolder(path), out / "data" / f"{data}-{seed}")) is not None:
                        found.setdefault(name, {})[seed] = values
            if BASELINE in found:
                measures = ["balanced accuracy", "accuracy"] if data == "imbalanced" else ["balanced accuracy"]
                parts += [table(length, data, measure, found) for measure in measures]
    text = "\n\n".join(parts) or "no training is finished yet"
    (out / "table.md").write_text(f"{text}\n", "utf-8")
    return text


def table(length: str, data: str, measure: str, found: dict[str, dict[int, dict[str, float]]]) -> str:
    """One measure of all settings on one kind of data, as Markdown."""
    weighted = " with the class sizes of the training images" if measure == "accuracy" else ""
    lines = [f"**{data}, {length} trainings: {measure}{weighted}, %**", ""]
    lines += ["| setting | n | mean | difference to the baseline (95 % interval) | shown |", "|---|---|---|---|---|"]
    for name, seeds in found.items():
        mean = fmean(values[measure] for values in seeds.values())
        both = sorted(seeds.keys() & found[BASELINE].keys())
        interval = mean_interval([seeds[seed][measure] - found[BASELINE][seed][measure] for seed in both])
        said, shown = "", ""
        if interval is not None and name != BASELINE:
            said = f"{interval.mean:+.2f} ({interval.low:+.2f} to {interval.high:+.2f})"
            shown = "no" if interval.low <= 0 <= interval.high else "better" if interval.mean > 0 else "worse"
        lines.append(f"| {name} | {len(seeds)} | {mean:.2f} | {said} | {shown} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
