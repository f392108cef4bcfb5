"""`pcdarts search`, from the command to the last file of its run folder."""

import json
import re
import shlex
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
import yaml

import pcdarts
from command_line import RUN_FILES, SEARCH, checkpoint_of, copy_of, differences, done, metrics_of, result_of
from pcdarts.cell.space import CELL_KINDS
from pcdarts.config.configs import SearchConfig
from pcdarts.config.recipes import resolve

EPOCHS, FROZEN_EPOCHS = 5, 2
ONE_STEP = ("--epochs", "1", "--arch-frozen-epochs", "0", "--train-images", "20", "--run", "run")


def genotype_of(run: Path) -> pcdarts.Genotype:
    return pcdarts.Genotype.from_json((run / "genotype.json").read_text())


# What it leaves behind


def test_a_search_leaves_all_files_of_a_run_folder(finished_search: Path) -> None:
    left = {str(path.relative_to(finished_search)) for path in finished_search.rglob("*") if path.is_file()}
    assert left == RUN_FILES | {f"genotypes/epoch_{epoch:03d}.json" for epoch in range(1, EPOCHS + 1)}


def test_every_file_is_what_its_name_says(finished_search: Path) -> None:
    for path in finished_search.rglob("*.json"):
        assert isinstance(json.loads(path.read_text()), dict)
    for kind in CELL_KINDS:
        drawing = ElementTree.parse(finished_search / f"cell_{kind}.svg").getroot()
        assert drawing.tag == "{http://www.w3.org/2000/svg}svg"
    assert yaml.safe_load((finished_search / "config.yaml").read_text())["channels"] == 4
    assert json.loads((finished_search / "env.json").read_text())["pcdarts"] == pcdarts.__version__


def test_the_log_is_what_was_printed(search_output: tuple[Path, str]) -> None:
    run, printed = search_output
    assert (run / "log.txt").read_text() == printed
    folder, images, classes, _, kept, kernels, _, first, *_ = re.split(": |\n", printed)
    assert (classes, kept) == ("10 classes", "40 of 6,000 training images are used (--train-images 40)")
    assert folder == f"runs/{run.name}"
    assert images.startswith("20 weight and 20 arch images of fashion-mini (10 classes, 8x8 greyscale), on cpu")
    assert kernels in ("native kernels", "plain kernels")
    assert first.startswith(f"epoch 1/{EPOCHS} ")


def test_the_last_epochs_genotype_is_the_result(search_output: tuple[Path, str]) -> None:
    run, printed = search_output
    genotype = genotype_of(run)
    last = (run / "genotypes" / f"epoch_{EPOCHS:03d}.json").read_text()
    assert pcdarts.Genotype.from_json(last) == genotype
    assert pcdarts.Genotype.from_text(result_of(run)["genotype"]) == genotype
    assert genotype.to_text() in printed.splitlines()


def test_the_metrics_hold_losses_and_errors_of_both_splits(finished_search: Path) -> None:
    records = metrics_of(finished_search)
    assert [record["epoch"] for record in records] == [1, 2, 3, 4, 5]
    for record in records:
        assert record["weight_loss"] > 0
        assert 0 <= record["weight_top1_error"] <= 100
        assert ("arch_loss" in record) == (record["epoch"] > FROZEN_EPOCHS)
        assert ("arch_top1_error" in record) == (record["epoch"] > FROZEN_EPOCHS)


def test_the_metrics_hold_the_mixture_of_every_epoch(finished_search: Path) -> None:
    for record in metrics_of(finished_search):
        for kind in CELL_KINDS:
            op_weights = torch.tensor(record["op_weights"][kind])
            edge_weights = torch.tensor(record["edge_weights"][kind])
            assert op_weights.shape == (5, 8)
            torch.testing.assert_close(op_weights.sum(dim=1), torch.ones(5), atol=1e-5, rtol=0)
            into_each_node = torch.stack([part.sum() for part in edge_weights.split([2, 3])])
            torch.testing.assert_close(into_each_node, torch.ones(2), atol=1e-5, rtol=0)


def test_the_result_holds_the_search_cost_and_the_network_that_the_cell_implies(finished_search: Path) -> None:
    result = result_of(finished_search)
    cost, size = result["search_cost"], result["evaluation_network"]
    assert cost["hours"] > 0
    assert cost["device"].startswith("cpu")
    assert cost["peak_memory_gb"] > 0
    sizes = {"channels": 8, "num_cells": 5}  # of the training recipe
    network = pcdarts.Network(genotype_of(finished_search), auxiliary=False, image_channels=1, **sizes)
    counted = pcdarts.complexity(network, (1, 8, 8))
    assert (size["params"], size["mult_adds"]) == (counted.params, counted.mult_adds)
    assert 0 <= result["arch_top1_error"] <= 100


def test_the_command_to_type_next_works_as_printed(tmp_path: Path, search_output: tuple[Path, str]) -> None:
    run, printed = search_output
    program, *arguments = shlex.split(printed.splitlines()[-1].removeprefix("next: "))
    assert program == "pcdarts"
    smaller = ["--train-images", "20", "--channels", "4", "--num-cells", "3", "--epochs", "1"]
    folder = copy_of(run.parents[1], tmp_path / "here")
    assert "top-1 test error" in done(folder, *arguments, *smaller, "--run", "next")
    assert genotype_of(folder / "next") == genotype_of(run)


def test_a_search_too_short_to_find_what_the_papers_finds_names_a_published_cell(
    search_output: tuple[Path, str],
) -> None:
    run, printed = search_output
    *_, why, instead, following = printed.splitlines()
    seen = "its weights see less than 0.1 % of the images that they see in PC-DARTS's"
    assert why.startswith(f"so short a search ({seen}) cannot be expected to find a cell as good as the published ones")
    assert instead == following.replace("next:", "instead:").replace(f"runs/{run.name}", "pc_darts_cifar10")


# What it searches


def test_alpha_and_beta_are_frozen_at_first_and_then_move(finished_search: Path) -> None:
    records = metrics_of(finished_search)
    for name in ("op_weights", "edge_weights"):
        first, second, third, *_ = (record[name] for record in records)
        assert first == second
        assert second != third
    uniform = torch.full((5, 8), 1 / 8)
    torch.testing.assert_close(torch.tensor(records[0]["op_weights"]["normal"]), uniform, atol=1e-3, rtol=0)


@pytest.mark.parametrize("k", [1, 4])
@pytest.mark.parametrize("edge_normalization", [True, False])
def test_partial_channels_and_edge_normalisation_switch_independently(
    tmp_path: Path, k: int, edge_normalization: bool
) -> None:
    switch = "--edge-normalization" if edge_normalization else "--no-edge-normalization"
    done(tmp_path, *SEARCH, *ONE_STEP, "--k", str(k), switch)
    saved = checkpoint_of(tmp_path / "run")
    sampled = saved["/state/supernet/cells.0.operations.sep_conv_3x3.first.pointwise"].shape[1]
    assert sampled == 4 // k
    assert any("/arch/beta" in path for path in saved) == edge_normalization
    edge_weights = metrics_of(tmp_path / "run")[-1]["edge_weights"]["normal"]
    assert (edge_weights == [1.0] * 5) == (not edge_normalization)


@pytest.mark.parametrize(("num_nodes", "num_edges"), [(5, 9), (7, 20)])
def test_cells_of_other_sizes_are_searched(tmp_path: Path, num_nodes: int, num_edges: int) -> None:
    done(tmp_path, *SEARCH, *ONE_STEP, "--num-nodes", str(num_nodes))
    assert len(metrics_of(tmp_path / "run")[-1]["op_weights"]["reduce"]) == num_edges
    assert genotype_of(tmp_path / "run").num_nodes("normal") == num_nodes


def test_the_second_order_gradient_and_random_sampling_are_not_the_usual_ones(tmp_path: Path) -> None:
    found = []
    for name, flags in {"usual": (), "second": ("--second-order",), "random": ("--channel-sampling", "random")}.items():
        done(tmp_path, *SEARCH, *ONE_STEP, *flags, "--run", name)
        found.append(metrics_of(tmp_path / name)[-1]["op_weights"])
    assert all(one != other for one, other in combinations(found, 2))


# The same again


def test_a_seed_decides_everything(tmp_path: Path, finished_search: Path) -> None:
    for seed in (0, 1):
        done(tmp_path, *SEARCH, "--epochs", "1", "--arch-frozen-epochs", "1", "--seed", f"{seed}", "--run", f"{seed}")
    same, other = metrics_of(tmp_path / "0"), metrics_of(tmp_path / "1")
    assert same == metrics_of(finished_search)[:1]
    assert same[0]["weight_loss"] != other[0]["weight_loss"]
    assert same[0]["op_weights"] != other[0]["op_weights"]


def test_the_configuration_of_a_finished_search_runs_it_again_to_the_last_bit(
    tmp_path: Path, finished_search: Path
) -> None:
    done(tmp_path, "search", "--config", str(finished_search / "config.yaml"), "--run", "run")
    assert differences(finished_search, tmp_path / "run") == []


def test_a_recipe_yields_to_a_file_and_a_file_to_flags(tmp_path: Path) -> None:
    small = "train_images: 40\nimage_size: 8\nnum_cells: 3\nnum_nodes: 3\nepochs: 1\narch_frozen_epochs: 0\n"
    (tmp_path / "my.yaml").write_text(f"recipe: darts-v1\ndata: fashion-mini\nchannels: 8\nbatch_size: 10\n{small}")
    done(tmp_path, "search", "--config", "my.yaml", "--channels", "2", "--run", "run")
    config = resolve(SearchConfig, file=tmp_path / "run" / "config.yaml")
    assert (config.recipe, config.learning_rate, config.k) == ("darts-v1", 0.025, 1)
    assert config.batch_size == 10
    assert config.channels == 2
