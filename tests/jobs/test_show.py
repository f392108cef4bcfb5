"""`pcdarts show`: a genotype as text, JSON and pictures, with its counts."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

import pcdarts
from command_line import GENOTYPE, done, refused
from known_truth import CELLS, accuracies_of, write_table

PUBLISHED = ("pc_darts_cifar10", "darts_v2", "nasnet_a", "amoebanet_b", "snas_aggressive", "bayesnas_cifar10")


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_cell_is_shown_as_json(tmp_path: Path, name: str) -> None:
    assert pcdarts.Genotype.from_json(done(tmp_path, "show", name, "--json")) == pcdarts.published(name)


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("pc_darts_cifar10", "CIFAR network:    3.63 M parameters"),
        ("pc_darts_imagenet", "ImageNet network: 5.34 M parameters"),
    ],
)
def test_the_papers_cells_have_the_papers_counts(tmp_path: Path, name: str, count: str) -> None:
    lines = done(tmp_path, "show", name).splitlines()
    assert any(line.startswith(count) for line in lines)
    assert pcdarts.published(name).to_text() in lines
    assert {"Normal cell", "Reduction cell"} <= set(lines)


def test_a_file_and_a_run_are_shown(tmp_path: Path, finished_search: Path) -> None:
    (tmp_path / "printed.txt").write_text(GENOTYPE.to_text())
    assert json.loads(done(tmp_path, "show", "printed.txt", "--json")) == json.loads(GENOTYPE.to_json())
    assert done(tmp_path, "show", str(finished_search), "--json") == (finished_search / "genotype.json").read_text()


def test_a_cell_of_nas_bench_201_is_shown_with_the_benchmarks_counts_and_its_graph(tmp_path: Path) -> None:
    cell = "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|"
    lines = done(tmp_path, "show", cell).splitlines()
    assert cell in lines
    assert lines[-2:] == [
        "NAS-Bench-201 network: 0.129 M parameters, 15.6 M mult-adds (15 cells, 16 channels, cifar stem, 32x32 images, "
        "10 classes)",
        "graph: (0)@avg_pool_3x3+(0)@avg_pool_3x3+(0)@nor_conv_1x1+(0)@nor_conv_1x1",
    ]
    (tmp_path / "cell.json").write_text(done(tmp_path, "show", cell, "--json"))
    assert cell in done(tmp_path, "show", "cell.json")


def test_a_cell_of_nas_bench_201_is_looked_up_in_a_table(tmp_path: Path) -> None:
    write_table(tmp_path / "table.csv")
    best = max(CELLS, key=lambda cell: accuracies_of(cell)[0])
    printed = done(tmp_path, "show", best, "--table", "table.csv")
    lines = [" ".join(line.split()) for line in printed.splitlines()]
    assert lines[-7] == (
        f"table.csv: {len(CELLS)} of the 15,625 cells of NAS-Bench-201, 3 columns of accuracies, by their names: "
        "c10_test_200, cifar100_test_200, ImageNet16-120_valid_12"
    )
    assert lines[-5:-3] == [
        f"truth accuracy rank of {len(CELLS)} regret worse",
        f"CIFAR-10, test, 200 epochs {accuracies_of(best)[0]:.2f} % 1 0.00 {100 - 50 / len(CELLS):.1f} %",
    ]
    found = json.loads(done(tmp_path, "show", best, "--table", "table.csv", "--json"))
    assert found["genotype"] == best
    assert found["truth"]["columns"]["c10_test_200"]["rank"] == 1


def test_a_table_of_the_other_space_is_refused_with_the_command_that_takes_it(tmp_path: Path) -> None:
    write_table(tmp_path / "table.csv")
    (tmp_path / "darts.csv").write_text(f'genotype,acc\n"{GENOTYPE.to_text()}",97\n')
    assert "table.csv: it is no cell of NAS-Bench-201" in refused(
        tmp_path, "show", "pc_darts_cifar10", "--table", "table.csv"
    )
    assert "`pcdarts score CELL --table` takes it" in refused(tmp_path, "show", CELLS[0], "--table", "darts.csv")
    assert "`pcdarts show CELL --table` looks one up" in refused(
        tmp_path, "score", "pc_darts_cifar10", "--table", "table.csv"
    )


def test_both_cells_are_drawn_into_a_folder(tmp_path: Path, finished_search: Path) -> None:
    printed = done(tmp_path, "show", str(finished_search), "--svg", "my/drawings")
    for kind in ("normal", "reduce"):
        path = Path("my/drawings") / f"cell_{kind}.svg"
        assert f"drawn in {path}" in printed.splitlines()
        assert ElementTree.parse(tmp_path / path).getroot().tag.endswith("svg")
        assert (tmp_path / path).read_text() == (finished_search / f"cell_{kind}.svg").read_text()


def test_a_misspelt_name_is_corrected(tmp_path: Path) -> None:
    assert "did you mean 'pc_darts_cifar10'?" in refused(tmp_path, "show", "pcdarts_cifra10")


def test_an_unfinished_search_has_nothing_to_show(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text("job: search\n")
    assert refused(tmp_path, "show", "run") == "run has no genotype.json yet: finish it with --resume run first"
