"""Flags that people bring from other tools, and what a wrong flag or setting was meant to be."""

from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from typing import NamedTuple

from pcdarts.errors import listed


class Foreign(NamedTuple):
    """What another tool calls by a name that is not ours."""

    tool: str | None
    """Whose flag it is; None: common to many."""
    ours: tuple[str, ...]
    """What to type instead, the first of them that a job has: a flag, perhaps with a value, or an argument (`RUN`)."""
    how: str = ""
    """How ours differs, or why there is none."""


def _darts(*ours: str, how: str = "", tool: str = "DARTS") -> Foreign:
    return Foreign(tool, ours, how)


def _common(*ours: str, how: str = "") -> Foreign:
    return Foreign(None, ours, how)


FOREIGN: dict[str, Foreign] = {
    # The scripts of DARTS, PC-DARTS and P-DARTS; what they call as we do is not here.
    "add-layers": _darts(how="the progressive search of P-DARTS is not in pcdarts", tool="P-DARTS"),
    "add-width": _darts(how="the progressive search of P-DARTS is not in pcdarts", tool="P-DARTS"),
    "arch": _darts("--genotype", "GENOTYPE", how="a published name, a file or a run folder"),
    "begin": _darts("--arch-frozen-epochs", tool="PC-DARTS"),
    "cifar100": _darts("--data cifar100", tool="P-DARTS"),
    "cutout-length": _darts("--cutout", how="the side in pixels; 0 is off"),
    "data": _darts("--data-root", how="a folder"),
    "decay-period": _darts("--learning-rate-schedule", how="linear or cosine, not in steps"),
    "drop-path-prob": _darts("--drop-path"),
    "dropout-rate": _darts(how="the progressive search of P-DARTS is not in pcdarts", tool="P-DARTS"),
    "gamma": _darts("--learning-rate-schedule", how="linear or cosine, not in steps"),
    "gpu": _darts("--device cuda:0", how="with the GPU's number"),
    "grad-clip": _darts("--gradient-clip"),
    "init-channels": _darts("--channels"),
    "label-smooth": _darts("--label-smoothing"),
    "layers": _darts("--num-cells"),
    "lr-scheduler": _darts("--learning-rate-schedule", how="cosine or linear; a search takes cosine", tool="PC-DARTS"),
    "model-path": _darts("--resume", "RUN", how="a run folder"),
    "note": _darts("--run", how="the folder to make", tool="PC-DARTS"),
    "parallel": _darts(how="start `torchrun --nproc-per-node N -m -- pcdarts ...`: one process for each GPU"),
    "report-freq": _darts(how="progress is always shown"),
    "save": _darts("--run", how="the folder to make"),
    "set": _darts("--data", tool="PC-DARTS"),
    "tmp-data-dir": _darts("--data-root", tool="PC-DARTS"),
    "train-portion": _darts("--weight-fraction"),
    "unrolled": _darts("--second-order"),
    # What is usual elsewhere.
    "aa": _common("--randaugment", how="the magnitude, such as 9"),
    "auto-augment": _common("--randaugment", how="the magnitude, such as 9"),
    "b": _common("--batch-size"),
    "batch": _common("--batch-size"),
    "bf16": _common("--amp bf16"),
    "bs": _common("--batch-size"),
    "checkpoint": _common("--resume", "RUN", how="a run folder"),
    "ckpt": _common("--resume", "RUN", how="a run folder"),
    "clip-grad": _common("--gradient-clip"),
    "class-weight": _common("--class-weights balanced"),
    "cpu": _common("--device cpu"),
    "cuda": _common("--device cuda"),
    "cutmix-alpha": _common("--cutmix"),
    "data-dir": _common("--data-root"),
    "data-path": _common("--data-root"),
    "dataset": _common("--data", how="the name of a data set; a folder of images is --data folder --data-root FOLDER"),
    "dir": _common("--data-root"),
    "ema-decay": _common("--ema"),
    "early-stopping": _common("--patience", how="a number of epochs, with --select best"),
    "early-stopping-patience": _common("--patience", how="with --select best"),
    "exp-name": _common("--run", how="the folder to make"),
    "finetune": _common("--init", how="a run folder or an exported file"),
    "fp16": _common("--amp fp16"),
    "gpus": _common(how="start `torchrun --nproc-per-node N -m -- pcdarts ...`: one process for each GPU"),
    "half": _common("--amp fp16"),
    "image-dir": _common("--data-root"),
    "img-size": _common("--image-size"),
    "imgsz": _common("--image-size"),
    "initial-checkpoint": _common("--init", how="a run folder or an exported file"),
    "input-size": _common("--image-size"),
    "j": _common("--workers"),
    "jobs": _common("--workers"),
    "local-rank": _common(how="torchrun tells each process its place"),
    "log-dir": _common("--run", how="the folder to make"),
    "log-interval": _common(how="progress is always shown"),
    "lr": _common("--learning-rate"),
    "lr-min": _common("--learning-rate-min"),
    "max-epochs": _common("--epochs"),
    "min-lr": _common("--learning-rate-min"),
    "mixed-precision": _common("--amp bf16", how="or fp16"),
    "mixup-alpha": _common("--mixup"),
    "model-ema": _common("--ema", how="the decay, such as 0.99"),
    "model-ema-decay": _common("--ema"),
    "name": _common("--run", how="the folder to make"),
    "no-cuda": _common("--device cpu"),
    "num-classes": _common(how="the classes are those of the data"),
    "num-layers": _common("--num-cells"),
    "num-workers": _common("--workers"),
    "opt": _common(how="the weights learn by momentum SGD, alpha and beta by Adam"),
    "optimizer": _common(how="the weights learn by momentum SGD, alpha and beta by Adam"),
    "out": _common("--run", how="the folder to make"),
    "out-dir": _common("--out", "--run", how="the folder to make"),
    "output": _common("--out", "--run", how="the folder to make"),
    "output-dir": _common("--out", "--run", how="the folder to make"),
    "random-seed": _common("--seed"),
    "root": _common("--data-root"),
    "sched": _common("--learning-rate-schedule"),
    "skip-cap": _common("--max-skips", how="the best cell with so few of them, by exact search"),
    "smoothing": _common("--label-smoothing"),
    "val-dir": _common("--validation-set", how="a folder below --data-root"),
    "val-fraction": _common("--validation-fraction"),
    "val-split": _common("--validation-fraction", how="or --validation-set, the name of a folder or split"),
    "validation-split": _common("--validation-fraction", how="or --validation-set, the name of a folder or split"),
    "verbose": _common(how="progress is always shown"),
    "warmup-epochs": _common("--lr-warmup-epochs"),
    "wd": _common("--weight-decay"),
    "weights": _common("--init", "RUN", how="a run folder or an exported file"),
    "world-size": _common(how="start `torchrun --nproc-per-node N -m -- pcdarts ...`"),
}
"""By name, without dashes in front."""

NEAR = 0.7
"""How alike two names are, of 1, before one is taken for the other."""


def meant(flag: str, known: Mapping[str, bool], elsewhere: Mapping[str, Collection[str]]) -> str:
    """What a flag that a job does not have was meant to be, as the end of a sentence; empty where nobody can tell.

    Args:
        flag: as it was typed, without its value.
        known: what the job has, by name (`--epochs`, `RUN`): whether it is a switch, which has a form `--no-...` too.
        elsewhere: what other jobs have, by job.
    """
    name = flag.lstrip("-").replace("_", "-")
    if f"--{name}" in known:
        return f": did you mean --{name}?"
    if foreign := FOREIGN.get(name):
        return _answer(flag, foreign, known, elsewhere)
    if name.startswith("no-") and known.get(other := f"--{name[3:]}") is False:
        return f": {other} is no switch, but takes a value"
    if jobs := [job for job, names in elsewhere.items() if f"--{name}" in names]:
        return f": it is a flag of {_commands(jobs)}"
    negation = "no-" if name.startswith("no-") else ""
    names = [other[2:] for other, is_switch in known.items() if other.startswith("--") and (is_switch or not negation)]
    close = nearest(name.removeprefix(negation), names)
    return f": did you mean --{negation}{close}?" if close else ""


def meant_setting(name: str, known: Collection[str]) -> str:
    """The same of a setting in a file, among those that are `known`, whose names have underscores."""
    dashed = {setting.replace("_", "-"): setting for setting in known}
    wrong = name.lstrip("-").replace("_", "-")
    if foreign := FOREIGN.get(wrong):
        for ours in foreign.ours:
            flag, _, value = ours.removeprefix("--").partition(" ")
            if flag in dashed:
                return f": here it is {dashed[flag]}{value and f': {value}'}"
        return f": {foreign.how}" if foreign.how and not foreign.ours else ""  # not what has a name like it
    close = nearest(wrong, dashed)
    return f": did you mean {dashed[close]}?" if close else ""


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The name that `name` is nearly, if there is one: by its letters, or because it is part of it word by word."""
    names = list(names)
    if close := get_close_matches(name, names, n=1, cutoff=NEAR):
        return close[0]
    words = set(name.split("-"))
    holding = [known for known in names if words <= set(known.split("-"))]
    return min(holding, key=len, default=None)


def _answer(flag: str, foreign: Foreign, known: Mapping[str, bool], elsewhere: Mapping[str, Collection[str]]) -> str:
    how = f" ({foreign.how})" if foreign.how else ""
    start = f"{foreign.tool}'s {flag} is" if foreign.tool else "here it is"
    for ours in foreign.ours:
        if _is_known(ours, known):
            return f": {start} {'' if ours.startswith('-') else 'the argument '}{ours}{how}"
    for ours in foreign.ours:
        if jobs := [job for job, names in elsewhere.items() if _is_known(ours, names)]:
            return f": {start} {ours} of {_commands(jobs)}{how}"
    return f": {foreign.how}" if foreign.how else ""


def _is_known(ours: str, names: Collection[str]) -> bool:
    return ours.split()[0] in names


def _commands(jobs: Iterable[str]) -> str:
    return listed([f"`pcdarts {job}`" for job in jobs], "and")
