"""`pcdarts tables`: counts beside the paper's figures."""

import json
import sys
from pathlib import Path

import pytest

from command_line import done, refused
from pcdarts.bench.paper_tables import described, library_model
from pcdarts.bench.published import TABLES
from pcdarts.cell.zoo import PUBLISHED
from pcdarts.network.complexity import Complexity


def row_of(table: str, name: str) -> dict:
    (row,) = (row for row in TABLES[table].rows if row.name == name)
    return described(row, TABLES[table])


@pytest.mark.parametrize(
    ("table", "name", "params"),
    [
        ("1", "PC-DARTS", 3_634_678),
        ("1", "P-DARTS", 3_433_798),
        ("1", "DARTS (2nd order)", 3_349_342),
        ("1", "DARTS (1st order)", 3_169_414),
        ("2", "DARTS (2nd order)", 4_718_752),
    ],
)
def test_published_cells_are_counted_to_the_last_parameter(table: str, name: str, params: int) -> None:
    row = row_of(table, name)
    assert row["counted"]["params"] == params
    assert row["in_paper"]


@pytest.mark.parametrize(
    ("name", "figure"), [("PC-DARTS (CIFAR10)", 586), ("PC-DARTS (ImageNet)", 597), ("P-DARTS (CIFAR10)", 557)]
)
def test_norms_and_relus_account_for_the_mult_adds_of_table_2(name: str, figure: int) -> None:
    row = row_of("2", name)
    assert round(row["counted"]["mult_adds_with_norms"] / 1e6) == figure == int(row["paper"]["mult_adds"])
    assert row["counted"]["mult_adds"] < row["counted"]["mult_adds_with_norms"]


def test_every_published_cell_is_in_a_table() -> None:
    assert {row.cell for table in TABLES.values() for row in table.rows} == {*PUBLISHED, None}


def test_networks_of_libraries_are_counted_without_their_weights() -> None:
    assert library_model("googlenet").params == 6_624_904  # Table 2: 6.6 M
    assert library_model("densenet_bc_190_40").params == 25_634_190  # Table 1: 25.6 M
    assert library_model("shufflenet_v2_x2_0") == Complexity(7_393_996, 583_253_464)


def test_a_missing_library_costs_a_row_its_figures_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    row = row_of("2", "MobileNet")
    assert row["counted"] is None
    assert row["note"] == "MobileNet v1 needs timm: pip install 'pcdarts[timm]'"
    assert row["paper"] == {"params": "4.2", "mult_adds": "569"}


def test_a_table_is_printed_and_saved(tmp_path: Path) -> None:
    printed = done(tmp_path, "tables", "--table", "5", "--json", "figures.json")
    rows = {row["name"]: row for row in json.loads((tmp_path / "figures.json").read_text())["5"]}
    assert len(rows) == len(TABLES["5"].rows)
    assert rows["SSD300, VGG-16"]["counted"] == {
        "params": 35_641_826,
        "mult_adds": 34_858_153_472,
        "mult_adds_with_norms": None,
    }
    assert 1.1e9 < rows["PC-DARTS with SSD, 320x320"]["counted"]["mult_adds"] < 1.3e9  # Table 5: 1.2 B
    assert rows["SSD512, VGG-16"]["note"] == "not available here"
    assert "99.5 B" in printed
    assert "BatchNorm, ReLU, pooling and additions do not count" in printed
    assert "Table 1" not in printed


def test_there_are_three_tables(tmp_path: Path) -> None:
    assert refused(tmp_path, "tables", "--table", "3") == "table is 3, but it must be all, 1, 2 or 5"
