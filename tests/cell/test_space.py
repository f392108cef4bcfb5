"""A space is a value: another one than the paper's is described by its fields, and everything else follows."""

import numpy as np
import pytest
import torch

import pcdarts
from pcdarts.cell.budget import Budget, best_genotypes
from pcdarts.cell.canonical import canonical
from pcdarts.cell.derive import random_genotype, strengths
from pcdarts.cell.draw import draw_svg, draw_text
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import NASBENCH201, CellForm, CellSpace, Edge, macro_plan
from pcdarts.errors import InputError
from pcdarts.network.complexity import complexity
from pcdarts.network.costs import network_costs
from pcdarts.score.features import features
from pcdarts.supernet.arch import ArchParameters
from small_space import ON_LONG_EDGES, PRIMITIVES, SPACE


def make_arch(space: CellSpace = SPACE, seed: int = 0) -> ArchParameters:
    arch = ArchParameters(space, generator=torch.Generator().manual_seed(seed)).double()
    for parameter in arch.parameters():
        parameter.data *= 2000
    return arch


def test_the_default_space_is_the_papers():
    space = CellSpace()
    assert (space.num_nodes, space.kinds, space.num_inputs, space.form.edges_kept) == (6, ("normal", "reduce"), 2, 2)
    assert (space.num_edges, len(space.primitives), space.outputs) == (14, 8, (2, 3, 4, 5))
    assert all(space.choices(edge) == tuple(range(1, 8)) for edge in range(14))


def test_edges_start_at_the_one_input_and_are_ordered_by_target_then_source():
    assert SPACE.edges == (Edge(0, 1), Edge(0, 2), Edge(1, 2), Edge(0, 3), Edge(1, 3), Edge(2, 3))
    assert [SPACE.edges_into(target) for target in SPACE.intermediate] == [[0], [1, 2], [3, 4, 5]]
    assert (SPACE.num_edges, SPACE.num_intermediate, SPACE.outputs) == (6, 3, (3,))


def test_architecture_parameters_have_the_kinds_edges_and_primitives_of_the_space():
    arch = make_arch()
    assert {name: tuple(parameter.shape) for name, parameter in arch.named_parameters()} == {
        "alpha.normal": (6, 5),
        "beta.normal": (6,),
    }


def test_the_softmax_is_over_the_allowed_primitives_of_an_edge_and_the_others_weigh_exactly_nothing():
    arch = make_arch()
    mixture = arch.mixture()
    weights = mixture.op_weights["normal"]
    allowed = torch.tensor([[name in names for name in PRIMITIVES] for names in SPACE.allowed])
    assert torch.equal(weights.ne(0), allowed)
    assert mixture.computed("normal") == tuple(map(tuple, allowed.tolist()))
    for edge, logits in enumerate(arch.alpha["normal"]):
        torch.testing.assert_close(weights[edge, allowed[edge]], logits[allowed[edge]].softmax(0))
    weights.square().sum().backward()
    gradient = arch.alpha["normal"].grad
    assert gradient.isfinite().all()
    assert gradient[~allowed].eq(0).all()
    assert gradient[0].ne(0).all()


def test_edge_weights_sum_to_one_at_every_node():
    weights = make_arch().mixture().edge_weights["normal"]
    for target in SPACE.intermediate:
        assert weights[SPACE.edges_into(target)].sum().item() == pytest.approx(1)


def test_every_edge_is_kept_with_its_strongest_allowed_operation_none_among_them():
    arch = make_arch()
    arch.alpha["normal"].data[3, PRIMITIVES.index("none")] = 100.0
    found = pcdarts.derive(arch)
    assert (found.kinds, found.reduce, found.normal_concat) == (("normal",), (), (3,))
    assert [(node, source) for node, _, source in found.placed_edges("normal")] == [
        (edge.target, edge.source) for edge in SPACE.edges
    ]
    best = arch.mixture().op_weights["normal"].argmax(1).tolist()
    assert [primitive for primitive, _ in found.normal] == [PRIMITIVES[place] for place in best]
    assert found.normal[3] == ("none", 0)


def test_a_genotype_comes_back_from_json_in_the_form_of_its_space():
    for seed in range(20):
        genotype = random_genotype(SPACE, seed)
        assert Genotype.from_json(genotype.to_json(), SPACE.form) == genotype
        assert canonical(genotype) == genotype  # no other numbering has every edge from an earlier node
        assert all(name in SPACE.allowed[edge] for edge, (name, _) in enumerate(genotype.normal))
    with pytest.raises(InputError, match="lacks reduce, reduce_concat"):
        Genotype.from_json(genotype.to_json())
    with pytest.raises(InputError, match="use to_json"):
        genotype.to_text()


@pytest.mark.parametrize(
    ("normal", "message"),
    [
        ([("skip_connect", 0)] * 2, "2 edges, but the nodes of this form take 1, 3, 6, ... together"),
        ([("skip_connect", 0), ("none", 1), ("none", 0)], "every node takes all earlier ones"),
        ([("conv_9x9", 0)], "unknown primitive 'conv_9x9'"),
    ],
)
def test_a_genotype_that_is_not_of_its_form_is_refused(normal, message):
    with pytest.raises(InputError, match=message):
        Genotype(normal, (1,), (), (), form=SPACE.form)


def test_a_cell_of_a_kind_that_the_form_does_not_have_is_refused():
    with pytest.raises(InputError, match="normal cells alone"):
        Genotype([("skip_connect", 0)], (1,), [("skip_connect", 0)], (1,), form=SPACE.form)


def test_without_a_budget_the_best_genotype_is_the_derived_one_and_costs_are_those_of_its_network():
    costs = network_costs(SPACE, kind="cifar", channels=4, num_cells=2, num_classes=3, image_channels=1, image_size=8)
    for seed in range(3):
        arch = make_arch(seed=seed)
        best = best_genotypes(strengths(arch), costs, Budget(), 1)[0].genotype
        assert best == pcdarts.derive(arch)
        network = pcdarts.Network(best, channels=4, num_cells=2, num_classes=3, auxiliary=False, image_channels=1)
        size = complexity(network, (1, 8, 8))
        assert (costs.of(best)["mult_adds"], costs.of(best)["params"]) == (size.mult_adds, size.params)
        assert costs.smallest()["params"] <= size.params


def test_a_budget_of_parameters_is_kept():
    costs = network_costs(SPACE, kind="cifar", channels=4, num_cells=2, num_classes=3, image_channels=1, image_size=8)
    arch = make_arch()
    least = costs.smallest()["params"]
    found = best_genotypes(strengths(arch), costs, Budget(max_params=least), 1)[0].genotype
    assert costs.of(found)["params"] == least


def test_the_network_of_a_genotype_sums_all_that_enters_a_node_and_returns_the_last_one():
    genotype = Genotype(
        [(name, edge.source) for name, edge in zip(["skip_connect"] * 5 + ["none"], SPACE.edges, strict=True)],
        (3,), (), (), form=SPACE.form,
    )  # fmt: skip
    network = pcdarts.Network(genotype, channels=2, num_cells=2, num_classes=3, auxiliary=False).eval()
    cell = network.cells[1]
    x = torch.randn(2, 2, 4, 4).relu()
    entered = cell.preprocess1.after_relu(x)
    torch.testing.assert_close(cell(torch.zeros(0), x), 2 * entered)  # x_1 = x_0, x_3 = x_0 + x_1
    assert network(torch.randn(2, 3, 8, 8)).shape == (2, 3)


def test_a_drawing_shows_one_input_and_no_edge_that_carries_nothing():
    edges = [("none", 0), ("sep_conv_3x3", 0), ("none", 1), ("skip_connect", 0), ("sep_conv_3x3", 1), ("none", 2)]
    genotype = Genotype(edges, (3,), (), (), form=SPACE.form)
    assert draw_text(genotype, "normal").splitlines()[1:] == [
        "  c_{k-1} ── none ────────────▶ 1",
        "  c_{k-1} ── sep_conv_3x3 ──┬─▶ 2 (unused)",
        "        1 ── none ──────────┘",
        "  c_{k-1} ── skip_connect ──┬─▶ 3",
        "        1 ── sep_conv_3x3 ──┤",
        "        2 ── none ──────────┘",
        "  c_{k} = concat(3)",
    ]
    picture = draw_svg(genotype, "normal")
    assert "k−1" in picture
    assert "k−2" not in picture
    assert picture.count("sep conv 3×3") == 2


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"form": CellForm(("normal",), 1), "num_nodes": 1}, "an input node and at least one intermediate node"),
        ({"primitives": ("none",)}, "of which an edge can keep one"),
        ({"primitives": ("skip_connect", "skip_connect")}, "different names"),
        ({"num_nodes": 3, "allowed": (PRIMITIVES,)}, "allowed is for 1 edges, but the cell has 2"),
        ({"num_nodes": 3, "allowed": (ON_LONG_EDGES, ("none",))}, "allowed on edge 1 is"),
        ({"primitives": "skip_connect"}, "primitives is of type str, but it must be a tuple of names"),
        ({"num_nodes": 3, "allowed": "skip_connect"}, "allowed is of type str"),
        ({"num_nodes": 3, "allowed": ("none", "skip_connect")}, "allowed on edge 0 is of type str"),
        ({"form": "normal"}, "form is of type str, but it must be a CellForm"),
    ],
)
def test_a_space_that_is_no_space_is_refused(fields, message):
    with pytest.raises(InputError, match=message):
        CellSpace(**fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kinds": ()}, "kinds is"),
        ({"kinds": ("normal", "normal")}, "each once"),
        ({"num_inputs": 3}, "num_inputs is 3"),
        ({"edges_kept": 0}, "edges_kept is 0"),
        ({"edges_kept": "2"}, "edges_kept is of type str"),
        ({"kinds": "normal"}, "kinds is of type str"),
    ],
)
def test_a_form_that_is_no_form_is_refused(fields, message):
    with pytest.raises(InputError, match=message):
        CellForm(**fields)


def test_a_space_of_lists_is_that_of_tuples():
    of_lists = CellSpace(
        3, form=CellForm(["normal"]), primitives=["none", "skip_connect"], allowed=[["skip_connect"], ["skip_connect"]]
    )
    only = ("skip_connect",)
    of_tuples = CellSpace(3, form=CellForm(("normal",)), primitives=("none", *only), allowed=(only, only))
    assert of_lists == of_tuples
    assert hash(of_lists) == hash(of_tuples)


def test_the_features_of_genotypes_have_one_length_and_tell_edges_without_an_operation_apart():
    costs = network_costs(SPACE, kind="cifar", channels=4, num_cells=2, num_classes=3, image_channels=1, image_size=8)
    found = features([random_genotype(SPACE, seed) for seed in range(5)], costs)
    assert found.shape[0] == 5
    assert np.isfinite(found).all()
    assert len(np.unique(found, axis=0)) == 5


def test_the_space_of_nas_bench_201_has_its_edges_and_operations_in_the_benchmarks_order():
    space = NASBENCH201
    assert [(edge.source, edge.target) for edge in space.edges] == [(0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)]
    assert space.primitives == ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
    assert (space.kinds, space.num_inputs, space.outputs) == (("normal",), 1, (3,))
    assert all(space.choices(edge) == (0, 1, 2, 3, 4) for edge in range(6))
    chosen = {random_genotype(space, seed).normal[0][0] for seed in range(40)}
    assert chosen == set(space.primitives)


@pytest.mark.parametrize(("num_cells", "halved"), [(3, [1, 2]), (15, [5, 10])])
def test_its_network_has_three_stages_with_a_residual_block_between(num_cells, halved):
    plans = list(macro_plan("cifar", 16, num_cells, {"normal": 1}, 16, "nasbench201"))
    assert [position for position, plan in enumerate(plans) if plan.after_block] == halved
    assert [plan.channels for plan in plans] == [16 << (3 * position // num_cells) for position in range(num_cells)]
    assert {plan.kind for plan in plans} == {"normal"}
    assert [plan.in_channels[1] for plan in plans[1:]] == [plan.channels for plan in plans[:-1]]


@pytest.mark.parametrize("num_cells", [0, 1, 8])
def test_stages_of_different_lengths_are_refused(num_cells):
    with pytest.raises(InputError, match=f"num_cells is {num_cells}, but .* in each of three stages: use 3, 6, 9"):
        list(macro_plan("cifar", 16, num_cells, {"normal": 1}, 16, "nasbench201"))


def test_only_cells_of_its_kind_stand_in_its_network():
    with pytest.raises(InputError, match='macro is "nasbench201", whose cells are normal ones with 1 input'):
        CellForm(macro="nasbench201")
    with pytest.raises(InputError, match="macro is 'imagenet', but must be"):
        CellForm(macro="imagenet")
    with pytest.raises(InputError, match="does not concatenate: give concatenates=False"):
        CellSpace(4, form=NASBENCH201.form)
