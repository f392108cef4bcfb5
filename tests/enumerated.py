"""A space so small that every draw of one operation an edge can be computed: what estimators are compared with."""

from functools import cache, partial
from itertools import product

import torch
from torch import Tensor

from pcdarts.cell.space import CellForm, CellSpace
from pcdarts.data.streams import generator
from pcdarts.learn.task import SupernetTask
from pcdarts.methods.method import At, Batch
from pcdarts.supernet.arch import ArchParameters, Mixture
from pcdarts.supernet.supernet import Supernet
from small_task import task_of

SPACE = CellSpace(
    3, form=CellForm(kinds=("normal",)), primitives=("none", "skip_connect", "avg_pool_3x3", "sep_conv_3x3")
)
"""One kind of cell with one node, whose two edges have four primitives: sixteen draws."""
DRAWS = [*product(range(4), repeat=2)]
NONE = 0
AT = At(0, 0, 0, 0, 1)


@cache
def problem() -> tuple[SupernetTask, Batch]:
    """A supernet of this space, and images."""
    torch.manual_seed(0)
    supernet = Supernet(SPACE, channels=4, num_cells=3, num_classes=3, k=2, kernels="plain").double()
    batch = Batch(torch.randn(6, 3, 8, 8).double(), torch.randint(3, (6,)))
    return task_of(supernet, arch_batch=lambda: batch), batch


@cache
def gate_gradients() -> dict[tuple[int, ...], tuple[Tensor, Tensor]]:
    """For each draw the gradients of the loss by all gates, [edges, primitives], and by the weights of the edges.

    All operations are computed, of which those that were not drawn have the weight zero.
    """
    task, batch = problem()
    found = {}
    for draw in DRAWS:
        gates = torch.eye(4, dtype=torch.float64)[list(draw)].requires_grad_()
        edges = torch.ones(2, dtype=torch.float64, requires_grad=True)
        active = torch.ones(2, 4, dtype=torch.bool)
        mixture = Mixture({"normal": gates}, {"normal": edges}, {"normal": active})
        (of_gates, of_edges), _ = task.gradients(mixture, batch, [gates, edges])
        found[draw] = of_gates, of_edges
    return found


def with_chance(number: int) -> Batch:
    """The batch of the problem with other random numbers."""
    return problem()[1]._replace(chance=partial(generator, 0, "draw", number))


def spread(arch: ArchParameters) -> None:
    """Give α and β values that are far from equal."""
    torch.manual_seed(1)
    for parameter in arch.parameters():
        parameter.data.normal_()


def drawn_of(mixture: Mixture) -> tuple[int, ...]:
    """Which operation each edge has."""
    return tuple(mixture.op_weights["normal"].detach().argmax(dim=1).tolist())


def assert_unbiased(estimates: Tensor, exact: Tensor, largest: float = 0.1) -> None:
    """The mean of estimates [n, ...] is within four standard errors of the exact value everywhere.

    These are small beside it: at most the part `largest` of its largest entry.
    """
    errors = estimates.std(dim=0) / len(estimates) ** 0.5
    assert errors.max() < largest * exact.abs().max(), (errors, exact)
    distance = (estimates.mean(dim=0) - exact).abs()
    assert (distance <= 4 * errors + 1e-12).all(), (distance / errors, exact)
