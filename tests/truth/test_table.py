"""Tables of NAS-Bench-201: which columns are read, and what is refused with the name of the line."""

import bz2
import gzip
import lzma
import re
from pathlib import Path

import numpy as np
import pytest

from known_truth import CELLS, HEADER, accuracies_of, line_of, write_table
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.zoo import published
from pcdarts.errors import InputError
from pcdarts.truth.columns import Column, column_called, main_columns
from pcdarts.truth.table import is_truth, read_truth

FIRST, SECOND = CELLS[:2]


def written(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "table.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress, bz2.compress])
def test_cells_and_all_accuracies_are_read_however_the_file_is_packed(tmp_path, pack):
    plain = write_table(tmp_path / "plain.csv")
    path = tmp_path / "table"
    path.write_bytes(pack(plain.read_bytes()))
    table = read_truth(path)
    assert table.cells == CELLS
    assert [column.name for column in table.columns] == HEADER.split(",")[2:5]
    assert np.allclose(table.accuracies, [accuracies_of(cell) for cell in CELLS], atol=5e-4)
    assert not table.is_whole
    assert table.notes == (
        f"{path}: {len(CELLS)} of the 15,625 cells of NAS-Bench-201, 3 columns of accuracies, by their names: "
        "c10_test_200, cifar100_test_200, ImageNet16-120_valid_12",
        "ranks, regrets and percentiles are among the cells that it lists",
    )


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        ("c10_test_200", ("CIFAR-10", "test", 200)),
        ("c100_val_12", ("CIFAR-100", "validation", 12)),
        ("in16_test_200", ("ImageNet16-120", "test", 200)),
        ("CIFAR-100 200-epoch mean test accuracy", ("CIFAR-100", "test", 200)),
        ("ImageNet16-120-valid", ("ImageNet16-120", "validation", None)),
        ("cifar10ValidAcc", ("CIFAR-10", "validation", None)),
        ("accuracy", (None, None, None)),
    ],
)
def test_the_name_of_a_column_says_what_it_is(name, meaning):
    assert column_called(name) == Column(name, *meaning)


def test_of_each_data_set_the_test_after_the_longest_training_is_the_main_one():
    names = ["c10_test_12", "c10_test_200", "c10_val_200", "c100_test_12"]
    assert [column.name for column in main_columns([*map(column_called, names)])] == ["c10_test_200", "c100_test_12"]
    assert [column.name for column in main_columns([*map(column_called, ["a", "b"])])] == ["a", "b"]


def test_columns_without_a_telling_name_are_found_by_their_values(tmp_path):
    rows = [f"{cell},{number},{90 + number / 8},{1000 + number / 8}" for number, cell in enumerate(CELLS)]
    table = read_truth(written(tmp_path, "what,index,found,flops", *rows))
    assert [column.name for column in table.columns] == ["found"]
    assert "by their values, as no name says so: found" in table.notes[0]


def test_one_column_can_be_named(tmp_path):
    path = write_table(tmp_path / "table.csv")
    assert [column.name for column in read_truth(path, "cifar100_test_200").columns] == ["cifar100_test_200"]
    with pytest.raises(InputError, match="has no column cifar100: did you mean 'cifar100_test_200'"):
        read_truth(path, "cifar100")


def test_fractions_are_taken_as_percent_and_told(tmp_path):
    table = read_truth(written(tmp_path, "arch,acc", f"{FIRST},0.9", f"{SECOND},0.25"))
    assert table.accuracies.tolist() == [[90], [25]]
    assert table.notes[-1] == "acc: fractions there, taken as %"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            ("arch,acc", f"{FIRST},91", f"{FIRST},92"),
            f"line 3: the cell {re.escape(FIRST)} is in line 2 already: keep one",
        ),
        (("arch,acc", f"{FIRST},91", f"{SECOND},n/a"), "line 3: acc is n/a, but an accuracy is a number from 0 to 100"),
        (("arch,acc", f"{FIRST},91", f"{SECOND},"), "line 3: acc is '', but an accuracy is a number from 0 to 100"),
        (("arch,acc", f"{FIRST},91", f"{SECOND},nan"), "line 3: acc is nan, but an accuracy is a number"),
        (("arch,acc", f"{FIRST},91", f"{SECOND},100.5"), "line 3: acc is 100.5, but an accuracy is a number from 0"),
        (("arch,acc", f"{FIRST},91", f"{SECOND},-1"), "line 3: acc is -1, but an accuracy is a number from 0 to 100"),
        (("arch,acc", f"{FIRST},91", f"{SECOND}"), "line 3: 1 value, but the header names 2 columns"),
        (("arch,acc", f"{FIRST},91", f"{SECOND.replace('~2', '~0')},91"), "line 3: arch: node 3 of the cell .* takes"),
        (("arch,acc", f"{FIRST},91", "7,91"), r"line 3: arch: the text holds no \|op~0\|"),
        (("architecture,acc", "7,91"), r"line 2: architecture: the text holds no \|op~0\|"),
        (("arch,acc", f"{FIRST},91", f"{SECOND.replace('_', '-')},91"), "line 3: arch: node . of .* has no operation"),
        (("arch,lat_ms", f"{FIRST},91.5"), r"has no column of accuracies besides its cells \(lat_ms\): call one"),
        (("arch", FIRST), r"has no column of accuracies besides its cells \(no column\)"),
        (("arch,acc,acc", f"{FIRST},91.5,91.5"), "2 columns are called acc: keep one"),
        (("arch,acc",), "lists no cells: expected a header such as architecture,cifar10_test_200"),
        (("a,b", "1,2"), r"is no table of NAS-Bench-201: none of its columns \(a, b\) holds its cells; expected"),
        (
            ("genotype,acc", f'"{published("pc_darts_cifar10").to_text()}",97'),
            "holds its cells .it is one of the DARTS papers' cells: `pcdarts score CELL --table` takes it.; expected",
        ),
    ],
)
def test_a_table_with_a_fault_is_refused_in_one_line_that_names_it(tmp_path, lines, message):
    path = written(tmp_path, *lines)
    with pytest.raises(InputError, match=message) as refusal:
        read_truth(path)
    assert "\n" not in str(refusal.value)
    assert str(path) in str(refusal.value)


def test_a_pickle_is_not_read(tmp_path):
    path = tmp_path / "NATS-tss-v1_0-3ffb9.pickle.pbz2"
    path.write_bytes(bz2.compress(b"\x80\x04."))
    with pytest.raises(InputError, match="is a pickle: give the folder of NATS-Bench with one file a cell, or a CSV"):
        read_truth(path)


def test_what_kind_of_table_it_is_shows_in_its_cells(tmp_path):
    assert is_truth(write_table(tmp_path / "ours.csv"))
    assert is_truth(tmp_path)
    assert not is_truth(written(tmp_path, "genotype,acc", f'"{published("darts_v2").to_text()}",97'))


def test_the_row_of_a_cell_is_found_in_whatever_form_it_was_written(tmp_path):
    spaced = SECOND.replace("+", " + ")
    table = read_truth(written(tmp_path, "arch,acc", f"{FIRST},90", f"{spaced},91"))
    assert table.place(Genotype.from_text(SECOND)) == 1
    assert table.place(Genotype.from_text(CELLS[2])) is None


def test_a_line_of_the_table_is_what_the_test_believes():
    assert line_of(0, FIRST).count(",") == HEADER.count(",")
