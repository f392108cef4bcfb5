"""What `pcdarts fit` says: its plan in five lines, and its result."""

import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from pcdarts.config.fit_config import FitConfig
from pcdarts.data.leak_words import leak_sentences
from pcdarts.errors import counted, listed, shown
from pcdarts.jobs.outcome.sizes import cost_text, millions
from pcdarts.ops.processor import processor_name
from pcdarts.own_images.chance import chance_error, interval, standard_error
from pcdarts.own_images.planning import Plan, Planner
from pcdarts.own_images.rules import (
    Facts,
    Shape,
    Training,
    compared_networks,
    mirroring_of,
    published_cell,
)
from pcdarts.own_images.search_rules import Search
from pcdarts.run.ended_early import how_it_ended, more_than_planned
from pcdarts.run.run_folder import RunFolder

IMBALANCED = 3.0
"""From so many times as many images in the largest class as in the smallest one on, this is said."""

FEW_IMAGES = 20
"""Of a class with fewer test images the accuracy shows little."""


def plan_lines(config: FitConfig, planner: Planner, plan: Plan) -> list[str]:
    """The plan in five lines, each with the flags that change it."""
    facts, training = planner.facts, plan.training
    shape = training.shape
    size = planner.size(shape, config.genotype)
    cost = cost_text({"params": size.params, "mult_adds": size.mult_adds})
    cell = config.genotype or f"the published cell {published_cell(shape.kind)}"
    if isinstance(plan.search, Search):
        search = plan.search.settings
        how = (
            f"searched in {counted(search['epochs'], 'epoch')} of {search['image_size']}x{search['image_size']} pixels"
        )
        cell = f"{how}, or {cell}: {counted(plan.trial_epochs, 'epoch')} of each, then the validation error decides"
    else:
        cell = f"{shown(cell, 100)}; no search: {plan.search}"
    choice = "the epoch with the lowest validation error is kept (--select)"
    if config.select == "last":
        choice = "the last epoch is kept (--select)"
    elif not facts.validation:
        choice = "the last epoch is kept, for there are too few images to choose by (--validation-fraction)"
    changing = "" if config.epochs else "; more or fewer if this machine becomes faster or slower"
    return [
        f"images: {images_text(facts)}",
        f"network: {shape.image_size}x{shape.image_size} pixels (--image-size), stem {shape.kind} (--kind), "
        f"{shape.num_cells} cells (--num-cells) of {shape.channels} channels (--channels); {cost} "
        f"(--max-params, --max-mult-adds){limit_text(config, planner, shape)}",
        f"cell: {cell} ({'--genotype' if '--search' in cell else '--search, --genotype'})",
        f"training: {counted(training.epochs, 'epoch')} (--epochs{changing}) of batches of {training.batch_size} "
        f"(--batch-size), random crops, {mirrored_text(config, facts)}, cutout (--cutout); {choice}",
        f"time: {_minutes(60 * config.minutes)} (--minutes): {time_text(config, plan)}",
    ]


def mirrored_text(config: FitConfig, facts: Facts) -> str:
    """Whether images are mirrored, and why not."""
    if config.flip is None and mirroring_of(facts):
        return "not mirrored, for the classes are letters or digits (--flip)"
    return "not mirrored (--no-flip)" if config.flip is False else "mirrored (--no-flip)"


def images_text(facts: Facts) -> str:
    """`10 classes, 2,550 training and 1,000 test images of 32x32 pixels, in colour`."""
    low, median, high = facts.sides
    size = f"{low}x{low} pixels" if facts.square else f"{low} to {high} pixels on the shorter side, {median} most often"
    if not facts.square and low == high:
        size = f"{low} pixels on the shorter side"
    colour = "in colour" if facts.image_channels == 3 else "greyscale"
    validation = f", {sum(facts.validation):,} validation" if facts.validation else ""
    text = (
        f"{counted(len(facts.classes), 'class', 'classes')}, {facts.images:,} training{validation} and "
        f"{sum(facts.test):,} test images of {size}, {colour}"
    )
    if facts.imbalance >= IMBALANCED:
        few, many = (facts.classes[facts.train.index(end(facts.train))] for end in (min, max))
        text += (
            f"; imbalanced: {max(facts.train):,} of {shown(many, 40)}, {min(facts.train):,} of {shown(few, 40)}, "
            "which changes nothing in the training (--class-weights, --sampling)"
        )
    return "; ".join([text, *leak_sentences(facts.leaks)])


def limit_text(config: FitConfig, planner: Planner, shape: Shape) -> str:
    """The latency of the network, where it has a limit, and on which device."""
    if config.max_latency is None:
        return ""
    where = f"predicted for {planner.table.device}" if planner.table else "measured here"
    return f"; {planner.latency(shape, config.genotype):.2f} ms {where} (--max-latency)"


def time_text(config: FitConfig, plan: Plan) -> str:
    """How the time is shared out."""
    training = plan.training
    parts = []
    if isinstance(plan.search, Search):
        trials = 2 * (training.load_seconds + plan.trial_epochs * training.epoch_seconds)
        parts = [f"{_minutes(plan.search.seconds)} search", f"{_minutes(trials)} choice"]
    parts += [f"{_minutes(training.seconds)} training"]
    parts += [f"{_minutes(training.export_seconds)} export"] if config.export else []
    compared = compared_networks(config.compare, config.minutes)
    if compared:
        time, names = _minutes(training.compare_seconds), listed(compared, "and")
        parts.append(f"{time} comparison with {names} (--compare{alone_text(training, plan.alone)})")
    return ", ".join(parts)


def alone_text(training: Training, alone: Training | None) -> str:
    """What training there would be time for without the comparison."""
    if alone is None or (alone.shape, alone.epochs) == (training.shape, training.epochs):
        return ""
    text = f" none: {_minutes(alone.seconds)} training, {counted(alone.epochs, 'epoch')}"
    if (shape := alone.shape) != training.shape:
        pixels = f", {shape.image_size}x{shape.image_size} pixels" * (shape.image_size != training.shape.image_size)
        text += f" of {shape.num_cells} cells of {shape.channels} channels{pixels}"
    return text


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f}".removesuffix(".0") + " min"


def choice_line(searched: float, published: float, images: int, epochs: int) -> str:
    """The validation errors, in % of so many images, by which the cell was chosen, and how exact they are."""
    error = standard_error(searched, published, images)
    return (
        f"validation error after {counted(epochs, 'epoch')} each: {searched:.2f} % with the searched cell, "
        f"{published:.2f} % with the published one, {searched - published:+.2f} points with a standard error of "
        f"{error:.2f} ({counted(images, 'image')})"
    ).replace(" -", " −")


def cell_chosen(trained: str, wanted: str | None, searched: bool, choice: Sequence[str]) -> dict[str, str]:
    """Which cell is trained, for the result: where it is from, and a line with the reasons.

    Args:
        trained: as `pcdarts train --genotype` is told; a published one if `wanted` is None.
        searched: whether it is the one that this fit has searched.
    """
    origin = "searched" if searched else "published" if wanted is None else "given"
    said = {"searched": "the one that was searched here", "published": f"the published one {trained}"}.get(
        origin,
        "the one that --genotype names",  # which may be a private path
    )
    return {"origin": origin, "said": "; ".join([said, *choice])}


def closing_lines(run: RunFolder, config: FitConfig, facts: Facts, result: dict[str, Any]) -> list[str]:
    """The result in a few lines."""
    error, images = result["test_top1_error"], sum(facts.test)
    low, high = interval(error / 100, images)
    minutes = result["seconds"] / 60
    return [
        f"test error {error:.2f} % ({100 * low:.1f} to {100 * high:.1f} %, 95 % interval; {counted(images, 'image')})",
        *(f"warning: {sentence}" for sentence in leak_sentences(result.get("leaks"))),
        *no_better_than_chance(100 * high, facts),
        *worst_line(result),
        *([f"cell: {result['cell']['said']}"] if "cell" in result else []),
        f"network: {cost_text(result)}{latency_text(result)}",
        *int8_line(run, result),
        *epochs_line(result),
        *compared_lines(result),
        f"time: {minutes:.1f} of {config.minutes:g} minutes",
        f"files: {run.path / 'export'}: {', '.join(Path(name).name for name in result['files'])}",
        f"next: pcdarts test {run.path / 'train'}; pcdarts report {run.path}",
    ]


def epochs_line(result: dict[str, Any]) -> list[str]:
    """Where the training had fewer epochs than planned, or more: how many of how many, and why."""
    if end := how_it_ended(result):
        return [f"the training ended early, after {end}"]
    more = more_than_planned(result)
    return [f"the training had {more}: steps were faster than when they were measured"] if more else []


def no_better_than_chance(highest: float, facts: Facts) -> list[str]:
    """A warning, if the test error may be as high as that of naming the largest class always."""
    if highest < (chance := chance_error(facts.test)):
        return []
    largest = facts.classes[facts.test.index(max(facts.test))]
    return [
        f"warning: this is not shown to be better than always naming the largest class ({shown(largest, 40)}), which "
        f"has an error of {chance:.2f} %: do not use this network; give it more --minutes, or more images, or see "
        "whether a pretrained one does better: `pcdarts compare` with --pretrained"
    ]


def latency_text(result: dict[str, Any]) -> str:
    """The time that each ONNX model takes for an image, if it was measured."""
    times = [f"{time:.2f} ms ({name})" for name, time in result.get("onnx_ms", {}).items()]
    where = f" for one image, onnxruntime with one thread of {processor_name() or 'this processor'}"
    return f"; {', '.join(times)}{where}" if times else ""


def int8_line(run: RunFolder, result: dict[str, Any]) -> list[str]:
    """What 8-bit integers change, or why there is no such file and how to have it all the same."""
    if "float_accuracy" not in (int8 := result.get("int8", {})):
        return []
    loss = int8["float_accuracy"] - int8["int8_accuracy"]
    lost = f"{abs(loss):.2f} points {'lost' if loss >= 0 else 'gained'}"
    lost += f" ({int8['float_accuracy']:.2f} to {int8['int8_accuracy']:.2f} % of {int8['images']:,} test images right)"
    if int8["exported"]:
        return [
            f"int8: {lost}, {int8['int8_milliseconds'] / int8['float_milliseconds']:.2f} times the time for an image"
        ]
    command = ["pcdarts", "export", str(run.path / "train"), "--format", "onnx-int8"]
    command += ["--max-loss", str(math.ceil(loss)), "--out", str(run.path / "export")]
    limit = f"at most {int8['max_loss']:g} may be lost"
    return [f"int8: not exported, for {limit}, and it would be {lost}; to have it: {shlex.join(command)}"]


def worst_line(result: dict[str, Any], most: int = 3) -> list[str]:
    """The classes that are recognised worse than the mean of all, if this is known."""
    classes = [one for one in result.get("test_details", {}).get("per_class", []) if one["images"]]
    mean = fmean(one["accuracy"] for one in classes) if classes else 0.0
    below = [one for one in classes if one["accuracy"] < mean]
    worst = sorted(below, key=lambda one: (one["accuracy"], one["class"]))[:most]
    if not worst:
        return []
    parts = [f"{shown(one['class'], 40)} {one['accuracy']:.0f} % of {one['images']}" for one in worst]
    few = min(one["images"] for one in worst) < FEW_IMAGES
    return [f"recognised worst: {', '.join(parts)}{'; so few images of a class show little' if few else ''}"]


def compared_lines(result: dict[str, Any]) -> list[str]:
    """How the stock networks compare, if some were trained."""
    compared = result.get("compared")
    if not compared:
        return []
    parts, own = [], compared["rows"][0]
    for row in compared["rows"]:
        cost = f"{millions(row['mult_adds'])} mult-adds"
        if row is not own and row["onnx_milliseconds"] and own["onnx_milliseconds"]:
            cost += f", {row['onnx_milliseconds'] / own['onnx_milliseconds']:.2f} times the time for an image"
        parts.append(f"{row['name']} {100 - sum(row['accuracies']) / len(row['accuracies']):.2f} % ({cost})")
    return [f"test errors of {', '.join(parts)}", f"comparison: {compared['sentences'][0]}"]
