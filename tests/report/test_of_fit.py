"""The page of a fit: its result and its plan as lists, the files to ship, and where the surest mistakes are."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from command_line import copy_of, done
from pcdarts.report import of_fit
from pcdarts.ship import hub
from pcdarts.ship.formats import FORMATS

PLAN: dict[str, Any] = {
    "seconds": {"planning": 1.0},
    "phase": None,
    "lines": ["images: 3 classes & <b>", "training: 39 epochs (--epochs)"],
    "result_lines": ["test error 30.00 % (10.0 to 60.0 %, 95 % interval; 10 images)", "next: pcdarts test fit/train"],
    "plan": {"search": "none is made", "trials": {}},
    "train": {"epochs": 39},
}
INT8 = {
    "images": 10,
    "float_accuracy": 70.0,
    "int8_accuracy": 60.0,
    "calibration_images": 20,
    "deciding_images": 19,
    "float_milliseconds": 1.19,
    "int8_milliseconds": 1.49,
    "processor": "a processor",
}


@pytest.fixture
def fit(runs: Path, tmp_path: Path) -> Path:
    """A finished fit with a training, in a folder whose name has a space."""
    folder = tmp_path / "my fit"
    copy_of(runs / "trained" / "seed-0", folder / "train")
    shutil.copy(runs / "trained" / "env.json", folder / "train")  # of all its seeds
    (folder / "config.yaml").write_text("job: fit\nfolder: images\n")
    (folder / "plan.json").write_text(json.dumps(PLAN))
    (folder / "result.json").write_text(json.dumps({"onnx_ms": {"model.onnx": 7.77, "model-int8.onnx": 8.88}}))
    (folder / "export").mkdir()
    for name, size in (("model.onnx", 2_000_000), ("model-int8.onnx", 500_000)):
        (folder / "export" / name).write_bytes(bytes(size))
    exported(folder, {"model.onnx": {"largest_difference": 0.0}, "model-int8.onnx": {"int8": INT8}})
    return folder


def exported(folder: Path, files: object) -> None:
    (folder / "export" / "config.json").write_text(json.dumps({"files": files}))


def report(fit: Path, *flags: str) -> tuple[str, str, str]:
    """What is printed, the page and the Markdown."""
    printed = done(fit.parent, "report", fit.name, *flags)
    out = fit.parent / flags[1] if flags else fit
    return printed, (out / "report.html").read_text("utf-8"), (out / "report.md").read_text("utf-8")


def test_state_result_and_plan_stand_first_each_as_one_list(fit: Path) -> None:
    printed, page, markdown = report(fit)
    assert printed.startswith("my fit\nThe fit is done.\nResult:\n  test error 30.00 %")
    places = [page.index(words) for words in ("The fit is done.", "<h2>Result</h2>", "<h2>Plan</h2>", "<h2>What it is")]
    assert places == sorted(places)
    assert page.count('<ul class="lines">') == 2
    assert "<li>images: 3 classes &amp; &lt;b&gt;</li><li>training: 39 epochs (<code>--epochs</code>)</li>" in page
    assert "## Plan\n\n- images: 3 classes \\& \\<b\\>\n" in markdown
    assert "next: " not in printed + page + markdown


def test_epochs_that_were_planned_anew_after_a_search_are_said(fit: Path) -> None:
    anew = "planned anew for the time that was left after the search: 160 epochs"
    assert anew not in report(fit)[1]
    (fit / "plan.json").write_text(json.dumps(PLAN | {"plan": {"search": {}, "trials": {}}, "train": {"epochs": 160}}))
    assert all(anew in text for text in report(fit))


def test_the_files_have_the_names_that_the_export_gives_them() -> None:
    names = (hub.SETTINGS, FORMATS["onnx"].file_name, FORMATS["onnx-int8"].file_name)
    assert names == (of_fit.SETTINGS, of_fit.FLOAT, of_fit.INT8)


def test_files_to_ship_have_one_table_with_what_the_export_has_measured(fit: Path) -> None:
    for text in (report(fit)[0], report(fit)[2]):
        assert "| model-int8.onnx | 0.50 MB | 60.00 | 1.49 |\n| model.onnx | 2.00 MB | 70.00 | 1.19 |" in text
        assert "on 10 test images" in text
        assert "calibrated on 20 training images in a way that 19 others decided" in text
        assert "7.77" not in text


def test_without_an_int8_file_the_fit_has_timed_the_float_one(fit: Path) -> None:
    exported(fit, {"model.onnx": {"largest_difference": 0.0}})
    assert "| file | size | ms for one image |\n|---|---|---|\n| model.onnx | 2.00 MB | 7.77 |" in report(fit)[0]


@pytest.mark.parametrize("files", [[1], {"model.onnx": 3}, {"model-int8.onnx": {"int8": {"images": "many"}}}, None])
def test_damaged_settings_of_an_export_leave_its_table_out(fit: Path, files: object) -> None:
    exported(fit, files)
    assert "The files to ship" not in report(fit)[0]


def test_the_surest_mistakes_are_a_link_that_is_found_from_the_page(fit: Path) -> None:
    assert '<a href="train/mistakes.png">train/mistakes.png</a>' in report(fit)[1]
    _, page, markdown = report(fit, "--out", "elsewhere")
    assert '<a href="../my%20fit/train/mistakes.png">../my fit/train/mistakes.png</a>' in page
    assert "](<../my%20fit/train/mistakes.png>)" in markdown
    assert (fit.parent / "elsewhere" / "../my fit/train/mistakes.png").is_file()


def test_a_fit_that_has_trained_nothing_yet_has_a_page(fit: Path) -> None:
    (fit / "result.json").unlink()
    (fit / "train" / "env.json").unlink()
    printed, page, _ = report(fit)
    assert "The fit is interrupted." in printed
    assert "<h2>Plan</h2>" in page


def test_a_search_and_the_training_of_its_cell_are_no_news_in_a_fit(fit: Path, runs: Path) -> None:
    copy_of(runs / "one", fit / "search")
    assert "trains the cell of" not in report(fit)[0]
