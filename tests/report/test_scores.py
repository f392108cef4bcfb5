"""`pcdarts report` with a table of known cells: how good cells are, when a search found its own, and the front."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from xml.etree import ElementTree

import pytest
import yaml

from command_line import GENOTYPE, copy_of, done, refused
from pcdarts.cell.derive import random_genotype
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellSpace
from pcdarts.report.scored.score_view import read_scores, score_view
from pcdarts.report.statistics import percentile_interval
from pcdarts.report.subject import read_subjects
from pcdarts.score.yardstick import Score, make_yardstick
from pcdarts.study.study_outcome import Row


def text_of(folder: Path, name: str = "report.html") -> str:
    return (folder / name).read_text("utf-8")


def scores_of(run: Path, table: Path) -> list[Score]:
    """Of the cells after each epoch."""
    genotypes = [Genotype.from_file(path) for path in sorted((run / "genotypes").iterdir())]
    return make_yardstick(table).scores(genotypes)


def score_of(genotype: Genotype, table: Path) -> Score:
    return make_yardstick(table).scores([genotype])[0]


def curve_in(page: str) -> list[float]:
    """The percentiles that the line of the chart of percentiles is drawn at."""
    [figure] = re.findall(r'<figure class="chart broad"><figcaption>Percentile of.*?</figure>', page)
    plot = next(svg for svg in ElementTree.fromstring(figure).iter("svg") if svg.get("class") == "plot")
    [line] = [place.attrib["d"] for place in plot.iter("path") if place.get("class") == "line"]
    grid = [float(p.attrib["d"].split()[1].split("H")[0]) for p in plot.iter("path") if p.get("class") == "grid"]
    bottom, top = max(grid), min(grid)  # 0 and 100
    return [100 * (bottom - float(y)) / (bottom - top) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", line)]


def test_the_report_of_a_search_says_how_good_its_cell_is_and_when_it_was_found(
    runs: Path, known_table: Path, tmp_path: Path
) -> None:
    out = done(runs, "report", "one", "--table", str(known_table), "--out", str(tmp_path))
    page, markdown = text_of(tmp_path), text_of(tmp_path, "report.md")
    final = score_of(Genotype.from_file(runs / "one" / "genotype.json"), known_table)
    assert final.interval is not None
    for text in (out, page, markdown):
        assert "How good are the cells, and when were they found?" in text
        assert f"{final.accuracy:.2f} % predicted" in text
        assert f"{final.interval[0]:.2f} to {final.interval[1]:.2f} %" in text
        assert "rank correlation" in text
        assert "50 is chance" in text
        assert "the cell is in the table" in text
        assert "α and β were frozen in the first 2 epochs" in text
    assert f"| one | {final.percentile:.1f} |" in markdown
    percentiles = [score.percentile for score in scores_of(runs / "one", known_table)]
    assert curve_in(page) == pytest.approx(percentiles, abs=0.1)
    assert f"| one | {' | '.join(f'{percentile:.0f}' for percentile in percentiles)} |" in markdown


def test_it_says_since_which_epoch_the_cell_stands(runs: Path, known_table: Path, tmp_path: Path) -> None:
    run = copy_of(runs / "one", tmp_path / "run")
    for epoch in (4, 5):
        (run / "genotypes" / f"epoch_{epoch:03d}.json").write_text(GENOTYPE.to_json())
    swapped = Genotype(  # the same graph, its edges in another order
        tuple(GENOTYPE.normal[index] for index in (1, 0, 3, 2)), (2, 3), GENOTYPE.reduce, (2, 3)
    )
    (run / "genotype.json").write_text(swapped.to_json())
    (run / "result.json").write_text(json.dumps({"genotype": swapped.to_text()}))
    assert "| epoch 4 of 5 |" in done(tmp_path, "report", "run", "--table", str(known_table))


def test_a_cell_that_the_table_lists_has_the_accuracy_listed(runs: Path, known_table: Path, tmp_path: Path) -> None:
    run = copy_of(runs / "one", tmp_path / "run")
    known = random_genotype(CellSpace(4), 10_000)
    (run / "genotype.json").write_text(known.to_json())
    assert f"{score_of(known, known_table).accuracy:.2f} % listed" in done(
        tmp_path, "report", "run", "--table", str(known_table)
    )


def test_several_runs_have_a_line_each_and_a_training_stands_for_a_cell_without_epochs(
    runs: Path, known_table: Path, tmp_path: Path
) -> None:
    out = done(runs, "report", "two", "trained", "--table", str(known_table), "--out", str(tmp_path))
    assert re.search(r"\| trained \| [\d.]+ \| [\d.]+ % predicted \|", out)
    assert "| percentile after epoch | 1 | 2 | 3 | 4 | 5 |\n|---|---|---|---|---|---|\n| two |" in out
    assert "Percentile of the cell that each epoch would give" in text_of(tmp_path)
    alone = done(runs, "report", "trained", "--table", str(known_table), "--out", str(tmp_path))
    assert "How good are the cells?" in alone
    assert "after epoch" not in alone
    assert "Percentile of the cell" not in text_of(tmp_path)


def test_a_search_cut_short_has_its_curve_and_no_score_of_its_own(
    runs: Path, known_table: Path, tmp_path: Path
) -> None:
    run = copy_of(runs / "one", tmp_path / "run")
    (run / "result.json").unlink()
    (run / "genotype.json").unlink()
    (run / "genotypes" / "epoch_005.json").unlink()
    (run / "genotypes" / "epoch_002.json").write_text("{")
    out = done(tmp_path, "report", "run", "--table", str(known_table))
    assert "| percentile after epoch | 1 | 3 | 4 |" in out
    assert "% predicted" not in out


def test_runs_of_one_name_are_told_apart_by_the_folders_above(runs: Path, tmp_path: Path) -> None:
    for row in ("base", "wide"):
        shutil.copytree(runs / "one", tmp_path / row / "tried")
    out = done(tmp_path, "report", "base/tried", "wide/tried")
    assert "| base/tried |" in out
    assert "| wide/tried |" in out


def test_one_of_several_seeds_has_the_name_of_the_folder_that_holds_them(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "one", tmp_path / "base" / "seed-0")
    shutil.copytree(runs / "two", tmp_path / "wide" / "seed-1")
    assert done(tmp_path, "report", "base/seed-0", "wide/seed-1").startswith("base/seed-0 and wide/seed-1\n")


def test_it_is_said_of_each_search_in_which_epochs_its_cell_is_of_the_start(
    runs: Path, known_table: Path, tmp_path: Path
) -> None:
    for name, frozen in (("a", 1), ("b", 2), ("c", 0)):
        run = copy_of(runs / "one", tmp_path / name)
        config = text_of(run, "config.yaml")
        (run / "config.yaml").write_text(config.replace("arch_frozen_epochs: 2", f"arch_frozen_epochs: {frozen}"))
    table = ("--table", str(known_table))
    assert "α and β were frozen in the first epoch: what is" in done(tmp_path, "report", "a", *table)
    assert "α and β were frozen in the first epoch of a and in the first 2 epochs of b: what is" in (
        done(tmp_path, "report", "a", "b", "c", *table)
    )
    assert "were frozen" not in done(tmp_path, "report", "c", *table)


def test_a_table_of_other_cells_is_refused_and_beside_others_a_run_is_named_that_it_cannot_score(
    runs: Path, known_table: Path, tmp_path: Path
) -> None:
    other = copy_of(runs / "one", tmp_path / "other")
    big = random_genotype(CellSpace(6), 0)
    for path in (other / "genotype.json", *(other / "genotypes").iterdir()):
        path.write_text(big.to_json())
    why = f"other (it has 6 nodes, but the cells of {known_table} have 4)"
    assert f"{known_table} scores no cell here; not scored: {why}: give another --table" in refused(
        tmp_path, "report", "other", "--table", str(known_table)
    )
    copy_of(runs / "one", tmp_path / "one")
    out = done(tmp_path, "report", "one", "other", "--table", str(known_table))
    assert f"Not scored: {why}." in out
    assert why.replace("'", "&#39;") in text_of(tmp_path / "report")


def test_a_table_that_is_not_there_is_refused(runs: Path, tmp_path: Path) -> None:
    copy_of(runs / "one", tmp_path / "run")
    assert "nowhere.csv" in refused(tmp_path, "report", "run", "--table", "nowhere.csv")


def test_the_report_of_a_study_without_trainings_is_about_percentiles_alone(scored: Path, known_table: Path) -> None:
    out = done(scored.parent, "report", scored.name)
    page, markdown = text_of(scored), text_of(scored, "report.md")
    finals = [Genotype.from_file(path) for path in sorted((scored / "runs").rglob("genotype.json"))]
    percentiles = [score_of(genotype, known_table).percentile for genotype in finals]
    interval = percentile_interval(percentiles)
    assert interval is not None
    assert f"| PC & <b> | {fmean(percentiles):.1f} ± " in out
    for text in (out, page, markdown):
        assert "test error" not in text
        assert f"{interval.low:.1f} to {interval.high:.1f}" in text
        assert f"{score_of(GENOTYPE, known_table).percentile:.1f} (a given cell)" in text
        assert "rank correlation" in text
    for title in ("The front: percentile", "Percentile of every seed", "Percentile of the cell that each epoch"):
        assert title in page
    assert "<b>" not in page
    assert "Not done" not in page


def test_the_front_is_a_picture_beside_the_report(scored: Path) -> None:
    out = done(scored.parent, "report", scored.name)
    assert out.endswith("scored/report.html, scored/report.md and scored/front.svg\n")
    tree = ElementTree.fromstring(text_of(scored, "front.svg"))
    assert {"given", "random cells", "PC & <b>"} <= {place.text for place in tree.iter() if place.tag.endswith("text")}
    done(scored.parent, "report", scored.name)  # our own picture is replaced
    (scored / "front.svg").write_text("<svg/>")
    assert "front.svg is there already and no report of ours" in refused(scored.parent, "report", scored.name)


def test_where_nothing_was_searched_nothing_is_said_of_a_front(scored: Path) -> None:
    assert "On the front: " in done(scored.parent, "report", scored.name)
    shutil.rmtree(scored / "runs")
    out = done(scored.parent, "report", scored.name)
    assert "(a given cell)" in out
    assert "On the front: " not in out


def test_a_study_whose_table_is_gone_says_so_and_shows_everything_else(
    scored: Path, known_table: Path, tmp_path: Path
) -> None:
    described = yaml.safe_load(text_of(scored, "study.yaml"))
    (scored / "study.yaml").write_text(yaml.safe_dump({**described, "table": str(tmp_path / "gone.csv")}))
    out = done(scored.parent, "report", scored.name)
    page = text_of(scored)
    assert "gone.csv" in out
    assert "gone.csv" in page
    assert "Learning curves" in page
    assert "search cost" in page
    assert "test error" not in page
    assert not (scored / "front.svg").exists()
    assert "(a given cell)" in done(scored.parent, "report", scored.name, "--table", str(known_table))
    assert done(scored.parent, "report", scored.name).endswith(
        "\nnot written: scored/front.svg, which is older than this report\n"
    )


def test_a_study_that_trains_has_its_errors_and_with_a_table_its_percentiles(study: Path, known_table: Path) -> None:
    out = done(study.parent, "report", study.name, "--table", str(known_table))
    assert "| method | test error, % |" in out
    assert "| method | percentile |" in out
    page = text_of(study)
    assert "How good are the cells" in page
    assert "Test error of every seed" in page
    done(study.parent, "report", study.name)
    assert "How good are the cells" not in text_of(study)


def test_a_table_that_scores_no_cell_of_a_study_leaves_it_as_it_is(scored: Path, known_table: Path) -> None:
    described = yaml.safe_load(text_of(scored, "study.yaml"))
    [first, *_] = described["methods"]
    only = {**described, "methods": {first: described["methods"][first]}}
    (scored / "study.yaml").write_text(yaml.safe_dump(only))
    for path in scored.rglob("result.json"):
        path.write_text(json.dumps({"genotype": random_genotype(CellSpace(6), 0).to_text()}))
    shutil.rmtree(scored / "runs" / "pc-b" / "seed-0" / "search" / "genotypes")
    shutil.rmtree(scored / "runs" / "pc-b" / "seed-1" / "search" / "genotypes")
    before = sorted(scored.rglob("*"))
    assert "scores no cell here" in refused(scored.parent, "report", scored.name, "--table", str(known_table))
    assert sorted(scored.rglob("*")) == before


def test_a_random_search_has_a_chart_of_its_own_over_the_cells_that_it_tried(
    runs: Path, known_table: Path, tmp_path: Path
) -> None:
    run = copy_of(runs / "one", tmp_path / "drawn")
    (run / "config.yaml").write_text(text_of(run, "config.yaml").replace("job: search", "job: random search"))
    copy_of(runs / "two", tmp_path / "two")
    out = done(tmp_path, "report", "drawn", "two", "--table", str(known_table))
    assert "| percentile after epoch | 1 | 2 | 3 | 4 | 5 |\n|---|---|---|---|---|---|\n| two |" in out
    assert "| percentile after cell tried | 1 | 2 | 3 | 4 | 5 |\n|---|---|---|---|---|---|\n| drawn |" in out
    assert "cell tried 5 of 5" in out or "cell tried 4 of 5" in out
    assert "Random search: percentile of the best cell so far" in text_of(tmp_path / "report")


def made_up(scored: Path, **percentiles: list[float]) -> str:
    """What the page says before its tables, of searches of these percentiles and random cells that were lucky."""
    [subject] = read_subjects([scored])
    outcome = subject.outcome
    assert outcome is not None
    searched, random, _ = outcome.rows

    def row(like: Row, name: str, values: list[float]) -> Row:
        cells = tuple(replace(like.cells[0], score=Score(90.0, None, value, listed=False)) for value in values)
        return replace(like, method=name, cells=cells)

    rows = (*(row(searched, name, values) for name, values in percentiles.items()), row(random, "drawn", [98, 99, 97]))
    scores = read_scores(subject, None)
    assert scores is not None
    return score_view(replace(subject, outcome=replace(outcome, rows=rows)), scores).words[-1]


def test_only_an_interval_that_leaves_out_chance_shows_a_method_to_be_better_or_worse(scored: Path) -> None:
    good, bad, open_ = [90.0, 95.0, 92.0], [4.0, 2.0, 9.0], [20.0, 90.0, 70.0]
    assert made_up(scored, good=good, bad=bad, other=open_) == (
        "Shown to be better than chance: good. Shown to be worse than chance: bad. "
        "1 other interval contains 50, which shows neither."
    )
    assert made_up(scored, other=open_) == "No method is shown to differ from chance: every interval contains 50."
    assert "chance" not in made_up(scored, alone=[99.0])  # one seed has no interval
