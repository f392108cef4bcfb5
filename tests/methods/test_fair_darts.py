"""FairDARTS: the zero-one loss and its gradient, by numbers; and what the authors' threshold would leave out."""

import pytest
import torch

from pcdarts.cell.space import CellSpace
from pcdarts.methods.fair_darts import FairDARTS
from pcdarts.methods.method import At, Batch
from pcdarts.supernet.arch import check_mixture
from pcdarts.supernet.supernet import Supernet
from small_task import task_of

SPACE = CellSpace(4)
AT = At(0, 0, 0, 0, 1)


def fair(**settings: float) -> FairDARTS:
    method = FairDARTS(SPACE, False, **settings)  # type: ignore[arg-type]
    method.arch.double()
    return method


def filled(method: FairDARTS) -> None:
    chance = torch.Generator().manual_seed(1)
    for parameter in method.arch.parameters():
        parameter.data.normal_(generator=chance)


def test_every_operation_but_none_has_a_sigmoid_of_its_own_and_begins_in_the_middle() -> None:
    mixture = fair().mixture()
    check_mixture(mixture, SPACE)
    for weights in mixture.op_weights.values():
        assert (weights[:, 0] == 0).all()
        assert (weights[:, 1:] == 0.5).all()


def test_the_zero_one_loss_is_minus_the_mean_square_from_the_middle_and_alpha_learns_by_its_gradient() -> None:
    torch.manual_seed(0)
    batch = Batch(torch.randn(4, 3, 8, 8).double(), torch.arange(4) % 3)
    supernet = Supernet(SPACE, channels=4, num_cells=3, num_classes=3, k=2).double()
    task = task_of(supernet, arch_batch=lambda: batch)
    gradients = []
    for weight in (10.0, 0.0):
        method = fair(zero_one_weight=weight)
        filled(method)
        method.optimizer = torch.optim.SGD(method.arch.parameters(), 0.0)  # type: ignore[assignment]
        method.step(AT, task, batch)
        gradients.append([parameter.grad for parameter in method.arch.parameters()])
    method = fair()
    filled(method)
    rows = torch.cat([method.arch.alpha[kind].detach()[:, 1:] for kind in SPACE.kinds])
    by_hand = -10 * float((1 / (1 + (-rows).exp()) - 0.5).square().mean())
    assert float(method.zero_one_loss().detach()) == pytest.approx(by_hand)
    for parameter, ours, theirs in zip(method.arch.parameters(), *gradients, strict=True):
        assert ours is not None
        assert theirs is not None
        for place in (0, 1, 20, 39):
            losses = []
            for step in (1e-5, -2e-5):
                parameter.data.view(-1)[place] += step
                losses.append(float(method.zero_one_loss().detach()))
            parameter.data.view(-1)[place] += 1e-5
            expected = (losses[0] - losses[1]) / 2e-5
            assert float((ours - theirs).view(-1)[place]) == pytest.approx(expected, rel=1e-5, abs=1e-9)


def test_the_cell_has_the_largest_sigmoids_and_those_below_the_threshold_are_counted() -> None:
    method = fair(threshold=0.8)
    skip, sep = SPACE.primitives.index("skip_connect"), SPACE.primitives.index("sep_conv_3x3")
    normal, reduce = method.arch.alpha["normal"].data, method.arch.alpha["reduce"].data
    normal.fill_(-3)
    reduce.fill_(3)
    normal[:, 0] = 9  # none is no operation here
    normal[0, skip], normal[1, sep], normal[3, sep], normal[4, skip] = 2, 1, 3, 1.5  # sigmoids .88, .73, .95 and .82
    genotype = method.genotype(None, torch.Generator())
    assert genotype.normal == (("skip_connect", 0), ("sep_conv_3x3", 1), ("sep_conv_3x3", 1), ("skip_connect", 2))
    assert method.figures == {"below_threshold": 1}
