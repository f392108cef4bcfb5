"""Steps by any search method in float64, alone or in several processes that share the batches; not a test itself.

`python tests/method_steps.py FOLDER METHOD ...`, in each of two processes, saves what the methods find there.
"""

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pcdarts.cell.space import CellSpace
from pcdarts.config.configs import SearchConfig
from pcdarts.config.flags import read_flags
from pcdarts.config.recipes import resolve
from pcdarts.data.streams import generator
from pcdarts.learn.learning import make_sgd
from pcdarts.learn.networks import make_method, make_supernet
from pcdarts.learn.stages import stages_of
from pcdarts.learn.task import SupernetTask
from pcdarts.methods.method import At, Batch
from pcdarts.network.costs import network_costs
from pcdarts.run.processes import Processes, joined
from pcdarts.supernet.supernet import Supernet
from pcdarts.supernet.widening import widen
from search_steps import BATCH, batch
from small_task import task_of
from tiny_searches import tiny_search

PARTS = 2
"""Of each batch, with batch statistics of their own, in one process or in as many."""
EPOCHS = 2
"""Of one step each in every stage: in the second one, momenta and what the first one's end has measured count."""
SETTINGS = f"--channel-sampling random --epochs {EPOCHS} --arch-frozen-epochs 0"
FEWER_EPOCHS = {"te-nas": 1}
"""Where an epoch measures each operation alone, and learns nothing."""
OF_METHOD = {
    "p-darts": "--skip-dropout 0 0 0",  # two processes drop other numbers than one
}


def found_by(name: str, processes: Processes) -> dict[str, Any]:
    """All that is learnt besides the weights, and the cell, after a search of two steps at most in each stage."""
    settings = shlex.split(f"{SETTINGS} {OF_METHOD.get(name, '')}")
    flags, problems = read_flags(SearchConfig, [*tiny_search(name)[1:], *settings])
    config = resolve(SearchConfig, flags=flags, problems=problems)
    torch.manual_seed(0)
    sizes = {"channels": config.channels, "num_cells": config.num_cells, "num_classes": 5, "image_channels": 3}
    space = CellSpace(config.num_nodes)
    method = make_method(config, space, "cpu", lambda: network_costs(space, kind="cifar", image_size=8, **sizes))
    before, epochs = None, FEWER_EPOCHS.get(name, EPOCHS)
    for number, stage in enumerate(stages_of(config, method.stages())):
        supernet = make_supernet(stage.config, space, num_classes=5, image_channels=3)
        optimizer = make_sgd(supernet, stage.config)
        if stage.keeps_weights and before is not None:
            widen(before[0], supernet, generator(0, "widening"), (before[1], optimizer))
        before = supernet, optimizer
        task = made_task(supernet, optimizer, processes)
        for epoch in range(epochs):
            at = At(number * epochs + epoch, 0, number, epoch, epochs)
            weight_batch = task.batch("weight", at.epoch, 0, *batch(at.epoch, processes))
            method.step(at, task, weight_batch)
            if draws := method.draws(at, task, weight_batch):
                task.learn(weight_batch, draws)
            method.end_epoch(at, task, generator(0, "end of epoch", at.epoch))
    processes.check_same(method.arch, "what was learnt")
    cell = method.genotype(task, generator(0, "genotype"))
    return {"method": method.state_dict(), "mixture": method.mixture().detach().op_weights, "cell": cell.to_text()}


def made_task(supernet: Supernet, optimizer: torch.optim.SGD, processes: Processes) -> SupernetTask:
    numbers = count(100)

    def arch_batch() -> Batch:
        number = next(numbers)
        return task.batch("arch", 0, number, *batch(number, processes))

    parts, measured = PARTS // processes.count, Measured(processes)
    task = task_of(supernet, optimizer, processes=processes, parts=parts, arch_batch=arch_batch, measured=measured)
    return task


class Measured:
    """Two batches of the arch split, as `SupernetTask.error` reads them.

    Both halves have the same images, so that batch statistics are the same in as many processes, and other labels.
    """

    def __init__(self, processes: Processes) -> None:
        self.processes = processes

    def __len__(self) -> int:
        return 2

    def numbered(self, epoch: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        for number in range(len(self)):
            images, _ = batch(200 + number, self.processes, twice=True)
            _, labels = batch(200 + number, self.processes)
            places = torch.arange(number * BATCH, (number + 1) * BATCH)
            yield images, labels, places.tensor_split(self.processes.count)[self.processes.rank]


@contextmanager
def float64() -> Iterator[None]:
    """Meanwhile new tensors are of that type."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


if __name__ == "__main__":
    torch.set_num_threads(1)
    with float64(), joined() as together:
        found = {name: found_by(name, together) for name in sys.argv[2:]}
        torch.save(found, Path(sys.argv[1]) / f"{together.rank}.pt")
