"""TE-NAS: its measures against explicit Jacobians and enumerated patterns, and by hand which operations go."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from command_line import refused
from pcdarts.cell.space import CellForm, CellSpace
from pcdarts.config.configs import SearchConfig
from pcdarts.config.groups.method_settings import METHOD_SETTINGS, beside_steps
from pcdarts.config.recipes import resolve
from pcdarts.learn.networks import make_method
from pcdarts.learn.stages import stages_of
from pcdarts.methods.method import At, Batch
from pcdarts.methods.selection.te_nas import TENAS, Place, pruned, ranks
from pcdarts.methods.selection.untrained import condition_number, cut, fresh, linear_regions
from pcdarts.supernet import reference
from pcdarts.supernet.arch import Mixture, check_mixture
from pcdarts.supernet.rectifiers import patterns
from pcdarts.supernet.supernet import Supernet
from small_task import task_of

SPACE = CellSpace(5, primitives=("none", "skip_connect", "avg_pool_3x3", "sep_conv_3x3"))
"""Nodes with two, three and four edges, each with three operations to choose from."""


def chance(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch_of(images: Tensor) -> Batch:
    return Batch(images, torch.zeros(len(images), dtype=torch.int64))


# The condition number of the neural tangent kernel


class Linear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3).double()

    def forward(self, images: Tensor, mixture: Any, masks: Any) -> Tensor:
        logits: Tensor = self.linear(images.flatten(1))
        return logits


@pytest.mark.parametrize("parts", [1, 2])
def test_the_kernel_of_a_linear_network_is_that_of_its_inputs(parts: int) -> None:
    """The sum of three logits W x + b has the gradient x in each row of W, and 1 in b, which is left out."""
    network, x = Linear(), torch.randn(4, 1, 2, 2, generator=chance(), dtype=torch.float64)
    weights = {name: weight.requires_grad_() for name, weight in task_of(network).weights.items()}
    mixture: Any = None
    J = task_of(network, parts=parts).jacobian(mixture, batch_of(x), [weights["linear.weight"]], weights, 4)
    torch.testing.assert_close(J, x.flatten(1).repeat(1, 3))
    singular = torch.linalg.svdvals(x.flatten(1))
    assert condition_number(J) == pytest.approx(float(singular[0] / singular[-1]) ** 2)


def test_the_condition_number_of_equal_images_is_finite() -> None:
    assert condition_number(torch.tensor([[1.0, 2.0], [1.0, 2.0]])) == pytest.approx(1e12)
    assert condition_number(torch.tensor([[3.0, 0.0], [0.0, 1.0]])) == pytest.approx(9.0)


@pytest.mark.parametrize("kernels", ["plain", "native"])
def test_a_row_of_the_jacobian_is_the_gradient_of_the_logits_of_an_image(kernels: Any) -> None:
    torch.manual_seed(0)
    space = CellSpace(4)
    supernet = Supernet(space, channels=4, num_cells=3, num_classes=3, k=2, kernels=kernels).double()
    task, mixture = task_of(supernet), TENAS(space).mixture()
    op_weights = {kind: weights.double() for kind, weights in mixture.op_weights.items()}
    mixture = Mixture(op_weights, mixture.edge_weights, mixture.active)
    images = torch.randn(3, 3, 8, 8, generator=chance(), dtype=torch.float64)
    own = {name: weight.requires_grad_() for name, weight in task.weights.items()}
    J = task.jacobian(mixture, batch_of(images), list(own.values()), own, 3)
    sums = reference.supernet(supernet, images, mixture).sum(dim=1)
    expected = []
    for number in range(3):
        found = torch.autograd.grad(
            sums[number], list(supernet.parameters()), retain_graph=True, materialize_grads=True
        )
        expected.append(torch.cat([gradient.flatten() for gradient in found]))
    torch.testing.assert_close(J, torch.stack(expected))


# Linear regions


def test_the_regions_of_a_line_cut_by_two_rectifiers_are_three() -> None:
    """relu(x - 1) and relu(2 - x): only the second is on up to 1, both are to 2, then only the first."""
    x = torch.linspace(0, 3, 31)
    on = torch.stack([x - 1, 2 - x], dim=1).relu() > 0
    assert linear_regions(on) == 3
    assert linear_regions(on[:5]) == 1


def test_the_patterns_of_a_supernet_with_one_layer_of_rectifiers_are_enumerated_by_hand() -> None:
    """Images of one pixel: the stem gives w x, from which BatchNorm takes the mean; the only ReLU sees its sign."""
    form = CellForm(kinds=("normal",), num_inputs=1, edges_kept=None)
    space = CellSpace(2, form=form, primitives=("skip_connect",), concatenates=False)
    supernet = Supernet(space, channels=1, num_cells=1, num_classes=2, k=1, image_channels=1)
    state = {**supernet.state_dict()}
    state["stem.0.weight"] = torch.zeros(3, 1, 3, 3)
    state["stem.0.weight"][:, 0, 1, 1] = torch.tensor([1.0, -1.0, 2.0])
    images = torch.tensor([0.0, 1.0, 2.0, 3.0, 10.0]).view(5, 1, 1, 1)  # of mean 3.2
    mixture = Mixture({"normal": torch.ones(1, 1)}, {"normal": torch.ones(1)})
    found = patterns(supernet, state, images, mixture)
    assert found.tolist() == [[False, True, False]] * 4 + [[True, False, True]]
    assert linear_regions(found) == 2


def test_every_operation_that_is_there_has_its_rectifiers() -> None:
    """On an edge the separable convolutions have two, the others and a skip of stride 2 one; an input has one.

    An input that is halved has one for each of its two grids.
    """
    space = CellSpace(4)
    supernet, method = Supernet(space, channels=1, num_cells=3, num_classes=2, k=1), TENAS(space)
    images, state = torch.randn(2, 3, 1, 1, generator=chance()), dict(supernet.state_dict())
    units = patterns(supernet, state, images, method.mixture()).shape[1]
    inputs = sum(sum(cell.plan.in_channels) for cell in supernet.cells) + supernet.cells[2].plan.in_channels[0]
    assert units == inputs + 5 * 6 * (1 + 2 + 4) + 4 * (2 + 4)
    method.there["normal"][0] = False
    assert patterns(supernet, state, images, method.mixture()).shape[1] == units - 6


def test_patches_are_parts_of_images_and_fresh_weights_are_normal_by_the_inputs_of_a_unit() -> None:
    images = torch.randn(2, 3, 6, 5, generator=chance())
    patches = cut(images, 4, chance())
    windows = images.unfold(2, 3, 1).unfold(3, 3, 1).permute(0, 2, 3, 1, 4, 5).reshape(-1, 3, 3, 3)
    assert patches.shape == (8, 3, 3, 3)
    found = [next(n for n, window in enumerate(windows) if torch.equal(patch, window)) for patch in patches]
    assert [number + len(windows) // 2 for number in found[:4]] == found[4:]
    weights = dict(Supernet(CellSpace(6), channels=16, num_cells=3, num_classes=9, k=1).named_parameters())
    found = fresh(weights, chance())
    assert {name: weight.shape for name, weight in found.items()} == {name: w.shape for name, w in weights.items()}
    inputs = {
        "cells.0.operations.sep_conv_5x5.first.depthwise": 25,
        "cells.0.operations.dil_conv_3x3.pointwise": 16,
        "cells.1.operations.reduced_skip.even": 32,
        "cells.1.preprocess0.1.weight": 48,
        "stem.0.weight": 27,
    }
    for name, number in inputs.items():
        assert float(found[name].detach().std()) == pytest.approx((2 / number) ** 0.5, rel=0.1)
    assert (found["stem.1.weight"] == 1).all()
    assert (found["classifier.bias"] == 0).all()
    assert torch.equal(found["stem.0.weight"], fresh(weights, chance())["stem.0.weight"])


# What goes


def test_equals_share_a_rank() -> None:
    assert ranks([0.3, 0.1, 0.3 + 1e-12, 0.2, 0.1]) == [2, 0, 2, 1, 0]


def test_what_goes_has_the_lowest_sums_of_ranks_in_its_group() -> None:
    """κ falls by .5, .1, -.2 and .1 (ranks 0, 1, 2, 1), R by .3, 0, .1 and .1 (ranks 2, 0, 1, 1)."""
    a, b, c, d = (Place("normal", edge, column) for edge in (0, 1) for column in (1, 2))
    drops = {a: [0.5, 0.3], b: [0.1, 0.0], c: [-0.2, 0.1], d: [0.1, 0.1]}  # sums 2, 1, 3, 2
    assert pruned(drops, [([a, b], 1), ([c, d], 1)]) == [b, d]
    assert pruned(drops, [([a, c, d], 2)]) == [a, d]


class Table:
    """A task whose κ and R are sums over the operations that are there."""

    def __init__(self) -> None:
        self.weights = {"a.weight": torch.ones(1, 1)}
        shape = len(SPACE.kinds), SPACE.num_edges, len(SPACE.primitives)
        self.of_κ = torch.rand(shape, generator=chance(3), dtype=torch.float64)
        self.of_R = torch.randint(1, 9, shape, generator=chance(4))
        self.measured = 0

    def arch_batch(self) -> Batch:
        return batch_of(torch.zeros(5, 1, 4, 4))

    def images(self, batch: Batch) -> int:
        return len(batch.labels)

    def _sum(self, of: Tensor, mixture: Mixture) -> float:
        check_mixture(mixture, SPACE)
        assert mixture.active is not None
        return float((of * torch.stack([mixture.active[kind] for kind in SPACE.kinds])).sum())

    def jacobian(self, mixture: Mixture, batch: Batch, inputs: Any, weights: Any, images: int) -> Tensor:
        self.measured += 1
        assert (len(batch.images), images) == (5, 3)
        return torch.diag(torch.tensor([1 + self._sum(self.of_κ, mixture), 1], dtype=torch.float64).sqrt())

    def patterns(self, mixture: Mixture, batch: Batch, *_: Any) -> Tensor:
        assert batch.images.shape == (20, 1, 3, 3)
        return torch.eye(1 + int(self._sum(self.of_R, mixture)))


def test_rounds_take_operations_from_every_edge_and_then_edges_from_nodes() -> None:
    method, task = TENAS(SPACE, operations_pruned=1, kernel_images=3, patches=20), Table()
    assert len(method.stages()) == 3  # three operations, two, one; and the edges of nodes
    there = torch.stack([method.there[kind] for kind in SPACE.kinds])
    for stage in range(3):
        for epoch in range(2):
            assert torch.equal(torch.stack([method.there[kind] for kind in SPACE.kinds]), there)
            method.end_epoch(At(2 * stage + epoch, 0, stage, epoch, 2), task, chance(epoch))  # type: ignore[arg-type]
        there = by_hand(task, there, of_edges=stage == 2)
    assert torch.equal(torch.stack([method.there[kind] for kind in SPACE.kinds]), there)
    assert task.measured == 2 * (3 + 2 * 9 * 3 + 2 * 9 * 2 + 2 * (3 + 4))
    assert there.sum(dim=2).sum(dim=1).tolist() == [6, 6]
    found = method.genotype(None, chance())
    for number, kind in enumerate(SPACE.kinds):
        edges = [
            (SPACE.edges_into(target)[source], SPACE.primitives.index(name))
            for target, kept in found.entering(kind).items()
            for name, source in kept
        ]
        assert sorted(edges) == [(int(edge), int(column)) for edge, column in there[number].nonzero()]


def by_hand(task: Table, there: Tensor, of_edges: bool) -> Tensor:
    """What is left after a round in which what is there loses its own part of κ and R."""
    groups: dict[tuple[int, ...], list[tuple[int, int, int]]] = {}
    for kind, edge, column in there.nonzero().tolist():
        node = next(target for target in SPACE.intermediate if edge in SPACE.edges_into(target))
        if not of_edges or len(SPACE.edges_into(node)) > 2:
            groups.setdefault((kind, node) if of_edges else (kind, edge), []).append((kind, edge, column))
    every = [place for group in groups.values() for place in group]
    by_κ = sorted({-float(task.of_κ[place]) for place in every})
    by_R = sorted({int(task.of_R[place]) for place in every})
    left = there.clone()
    for group in groups.values():
        sums = [by_κ.index(-float(task.of_κ[place])) + by_R.index(int(task.of_R[place])) for place in group]
        order = sorted(range(len(group)), key=sums.__getitem__)
        for number in order[: len(group) - 2 if of_edges else 1]:
            left[group[number]] = False
    return left


@pytest.mark.parametrize("edge_normalization", [True, False])
def test_what_is_left_has_equal_weights(edge_normalization: bool) -> None:
    method = TENAS(SPACE, edge_normalization)
    method.there["reduce"][6], method.there["reduce"][2, 1] = False, False
    mixture = method.mixture()
    check_mixture(mixture, SPACE)
    assert mixture.op_weights["reduce"][2].tolist() == [0, 0, 0.5, 0.5]
    torch.testing.assert_close(mixture.op_weights["normal"][6], torch.tensor([0, 1 / 3, 1 / 3, 1 / 3]))
    edges = [1 / 3, 0, 1 / 3, 1 / 3] if edge_normalization else [1, 0, 1, 1]
    torch.testing.assert_close(mixture.edge_weights["reduce"][5:], torch.tensor(edges).float())


# A search


def test_the_recipe_has_three_rounds_and_three_fresh_supernets_in_each() -> None:
    config = resolve(SearchConfig, flags={"recipe": "te-nas"})
    method = make_method(config, CellSpace(config.num_nodes))
    assert [stage.config.epochs for stage in stages_of(config, method.stages())] == [3, 3, 3]
    assert (config.channels, config.batch_size) == (1, 64)
    assert method.draws(At(0, 0, 0, 0, 1), None, batch_of(torch.zeros(2, 1, 4, 4))) == []  # type: ignore[arg-type]
    assert beside_steps(config).startswith("all that this method does")
    assert [name for name, settings in METHOD_SETTINGS.items() if not settings.trains_weights] == ["te-nas"]


def test_its_settings_are_checked(tmp_path: Path) -> None:
    search = ["search", "--method", "te-nas"]
    assert refused(tmp_path, *search, "--operations-pruned", "0") == "operations_pruned is 0, but it must be at least 1"
    line = refused(tmp_path, *search, "--batch-size", "10", "--kernel-images", "14")
    assert line == "kernel_images is 14, but it must be at most batch_size (10)"
    line = refused(tmp_path, *search, "--max-params", "1M")
    assert line.startswith("max_params limits the cells that a method weighs operation by operation, and te-nas finds")
    line = refused(tmp_path, "search", "--recipe", "te-nas", "--k", "2")
    assert line.startswith("k is 2, but it must divide channels (1)")
