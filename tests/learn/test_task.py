"""The task of a search: where a run may be stopped while a method measures."""

import torch

from pcdarts.cell.derive import random_genotype
from pcdarts.cell.space import CellSpace
from pcdarts.methods.method import Batch
from pcdarts.methods.paths import path_of
from pcdarts.supernet.supernet import Supernet
from small_task import task_of


def test_a_run_may_be_stopped_between_the_measurements_of_the_end_of_an_epoch_but_not_within_a_step() -> None:
    space, stops = CellSpace(3), list[str]()
    supernet = Supernet(space, channels=2, num_cells=3, num_classes=3, k=1, kernels="plain")
    task = task_of(supernet, between=lambda: stops.append("here"))
    batch = Batch(torch.randn(2, 3, 8, 8), torch.zeros(2, dtype=torch.int64))
    paths = [path_of(random_genotype(space, seed), space) for seed in (1, 2)]
    weights = {name: weight.requires_grad_() for name, weight in task.weights.items()}
    some = [weights["classifier.weight"]]

    task.losses(paths, batch)
    task.gradients(paths[0], batch, some, weights)
    assert not stops  # a step of α may ask for these
    task.errors(paths, batch)
    assert len(stops) == 2
    task.jacobian(paths[0], batch, some, weights, 2)
    assert len(stops) == 4
    task.patterns(paths[0], batch, weights)
    assert len(stops) == 5
