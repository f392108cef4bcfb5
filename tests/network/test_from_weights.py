"""Networks from weights alone: sizes told by the shapes, and a genotype that fits or does not."""

import re

import pytest
import torch

from authors_layout import AuthorsNetwork
from pcdarts.cell.zoo import published
from pcdarts.errors import InputError
from pcdarts.network.from_weights import weights_of
from pcdarts.network.network import Network
from pcdarts.network.sizes import NetworkSizes
from per_edge_supernet import PerEdgeSupernet


def authors_state(cell="pc_darts_cifar10", kind="cifar", channels=4, num_cells=5, num_classes=10, auxiliary=True):
    network = AuthorsNetwork(
        published(cell), kind=kind, channels=channels, num_cells=num_cells, num_classes=num_classes, auxiliary=auxiliary
    )
    return network.state_dict()


@pytest.mark.parametrize("kind", ["cifar", "imagenet"])
@pytest.mark.parametrize(("channels", "num_cells", "num_classes"), [(4, 5, 10), (6, 3, 7)])
def test_the_shapes_tell_the_sizes(kind, channels, num_cells, num_classes):
    weights = weights_of(authors_state("darts_v2", kind, channels, num_cells, num_classes))
    assert weights.sizes == NetworkSizes(kind, channels, num_cells, num_classes, image_channels=3)
    assert weights.auxiliary
    assert not weights_of(authors_state(auxiliary=False)).auxiliary


@pytest.mark.parametrize("name", ["pc_darts_cifar10", "darts_v1", "nasnet_a", "amoebanet_b", "snas_aggressive", "enas"])
def test_the_operations_of_published_cells_are_recognised(name):
    assert weights_of(authors_state(name)).fitting_cells() == [name]


def test_a_state_dict_of_ours_is_known_too():
    network = Network(published("darts_v1"), channels=4, num_cells=3, num_classes=5, image_channels=1)
    weights = weights_of(network.state_dict())
    assert weights.sizes == NetworkSizes("cifar", 4, 3, 5, image_channels=1)
    assert weights.fitting_cells() == ["darts_v1"]


def test_a_stem_of_stride_4_is_known_by_its_two_convolutions():
    network = Network(published("darts_v1"), kind="stride4", channels=4, num_cells=3)
    assert weights_of(network.state_dict()).sizes == NetworkSizes("stride4", 4, 3, 10, image_channels=3)
    assert not weights_of(network.state_dict()).misfits(published("darts_v1"))


def test_weights_of_half_precision_and_without_batch_counters_are_completed():
    full = authors_state()
    state = {key: x.half() for key, x in full.items() if key != "cells.0.preprocess1.op.2.num_batches_tracked"}
    fitted = weights_of(state).fit_to(published("pc_darts_cifar10"))
    assert {x.dtype for name, x in fitted.items() if "num_batches" in name} == {torch.int64}
    assert fitted.keys() == weights_of(full).sizes.network(published("pc_darts_cifar10")).state_dict().keys()
    assert torch.equal(fitted["classifier.weight"], full["classifier.weight"].half().float())


def test_another_genotype_is_refused_with_the_tensors_that_differ_and_the_cell_that_fits():
    state = authors_state("darts_v1")
    state["cells.0._ops.0.op.1.weight"] = torch.zeros(4, 1, 5, 5)
    differs = "cells.0._ops.0.op.1.weight is [4, 1, 5, 5] instead of [4, 1, 3, 3]; no published cell fits"
    with pytest.raises(InputError, match=re.escape(f"its tensors do not fit the genotype: {differs}")):
        weights_of(state).fit_to(published("darts_v1"))
    with pytest.raises(InputError, match=r"is missing.*and \d+ more\); of the published cells, p_darts would fit"):
        weights_of(authors_state("p_darts")).fit_to(published("darts_v1"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cells.9._ops.0.op.1.weight": torch.zeros(1)}, "6 cells, of which the last is cell 9: some are missing"),
        ({"stem.0.weight": torch.zeros(3)}, "a tensor stem.0.weight of 4 axes is missing"),
        ({"stem.0.weight": torch.zeros(12, 7, 3, 3)}, "images of 7 channels"),
        ({"stem.0.weight": torch.zeros(12, 3, 3, 3).int()}, "not a plain tensor of floating-point numbers"),
        ({"classifier.weight": torch.zeros(2, 2).to_sparse()}, "not a plain tensor"),
        ({"module.stem.0.weight": torch.zeros(1)}, "two tensors for stem.0.weight"),
        ({"classifier.weight": 3}, "its classifier.weight is not a tensor"),
    ],
)
def test_weights_of_something_else_are_refused(change, message):
    with pytest.raises(InputError, match=re.escape(message)):
        weights_of(authors_state() | change)


def test_weights_that_are_no_numbers_or_none_at_all_are_refused():
    state = authors_state()
    state["classifier.bias"][1] = torch.nan
    with pytest.raises(InputError, match=r"its classifier\.bias holds values that are not finite"):
        weights_of(state).fit_to(published("pc_darts_cifar10"))
    with pytest.raises(InputError, match="it is empty"):
        weights_of({})


def test_a_search_network_is_refused_with_what_to_do():
    state = PerEdgeSupernet(k=2, kind="cifar", channels=4, num_cells=3, num_classes=10).state_dict()
    with pytest.raises(InputError, match=r"it holds a search network .*pcdarts train --genotype log\.txt"):
        weights_of(state)
