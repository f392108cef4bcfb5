"""Searches under a budget of latency, `pcdarts latency`, and tables of this and of other machines."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from command_line import SEARCH, copy_of, done, refused, result_of, run_in
from made_latencies import made_table
from pcdarts.network.latency.parts import Sizes
from pcdarts.network.latency.table import Device, LatencyTable

SIZES = Sizes("cifar", 8, 5, 10, 1, 8)
"""Those of the network that the default recipe trains, for the images of `SEARCH`."""
FOREIGN = "predicted for Abacus 1 (wood, beads, 1 core), onnxruntime 1.0, 1 thread (not this machine, so nothing is "


@pytest.fixture
def foreign(tmp_path: Path) -> LatencyTable:
    """A table of another machine, in the file `abacus.json`."""
    table = made_table(SIZES)
    (tmp_path / "abacus.json").write_text(table.to_json())
    return table


def listed(folder: Path, run: Path, *flags: str) -> list[dict]:
    return json.loads(done(folder, "show", str(run), "--budget", "--json", *flags))


def test_a_search_keeps_to_a_latency_by_the_table_of_another_machine(
    tmp_path: Path, finished_search: Path, foreign: LatencyTable
) -> None:
    table = ("--latency-table", "abacus.json")
    rows = listed(tmp_path, finished_search, *table, "--best", "500")
    limit = sorted(row["latency_ms"] for row in rows)[100]
    expected = next(row for row in rows if row["latency_ms"] <= limit)
    assert expected["rank"] > 1
    printed = done(tmp_path, *SEARCH, *table, "--max-latency", str(limit), "--run", "run")
    result = result_of(tmp_path / "run")
    assert result["genotype"] == expected["genotype"]
    assert result["evaluation_network"]["latency_ms"] == expected["latency_ms"] == result["latency"]["predicted_ms"]
    assert result["latency"]["measured_ms"] is None
    assert result["latency"]["device"]["processor"] == "Abacus 1"
    assert result["budget"]["max_latency"] == limit
    assert result["budget"]["unconstrained"]["latency_ms"] == rows[0]["latency_ms"]
    assert f"budget: at most {limit:g} ms for one image" in printed
    assert FOREIGN in printed
    assert f"{expected['latency_ms']:.3g} ms predicted for Abacus 1" in printed
    # The run keeps its table: neither the file nor this machine is asked again.
    (tmp_path / "abacus.json").unlink()
    assert listed(tmp_path, tmp_path / "run", "--best", "1") == [{**expected, "rank": 1}]
    assert f"{expected['latency_ms']:.3g} ms" in done(tmp_path, "status", "run")
    (status,) = json.loads(done(tmp_path, "status", "run", "--json"))
    assert status["latency_ms"] == expected["latency_ms"]
    page = done(tmp_path, "report", "run", "--out", "page")
    assert f"at most {limit:g} ms for one image" in page
    assert "predicted ms" in page


def test_an_impossible_latency_is_refused_before_the_search(tmp_path: Path, foreign: LatencyTable) -> None:
    table = ("--latency-table", "abacus.json")
    line = refused(tmp_path, *SEARCH, *table, "--max-latency", "0.001")
    assert line.startswith("max_latency is 0.001 ms, but the fastest network that can be derived is predicted to take ")
    enough = line.partition("give ")[2].split()[0]
    assert "(5 cells, 8 channels, cifar stem, 8x8 images, 10 classes): --network-channels, --network-cells" in line
    assert run_in(tmp_path, *SEARCH, "--epochs", "2", *table, "--max-latency", enough).code == 0


def test_a_table_of_another_machine_that_lacks_something_says_what_to_run_there(
    tmp_path: Path, foreign: LatencyTable
) -> None:
    line = refused(tmp_path, *SEARCH, "--latency-table", "abacus.json", "--network-channels", "6")
    assert line.startswith("the latency table abacus.json was measured on Abacus 1 (wood, beads, 1 core), onnxruntime")
    assert "parts of the network to be trained (5 cells, 6 channels" in line
    command = (
        "`pcdarts latency --kind=cifar --channels=6 --num-cells=5 --num-classes=10 --image-channels=1 --image-size=8 "
        "--num-nodes=4 --out FILE`"
    )
    assert f"such as stem cifar, 1 to 18 channels, 8x8, stride 1: run {command} on that device" in line
    line = refused(tmp_path, *SEARCH, "--latency-table", "none.json", "--network-channels", "6")
    assert line == f"the latency table none.json does not exist: {command} makes it, also on another device"
    (tmp_path / "mine.json").write_text("{}")
    assert "mine.json is no latency table (" in refused(tmp_path, *SEARCH, "--latency-table", "mine.json")


def test_a_killed_search_goes_on_with_the_table_in_its_folder(
    tmp_path: Path, killed_search: Path, foreign: LatencyTable
) -> None:
    run = Path(shutil.copytree(killed_search, tmp_path / "run"))
    shutil.move(tmp_path / "abacus.json", run / "latencies.json")
    assert run_in(tmp_path, "search", "--resume", "run", "--max-latency", "100").code == 0
    assert result_of(run)["latency"]["device"]["processor"] == "Abacus 1"


def test_no_limit_of_latency_is_no_number_of_milliseconds(tmp_path: Path) -> None:
    assert "max_latency is 0, but it must be more than 0" in refused(tmp_path, *SEARCH, "--max-latency", "0")
    assert "max_latency is soon, but" in refused(tmp_path, *SEARCH, "--max-latency", "soon")


def test_a_missing_library_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    line = refused(tmp_path, *SEARCH, "--max-latency", "3")
    assert line == "measuring latency needs onnxruntime: pip install 'pcdarts[onnx]'"


@pytest.fixture
def measuring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine measures, but in as few rounds as possible, and keeps its table below the folder."""
    pytest.importorskip("onnxruntime")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("pcdarts.network.latency.measure.SECONDS", 0.0)


TINY = ("--channels", "2", "--num-cells", "3", "--num-nodes", "3", "--image-size", "8", "--num-classes", "2")


@pytest.mark.usefixtures("measuring")
def test_a_table_of_this_machine_is_measured_once_and_written_to_a_file(tmp_path: Path) -> None:
    printed = done(tmp_path, "latency", *TINY)
    assert "parts and 12 whole networks through onnxruntime" in printed
    assert "12 random ones took " in printed
    assert "error for 6 random networks not used in the fit: median " in printed
    assert "pcdarts latency --kind=cifar --channels=2 --num-cells=3 --num-classes=2" in printed
    again = done(tmp_path, "latency", *TINY, "--out", "table.json")
    assert "measuring" not in again
    assert "add\n  pcdarts search --latency-table table.json --max-latency MILLISECONDS\n" in again
    (kept,) = (tmp_path / "cache" / "pcdarts").glob("latencies-*.json")
    assert kept.read_text() == (tmp_path / "table.json").read_text()
    line = refused(tmp_path, "latency", *TINY, "--out", "table.json")
    assert line == "table.json is there already, and nothing is overwritten: choose another --out"


@pytest.mark.usefixtures("measuring")
def test_what_a_table_of_this_machine_lacks_is_measured_and_the_network_too(
    tmp_path: Path, finished_search: Path
) -> None:
    table = made_table(SIZES, device=Device.this())
    (tmp_path / "table.json").write_text(table.to_json())
    before = (tmp_path / "table.json").read_bytes()
    run = copy_of(finished_search, tmp_path / "run")
    flags = ("--latency-table", "table.json", "--max-latency", "100", "--best", "1")
    printed = done(tmp_path, "show", "run", "--budget", *flags, "--num-classes", "9")
    assert "table.json lacks 1 part of this network, which is measured now; the file stays as it is" in printed
    assert "ms predicted, " in printed
    assert "ms measured on this machine (" in printed
    assert (tmp_path / "table.json").read_bytes() == before
    assert not (run / "latencies.json").exists()
