"""`pcdarts rank`: random cells by the weights of a search and by a table of true accuracies."""

import csv
import json
import shlex
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch

from command_line import checkpoint_of, copy_of, done, refused, result_of
from known_truth import write_table
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import NASBENCH201
from pcdarts.jobs.outcome.evaluation import EvaluationNetwork
from pcdarts.rank.rank import drawn_cells
from pcdarts.rank.scores import Measures, alpha_score, with_ranks
from pcdarts.rank.searched import read_search, restored
from pcdarts.rank.words import correlations_of
from pcdarts.run.checkpoint import save_checkpoint
from pcdarts.run.run_folder import RunFolder
from pcdarts.supernet.arch import Mixture
from pcdarts.truth.columns import Column
from pcdarts.truth.graphs import graph_of

SEARCH = shlex.split(
    "search --space nasbench201 --data fashion-mini --train-images 40 --image-size 8 --channels 4 --num-cells 3 "
    "--batch-size 8 --epochs 1 --arch-frozen-epochs 0 --arch-learning-rate 0.1"
)
WEIGHED = [*SEARCH, "--k", "2", "--edge-normalization", "--channel-sampling", "random"]
CELLS = drawn_cells(12, seed=3)
RANK = shlex.split("rank search --table table.csv --cells 12 --seed 3 --batches 2 --no-te-nas --run rank")
CPU = torch.device("cpu")


def by_operations(path: Path) -> Path:
    """A table of the cells that are drawn, whose accuracies grow with the mult-adds of the network, in one column."""
    network = EvaluationNetwork("cifar", 16, 15, num_classes=10, image_channels=3, image_size=32)
    rows = [(cell.to_text(), network.described(cell)["mult_adds"]) for cell in CELLS]
    lines = [f"{text},{10 + costs / 1e7:.9g},{90 - costs / 1e7:.9g}" for text, costs in rows]
    path.write_text("\n".join(["architecture,cifar10_test_200,cifar100_test_200", *lines, ""]))
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with a search, the table `by_operations`, and a finished rank; the last one's output is in rank.txt."""
    folder = tmp_path_factory.mktemp("rank")
    done(folder, *WEIGHED, "--run", "search")
    by_operations(folder / "table.csv")
    (folder / "rank.txt").write_text(done(folder, *RANK))
    return folder


def rows_of(run: Path) -> list[dict[str, str]]:
    with (run / "cells.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_score_that_is_the_truth_has_the_correlation_one_and_its_reverse_minus_one(place):
    found = {(each["score"], each["column"]): each for each in result_of(place / "rank")["correlations"]}
    for column, sign in (("cifar10_test_200", 1), ("cifar100_test_200", -1)):
        for name in ("kendall", "spearman"):
            assert [*found["mult_adds", column][name].values()] == pytest.approx([sign] * 3)
    assert {score for score, _ in found} == {"one_shot_accuracy", "alpha_score", "params", "mult_adds"}


def test_the_better_half_is_that_of_the_column_and_is_ranked_alone():
    """The score is right about which half a cell belongs to, and wrong within the better one."""
    truth = [{"acc": float(place)} for place in range(20)]
    scores = [{"params": place if place < 10 else 40.0 - place, "mult_adds": 1.0} for place in range(20)]
    right, same = correlations_of([Column("acc")], truth, scores, seed=0)["correlations"]
    assert right["kendall"]["value"] == pytest.approx((190 - 2 * 45) / 190)
    assert right["better_half"]["kendall"]["value"] == pytest.approx(-1)
    assert same["kendall"] is same["better_half"]["spearman"] is None


def test_every_cell_has_a_row_with_its_scores_and_its_true_accuracies(place):
    rows = rows_of(place / "rank")
    assert [row["cell"] for row in rows] == [cell.to_text() for cell in CELLS]
    table = {line.split(",")[0]: line.split(",")[1] for line in (place / "table.csv").read_text().splitlines()}
    assert [row["cifar10_test_200"] for row in rows] == [table[row["cell"]] for row in rows]


def test_the_accuracy_is_that_of_the_path_in_the_supernet_by_batch_statistics(place):
    """Computed here, one image batch after the other, with the masks that were drawn for these."""
    saved = read_search(place / "search")
    searched = restored(saved, RunFolder(place / "none"), CPU, batches=2, seed=3)
    row, cell = rows_of(place / "rank")[4], CELLS[4]
    measures = Measures(searched, CPU, 3, te_nas=False)
    right = 0
    for number, batch in enumerate(searched.batches):
        assert len(batch.labels) == 8
        masks = measures._task.masks("error", number)
        logits = searched.supernet.train()(batch.images, measures._path(cell), masks)
        right += int((logits.argmax(1) == batch.labels).sum())
    assert float(row["one_shot_accuracy"]) == pytest.approx(100 * right / 16)
    weights = checkpoint_of(place / "search")
    beta = next(value for name, value in weights.items() if name.endswith("beta.normal"))
    assert not torch.allclose(beta, beta[0])
    shares = measures._path(cell).edge_weights["normal"]
    torch.testing.assert_close(shares[1:3], beta[1:3].softmax(0))


def test_the_alpha_score_is_the_sum_of_log_probabilities(place):
    weights = checkpoint_of(place / "search")
    alpha = next(value for name, value in weights.items() if name.endswith("alpha.normal"))
    for row, cell in zip(rows_of(place / "rank"), CELLS, strict=True):
        columns = [NASBENCH201.primitives.index(primitive) for primitive, _ in cell.normal]
        expected = alpha.log_softmax(1)[torch.arange(6), columns].sum()
        assert float(row["alpha_score"]) == pytest.approx(float(expected), abs=1e-5)


def test_an_operation_of_weight_zero_counts_as_the_smallest_weight():
    weights = torch.zeros(6, 5)
    weights[:, 1] = 1
    mixture = Mixture({"normal": weights}, {"normal": torch.ones(6)})
    skips, others = (
        Genotype.of_space(NASBENCH201, {"normal": tuple((name, e.source) for e in NASBENCH201.edges)})
        for name in ("skip_connect", "none")
    )
    assert alpha_score(mixture, NASBENCH201, skips) == 0
    assert -530 < alpha_score(mixture, NASBENCH201, others) < -520


def test_what_is_printed_has_a_table_for_each_data_set_with_intervals(place):
    printed = (place / "rank.txt").read_text()
    assert "rank: 12 random cells of NAS-Bench-201, by search after 1 epoch, on cpu" in printed
    assert "one-shot accuracies are on 2 batches of 8 of the 20 arch images, by the statistics of each batch" in printed
    assert "rank correlation with CIFAR-100, test, 200 epochs (95 % intervals, by bootstrap over cells)" in printed
    [first, second] = [line for line in printed.splitlines() if line.startswith("mult-adds")]
    assert first.split() == ["mult-adds", *["1.00", "[1.00,", "1.00]"] * 3]
    assert second.split()[1] == "−1.00"


def test_each_data_set_has_a_picture_with_a_point_for_each_cell_and_score(place):
    tree = ElementTree.parse(place / "rank" / "scatter_1_cifar10_test_200.svg")
    svg = "{http://www.w3.org/2000/svg}"
    assert len(list(tree.iter(f"{svg}circle"))) == 12 * 4
    words = ["".join(text.itertext()) for text in tree.iter(f"{svg}text")]
    assert words.count("accuracy in the table (%): CIFAR-10, test, 200 epochs") == 4
    assert "one-shot accuracy (%)" in words
    assert (place / "rank" / "scatter_2_cifar100_test_200.svg").is_file()


def test_a_run_that_was_killed_goes_on_after_the_last_cell_and_ends_the_same(place, tmp_path):
    run = copy_of(place / "rank", tmp_path / "rank")
    whole = {
        path.name: path.read_bytes() for path in run.iterdir() if path.suffix in (".csv", ".json", ".svg", ".jsonl")
    }
    for path in (*run.glob("*.svg"), run / "result.json", run / "cells.csv"):
        path.unlink()
    lines = (run / "cells.jsonl").read_bytes().splitlines(keepends=True)
    (run / "cells.jsonl").write_bytes(b"".join(lines[:8]) + lines[8][:30])
    done(tmp_path, "rank", "--resume", "rank")
    assert {name: content for name, content in whole.items() if (run / name).read_bytes() != content} == {}


def test_weights_that_have_moved_on_are_not_mixed_with_those_measured_before(place, tmp_path):
    run = copy_of(place / "rank", tmp_path / "rank")
    (run / "result.json").unlink()
    first, *others = (run / "cells.jsonl").read_text().splitlines(keepends=True)
    (run / "cells.jsonl").write_text(json.dumps(json.loads(first) | {"checkpoint": "0"}) + "\n" + "".join(others))
    line = refused(tmp_path, "rank", "--resume", "rank")
    assert line.startswith(f"{place / 'search'} has gone on since rank was begun")
    (run / "cells.jsonl").write_text(others[0])
    assert refused(tmp_path, "rank", "--resume", "rank").startswith("rank/cells.jsonl, line 1: damaged: ")
    (run / "cells.jsonl").write_text(first + others[1])
    assert refused(tmp_path, "rank", "--resume", "rank").startswith("rank/cells.jsonl, line 2: damaged: ")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "table is not given: name a file with the true accuracy of cells with --table"),
        (["--table", "none.csv"], "cannot read the table none.csv"),
        (["--table", "table.csv", "--cells", "9"], "cells is 9, but it must be at least 10"),
        (["--table", "table.csv", "--seed", "4"], "table.csv, with 12 of the 15,625 cells, lacks "),
        (["--table", "table.csv", "--column", "cifar"], "table.csv has no column cifar: "),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(place, tmp_path, flags, said):
    by_operations(tmp_path / "table.csv")
    assert refused(tmp_path, "rank", str(place / "search"), *flags).startswith(said)


def test_only_a_search_of_this_space_with_weights_is_ranked(place, tmp_path, finished_search, finished_train):
    table = ["--table", str(write_table(tmp_path / "table.csv"))]
    assert "is a search of the space darts, but" in refused(tmp_path, "rank", str(finished_search), *table)
    assert "is a run of train: name a run of" in refused(tmp_path, "rank", str(finished_train), *table)
    run = copy_of(place / "search", tmp_path / "search")
    for path in run.glob("checkpoint*.pt"):
        path.unlink()
    assert refused(tmp_path, "rank", "search", *table).startswith("search has no checkpoint, and so no weights")


def test_other_images_than_those_of_the_search_are_refused(place, tmp_path):
    run = copy_of(place / "search", tmp_path / "search")
    saved = read_search(run)
    by_operations(tmp_path / "table.csv")
    save_checkpoint(run / "checkpoint.pt", saved.state | {"data": "others"}, saved.config.fingerprint())
    assert refused(tmp_path, *RANK).startswith("search searched on other images than those that are there now: restore")
    save_checkpoint(run / "checkpoint.pt", saved.state | {"supernet": {}}, saved.config.fingerprint())
    assert "does not fit the search of its run: restore the file from a copy" in refused(tmp_path, *RANK)


def test_a_method_without_alpha_says_so_and_its_cells_are_ranked_by_the_rest(tmp_path):
    done(tmp_path, *SEARCH, "--method", "random-ws", "--candidates", "1", "--run", "search")
    by_operations(tmp_path / "table.csv")
    said = "there are no alpha-scores: random-ws finds whole cells and does not weigh their operations"
    assert said in done(tmp_path, *RANK).splitlines()
    result = result_of(tmp_path / "rank")
    assert result["no_alpha_scores"] == said
    assert {each["score"] for each in result["correlations"]} == {"one_shot_accuracy", "params", "mult_adds"}


def test_a_cell_without_a_way_to_its_output_is_the_worst_without_training(place):
    saved = read_search(place / "search")
    searched = restored(saved, RunFolder(place / "none"), CPU, batches=1, seed=3)
    measures = Measures(searched, CPU, 3, te_nas=True)
    texts = [
        "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|",
        "|nor_conv_3x3~0|+|nor_conv_3x3~0|none~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|",
    ]
    nothing, good = with_ranks([measures.of(Genotype.from_text(text)) for text in texts])
    assert nothing["condition_number"] == pytest.approx(1e12, rel=1e-2)
    assert nothing["linear_regions"] == 1
    assert good["condition_number"] < 1e9
    assert good["linear_regions"] > 20
    assert (nothing["te_nas"], good["te_nas"]) == (0, 2)


def test_cells_are_drawn_uniformly_and_no_two_are_one_network():
    cells = drawn_cells(200, seed=1)
    assert len({graph_of(cell.normal) for cell in cells}) == 200
    assert drawn_cells(20, seed=1) == cells[:20]
    assert drawn_cells(20, seed=2) != cells[:20]
    counts = torch.zeros(6, 5)
    for cell in cells:
        for edge, (primitive, _) in enumerate(cell.normal):
            counts[edge, NASBENCH201.primitives.index(primitive)] += 1
    assert counts.min() > 15
    assert counts.max() < 70
