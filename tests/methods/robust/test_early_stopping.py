"""R-DARTS: the largest eigenvalue against exact Hessians, the rule by made-up series, and a search that ends by it."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from command_line import SEARCH, checkpoint_of, differences, done, metrics_of, refused, result_of, run_in
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellSpace
from pcdarts.methods.method import At, Batch
from pcdarts.methods.robust import early_stopping
from pcdarts.methods.robust.early_stopping import EarlyStopping, alpha_of, largest_eigenvalue, sharpness, too_sharp
from pcdarts.methods.robust.switches import Robust
from pcdarts.supernet import reference
from pcdarts.supernet.arch import ArchParameters, Mixture
from pcdarts.supernet.supernet import Supernet
from small_task import task_of

SPACE = CellSpace(4)


def chance() -> torch.Generator:
    return torch.Generator().manual_seed(1)


# The eigenvalue


@pytest.mark.parametrize("shift", [0.0, -20.0], ids=["of both signs", "all negative"])
def test_the_largest_eigenvalue_of_a_quadratic_is_found_though_others_are_larger_without_their_sign(
    shift: float,
) -> None:
    square = torch.randn(40, 40, generator=chance(), dtype=torch.float64)
    hessian = square + square.T + shift * torch.eye(40, dtype=torch.float64)
    exact = float(torch.linalg.eigvalsh(hessian)[-1])
    assert largest_eigenvalue(hessian.mv, 40, chance(), 0.1, products=40) == pytest.approx(exact, rel=1e-9)
    assert largest_eigenvalue(hessian.mv, 40, chance(), 0.1, products=20) == pytest.approx(exact, abs=0.2)


def test_a_hessian_of_low_rank_needs_few_products() -> None:
    direction = torch.arange(10, dtype=torch.float64)
    asked: list[Tensor] = []

    def gradient(point: Tensor) -> Tensor:
        asked.append(point)
        return direction * (direction @ point)

    assert largest_eigenvalue(gradient, 10, chance(), 0.1, products=10) == pytest.approx(285)  # 1 + 4 + ... + 81
    assert len(asked) <= 6


def test_a_gradient_that_is_not_finite_gives_no_eigenvalue() -> None:
    found = largest_eigenvalue(lambda point: point / 0, 3, chance(), 0.1, products=3)
    assert found != found
    stopping = EarlyStopping(1, 1.3, 0)
    stopping.eigenvalues = [1.0, found]
    assert stopping.figures == {}


def test_the_eigenvalue_is_that_of_the_exact_hessian_of_a_supernet() -> None:
    torch.manual_seed(0)
    space = CellSpace(3)
    arch = ArchParameters(space).double()
    for parameter in arch.parameters():
        parameter.data.normal_()
    supernet = Supernet(space, channels=4, num_cells=3, num_classes=3, k=2).double()
    batch = Batch(torch.randn(4, 3, 6, 6).double(), torch.arange(4) % 3)
    alpha, betas = alpha_of(arch), {kind: edges.detach() for kind, edges in arch.mixture().edge_weights.items()}
    assert [parameter.shape for parameter in alpha] == [(2, 8), (2, 8)]

    def loss(flat: Tensor) -> Tensor:
        op_weights = dict(zip(space.kinds, flat.view(2, 2, 8).softmax(dim=2), strict=True))
        return F.cross_entropy(reference.supernet(supernet, batch.images, Mixture(op_weights, betas)), batch.labels)

    hessian: Any = torch.autograd.functional.hessian(loss, torch.cat([each.detach().flatten() for each in alpha]))
    exact = float(torch.linalg.eigvalsh(hessian)[-1])
    before = {name: value.clone() for module in (arch, supernet) for name, value in module.state_dict().items()}
    # So near that no unit of the network changes its side: a larger radius sees how the slope changes there, too.
    found = sharpness(task_of(supernet, arch_batch=lambda: batch), alpha, arch.mixture, chance(), radius=1e-8)
    assert found == pytest.approx(exact, rel=1e-3)
    for module in (arch, supernet):
        assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


# The rule


@pytest.mark.parametrize(
    ("eigenvalues", "number"),
    [
        ([1.0] * 8 + [9.0], 2),  # the means are 1 (of the first five) and 2.6 (of the last five)
        ([1.0] * 8, None),  # one is missing for the second mean
        ([1.0] * 20, None),
        ([1.0] * 8 + [2.5], None),  # exactly 1.3 is not more than it
        ([1.0] * 8 + [2.51], 2),
        ([9.0] * 3 + [1.0] * 8 + [9.0], 5),
        ([-1.0] * 8 + [9.0], None),
        ([1.0] * 8 + [float("nan")], None),
    ],
)
def test_a_search_ends_when_the_mean_of_five_eigenvalues_is_well_above_that_of_four_before(
    eigenvalues: list[float], number: int | None
) -> None:
    assert too_sharp(eigenvalues, 1.3) == number


class Growing:
    """A loss c α²/2 of which c is made up for each epoch."""

    weights: Mapping[str, Tensor] = {}

    def __init__(self, curvatures: Sequence[float]) -> None:
        self.curvatures, self.epoch = curvatures, 0

    def arch_batch(self) -> Batch:
        return Batch(torch.zeros(1), torch.zeros(1))

    def gradients(self, mixture: Any, batch: Batch, inputs: Sequence[Tensor], weights: Any) -> tuple[list[Tensor], Any]:
        return [self.curvatures[self.epoch] * each.detach() for each in inputs], None


@pytest.mark.parametrize(
    ("every", "earliest", "first", "ended_after", "gone_back_to"),
    [(1, 0, 0, 12, 6), (1, 7, 0, 14, 8), (2, 0, 1, 20, 8), (1, 0, 3, 12, 6)],
)
def test_alpha_goes_back_to_the_epoch_before_it_grew_sharp(
    every: int, earliest: int, first: int, ended_after: int, gone_back_to: int
) -> None:
    steady = 20 if every == 2 else 12
    task: Any = Growing([1.0] * (steady - 1) + [float(3 + number) for number in range(20)])
    stopping, arch = EarlyStopping(every, 1.3, earliest), ArchParameters(SPACE).double()
    for epoch in range(30):
        task.epoch, at = epoch, At(epoch, 0, 0, epoch, 30)
        for parameter in arch.parameters():
            parameter.data.fill_(epoch)
        if epoch >= first:
            stopping.learns(at)
        state = stopping.state_dict()
        stopping = EarlyStopping(every, 1.3, earliest)
        stopping.load_state_dict(state)  # as after a resume
        stopping.end_epoch(at, task, arch, arch.mixture, chance())
        if stopping.ended:
            break
    assert stopping.ended
    assert stopping.ended.startswith(f"the search ends after epoch {ended_after}: within {4 * every} epochs ")
    assert stopping.ended.endswith(f"alpha is again that of epoch {gone_back_to}")
    assert all((parameter == gone_back_to - 1).all() for parameter in arch.parameters())
    measured = list(range(first, ended_after, every))
    assert (stopping.epochs, stopping.figures) == (measured, {"eigenvalue": stopping.eigenvalues[-1]})


# A search by it


def test_a_search_that_ends_early_has_the_cell_of_the_earlier_epoch_also_when_it_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(early_stopping, "PRODUCTS", 1)
    monkeypatch.setattr(early_stopping, "too_sharp", lambda eigenvalues, _: 2 if len(eigenvalues) == 9 else None)
    flags = [*SEARCH, *shlex.split("--train-images 20 --num-nodes 3 --epochs 12 --arch-frozen-epochs 1")]
    flags += shlex.split("--eigenvalue-every 1 --eigenvalue-earliest 1 --checkpoint-minutes 1e-9")
    out = done(tmp_path, *flags, "--run", "whole")
    assert "the search ends after epoch 10: within 4 epochs the largest eigenvalue" in out
    records, result = metrics_of(tmp_path / "whole"), result_of(tmp_path / "whole")
    assert [record["epoch"] for record in records] == [*range(1, 11)]
    assert ["eigenvalue" in record for record in records] == [False] + [True] * 9
    assert result["ended_early"] == {"done": 10, "epochs": 12, "by": "--eigenvalue-every"}
    assert records[9]["op_weights"] == records[3]["op_weights"] != records[8]["op_weights"]
    assert result["genotype"] == Genotype.from_file(tmp_path / "whole" / "genotypes" / "epoch_004.json").to_text()
    assert "10 of 12 epochs: --eigenvalue-every" in done(tmp_path, "status", "whole")

    learn, calls = Robust.end_epoch, []

    def end_epoch(self: Robust, at: At, task: Any, chance: torch.Generator) -> None:
        calls.append(at.epoch)
        if len(calls) == 5:
            raise KeyboardInterrupt
        learn(self, at, task, chance)

    def genotype(self: Robust, task: Any, chance: torch.Generator) -> Genotype:
        monkeypatch.undo()
        monkeypatch.setattr(early_stopping, "PRODUCTS", 1)
        raise KeyboardInterrupt

    monkeypatch.setattr(Robust, "end_epoch", end_epoch)
    assert run_in(tmp_path, *flags, "--run", "run").code == 130
    find = Robust.genotype
    monkeypatch.setattr(Robust, "genotype", lambda self, task, chance: (genotype if task else find)(self, task, chance))
    assert run_in(tmp_path, "search", "--resume", "run").code == 130
    assert calls[3:7] == [3, 4, 4, 5]
    assert checkpoint_of(tmp_path / "run")["/state/place/epoch"] == 10
    done(tmp_path, "search", "--resume", "run")
    assert differences(tmp_path / "run", tmp_path / "whole") == []


def test_a_search_in_several_stages_is_not_ended_by_eigenvalues(tmp_path: Path) -> None:
    line = refused(tmp_path, "search", "--method", "drnas", "--second-k", "2", "--eigenvalue-every", "1")
    assert line == "eigenvalue_every ends a search of one stage, but this one has several: drop it"
    assert (
        refused(tmp_path, *SEARCH, "--eigenvalue-growth", "1") == "eigenvalue_growth is 1, but it must be more than 1"
    )
