"""A latency is a sum of parts and an overhead; tables come back from files, and other files are refused."""

import json
from collections import Counter
from pathlib import Path

import pytest

from made_latencies import SIZES, SPACE, made_table
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellSpace
from pcdarts.errors import InputError
from pcdarts.network.latency.measure import measured_table
from pcdarts.network.latency.parts import Part, Sizes, parts_of
from pcdarts.network.latency.table import Device, LatencyTable, counts_of, read_table


def test_the_parts_of_a_network_are_counted() -> None:
    genotype = Genotype(
        normal=(("sep_conv_3x3", 0), ("skip_connect", 1), ("max_pool_3x3", 0), ("sep_conv_3x3", 2)),
        normal_concat=(2, 3),
        reduce=(("skip_connect", 0), ("dil_conv_5x5", 1), ("max_pool_3x3", 2), ("skip_connect", 2)),
        reduce_concat=(2, 3),
    )
    counts = counts_of(genotype, CellSpace(4), parts_of(CellSpace(4), Sizes("cifar", 4, 4, 10, 1, 8)))
    assert {part: count for part, count in counts.items() if count} == {
        # Cells 0 and 3 are normal; cell 1 reduces to 8 channels and 4x4 maps, cell 2 to 16 and 2x2.
        Part("stem cifar", 1, 12, 8): 1,
        Part("relu_conv_bn", 12, 4, 8): 2,
        Part("relu", 4, 4, 8): 3,
        Part("sep_conv_3x3", 4, 4, 8): 2,
        Part("max_pool_3x3", 4, 4, 8): 1,
        Part("add", 4, 4, 8): 2,
        Part("concat", 4, 8, 8): 1,
        Part("relu_conv_bn", 12, 8, 8): 1,
        Part("relu_conv_bn", 8, 8, 8): 1,
        Part("relu", 8, 8, 8): 2,
        Part("skip_connect", 8, 8, 8, 2): 1,
        Part("dil_conv_5x5", 8, 8, 8, 2): 1,
        Part("relu", 8, 8, 4): 1,
        Part("max_pool_3x3", 8, 8, 4): 1,
        Part("add", 8, 8, 4): 2,
        Part("concat", 8, 16, 4): 1,
        Part("factorized_reduce", 8, 16, 8, 2): 1,
        Part("relu_conv_bn", 16, 16, 4): 1,
        Part("relu", 16, 16, 4): 2,
        Part("skip_connect", 16, 16, 4, 2): 1,
        Part("dil_conv_5x5", 16, 16, 4, 2): 1,
        Part("relu", 16, 16, 2): 1 + 2 + 1,
        Part("max_pool_3x3", 16, 16, 2): 1 + 1,
        Part("add", 16, 16, 2): 2 + 2,
        Part("concat", 16, 32, 2): 2,
        Part("factorized_reduce", 16, 16, 4, 2): 1,
        Part("relu_conv_bn", 32, 16, 2): 1,
        Part("sep_conv_3x3", 16, 16, 2): 2,
        Part("classifier", 32, 10, 2): 1,
    }


def test_the_overhead_is_that_of_the_fit_and_the_error_that_of_the_other_networks() -> None:
    # Whole networks take 1.2 and 1.4 times their sum in the fit, and 1.3, 1.04 and 2.6 times in the check.
    table = made_table(fitted=(1.2, 1.4), checked=(1.3, 1.04, 2.6))
    assert table.overhead(SIZES, SPACE) == pytest.approx(1.3, rel=1e-4)
    quality = table.quality(SIZES, SPACE)
    assert quality is not None
    assert quality.median_error == pytest.approx(25, abs=0.1)
    assert quality.worst_error == pytest.approx(50, abs=0.1)
    assert str(quality) == (
        "error for 3 random networks not used in the fit: median 25.0 %, worst 50.0 % (fitted overhead +30 %)"
    )
    assert table.nanoseconds(Counter({Part("add", 4, 4, 8): 2, Part("relu", 4, 4, 8): -1}), 1.5) == round(
        1500 * (2 * table.times[Part("add", 4, 4, 8)] - table.times[Part("relu", 4, 4, 8)])
    )


def test_a_table_comes_back_from_its_file(tmp_path: Path) -> None:
    table = made_table()
    (tmp_path / "table.json").write_text(table.to_json())
    assert read_table(tmp_path / "table.json") == table


def test_a_table_says_what_it_lacks() -> None:
    table, parts = made_table(), parts_of(SPACE, SIZES)
    assert table.lacks(parts, SIZES, SPACE) == []
    wider = Sizes("cifar", 5, 3, 10, 1, 8)
    assert "sep_conv_3x3, 5 to 5 channels, 8x8, stride 1" in table.lacks(parts_of(SPACE, wider), wider, SPACE)
    other = Sizes("cifar", 4, 4, 10, 1, 8)  # of the same parts
    assert table.with_more(dict.fromkeys(parts_of(SPACE, other).all(), 1.0), []).lacks(
        parts_of(SPACE, other), other, SPACE
    ) == ["whole networks of this size"]


CHANGES = {
    "no JSON": lambda fields: "{",
    "deep": lambda fields: "[" * 100_000,
    "a list": lambda fields: [],
    "another format": lambda fields: fields | {"format": "pcdarts latency 2"},
    "more than it should have": lambda fields: fields | {"code": "import os"},
    "no device": lambda fields: {name: value for name, value in fields.items() if name != "device"},
    "a long name": lambda fields: fields | {"device": fields["device"] | {"processor": "x" * 1000}},
    "a negative time": lambda fields: fields | {"entries": [fields["entries"][0] | {"microseconds": -1}]},
    "an endless time": lambda fields: fields | {"entries": [fields["entries"][0] | {"microseconds": float("inf")}]},
    "an unknown part": lambda fields: fields | {"entries": [fields["entries"][0] | {"part": "__import__"}]},
    "a part twice": lambda fields: fields | {"entries": [fields["entries"][0], fields["entries"][0]]},
    "a text as a number": lambda fields: fields | {"entries": [fields["entries"][0] | {"side": "8"}]},
    "no genotype": lambda fields: fields | {"networks": [fields["networks"][0] | {"genotype": "exec('')"}]},
}


@pytest.mark.parametrize("change", CHANGES)
def test_another_file_is_refused_in_one_line(tmp_path: Path, change: str) -> None:
    changed = CHANGES[change](json.loads(made_table().to_json()))
    (tmp_path / "table.json").write_text(changed if isinstance(changed, str) else json.dumps(changed))
    with pytest.raises(InputError, match=r"table\.json is no latency table \(.*\): `pcdarts latency --out") as refusal:
        read_table(tmp_path / "table.json")
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 1000


def test_a_file_that_is_not_there_or_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"the latency table .*none\.json does not exist"):
        read_table(tmp_path / "none.json")
    with pytest.raises(InputError, match=r"the latency table .* cannot be read \(Is a directory\)"):
        read_table(tmp_path)
    with open(tmp_path / "huge.json", "wb") as file:
        file.truncate(20_000_000)
    with pytest.raises(InputError, match=r"huge\.json is too large for a latency table"):
        read_table(tmp_path / "huge.json")


def test_only_what_a_table_lacks_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pcdarts.network.latency.measure.SECONDS", 0.0)
    pytest.importorskip("onnxruntime")
    said: list[str] = []
    sizes, empty = Sizes("cifar", 2, 3, 3, 1, 8), LatencyTable(device=Device.this(), entries=(), networks=())
    space = CellSpace(3)
    table = measured_table(empty, sizes, space, said.append)
    assert table.lacks(parts_of(space, sizes), sizes, space) == []
    assert [whole.fitted for _, whole in table.of_size(sizes, space)] == 6 * [True] + 6 * [False]
    larger = Sizes("cifar", 2, 4, 3, 1, 8)
    more = measured_table(table, larger, space, said.append)
    assert more.entries[: len(table.entries)] == table.entries
    assert 0 < len(more.entries) - len(table.entries) < 10
    assert said[0].endswith("parts and 12 whole networks through onnxruntime")


def test_a_network_of_another_space_does_not_count() -> None:
    table = made_table()
    assert table.of_size(SIZES, CellSpace(5)) == []
    assert len(table.of_size(SIZES, SPACE)) == 4
