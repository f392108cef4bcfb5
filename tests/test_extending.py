"""The examples of `docs/extending.md` run as they are printed, and do what the page says of them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from command_line import SEARCH, done, refused, result_of
from examples import TABLES, example
from pcdarts.cell.derive import derive
from pcdarts.cell.draw import draw_svg
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellSpace
from pcdarts.errors import InputError
from pcdarts.network.costs import network_costs
from pcdarts.network.network import Network

SHORT = [*SEARCH[: SEARCH.index("--epochs")], "--epochs", "1", "--arch-frozen-epochs", "0"]


def test_the_added_method_searches_a_cell(tmp_path: Path) -> None:
    # Stopped and resumed to the same bits, also in its second stage: tests/methods/test_method.py.
    with example("A method"):
        done(tmp_path, *SHORT, "--method", "noisy", "--noise", "0.5", "--run", "run")
        assert Genotype.from_file(tmp_path / "run" / "genotype.json").num_nodes("normal") == 4
        assert "noise: 0.5\n" in (tmp_path / "run" / "config.yaml").read_text()
        line = refused(tmp_path, *SHORT, "--noise", "0.5")
        assert line == "noise is for the method noisy, not for darts: drop it, or use method noisy"
        line = refused(tmp_path, *SHORT, "--method", "noisy", "--noise", "-1")
        assert line == "noise is -1, but it must be at least 0"


def test_the_settings_of_the_added_method_are_in_its_help(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with example("A method"):
        printed = done(tmp_path, "search", "--method", "noisy", "--help")
    assert "--noise" in printed
    assert "second-order" not in printed


def test_the_added_space_has_a_supernet_a_genotype_costs_and_a_network() -> None:
    with example("A space") as found:
        assert found.logits.shape == (2, 10)
        assert found.supernet.kernels == "plain"
        check_genotype(found.genotype, found.SPACE)
        assert found.network(torch.rand(2, 3, 16, 16)).shape == (2, 10)
        with pytest.raises(InputError, match='kernels is "native", but these compute the cells of the paper alone'):
            found.supernet.kernels = "native"


def test_the_added_primitive_is_learnt_derived_counted_drawn_and_built() -> None:
    with example("A primitive") as found:
        arch, primitive = found.arch, "nor_conv_5x5"
        weights = [weight for name, weight in found.supernet.named_parameters() if primitive in name]
        assert len(weights) == 3 * found.SPACE.num_edges  # cells and edges
        assert all(weight.grad.isfinite().all() for weight in weights)
        check_genotype(found.genotype, found.SPACE)

        arch.alpha["normal"].data[:, found.SPACE.primitives.index(primitive)] = 9
        genotype = derive(arch)
        assert {name for name, _ in genotype.normal} == {primitive}
        sizes = {"kind": "cifar", "channels": 8, "num_cells": 3, "num_classes": 10, "image_channels": 3}
        network = Network(genotype, auxiliary=False, **sizes)
        learnt = sum(weight.numel() for weight in network.parameters())
        assert network_costs(found.SPACE, image_size=16, **sizes).of(genotype)["params"] == learnt
        assert "nor conv 5×5" in draw_svg(genotype, "normal")


def check_genotype(genotype: Genotype, space: CellSpace) -> None:
    assert genotype.form == space.form
    assert len(genotype.normal) == space.num_edges
    assert {name for name, _ in genotype.normal} <= set(space.primitives)
    assert Genotype.from_json(genotype.to_json(), space.form) == genotype


def test_the_added_data_source_is_searched_on_trained_on_and_measured_again(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0)
    arrays: dict[str, np.ndarray] = {}
    for part, count in (("train", 40), ("val", 8), ("test", 20)):
        arrays[f"{part}_images"] = numbers.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
        arrays[f"{part}_labels"] = (np.arange(count) % 4).astype(np.uint8)[:, None]
    np.savez(tmp_path / "small.npz", allow_pickle=False, **arrays)
    data = ["--data", "medmnist", "--data-root"]
    with example("A data source"):
        printed = done(tmp_path, *SHORT, *data, "small.npz", "--run", "run")
        assert "images of medmnist (4 classes, 8x8 colour)" in printed
        train = ["train", "--genotype", "run", "--channels", "4", "--num-cells", "3", "--batch-size", "20"]
        done(tmp_path, *train, "--no-auxiliary", "--epochs", "1", *data, "small.npz", "--run", "trained")
        error = result_of(tmp_path / "trained")["test_top1_error"]
        assert f"{error:.2f}" in done(tmp_path, "test", "trained")

        (tmp_path / "text.npz").write_text("no arrays")
        np.savez(tmp_path / "other.npz", allow_pickle=False, images=arrays["test_images"])
        for wrong in ("missing.npz", "text.npz", "other.npz"):
            assert refused(tmp_path, *SHORT, *data, wrong).startswith(f"{wrong} is no file of MedMNIST (")
        assert refused(tmp_path, *SHORT, *data[:2]) == "data 'medmnist' is a file: give --data-root pathmnist.npz"
    line = refused(tmp_path, *SHORT, *data, "small.npz")
    assert line.startswith("data is medmnist, but it must be fashion-mini, ")


def test_an_example_leaves_no_entry_behind() -> None:
    before = [table.copy() for table in TABLES]
    with example("A primitive"):
        assert [table.copy() for table in TABLES] != before
    assert [table.copy() for table in TABLES] == before
