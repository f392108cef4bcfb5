"""Cells of NAS-Bench-201 in the benchmark's own text, and which of them it holds for one graph."""

import csv
import lzma
import os
from itertools import product
from pathlib import Path

import pytest

from pcdarts.cell.arch_string import unique_string
from pcdarts.cell.derive import random_genotype
from pcdarts.cell.draw import draw_svg, draw_text
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.genotype_file import find_in_file
from pcdarts.cell.space import NASBENCH201, CellForm, CellSpace
from pcdarts.errors import InputError

FIRST = "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|"
NOTHING = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
SOURCES = (0, 0, 1, 0, 1, 2)


def test_the_benchmarks_text_is_read_edge_by_edge_and_written_again():
    genotype = Genotype.from_text(f"12:00:01 index 0, {FIRST}, 85.863")
    assert genotype.form == NASBENCH201.form
    assert genotype.entering("normal") == {
        1: (("avg_pool_3x3", 0),),
        2: (("nor_conv_1x1", 0), ("skip_connect", 1)),
        3: (("nor_conv_1x1", 0), ("skip_connect", 1), ("skip_connect", 2)),
    }
    assert (genotype.normal_concat, genotype.reduce) == ((3,), ())
    assert genotype.to_text() == FIRST


@pytest.mark.parametrize("seed", range(5))
def test_both_written_forms_read_back_as_the_same_cell(seed):
    genotype = random_genotype(NASBENCH201, seed)
    assert Genotype.from_text(genotype.to_text()) == genotype
    assert Genotype.from_json(genotype.to_json()) == genotype


def test_a_cell_that_carries_nothing_is_a_cell_of_the_benchmark():
    genotype = Genotype.from_text(NOTHING)
    assert genotype.idle("normal") == {0, 1, 2}
    assert genotype.to_text() == NOTHING


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            FIRST.replace("nor_conv_1x1~0", "conv_1x1~0", 1),
            r"node 2 of .* has no operation 'conv_1x1': .*nor_",
        ),
        (
            FIRST.replace("skip_connect~1|+", "skip_connect~0|+"),
            "node 2 of .* takes input from 0, 0, but each",
        ),
        (
            FIRST.removesuffix("|skip_connect~2|") + "|",
            "node 3 of .* takes input from 0, 1, but each node",
        ),
        (FIRST.replace("~2", "~"), r"takes input from 0, 1, \?, but each node takes all earlier ones"),
        ("|none~0|+|none~0|none~1|", r"\|none~0\|\+\|none~0\|none~1\|: expected 3 blocks .*, not 2, as in \|op~0\|\+"),
        (f"{NOTHING}+|none~0|", "expected 3 blocks with .* between them, not 4"),
        (f"{FIRST} and {NOTHING}", "the text holds 2 cells of NAS-Bench-201: keep only the one you mean"),
    ],
)
def test_a_text_that_is_not_one_cell_is_refused_in_one_line(text, message):
    with pytest.raises(InputError, match=message) as error:
        Genotype.from_text(text)
    assert "\n" not in str(error.value)


def test_of_a_log_the_last_cell_is_taken_or_that_of_an_epoch(tmp_path: Path):
    log = tmp_path / "search.log"
    log.write_text(f"[epoch 0] arch: Structure(4 nodes with {FIRST})\n[epoch 1] arch: \x1b[1m{NOTHING}\x1b[0m\n")
    assert Genotype.from_file(log).to_text() == NOTHING
    assert Genotype.from_file(log, "0").to_text() == FIRST
    assert find_in_file(log).remark == f"{log}: the last of 2 genotypes, of epoch 1, line 2"


def test_a_file_of_json_says_of_which_space_its_cell_is(tmp_path: Path):
    path = tmp_path / "genotype.json"
    path.write_text(Genotype.from_text(FIRST).to_json())
    assert '"space": "nasbench201"' in path.read_text()
    assert Genotype.from_file(path) == Genotype.from_text(FIRST)
    path.write_text(path.read_text().replace("nasbench201", "nasbench101"))
    with pytest.raises(InputError, match="is of the space 'nasbench101': use nasbench201, or leave it out for"):
        Genotype.from_file(path)
    path.write_text(Genotype.from_text(FIRST).to_json().replace("[3]", "[2]"))
    with pytest.raises(InputError, match=r"concat: names nodes \[2\], but the output .* is its last node: give \[3\]"):
        Genotype.from_file(path)


def test_cells_with_other_nodes_or_operations_have_no_such_text():
    form = NASBENCH201.form
    for genotype in (
        Genotype((("none", 0), ("sep_conv_3x3", 0), ("none", 1)), (2,), (), (), form=form),
        Genotype(tuple(zip(["sep_conv_3x3"] * 6, SOURCES, strict=True)), (3,), (), (), form=form),
        random_genotype(CellSpace(4, form=CellForm(("normal",), 1, None), concatenates=False), 0),
    ):
        with pytest.raises(InputError, match="and cells of NAS-Bench-201, have a printed form: use to_json"):
            genotype.to_text()


def test_a_cell_is_drawn_with_its_operations():
    genotype = Genotype.from_text(FIRST)
    assert "c_{k-1} ── nor_conv_1x1 ──┬─▶ 2" in draw_text(genotype, "normal")
    assert draw_text(genotype, "normal").endswith("  c_{k} = 3\n")
    assert "nor conv 1×1" in draw_svg(genotype, "normal")
    assert "<svg" in draw_svg(Genotype.from_text(NOTHING), "normal")


# One graph


def every_cell() -> list[tuple[tuple[str, int], ...]]:
    choices = product(NASBENCH201.primitives, repeat=6)
    return [tuple(zip(operations, SOURCES, strict=True)) for operations in choices]


def test_skips_are_what_they_skip_and_what_reads_nothing_is_nothing():
    assert Genotype.from_text(FIRST).unique_text() == (
        "(0)@avg_pool_3x3+(0)@avg_pool_3x3+(0)@nor_conv_1x1+(0)@nor_conv_1x1"
    )
    other = "|none~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|avg_pool_3x3~1|none~2|"
    same = "|none~0|+|skip_connect~0|nor_conv_1x1~1|+|none~0|nor_conv_3x3~1|skip_connect~2|"
    assert Genotype.from_text(other).unique_text() == "#+#+0"
    assert Genotype.from_text(same).unique_text() == "#+#+#+0"  # the benchmark tells these two apart
    with pytest.raises(InputError, match="only cells of NAS-Bench-201 have its text of a graph"):
        random_genotype(CellSpace(), 0).unique_text()


def test_of_all_15625_cells_the_benchmark_tells_6466_apart():
    cells = every_cell()
    assert (len(set(cells)), len({unique_string(cell) for cell in cells})) == (15_625, 6_466)


@pytest.mark.skipif("PCDARTS_NASBENCH201_TABLE" not in os.environ, reason="PCDARTS_NASBENCH201_TABLE names no table")
def test_the_graphs_are_those_of_the_benchmarks_table():
    with lzma.open(os.environ["PCDARTS_NASBENCH201_TABLE"], "rt") as table:
        rows = list(csv.DictReader(table))
    assert len(rows) == 15_625
    assert all(Genotype.from_text(row["architecture"]).unique_text() == row["unique"] for row in rows)
