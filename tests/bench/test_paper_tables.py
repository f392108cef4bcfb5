"""`pcdarts tables`: counts beside the paper's figures."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from command_line import done, refused
from pcdarts.bench.counting import library_model
from pcdarts.bench.kept_counts import Counts, code_version
from pcdarts.bench.paper_tables import described, search_command
from pcdarts.bench.published import TABLES, Row
from pcdarts.cell.zoo import PUBLISHED, published
from pcdarts.config.recipes import RECIPES
from pcdarts.jobs.outcome.evaluation import EVALUATION_NETWORKS
from pcdarts.network.complexity import Complexity

DETECTOR = Row("PC-DARTS with SSD, 320x320", None, "1.2B", model="pc_darts_ssd")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for what is kept, which nobody else can write."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "pcdarts" / "table-counts.json"


def row_of(table: str, name: str) -> dict:
    (row,) = (row for row in TABLES[table].rows if row.name == name)
    with Counts() as counts:
        return described(row, TABLES[table], counts)


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
    ("name", "params", "mult_adds"),
    [
        ("amoebanet_b", 2_826_082, 441_654_912),  # Table 1: 2.8 M
        ("amoebanet_c", 3_972_646, 603_065_376),
        ("pnasnet_5", 4_481_110, 706_026_528),
        ("enas", 4_394_710, 693_197_856),
        ("naonet_ws", 2_921_302, 462_002_400),
        ("snas_mild", 2_661_382, 422_218_368),
        ("snas_moderate", 2_847_358, 440_687_232),  # Table 1: 2.8 M
        ("snas_aggressive", 2_313_622, 374_912_640),  # Table 1: 2.3 M
        ("bayesnas_cifar10", 2_389_654, 382_488_192),
        ("bayesnas_imagenet", 2_453_158, 389_179_008),
    ],
)
def test_the_cells_of_other_methods_keep_their_counts(name: str, params: int, mult_adds: int) -> None:
    """In the network of Sec. 4.2; what Tables 1 and 2 say of other networks: docs/deviations.md."""
    assert EVALUATION_NETWORKS["cifar"].complexity(published(name)) == Complexity(params, mult_adds)


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
    assert 99e9 < rows["SSD512, VGG-16"]["counted"]["mult_adds"] < 101e9  # Table 5: 99.5 B
    assert rows["YOLOV2, Darknet-19"]["counted"] is None
    assert rows["YOLOV2, Darknet-19"]["note"] == "in neither torchvision nor timm"
    lite = {name: rows[name]["counted"] for name in rows if name.startswith("SSDLiteV")}
    assert {name: (size["params"], size["mult_adds"]) for name, size in lite.items()} == {
        "SSDLiteV1, MobileNetV1": (5_231_476, 1_361_386_944),  # Table 5: 1.3 B
        "SSDLiteV2, MobileNetV2": (4_484_148, 847_582_144),  # 0.8 B
        "SSDLiteV3, MnasNet-A1": (4_917_386, 889_643_872),  # 0.8 B
    }
    trained = rows["SSDLiteV3, MnasNet-A1"]["train"]
    assert trained == "pcdarts detect train --recipe coco --backbone timm/semnasnet_100 --data-root COCO"
    assert printed.count(trained) == 1
    assert "99.5 B" in printed
    assert "BatchNorm, ReLU, pooling and additions do not count" in printed
    assert "Table 1" not in printed


def test_there_are_three_tables(tmp_path: Path) -> None:
    assert refused(tmp_path, "tables", "--table", "3") == "table is 3, but it must be all, 1, 2 or 5"


def test_every_row_is_counted_or_says_why_not() -> None:
    for table in TABLES.values():
        for row in table.rows:
            assert row.cell or row.model or row.note, row.name


def test_a_row_names_the_command_of_its_search_where_there_is_one() -> None:
    assert search_command(Row("PC-DARTS", recipe="cifar10")) == "pcdarts search --recipe cifar10"
    flags = search_command(Row("PC-DARTS", recipe="cifar10 --data cifar100"))
    assert flags == "pcdarts search --recipe cifar10 --data cifar100"
    trained = search_command(Row("AmoebaNet-A", job="random search", recipe="amoebanet"))
    assert trained == "pcdarts random search --recipe amoebanet"
    assert search_command(Row("Hierarchical Evolution")) is None
    assert search_command(Row("another", recipe="no-such-recipe")) is None
    told = {row.recipe for number in "12" for row in TABLES[number].rows}
    assert {"darts-v1", "darts-v2", "cifar10", "imagenet"} <= told & set(RECIPES["search"])
    assert all(search_command(row) for number in "12" for row in TABLES[number].rows if "Amoeba" in row.name)


def keep_another_number(cache: Path) -> None:
    """Change what is kept, so that a count that is read from there is known."""
    content = json.loads(cache.read_text())
    (figures,) = content["counts"].values()
    figures["params"] = 7
    cache.write_text(json.dumps(content))


def detector_counts(code: str | None = None) -> dict:
    with Counts(code=code) as counts:
        return counts.of(DETECTOR, "imagenet")


def test_a_count_is_kept_for_the_next_call_and_counted_anew_for_other_code(cache: Path) -> None:
    counted = detector_counts()
    keep_another_number(cache)
    assert detector_counts() == counted | {"params": 7}
    assert detector_counts(code="other code") == counted
    assert json.loads(cache.read_text())["code"] == "other code"


def test_tables_whose_counts_are_kept_need_no_torch(tmp_path: Path, cache: Path) -> None:
    code = """
import sys
from pcdarts.cli import run_command
code = run_command(["tables", "--table", "5"])
print(code, {"torch", "torchvision", "timm"} & set(sys.modules), file=sys.stderr)
"""
    figures = {"params": 7_000_000, "mult_adds": 8_000_000, "mult_adds_with_norms": None}
    models = [row.model for row in TABLES["5"].rows if row.model]
    cache.parent.mkdir(parents=True, mode=0o700)
    cache.touch(0o600)
    cache.write_text(json.dumps({"code": code_version(), "counts": dict.fromkeys(models, figures)}))
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert ended.stderr == "0 set()\n"
    assert ended.stdout.count("7.000 M") == len(models)


@pytest.mark.parametrize("spoilt", ["", "{", '{"code": "now"}', '{"code": "now", "counts": {"pc_darts_ssd": 3}}'])
def test_a_damaged_file_and_one_that_others_may_write_are_not_used(cache: Path, spoilt: str) -> None:
    cache.parent.mkdir(parents=True, mode=0o700)
    cache.write_text(spoilt)
    with Counts(code="now") as counts:
        assert counts._kept == {}
    good = {"params": 7, "mult_adds": 7, "mult_adds_with_norms": None}
    cache.write_text(json.dumps({"code": "now", "counts": {"pc_darts_ssd": good}}))
    cache.chmod(0o600)
    assert detector_counts("now") == good
    cache.chmod(0o666)
    with Counts(code="now") as counts:
        assert counts._kept == {}


def test_a_changed_file_or_library_is_another_version_of_the_code(tmp_path: Path) -> None:
    file = tmp_path / "counting.py"
    file.write_text("one")
    versions = [code_version([file], []), code_version([file], ["torch"])]
    file.write_text("two")
    versions.append(code_version([file], []))
    assert len(set(versions)) == 3
    assert code_version() == code_version()
