"""The words of a fit's result, from figures."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from pcdarts.own_images.rules import Shape, Training
from pcdarts.own_images.words import (
    alone_text,
    cell_chosen,
    choice_line,
    compared_lines,
    epochs_line,
    int8_line,
    worst_line,
)
from pcdarts.run.ended_early import MINUTES, about_the_end
from pcdarts.run.run_folder import RunFolder

INT8 = {"images": 120, "float_accuracy": 79.17, "int8_accuracy": 76.67, "max_loss": 1.0}


def of_classes(*rows: tuple[str, int, float | None]) -> dict[str, Any]:
    """A result with these classes: name, test images, accuracy."""
    return {
        "test_details": {"per_class": [dict(zip(("class", "images", "accuracy"), row, strict=True)) for row in rows]}
    }


def test_an_int8_model_that_was_refused_has_both_accuracies_and_the_command_that_exports_it_all_the_same() -> None:
    assert int8_line(RunFolder(Path("my runs/fit")), {"int8": {"exported": False, **INT8}}) == [
        "int8: not exported, for at most 1 may be lost, and it would be 2.50 points lost (79.17 to 76.67 % of 120 test "
        "images right); to have it: pcdarts export 'my runs/fit/train' --format onnx-int8 --max-loss 3 --out "
        "'my runs/fit/export'"
    ]


def test_an_int8_model_has_both_accuracies_and_its_time_beside_that_of_the_float_model() -> None:
    times = {"exported": True, "float_milliseconds": 1.0, "int8_milliseconds": 1.25}
    assert int8_line(RunFolder(Path("fit")), {"int8": {**INT8, **times, "int8_accuracy": 80.0}}) == [
        "int8: 0.83 points gained (79.17 to 80.00 % of 120 test images right), 1.25 times the time for an image"
    ]
    assert int8_line(RunFolder(Path("fit")), {}) == []


def test_only_classes_below_the_mean_are_recognised_worst_and_few_images_are_said_to_show_little() -> None:
    few = of_classes(("ant", 2, 50.0), ("bee", 2, 100.0), ("cow", 0, None), ("dog", 30, 100.0))
    assert worst_line(few) == ["recognised worst: ant 50 % of 2; so few images of a class show little"]
    many = of_classes(*[(name, 20, accuracy) for name, accuracy in zip("abcde", (10, 30, 20, 40, 100), strict=True)])
    assert worst_line(many) == ["recognised worst: a 10 % of 20, c 20 % of 20, b 30 % of 20"]
    assert worst_line(of_classes(("ant", 2, 100.0), ("bee", 2, 100.0))) == []
    assert worst_line({}) == []


def test_a_training_of_fewer_or_more_epochs_than_planned_says_how_many_and_why() -> None:
    assert epochs_line(about_the_end(31, 69, MINUTES)) == [
        "the training ended early, after 31 of 69 epochs: --max-minutes"
    ]
    assert epochs_line(about_the_end(61, 39, MINUTES)) == [
        "the training had 61 epochs instead of 39: steps were faster than when they were measured"
    ]
    assert epochs_line(about_the_end(39, 39, MINUTES)) == []


def test_the_cell_is_named_with_where_it_is_from_and_by_what_margin_it_was_chosen() -> None:
    line = choice_line(24.44, 37.78, 45, 4)
    assert line == (
        "validation error after 4 epochs each: 24.44 % with the searched cell, 37.78 % with the published one, "
        "\N{MINUS SIGN}13.34 points with a standard error of 9.76 (45 images)"
    )
    searched = cell_chosen("run/search", "run/search", True, [line, "the searched one is trained"])
    assert searched["origin"] == "searched"
    assert searched["said"] == f"the one that was searched here; {line}; the searched one is trained"
    assert cell_chosen("pc_darts_cifar10", None, False, []) == {
        "origin": "published",
        "said": "the published one pc_darts_cifar10",
    }
    assert cell_chosen("/home/me/cell.json", "/home/me/cell.json", False, []) == {
        "origin": "given",
        "said": "the one that --genotype names",
    }


def test_times_of_compared_networks_are_beside_that_of_the_own_one_which_was_measured_in_another_turn() -> None:
    rows = [
        {"name": name, "accuracies": [60.0], "mult_adds": 10_000_000, "onnx_milliseconds": time}
        for name, time in (("photos", 2.0), ("resnet18", 3.0), ("vgg11", None))
    ]
    assert compared_lines({"compared": {"rows": rows, "sentences": ["one wins.", "more"]}}) == [
        "test errors of photos 40.00 % (10.0 M mult-adds), resnet18 40.00 % (10.0 M mult-adds, 1.50 times the time for "
        "an image), vgg11 40.00 % (10.0 M mult-adds)",
        "comparison: one wins.",
    ]


def test_the_plan_says_what_training_there_would_be_time_for_without_the_comparison() -> None:
    training = Training(Shape(32, "cifar", 5, 8), 64, 25, 29.0, 10.0, 880.0)
    longer = replace(training, epochs=54)
    assert alone_text(training, longer) == " none: 26.3 min training, 54 epochs"
    larger = replace(longer, shape=Shape(64, "stride2", 8, 16))
    assert alone_text(training, larger).endswith(", 54 epochs of 8 cells of 16 channels, 64x64 pixels")
    assert alone_text(training, training) == alone_text(training, None) == ""
