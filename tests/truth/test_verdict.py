"""What a table of NAS-Bench-201 says of a cell."""

from collections import Counter
from itertools import permutations, product

import pytest

from known_truth import CELLS, accuracies_of, write_table
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import NASBENCH201
from pcdarts.cell.zoo import published
from pcdarts.errors import InputError
from pcdarts.truth.graphs import graph_of
from pcdarts.truth.table import read_truth
from pcdarts.truth.verdict import verdict

A, B, C, D, E = CELLS[:5]
SOURCES = (0, 0, 1, 0, 1, 2)


def table_of(tmp_path, **accuracies):
    path = tmp_path / "table.csv"
    cells = {"A": A, "B": B, "C": C, "D": D, "E": E}
    path.write_text("\n".join(["arch,acc", *(f"{cells.get(name, name)},{acc}" for name, acc in accuracies.items())]))
    return read_truth(path)


def test_accuracy_rank_regret_and_the_share_of_worse_cells(tmp_path):
    table = table_of(tmp_path, A=91.5, B=90, C=93, D=91.5, E=50)
    [found] = verdict(table, Genotype.from_text(A)).standings
    assert (found.column, found.accuracy, found.rank, found.ties, found.regret) == ("acc", 91.5, 2, 1, 1.5)
    assert found.percentile == 100 * (2 + 2 / 2) / 5
    [best] = verdict(table, Genotype.from_text(C)).standings
    assert (best.rank, best.ties, best.regret, best.percentile) == (1, 0, 0, 90)
    [worst] = verdict(table, Genotype.from_text(E)).standings
    assert (worst.rank, worst.ties, worst.regret, worst.percentile) == (5, 0, 43, 10)


def test_every_column_has_a_standing_of_its_own(tmp_path):
    table = read_truth(write_table(tmp_path / "table.csv"))
    found = verdict(table, Genotype.from_text(B))
    assert found.cells == len(CELLS)
    for standing, accuracy, column in zip(found.standings, accuracies_of(B), range(3), strict=True):
        assert standing.accuracy == pytest.approx(accuracy, abs=5e-4)
        better = [cell for cell in CELLS if round(accuracies_of(cell)[column], 3) > round(accuracy, 3)]
        assert standing.rank == 1 + len(better)
    assert found.to_object()["columns"]["c10_test_200"]["rank"] == found.standings[0].rank


def test_cells_of_one_network_show_the_noise_of_trainings(tmp_path):
    one = "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|skip_connect~1|none~2|"
    same = "|none~0|+|nor_conv_3x3~0|none~1|+|none~0|none~1|skip_connect~2|"
    other = "|nor_conv_1x1~0|+|none~0|none~1|+|none~0|skip_connect~1|none~2|"
    found = verdict(table_of(tmp_path, **{one: 90, same: 90.5, other: 70}), Genotype.from_text(one))
    assert found.same_network == 2
    assert (found.standings[0].graph_low, found.standings[0].graph_high) == (90, 90.5)


def test_a_cell_that_is_not_listed_is_told_with_one_of_its_network_if_there_is_one(tmp_path):
    one = "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|skip_connect~1|none~2|"
    same = "|none~0|+|nor_conv_3x3~0|none~1|+|none~0|none~1|skip_connect~2|"
    with pytest.raises(
        InputError, match=r"with 1 of the 15,625 cells, does not list .*; of the same network it lists 1"
    ):
        verdict(table_of(tmp_path, **{one: 90}), Genotype.from_text(same))
    with pytest.raises(InputError, match=r"does not list [^;]*: give a table that does$"):
        verdict(table_of(tmp_path, A=90), Genotype.from_text(B))


def test_a_cell_of_another_space_is_refused(tmp_path):
    with pytest.raises(InputError, match="it is no cell of NAS-Bench-201, and the table knows no other"):
        verdict(table_of(tmp_path, A=90), published("pc_darts_cifar10"))


def literal(operations, names):
    """The expression of a cell's output in which each convolution has the name of its edge."""
    nodes, edge = [Counter({"0": 1})], 0
    for node in NASBENCH201.intermediate:
        terms = Counter()
        for source in range(node):
            primitive, read = operations[edge], "+".join(sorted(nodes[source].elements()))
            if primitive == "skip_connect":
                terms += nodes[source]
            elif primitive.startswith("nor_conv"):
                terms[f"{primitive}{names.get(edge, '')}({read})"] += 1
            elif primitive != "none" and read:
                terms[f"{primitive}({read})"] += 1
            edge += 1
        nodes.append(terms)
    return "+".join(sorted(nodes[-1].elements()))


def network_of(operations):
    """The least expression over all ways to name the convolutions that reach the output."""
    all_named = literal(operations, {edge: f"<{edge}>" for edge in range(6)})
    live = [edge for edge in range(6) if f"<{edge}>" in all_named]
    orders = permutations(range(len(live)))
    return min(
        literal(operations, {edge: f"<{name}>" for edge, name in zip(live, order, strict=True)}) for order in orders
    )


def test_two_cells_have_one_graph_if_and_only_if_they_are_one_network():
    some = [
        operations for number, operations in enumerate(product(NASBENCH201.primitives, repeat=6)) if number % 37 == 0
    ]
    pairs = {(graph_of([*zip(operations, SOURCES, strict=True)]), network_of(operations)) for operations in some}
    assert len(pairs) == len({graph for graph, _ in pairs}) == len({network for _, network in pairs}) > 300
