"""Section 3: partial channel connections and edge normalisation."""

import pytest
import torch

from pcdarts.cell.derive import derive
from pcdarts.cell.space import PRIMITIVES, CellSpace
from pcdarts.ops.synchronize import WholeBatch
from pcdarts.supernet import reference
from pcdarts.supernet.arch import ArchParameters
from pcdarts.supernet.plain import per_source as plain
from pcdarts.supernet.supernet import Supernet
from per_edge_supernet import PerEdgeSupernet


def make(k, edge_normalization=True, **options):
    torch.manual_seed(0)
    space = CellSpace(6)
    arch = ArchParameters(space, edge_normalization).double()
    for parameter in arch.parameters():
        parameter.data.normal_()
    supernet = Supernet(space, channels=8, num_cells=3, num_classes=4, k=k, **options).double()
    return supernet, arch


def images(size=8):
    return torch.randn(2, 3, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_equation_1_masked_channels_are_copied_and_selected_ones_mixed():
    supernet, arch = make(k=4)
    cell, edge = supernet.cells[0], 3
    x = torch.randn(2, 8, 6, 6, dtype=torch.float64)
    mask = torch.tensor([False, True, False, False, False, False, True, False])
    weights = arch.mixture().op_weights["normal"][edge]
    output = reference.partial_channels(cell, edge, x, weights, mask)
    assert torch.equal(output[:, ~mask], x[:, ~mask])
    alone = [
        reference.operation(cell, edge, primitive, x[:, mask], stride=1)
        for primitive in PRIMITIVES
        if primitive != "none"
    ]
    expected = sum(weight * o for weight, o in zip(weights[1:], alone, strict=True))
    torch.testing.assert_close(output[:, mask], expected)


def test_equation_1_a_stronger_none_lets_less_information_through():
    supernet, _ = make(k=1)
    cell = supernet.cells[0]
    x = torch.randn(2, 8, 6, 6, dtype=torch.float64)
    alpha = torch.zeros(8, dtype=torch.float64)
    everything = torch.ones(8, dtype=torch.bool)
    sizes = []
    for strength in (-5.0, 0.0, 5.0):
        alpha[0] = strength
        sizes.append(reference.partial_channels(cell, 0, x, alpha.softmax(0), everything).norm())
    assert sizes[0] > sizes[1] > sizes[2]


def test_equation_2_a_node_is_the_beta_weighted_sum_of_its_edges():
    supernet, arch = make(k=4)
    cell = supernet.cells[0]
    mixture = arch.mixture()
    stem = supernet.stem(images())
    nodes = [cell.preprocess0(stem[0]), cell.preprocess1(stem[1])]
    beta = arch.beta["normal"][:2]
    node = sum(
        beta.exp()[edge] / beta.exp().sum()
        * reference.partial_channels(
            cell, edge, nodes[edge], mixture.op_weights["normal"][edge], reference.first_channels(cell)[edge]
        )
        for edge in (0, 1)
    )  # fmt: skip
    inputs = (stem[0].relu(), stem[1].relu())
    weights = mixture.op_weights["normal"], mixture.edge_weights["normal"]
    output = plain.cell_output(cell, inputs, *weights, None, WholeBatch.of(inputs[0], False))
    torch.testing.assert_close(output[:, :8], reference.channel_shuffle(node, 4))


def test_k_1_without_edge_normalisation_is_darts():
    ours, arch = make(k=1, edge_normalization=False)
    darts = PerEdgeSupernet(kind="cifar", channels=8, num_cells=3, num_classes=4, k=1).double()
    ours.load_authors_state_dict(darts.state_dict())
    mixture = arch.mixture()
    plain_sum = {kind: torch.ones(14, dtype=torch.float64) for kind in ("normal", "reduce")}
    torch.testing.assert_close(
        ours(images(), mixture), darts(images(), mixture.op_weights, plain_sum), rtol=1e-9, atol=1e-10
    )


@pytest.mark.parametrize("k", [1, 4])
@pytest.mark.parametrize("edge_normalization", [True, False])
def test_table_3_partial_channels_and_edge_normalisation_switch_independently(k, edge_normalization):
    supernet, arch = make(k, edge_normalization)
    supernet(images(), arch.mixture()).square().sum().backward()
    assert set(dict(arch.named_parameters())) == {
        "alpha.normal", "alpha.reduce", *(["beta.normal", "beta.reduce"] if edge_normalization else []),
    }  # fmt: skip
    assert all(parameter.grad.abs().sum() > 0 for parameter in arch.parameters())
    derive(arch)


def saved_bytes(k: int) -> int:
    """What one training step keeps for its backward pass, each storage once."""
    supernet, arch = make(k, kernels="plain")
    kept: dict[int, int] = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        logits = supernet(images(32), arch.mixture())
        total = sum(kept.values())
    assert logits.requires_grad
    return total


def test_section_3_2_sampling_a_quarter_of_the_channels_saves_more_than_half_of_the_memory():
    assert saved_bytes(k=4) < 0.5 * saved_bytes(k=1)


def test_section_3_3_edge_normalisation_adds_one_number_per_edge():
    _, with_beta = make(k=4)
    without = ArchParameters(CellSpace(6), edge_normalization=False)
    count = [sum(parameter.numel() for parameter in arch.parameters()) for arch in (with_beta, without)]
    assert count[0] - count[1] == 2 * 14
