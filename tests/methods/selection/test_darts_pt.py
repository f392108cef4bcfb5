"""DARTS-PT: what is fixed and what goes, against the same supernet discretised and measured by hand."""

import copy
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from command_line import SEARCH, done, metrics_of, refused
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellForm, CellSpace
from pcdarts.config.configs import SearchConfig
from pcdarts.config.groups.method_settings import beside_steps
from pcdarts.config.recipes import resolve
from pcdarts.learn.networks import make_method
from pcdarts.learn.stages import stages_of
from pcdarts.methods.darts import DARTS
from pcdarts.methods.gaea import GAEA
from pcdarts.methods.method import At, Batch, Stage
from pcdarts.methods.robust.switches import Robust
from pcdarts.methods.selection.changed import without
from pcdarts.methods.selection.darts_pt import PerturbationSelection
from pcdarts.supernet import reference
from pcdarts.supernet.arch import Mixture, check_mixture
from pcdarts.supernet.supernet import Supernet
from small_task import task_of

SPACE = CellSpace(
    5, form=CellForm(kinds=("normal", "reduce")), primitives=("none", "skip_connect", "avg_pool_3x3", "sep_conv_3x3")
)
"""Nodes with two, three and four edges, each with three operations to choose from: 9 edges, 2 crowded nodes."""


def chance(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch_of(seed: int) -> Batch:
    images = torch.randn(4, 3, 8, 8, generator=chance(seed), dtype=torch.float64)
    return Batch(images, torch.arange(4) % 3, None, lambda: chance(seed))


def searched(edge_normalization: bool = True, **settings: Any) -> PerturbationSelection:
    """DARTS in float64 with an α that is not uniform."""
    torch.manual_seed(0)
    method = DARTS(SPACE, edge_normalization)
    method.arch.double()
    for parameter in method.arch.parameters():
        parameter.data.normal_()
    return PerturbationSelection(method, edge_normalization, **settings)


class Table:
    """A task whose error is a sum over what is there: what each operation and edge is worth is known."""

    def __init__(self, worth: Mapping[tuple[str, int, int], float]) -> None:
        self.worth = worth
        self.measured: list[int | None] = []

    def error(self, mixture: Mixture, batches: int | None = None) -> float:
        check_mixture(mixture, SPACE)
        self.measured.append(batches)
        there = {
            (kind, edge, column): bool(weights[edge, column] * mixture.edge_weights[kind][edge])
            for kind, weights in mixture.op_weights.items()
            for edge in range(SPACE.num_edges)
            for column in range(len(SPACE.primitives))
        }
        return 100.0 - sum(worth for place, worth in self.worth.items() if there[place])


def at(stage: int, epoch: int, epochs: int) -> At:
    return At(epoch, 1, stage, epoch, epochs)


def test_every_edge_gets_the_operation_and_every_node_the_edges_whose_removal_costs_most() -> None:
    """Worths are all different; `none` would win everywhere, and edge 0 of a node is worth most."""
    draw = torch.rand(2, SPACE.num_edges, 4, generator=chance(5), dtype=torch.float64)
    worth = {
        (kind, edge, column): 100.0 if column == 0 else float(draw[number, edge, column])
        for number, kind in enumerate(SPACE.kinds)
        for edge in range(SPACE.num_edges)
        for column in range(4)
    }
    method, task = searched(tuning_epochs=0, removal_batches=3), Table(worth)
    assert method.stages() == [Stage()]
    method.end_epoch(at(0, 1, 3), task, chance())  # type: ignore[arg-type]
    assert (method.made, task.measured) == (0, [])
    method.end_epoch(at(0, 2, 3), task, chance())  # type: ignore[arg-type]
    assert method.made == method.decisions == 11
    assert task.measured == [3] * 2 * (9 * 3 + 3 + 4)
    found = method.genotype(None, chance())
    for number, kind in enumerate(SPACE.kinds):
        for target, edges in found.entering(kind).items():
            into = SPACE.edges_into(target)
            best = {source: int(draw[number, edge, 1:].argmax()) + 1 for source, edge in enumerate(into)}
            worths = {source: float(draw[number, into[source], column]) for source, column in best.items()}
            kept = sorted(worths, key=worths.__getitem__)[-2:]
            assert sorted((source, SPACE.primitives.index(name)) for name, source in edges) == sorted(
                (source, best[source]) for source in kept
            )


def test_of_equals_the_larger_weight_stays() -> None:
    method, task = searched(tuning_epochs=0), Table({})
    weights = {kind: of_edges.detach() for kind, of_edges in method.mixture().op_weights.items()}
    edges = {kind: of_edges.detach() for kind, of_edges in method.mixture().edge_weights.items()}
    method.end_epoch(at(0, 2, 3), task, chance())  # type: ignore[arg-type]
    for kind in SPACE.kinds:
        assert method.fixed[kind] == (weights[kind][:, 1:].argmax(1) + 1).tolist()
        of_node = edges[kind][5:].argsort(descending=True)[:2] + 5
        assert [edge for edge in range(5, 9) if method.left[kind][edge]] == sorted(of_node.tolist())


def test_a_supernet_without_an_operation_or_an_edge_is_that_of_the_reference() -> None:
    """The accuracy that decides: the supernet as it is, measured with K = 2 and with one weight set to zero by hand."""
    torch.manual_seed(0)
    supernet = Supernet(SPACE, channels=4, num_cells=3, num_classes=3, k=2).double()
    mixture, images = searched().mixture().detach(), batch_of(1).images
    for edge, column in ((3, 2), (6, None)):
        by_hand = {kind: weights.clone() for kind, weights in mixture.op_weights.items()}
        edges = {kind: weights.clone() for kind, weights in mixture.edge_weights.items()}
        if column is None:
            by_hand["reduce"][edge], edges["reduce"][edge] = 0, 0
        else:
            by_hand["reduce"][edge, column] = 0
        with torch.no_grad():
            expected = reference.supernet(supernet, images, Mixture(by_hand, edges))
            torch.testing.assert_close(supernet(images, without(mixture, "reduce", edge, column)), expected)
            assert not torch.allclose(supernet(images, mixture), expected)


def test_a_discretised_supernet_is_the_path_of_its_cell() -> None:
    """What is fixed has weight 1, edges that are gone send nothing, and those left share the weight of their node."""
    method = searched(tuning_epochs=0)
    before = method.mixture().detach()
    method.fixed["normal"][4], method.fixed["normal"][8], method.left["normal"][8] = 2, 3, False
    mixture = method.mixture()
    check_mixture(mixture, SPACE)
    assert mixture.op_weights["normal"][4].tolist() == [0, 0, 1, 0]
    assert mixture.op_weights["normal"][8].tolist() == [0, 0, 0, 0]
    others = [edge for edge in range(9) if edge not in (4, 8)]
    assert torch.equal(mixture.op_weights["normal"][others], before.op_weights["normal"][others])
    of_node = before.edge_weights["normal"][5:8]
    torch.testing.assert_close(mixture.edge_weights["normal"][5:].detach()[:3], of_node / of_node.sum())
    torch.testing.assert_close(mixture.edge_weights["normal"].detach()[:5], before.edge_weights["normal"][:5])
    assert torch.equal(mixture.op_weights["reduce"], before.op_weights["reduce"])
    plain = searched(edge_normalization=False)
    plain.fixed["normal"][8], plain.left["normal"][8] = 3, False
    assert plain.mixture().edge_weights["normal"].tolist() == [1] * 8 + [0]


def test_what_is_fixed_stays_and_only_the_rest_of_alpha_learns_while_the_supernet_is_tuned() -> None:
    torch.manual_seed(0)
    method = searched(tuning_epochs=1)
    supernet = Supernet(SPACE, channels=4, num_cells=3, num_classes=3, k=2).double()
    task = task_of(supernet, torch.optim.SGD(supernet.parameters(), 0.1), arch_batch=lambda: batch_of(2))
    taken: list[Tensor] = []
    task.apply = lambda optimizer, gradients, seen: taken.extend(gradients)  # type: ignore[method-assign]
    method.fixed["normal"][4] = method.fixed["reduce"][0] = 2
    method.made = 1
    method.step(at(1, 0, 11), task, batch_of(1))
    of_alpha = zip(SPACE.kinds, taken, strict=False)  # that of β comes after
    moved = {kind: gradient.any(1).tolist() for kind, gradient in of_alpha}
    assert moved["normal"] == [edge != 4 for edge in range(9)]
    assert moved["reduce"] == [edge != 0 for edge in range(9)]
    ((_, mixture),) = method.draws(at(1, 0, 11), task, batch_of(1))
    assert mixture.op_weights["normal"][4].tolist() == [0, 0, 1, 0]


def test_decisions_are_made_at_the_end_of_the_search_and_after_every_so_many_epochs_of_tuning() -> None:
    config = resolve(SearchConfig, flags={"recipe": "darts-pt"})
    method = make_method(config, CellSpace(config.num_nodes))
    assert isinstance(method, PerturbationSelection)
    search, tuning = stages_of(config, method.stages())
    assert (search.config.epochs, tuning.config.epochs, tuning.keeps_weights) == (50, (14 + 3 - 1) * 5 + 1, True)
    assert (search.learning_rate(0), search.learning_rate(50)) == pytest.approx((0.025, 0.001))
    assert (tuning.learning_rate(50), tuning.learning_rate(131)) == pytest.approx((0.0025, 0.001))
    made = []
    method.decide = lambda task, chance: made.append(epoch)  # type: ignore[method-assign]
    for stage in (search, tuning):
        for epoch in range(stage.first_epoch, stage.end):
            place = At(epoch, 1, int(stage is tuning), epoch - stage.first_epoch, stage.config.epochs)
            method.end_epoch(place, None, chance())  # type: ignore[arg-type]
    assert made == [49, *range(54, 131, 5)]
    assert len(made) == method.decisions == 17


def test_the_order_of_edges_is_drawn_and_those_of_nodes_come_after_them() -> None:
    orders = []
    for seed in (1, 2):
        method, order = searched(tuning_epochs=1), []
        for number in range(method.decisions):
            before = [*method.fixed["normal"]]
            method.decide(Table({}), chance(seed + 10 * number))  # type: ignore[arg-type]
            order += [edge for edge in range(9) if method.fixed["normal"][edge] != before[edge]]
            assert all(method.left["normal"]) == (number < 9)
        assert sorted(order) == [*range(9)]
        orders.append(order)
    assert orders[0] != orders[1]


def test_decisions_go_on_from_a_saved_state_as_if_nothing_had_happened() -> None:
    worth = {(kind, edge, 1): float(edge) for kind in SPACE.kinds for edge in range(9)}
    whole, task, ends = searched(tuning_epochs=1), Table(worth), []
    for number in range(whole.decisions):
        if number in (4, 10):  # among the edges, and between the two nodes
            again = searched(tuning_epochs=1)
            again.load_state_dict(copy.deepcopy(whole.state_dict()))
            for later in range(number, again.decisions):
                again.decide(task, chance(later))  # type: ignore[arg-type]
            ends.append(again)
        whole.decide(task, chance(number))  # type: ignore[arg-type]
    assert [(again.fixed, again.left, again.made) for again in ends] == [(whole.fixed, whole.left, whole.made)] * 2


# After other dense searches


@pytest.mark.parametrize("name", ["darts", "gaea", "drnas", "fair-darts"])
def test_a_dense_method_can_be_selected_by_perturbation(name: str) -> None:
    config = SearchConfig(method=name, selection="perturbation")
    method = make_method(config, CellSpace(config.num_nodes))
    assert isinstance(method, PerturbationSelection)
    assert beside_steps(config) == "measuring the supernet without each operation and edge"
    assert type(make_method(SearchConfig(method=name), CellSpace(6))) is not PerturbationSelection


def test_the_switches_of_a_search_stay_as_they_were_at_its_end_while_it_is_tuned() -> None:
    config = SearchConfig(method="gaea", selection="perturbation", auxiliary_skip=True)
    method = make_method(config, SPACE)
    assert isinstance(method, PerturbationSelection)
    assert isinstance(method.method, Robust)
    assert isinstance(method.method.method, GAEA)
    method.fixed["normal"][0] = 3
    for place, extra in ((at(0, 5, 10), 0.5), (at(1, 3, 50), 0.0)):
        ((_, mixture),) = method.draws(place, None, batch_of(1))  # type: ignore[arg-type]
        assert float(mixture.op_weights["reduce"].detach().sum()) == pytest.approx(9 * (1 + extra), rel=1e-5)
        assert mixture.op_weights["normal"][0].tolist() == [0, 0, 0, 1]


def test_a_search_by_gaea_selected_by_perturbation_ends_with_one_cell(tmp_path: Path) -> None:
    flags = "--method gaea --selection perturbation --tuning-epochs 0 --removal-batches 1 --epochs 1"
    base = [flag for flag in SEARCH if flag not in ("--arch-frozen-epochs", "2", "--arch-learning-rate", "0.1")]
    done(tmp_path, *base, *shlex.split(flags), "--arch-frozen-epochs", "0", "--k", "2", "--run", "run")
    (record,) = metrics_of(tmp_path / "run")
    assert record["decisions"] == 6
    assert Genotype.from_file(tmp_path / "run" / "genotype.json").kinds == ("normal", "reduce")
    line = refused(tmp_path, "show", "run", "--budget", "--max-skips", "1")
    assert line == (
        "run was searched by gaea with selection perturbation, which finds whole cells and does not weigh their "
        "operations: --budget has nothing to choose from; drop it"
    )


def test_what_does_not_fit_this_selection_is_refused_in_a_line(tmp_path: Path) -> None:
    search = ["search", "--method", "gaea", "--selection", "perturbation"]
    assert refused(tmp_path, *search, "--max-skips", "1") == (
        "selection is perturbation, which leaves one cell, but max_skips chooses among cells by the weights of their "
        "operations: drop it, or use selection weights"
    )
    assert refused(tmp_path, *search, "--eigenvalue-every", "2") == (
        "eigenvalue_every is 2 and may end the search, but selection is perturbation, which begins after its last "
        "epoch: drop one of them"
    )
    assert refused(tmp_path, "search", "--method", "darts-pt", "--selection", "weights") == (
        "selection is weights, but method darts-pt is darts with selection perturbation: use method darts"
    )
    line = refused(tmp_path, "search", "--method", "p-darts", "--selection", "perturbation")
    assert line.startswith("selection is for the method darts, gaea, fair-darts, drnas or darts-pt, not for p-darts:")
