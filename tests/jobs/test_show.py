"""`pcdarts show`: a genotype as text, JSON and pictures, with its counts."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

import pcdarts
from command_line import GENOTYPE, done, refused

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
