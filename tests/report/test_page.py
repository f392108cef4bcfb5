"""`pcdarts report`: what its page and its Markdown say, and what it refuses."""

import json
import re
import shutil
import subprocess
import sys
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import pcdarts
from command_line import copy_of, done, refused, run_in
from pcdarts.cell.draw import draw_inline
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CELL_KINDS
from pcdarts.jobs.outcome.error_words import ALONE
from pcdarts.jobs.outcome.sizes import millions
from pcdarts.learn.by_class import ByClass, by_class, mean_by_class, read_by_class
from pcdarts.report import page
from pcdarts.report.detail import details_of
from pcdarts.report.difference import diff
from pcdarts.report.drawing.confusion import confusion_chart
from pcdarts.report.page import render
from pcdarts.report.subject import read_subjects
from pcdarts.report.view import view


def text_of(path: Path) -> str:
    return (path / "report.html").read_text("utf-8")


class Elements(HTMLParser):
    """Counts elements, and notices whatever would be fetched from elsewhere."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.counts: dict[str, int] = {}
        self.fetched: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.counts[tag] = self.counts.get(tag, 0) + 1
        self.fetched += [f"{tag} {name}" for name, _ in attrs if name in ("src", "href", "srcset", "data", "poster")]


def test_the_report_of_a_study_lies_in_its_folder_and_shows_everything(study: Path) -> None:
    out = done(study.parent, "report", study.name)
    text = text_of(study)
    assert "tiny-smoke/report.html" in out
    for heading in (
        "Do searches agree?",
        "Learning curves",
        "Skip-connections",
        "Cells and how",
        "Not done",
        "Settings",
    ):
        assert heading in text
    assert "So small that its figures mean nothing." in text
    assert "Intervals, not stars" in text
    assert "2 methods, 2 seeds each: 2 done" in text
    assert text.count('class="band') > 100  # alpha of every edge
    markdown = (study / "report.md").read_text("utf-8")
    assert "| method |" in markdown
    assert "Genotype(normal=" in markdown


def test_a_page_needs_no_network_and_no_script(study: Path) -> None:
    done(study.parent, "report", study.name)
    text = text_of(study)
    elements = Elements(text)
    assert elements.fetched == []
    assert "script" not in elements.counts
    assert not re.search(r"url\(|@import", text)
    assert "<script>" not in (study / "report.md").read_text("utf-8").replace(r"\<script\>", "")
    assert len(text.encode()) < 1_000_000


def test_names_from_files_are_shown_as_they_are_and_do_nothing(study: Path) -> None:
    done(study.parent, "report", study.name)
    assert "&lt;script&gt;alert(2)&lt;/script&gt;" in text_of(study)
    assert "<script>" not in text_of(study)


def test_two_searches_are_compared(runs: Path, tmp_path: Path) -> None:
    done(runs, "report", "one", "two", "--out", str(tmp_path))
    assert "What differs between the two cells" in text_of(tmp_path)
    assert "marked" in text_of(tmp_path)
    assert "edges kept" in (tmp_path / "report.md").read_text("utf-8")


def test_a_search_and_the_training_of_its_cell_are_one_subject(runs: Path, tmp_path: Path) -> None:
    out = done(runs, "report", "trained", "one", "--out", str(tmp_path))
    text = text_of(tmp_path)
    assert "trained trains the cell of one: they have one cell, so no cells are compared." in out
    assert "What differs between the two cells" not in text
    assert "Do searches agree?" not in text
    assert text.count('class="search"') == 1
    assert "agree" not in (tmp_path / "report.md").read_text("utf-8").lower().replace("agreed", "")


def test_beside_another_search_the_training_of_a_cell_counts_as_no_cell_of_its_own(runs: Path, tmp_path: Path) -> None:
    done(runs, "report", "one", "two", "trained", "--out", str(tmp_path))
    markdown = (tmp_path / "report.md").read_text("utf-8")
    assert "## From one to two" in markdown
    assert "| these runs | 2 |" in markdown


def test_a_search_does_not_agree_with_the_training_of_another_cell(runs: Path, tmp_path: Path) -> None:
    done(runs, "report", "two", "trained", "--out", str(tmp_path))
    assert "What differs between the two cells" in text_of(tmp_path)
    assert "Do searches agree?" not in text_of(tmp_path)


def test_two_trainings_of_one_cell_are_not_compared_as_cells(runs: Path, tmp_path: Path) -> None:
    done(runs, "report", "trained/seed-0", "trained/seed-1", "--out", str(tmp_path))
    text = text_of(tmp_path)
    assert "trained/seed-1 trains the cell of trained/seed-0" in text
    assert "What differs between the two cells" not in text
    assert "Do searches agree?" not in text


def test_a_training_of_another_network_than_its_search_counted_says_so(runs: Path, tmp_path: Path) -> None:
    out = done(runs, "report", "one", "trained", "--out", str(tmp_path))
    counted, trained = (json.loads((runs / name / "result.json").read_text()) for name in ("one", "trained/seed-0"))
    sizes = f"{millions(trained['params'])} parameters, not {millions(counted['evaluation_network']['params'])}."
    assert f"Its network is another than the one that the search has counted: {sizes}" in out


def under_budget(runs: Path, run: Path, **changes: Any) -> Path:
    """The search `two`, whose cell a budget has chosen instead of that of `one`."""
    copy_of(runs / "two", run)
    result = json.loads((run / "result.json").read_text())
    free = {"genotype": json.loads((runs / "one" / "result.json").read_text())["genotype"]}
    free |= {"params": 16_000, "mult_adds": 210_000, "skips": 0}
    budget = {"max_mult_adds": 180_000, "max_params": None, "max_skips": 1, "relative_product": 0.75}
    (run / "result.json").write_text(json.dumps({**result, "budget": {**budget, "unconstrained": free, **changes}}))
    return run


def test_a_report_tells_of_a_budget_and_of_all_that_is_derived_without_it(runs: Path, tmp_path: Path) -> None:
    run = under_budget(runs, tmp_path / "run")
    limits = "at most 0.18 M mult-adds and 1 skip-connections in the normal cell"
    out = done(tmp_path, "report", "run")
    assert f"Budget of run: {limits}; another cell than the best of all was taken." in out
    assert f"| {limits} |" in out
    text = text_of(run)
    assert f"Budget: {limits}, for the network that will be trained. It has " in text
    assert "With that one it would have 0.0160 M parameters, 0.210 M mult-adds; this one has 0.750 of" in text
    difference = diff(*(Genotype.from_file(runs / name / "genotype.json") for name in ("one", "two")))
    assert escape(difference.to_text()) in text
    found = Genotype.from_file(run / "genotype.json")
    for kind in CELL_KINDS:
        changed = difference.marked(kind)[1]
        assert changed
        assert draw_inline(found, kind, changed) in text
    assert text.count("bold: what the budget changed") == 2
    assert "Cells after each epoch, derived without the budget of run." in text
    assert "The cells after each epoch below are derived without the budget" in text
    assert text.count("(derived without the budget)") == 2  # how each of the two cells came about


def test_a_budget_that_changed_nothing_or_is_still_to_come_is_told_too(runs: Path, tmp_path: Path) -> None:
    run = under_budget(runs, tmp_path / "run", unconstrained=None)
    assert "; the best cell of all is within it." in done(tmp_path, "report", "run")
    assert "bold: what the budget changed" not in text_of(run)
    (run / "result.json").unlink()
    settings = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(settings.replace("max_params: null", "max_params: 5000"))
    out = done(tmp_path, "report", "run")
    assert "at most 0.005 M parameters; it decides when a search ends, and until then cells are derived without" in out
    assert "this cell is derived without the budget" in text_of(run)


@pytest.mark.parametrize("damage", [{"max_params": "<b>"}, {"relative_product": None}, {"unconstrained": 5}])
def test_a_damaged_budget_is_as_if_there_were_none(runs: Path, tmp_path: Path, damage: dict[str, Any]) -> None:
    under_budget(runs, tmp_path / "run", **damage)
    assert "Budget" not in done(tmp_path, "report", "run")


# What networks are bad at


def details(run: Path) -> ByClass:
    found = read_by_class(json.loads((run / "result.json").read_text())["test_details"])
    assert found is not None
    return found


def with_details(run: Path, found: ByClass | None) -> None:
    """Let a run say this of its classes, or nothing, as a run of an earlier version."""
    result = json.loads((run / "result.json").read_text())
    del result["test_details"]
    result |= {} if found is None else {"test_details": found.to_json()}
    (run / "result.json").write_text(json.dumps(result))


def test_the_page_of_a_training_says_what_it_is_bad_at(runs: Path, tmp_path: Path) -> None:
    done(runs, "report", "trained/seed-0", "--out", str(tmp_path))
    found, text = details(runs / "trained" / "seed-0"), text_of(tmp_path)
    assert "<h2>What it is bad at</h2>" in text
    assert confusion_chart(found) in text
    markdown = (tmp_path / "report.md").read_text("utf-8")
    assert "## What trained/seed-0 is bad at" in markdown
    for words in (*found.table()[1], f"Balanced accuracy {found.balanced_accuracy:.2f} %, macro F1 "):
        assert escape(words) in text
        assert words in markdown
    assert Elements(text).fetched == ["a href"]  # the pictures stay where they are, and a click shows them


def test_the_page_of_a_training_with_validation_images_shows_their_curve_and_the_best_epoch(
    runs: Path, tmp_path: Path
) -> None:
    run = copy_of(runs / "trained" / "seed-0", tmp_path / "run")
    metrics = (run / "metrics.jsonl").read_text().replace('"test_top', '"validation_top')
    (run / "metrics.jsonl").write_text(metrics)
    result = json.loads((run / "result.json").read_text())
    (run / "result.json").write_text(json.dumps({**result, "best_epoch": 4, "validation_top1_error": 12.5}))
    done(tmp_path, "report", "run")
    page = (run / "report.html").read_text()
    assert "Training: error on the validation images" in page
    assert "Training: error on the test images" not in page
    assert "5 of 5; best: 4" in page


def test_of_several_seeds_the_page_shows_means_and_one_matrix(runs: Path, tmp_path: Path) -> None:
    done(runs, "report", "trained", "--out", str(tmp_path))
    found = mean_by_class([details(runs / "trained" / f"seed-{seed}") for seed in (0, 1)])
    assert confusion_chart(found) in text_of(tmp_path)
    assert "Means over 2 seeds." in text_of(tmp_path)
    for seed in (0, 1):
        assert str(Path("trained", f"seed-{seed}", "mistakes.png")) in text_of(tmp_path)


def test_of_many_classes_the_worst_are_listed_without_a_matrix(runs: Path, tmp_path: Path) -> None:
    run = copy_of(runs / "trained" / "seed-0", tmp_path / "run")
    names = [f"<b>{index}" for index in range(1000)]
    with_details(run, by_class(names, list(range(1000)) * 3, [0, *range(999)] + list(range(1000)) * 2))
    done(tmp_path, "report", "run")
    assert "The 20 worst of 1,000 classes." in text_of(run)
    assert "Confusion matrix" not in text_of(run)
    assert "<b>" not in text_of(run)


def test_runs_of_earlier_versions_are_reported_without_it(runs: Path, tmp_path: Path) -> None:
    run = copy_of(runs / "trained" / "seed-0", tmp_path / "run")
    with_details(run, None)
    done(tmp_path, "report", "run")
    assert "bad at" not in text_of(run)
    assert "bad at" not in (run / "report.md").read_text("utf-8")


def test_several_subjects_share_a_page_in_the_working_directory(runs: Path, study: Path) -> None:
    done(study.parent, "report", str(runs / "trained"), study.name)
    text = text_of(study.parent / "report")
    assert Elements(text).counts["main"] == 2
    assert "n = 2 trainings" in text


def test_a_search_cut_short_is_reported_as_far_as_it_came(runs: Path, tmp_path: Path) -> None:
    run = copy_of(runs / "one", tmp_path / "run")
    (run / "result.json").unlink()
    lines = (run / "metrics.jsonl").read_text().splitlines()
    (run / "metrics.jsonl").write_text("\n".join([*lines[:3], lines[3][:50], '{"epoch": 5, "op_weights": 7}', "[]"]))
    assert "1 run: interrupted." in done(tmp_path, "report", "run")
    assert "log.txt" in text_of(run)


def test_a_run_without_any_epoch_has_a_report(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    shutil.copy(runs / "one" / "config.yaml", tmp_path / "run")
    done(tmp_path, "report", "run")
    assert "It has no cell yet." in text_of(tmp_path / "run")


def test_reports_are_written_again_and_nothing_else_is_replaced(runs: Path, tmp_path: Path) -> None:
    run = copy_of(runs / "one", tmp_path / "run")
    done(tmp_path, "report", "run")
    done(tmp_path, "report", "run")
    for name in ("report.html", "report.md"):
        kept = (run / name).read_text("utf-8")
        (run / name).write_text("my own notes")
        assert f"run/{name} is there already and no report of ours" in refused(tmp_path, "report", "run")
        (run / name).unlink()
        (run / name).symlink_to(tmp_path / "elsewhere")
        assert "no report of ours" in refused(tmp_path, "report", "run")
        (run / name).unlink()
        (run / name).write_text(kept)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "nothing is neither a run nor a study: it does not exist"),
        ({}, "nothing is neither a run nor a study: it has neither config.yaml nor study.yaml"),
        ({"config.yaml": "epochs: ["}, "is not a run's configuration"),
        ({"config.yaml": "job: bench"}, "is a run of bench, which no report shows"),
        ({"config.yaml": "epochs: 3"}, "is a run of an unknown job"),
        ({"study.yaml": "methods: 3"}, "methods"),
    ],
)
def test_what_is_no_run_ends_in_one_line(tmp_path: Path, content: dict[str, str] | None, expected: str) -> None:
    if content is not None:
        (tmp_path / "nothing").mkdir()
        for name, text in content.items():
            (tmp_path / "nothing" / name).write_text(text)
    assert expected in refused(tmp_path, "report", "nothing")


def test_foreign_values_in_a_run_do_no_harm(runs: Path, tmp_path: Path) -> None:
    run = copy_of(runs / "one", tmp_path / "run")
    (run / "env.json").write_text('["<script>"]')
    (run / "result.json").write_text(json.dumps({"search_cost": 3, "arch_top1_error": "low", "genotype": 1}))
    (run / "metrics.jsonl").write_text('{"epoch": 1, "weight_loss": 1e999, "arch_loss": ' + "9" * 400 + "}\n")
    ended = run_in(tmp_path, "report", "run")
    assert (ended.code, ended.err) == (0, "")


def test_of_which_searches_the_error_is_that_of_the_cell_alone_is_said(runs: Path, tmp_path: Path) -> None:
    for name in ("one", "two", "trained"):
        copy_of(runs / name, tmp_path / name)
    assert ALONE not in done(tmp_path, "report", "one", "two", "trained")
    result = json.loads((tmp_path / "two" / "result.json").read_text())
    (tmp_path / "two" / "result.json").write_text(json.dumps({**result, "arch_error_of": ALONE}))
    assert f"The error of two is that of {ALONE}." in done(tmp_path, "report", "one", "two", "trained")
    assert f"top-1 error on the arch split, of {ALONE}" in pcdarts.Run(tmp_path / "two")._repr_html_()
    assert ALONE not in pcdarts.Run(tmp_path / "one")._repr_html_()


def test_a_page_stays_below_its_limit_and_says_what_it_leaves_out(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subjects = read_subjects([study])
    views = [view(subject) for subject in subjects]
    whole = render(subjects, views)
    sizes = [detail.size for detail in details_of(subjects[0])]
    assert "under 1 MB" not in whole
    for limit in (len(whole.encode()) - 1, len(whole.encode()) - sizes[1], len(whole.encode()) - sum(sizes)):
        monkeypatch.setattr(page, "LIMIT", limit)
        smaller = render(subjects, views)
        assert len(smaller.encode()) < limit
        assert "To keep this page under 1 MB" in smaller
        assert "pcdarts report " in smaller


def test_what_networks_are_bad_at_gives_way_before_learning_curves_do(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subjects = read_subjects([runs / "trained"])
    views = [view(subject) for subject in subjects]
    for _ in range(2):
        smaller = render(subjects, views)
        monkeypatch.setattr(page, "LIMIT", len(_without_details(smaller).encode()))
    assert "<h2>What it is bad at</h2>" not in smaller
    assert "What each network is bad at would make this page larger than 1 MB: report fewer runs" in smaller
    assert "<h2>Learning curves</h2>" in smaller
    smaller = render(subjects, views)
    assert "Learning curves, and what each network is bad at, would make this page larger" in smaller
    assert "<h2>Learning curves</h2>" not in smaller


def _without_details(text: str) -> str:
    """A page without the cells in detail, which can be left out one by one."""
    return re.sub(r'<details class="search".*?</details>', "", text, flags=re.S)


REPORT = """
import sys
from pcdarts.cli import run_command
code = run_command(["report", *sys.argv[1:]])
print(code, {"torch", "torchvision", "rich", "sklearn"} & set(sys.modules), file=sys.stderr)
"""


def test_a_report_is_made_without_torch_and_scikit_learn(
    study: Path, runs: Path, known_table: Path, tmp_path: Path
) -> None:
    """With a table too, whose regressor was kept."""
    for arguments in (
        [str(study), str(runs / "one"), str(runs / "trained")],
        [str(runs / "one"), str(runs / "trained"), "--table", str(known_table)],
    ):
        arguments += ["--out", str(tmp_path / "report")]
        done = subprocess.run([sys.executable, "-c", REPORT, *arguments], capture_output=True, text=True)
        assert done.stderr == "0 set()\n"
    assert "percentile" in text_of(tmp_path / "report")
