"""Tables of cells: what is read of them, and what is refused, in one line that names the file."""

import bz2
import csv
import gzip
import lzma
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from known_cells import accuracy_of, write_table
from pcdarts.cell.canonical import canonical
from pcdarts.cell.derive import random_genotype
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellSpace
from pcdarts.cell.zoo import published
from pcdarts.errors import InputError
from pcdarts.score.table import read_table

CELLS = [random_genotype(CellSpace(5), seed) for seed in range(60)]
GENOTYPES = [genotype.to_text() for genotype in CELLS]
NUMBERS = [f"{accuracy_of(genotype):.2f}" for genotype in CELLS]


def saved(path: Path, *columns: Sequence[str]) -> Path:
    """A table of these columns, each with its name at its head."""
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(zip(*columns, strict=True))
    return path


def table_of(folder: Path, *more: Sequence[str], genotypes: Sequence[str] = GENOTYPES, numbers=NUMBERS) -> Path:
    return saved(folder / "cells.csv", ["genotype", *genotypes], ["accuracy", *numbers], *more)


def refusal(path: Path, *, kind: str | None = None, column: str | None = None) -> str:
    """Why a table is refused, without its name."""
    with pytest.raises(InputError) as caught:
        read_table(path, kind, column)
    line = str(caught.value)
    assert str(path) in line
    assert "\n" not in line
    return line.replace(str(path), "TABLE")


# What is read


def test_a_table_has_every_cell_with_its_accuracy(tmp_path):
    table = read_table(table_of(tmp_path))
    assert (table.space, table.kind, table.others) == (CellSpace(5), "", ())
    assert [(cell.genotype, cell.accuracy, cell.weight) for cell in table.fitted] == [
        (canonical(genotype), float(number), 1) for genotype, number in zip(CELLS, NUMBERS, strict=True)
    ]
    low, high = min(NUMBERS), max(NUMBERS)
    assert table.notes == (
        f"60 rows of {tmp_path}/cells.csv: accuracies, from {low} to {high} %, are its column accuracy",
    )


@pytest.mark.parametrize(("suffix", "compress"), [("gz", gzip.compress), ("xz", lzma.compress), ("bz2", bz2.compress)])
def test_a_compressed_table_is_the_same_whatever_its_name(tmp_path, suffix: str, compress: Callable[[bytes], bytes]):
    plain = table_of(tmp_path)
    for name in (f"cells.csv.{suffix}", "packed"):
        (tmp_path / name).write_bytes(compress(plain.read_bytes()))
        assert read_table(tmp_path / name).fitted == read_table(plain).fitted
        assert read_table(tmp_path / name).checksum == read_table(plain).checksum


def test_genotypes_are_read_printed_or_as_json_with_other_columns_and_in_any_order(tmp_path):
    genotypes = [genotype.to_json() if index % 2 else genotype.to_text() for index, genotype in enumerate(CELLS)]
    path = saved(
        tmp_path / "cells.csv",
        ["ACC", *NUMBERS],
        ["", *map(str, range(60))],
        ["Cell", *genotypes],
        ["seconds", *["1"] * 60],
    )
    path.write_text("\n" + path.read_text(encoding="utf-8").replace("\n", "\n\n", 3), encoding="utf-8-sig")
    assert [cell.genotype for cell in read_table(path).fitted] == list(map(canonical, CELLS))


def test_a_cell_is_listed_under_every_order_of_edges_and_equal_nodes(tmp_path):
    two_equal = (("skip_connect", 0), ("sep_conv_3x3", 1), ("sep_conv_3x3", 1), ("skip_connect", 0))
    cell = Genotype((*two_equal, ("max_pool_3x3", 2), ("skip_connect", 1)), (2, 3, 4), CELLS[0].reduce, (2, 3, 4))
    again = Genotype((*two_equal, ("skip_connect", 1), ("max_pool_3x3", 3)), (4, 3, 2), CELLS[0].reduce, (2, 3, 4))
    table = read_table(table_of(tmp_path, genotypes=[*GENOTYPES, cell.to_text()], numbers=[*NUMBERS, "71.5"]))
    known = table.listed(again)
    assert known is not None
    assert known.accuracy == 71.5
    assert table.listed(random_genotype(CellSpace(5), 1000)) is None


def test_rows_of_one_graph_are_one_cell_with_their_mean_by_weight(tmp_path):
    path = table_of(
        tmp_path,
        ["weight", *["1"] * 60, "3"],
        genotypes=[*GENOTYPES, GENOTYPES[0]],
        numbers=["80", *NUMBERS[1:], "84"],
    )
    table = read_table(path)
    assert len(table.fitted) == 60
    assert (table.fitted[0].accuracy, table.fitted[0].weight) == (83, 4)
    assert table.notes[1] == "1 row of a cell that is listed already (the same graph): means are used"


def test_the_kind_with_most_rows_is_fitted_and_the_others_are_looked_up(tmp_path):
    more = [random_genotype(CellSpace(5), seed) for seed in range(100, 151)]
    path = table_of(
        tmp_path,
        ["kind", *["short"] * 60, *["whole"] * 51, ""],
        genotypes=[*GENOTYPES, *(genotype.to_text() for genotype in more), GENOTYPES[0]],
        numbers=[*NUMBERS, *["0.97"] * 50, "0.5", "11"],
    )
    table = read_table(path)
    assert (table.kind, len(table.fitted), len(table.others)) == ("short", 60, 52)
    assert table.notes[1] == (
        "fitted only on the 60 rows of kind short: the others (51 of kind whole, 1 without a kind) may be on another "
        "scale, and are only looked up"
    )
    first, other = table.listed(CELLS[0]), table.listed(more[0])
    assert first is not None
    assert (first.kind, first.accuracy) == ("short", float(NUMBERS[0]))
    assert other is not None
    assert (other.kind, other.accuracy) == ("whole", 97)  # fractions among themselves, though not in the other kind
    whole = read_table(path, kind="whole")
    assert (whole.kind, len(whole.fitted)) == ("whole", 51)
    assert whole.notes[0].endswith("from 50.00 to 97.00 %, are its column accuracy (fractions there)")
    assert whole.checksum != table.checksum


def test_fractions_become_percentages(tmp_path):
    table = read_table(table_of(tmp_path, numbers=[str(float(number) / 100) for number in NUMBERS]))
    assert [cell.accuracy for cell in table.fitted] == pytest.approx([float(number) for number in NUMBERS])
    assert table.notes[0].endswith("(fractions there)")


@pytest.mark.parametrize("name", ["valAcc", "Top-1 accuracy (%)", "acc_200", "test_acc"])
def test_the_column_of_accuracies_is_found_by_its_name(tmp_path, name):
    path = saved(tmp_path / "cells.csv", ["genotype", *GENOTYPES], ["accelerator", *["1"] * 60], [name, *NUMBERS])
    assert read_table(path).fitted[0].accuracy == float(NUMBERS[0])


# What is refused: the columns


def test_a_column_of_errors_is_never_taken_for_accuracies(tmp_path):
    path = saved(tmp_path / "cells.csv", ["genotype", *GENOTYPES], ["test_error", *["2.57"] * 60])
    unclear = (
        "TABLE: it is not clear which column holds the accuracies (besides genotypes: test_error): name it with "
        "--column (in a study's file: column)"
    )
    assert refusal(path) == unclear
    assert refusal(path, column="test_error") == (
        "TABLE: by its name, the column test_error holds errors or losses: give a column of accuracies"
    )


def test_of_two_columns_of_accuracies_one_has_to_be_named(tmp_path):
    path = saved(tmp_path / "cells.csv", ["genotype", *GENOTYPES], ["val_acc", *NUMBERS], ["test_acc", *["9"] * 60])
    assert "(val_acc, test_acc are possible): name it with --column" in refusal(path)
    assert read_table(path, column="val_acc").fitted[0].accuracy == float(NUMBERS[0])
    assert "has no column acc besides the genotypes: did you mean" in refusal(path, column="acc")


@pytest.mark.parametrize("name", ["accuracy", "kind", "weight"])
def test_a_column_that_is_there_twice_is_refused(tmp_path, name):
    path = table_of(tmp_path, [name, *["1"] * 60], [name, *["1"] * 60])
    assert f" columns are called {name}: keep one of them" in refusal(path)


def test_a_table_of_genotypes_alone_is_refused(tmp_path):
    assert "has no column besides the genotypes" in refusal(saved(tmp_path / "a", ["genotype", *GENOTYPES]))


def test_a_table_of_another_space_is_refused(tmp_path):
    path = saved(tmp_path / "cells.csv", ["architecture", "|nor_conv_1x1~0|+|none~0|"], ["accuracy", "93"])
    assert refusal(path).startswith(
        "TABLE is not a table of cells of this space: none of its columns (architecture, accuracy) holds genotypes"
    )


def test_cells_of_nas_bench_201_are_refused_by_their_form(tmp_path):
    cell = "|nor_conv_1x1~0|+|none~0|none~1|+|none~0|none~1|none~2|"
    path = saved(tmp_path / "cells.csv", ["genotype", *GENOTYPES[:-1], cell], ["accuracy", *NUMBERS])
    assert refusal(path).endswith("it is no cell of the DARTS papers' form, and a regressor knows no other")


def test_a_kind_that_is_not_there_is_refused(tmp_path):
    assert (
        refusal(table_of(tmp_path), kind="whole")
        == "TABLE has no column kind, so there is no kind whole: leave kind out"
    )
    path = table_of(tmp_path, ["kind", *["short"] * 60])
    assert refusal(path, kind="shrt") == "TABLE has no rows of kind shrt: did you mean 'short'? (use one of short)"


# What is refused: values


@pytest.mark.parametrize("number", ["", "n/a", "nan", "inf", "-inf", "1e400", "93,4", "93 %"])
def test_an_accuracy_that_is_no_number_is_refused_with_its_line(tmp_path, number):
    message = refusal(table_of(tmp_path, numbers=[*NUMBERS[:58], number, NUMBERS[59]]))
    assert message.startswith("TABLE, line 60: accuracy is ")
    assert message.endswith(", but it must be a number")


@pytest.mark.parametrize(("number", "said"), [("-1", "-1"), ("100.5", "100.5"), ("9e99", "9e+99")])
def test_an_accuracy_that_cannot_be_is_refused_with_its_line(tmp_path, number, said):
    assert refusal(table_of(tmp_path, numbers=[*NUMBERS[:59], number])) == (
        f"TABLE, line 61: accuracy is {said}, but an accuracy is from 0 to 100 (in %), or from 0 to 1"
    )


def test_fractions_among_percentages_are_refused(tmp_path):
    message = refusal(table_of(tmp_path, numbers=["99", *NUMBERS[1:59], "0.93"]))
    assert message == (
        "TABLE: accuracy is 0.93 in line 61 but 99 in line 2: give all accuracies in %, or all as fractions"
    )


@pytest.mark.parametrize("weight", ["0", "-1", "heavy", "nan", "1e300", "1e-300", ""])
def test_a_weight_that_counts_nothing_or_all_is_refused(tmp_path, weight):
    message = refusal(table_of(tmp_path, ["Weight", *["1"] * 59, weight]))
    assert message.startswith("TABLE, line 61: weight is ")


@pytest.mark.parametrize(
    ("genotype", "said"),
    [
        ("pc_darts_cifar10", "TABLE, line 61: "),
        ("", "TABLE, line 61: "),
        ("{", "TABLE, line 61: the genotype is not JSON"),
        ("Genotype(normal=__import__('os').getcwd())", "TABLE, line 61: "),
        (
            GENOTYPES[0].replace("skip_connect", "none"),
            "an edge of its normal cell holds none, which no search chooses",
        ),
        (published("nasnet_a").to_text(), "sep_conv_7x7 is an operation that no search of this space can choose"),
        (GENOTYPES[0].replace("range(2, 5)", "[2, 3]", 1), "its normal cell does not concatenate all"),
        (
            random_genotype(CellSpace(6), 0).to_text(),
            "in line 2 has 5 nodes, that in line 61 has 6: keep the cells of one",
        ),
        (random_genotype(CellSpace(21), 0).to_text(), "TABLE, line 61: the cell has more than 20 nodes"),
    ],
)
def test_a_genotype_that_is_not_of_the_space_is_refused_with_its_line(tmp_path, genotype, said):
    assert said in refusal(table_of(tmp_path, genotypes=[*GENOTYPES[:59], genotype]))


def test_fifty_different_cells_are_enough_and_fewer_are_not(tmp_path):
    assert len(read_table(write_table(tmp_path / "cells.csv", cells=50)).fitted) == 50
    repeated = saved(tmp_path / "c.csv", ["g", *GENOTYPES[:49], GENOTYPES[0]], ["acc", *NUMBERS[:49], "80"])
    assert refusal(repeated) == "TABLE has 49 different cells, but a regressor needs at least 50: give a larger table"
    kinds = table_of(tmp_path, ["kind", *["few"] * 29, *["more"] * 31])
    assert "has 31 different cells of kind more, but a regressor needs at least 50" in refusal(kinds)


def test_a_table_of_one_accuracy_teaches_nothing(tmp_path):
    assert "all cells have the accuracy 93 %" in refusal(table_of(tmp_path, numbers=["93"] * 60))
    all_but_ten = table_of(tmp_path, ["kind", *["a"] * 50, *["b"] * 10], numbers=["93"] * 50 + NUMBERS[50:])
    assert "all cells have the accuracy 93 %" in refusal(all_but_ten)


# What is refused: the file

ROWS = "genotype,accuracy\n" + "".join(f'"{text}",{number}\n' for text, number in zip(GENOTYPES, NUMBERS, strict=True))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "TABLE lists no cells: expected"),
        (b"\n\n\n", "TABLE lists no cells: expected"),
        (b"genotype,accuracy\n", "TABLE lists no cells: expected"),
        (b"\0\0\0\0", "TABLE lists no cells: expected"),
        (ROWS.replace("\n", "\n\0", 1).encode(), "TABLE, line 2: "),
        (ROWS.encode("utf-16"), "TABLE is not a CSV file: it is not text in UTF-8"),
        (b"PK\x03\x04\xff", "TABLE is not a CSV file: it is not text in UTF-8"),
        ((ROWS + "93.4\n").encode(), "TABLE, line 62: 1 value, but the header names 2 columns"),
        ((ROWS + ",,,\n").encode(), "TABLE, line 62: 4 values, but the header names 2 columns"),
        ((ROWS + '"Genotype(').encode(), "TABLE is not a CSV file: line 62: unexpected end of data"),
        (ROWS.replace(",", ";").encode(), "TABLE is not a CSV file: line 2: "),
        ((ROWS + "x" * 200_000 + ",1").encode(), "TABLE is not a CSV file: line 62: field larger than field limit"),
        (b"a,b\n" + b"1,2\n" * 100_001, "TABLE has more than 100,000 rows: keep a part of them"),
        (gzip.compress(ROWS.encode())[:-30], "cannot read the table TABLE: damaged or cut off"),
        (lzma.compress(ROWS.encode())[:-30], "cannot read the table TABLE: damaged or cut off"),
        (bz2.compress(ROWS.encode())[:-30], "cannot read the table TABLE: damaged or cut off"),
        (b"\x1f\x8b" + b"damaged" * 9, "cannot read the table TABLE: damaged"),
        (b"\xfd7zXZ" + b"damaged" * 9, "cannot read the table TABLE: damaged"),
        (b"BZh" + b"damaged" * 9, "cannot read the table TABLE: damaged"),
        (gzip.compress(bytes(101 * 2**20), 1), "TABLE is too large for a table of cells (over 100 MB)"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_table_is_refused(tmp_path, content, said):
    (tmp_path / "cells").write_bytes(content)
    assert refusal(tmp_path / "cells").startswith(said)


def test_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert refusal(tmp_path / "pipe").startswith("cannot read the table TABLE: a pipe or a device: give a CSV file")
    assert refusal(Path("/dev/zero")).startswith("cannot read the table TABLE: a pipe or a device: give a CSV file")
    assert refusal(tmp_path).startswith("cannot read the table TABLE: Is a directory")
    assert refusal(tmp_path / "nowhere").startswith("cannot read the table TABLE: No such file or directory")
