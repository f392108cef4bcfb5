"""A search of NAS-Bench-201 as its newest checkpoint has it: its method, its supernet and images of its arch split."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from pcdarts.cell.budget import NetworkCosts
from pcdarts.cell.space import CellSpace
from pcdarts.config.configs import SearchConfig
from pcdarts.config.recipes import resolve
from pcdarts.config.yaml_files import load_mapping
from pcdarts.data.images import DataSet
from pcdarts.data.streams import generator
from pcdarts.errors import InputError, RunError, counted, shown
from pcdarts.jobs.outcome.evaluation import network_of
from pcdarts.learn.job_batches import plain_batches, training_data
from pcdarts.learn.learning import make_scaler, make_sgd
from pcdarts.learn.networks import make_method, make_supernet
from pcdarts.learn.splits import search_splits
from pcdarts.learn.stages import stages_of
from pcdarts.learn.task import SupernetTask
from pcdarts.methods.method import Batch, Method
from pcdarts.run.checkpoint import load_state, read_newest
from pcdarts.run.finite import FiniteCheck
from pcdarts.run.processes import ALONE
from pcdarts.run.run_folder import RunFolder
from pcdarts.supernet.supernet import Supernet


@dataclass(frozen=True)
class Saved:
    """The search in a run folder, and its newest checkpoint that is not damaged."""

    run: RunFolder
    config: SearchConfig
    state: dict[str, Any]
    digest: str
    """SHA-256 of the checkpoint, in hexadecimal."""
    epoch: int
    """So many epochs are done."""
    stage: int
    notes: tuple[str, ...]
    """Lines for the user."""


@dataclass(frozen=True)
class Searched:
    """What was learnt, and what it is measured on."""

    method: Method
    supernet: Supernet
    """With the weights of the checkpoint, in training mode: BatchNorm takes the statistics of each batch."""
    stage_config: SearchConfig
    """Of the stage that the checkpoint is in."""
    data: DataSet
    batches: tuple[Batch, ...]
    """Of equally many images of the arch split, not augmented."""
    costs: NetworkCosts
    """Of the networks that will be trained."""
    notes: tuple[str, ...]

    @property
    def space(self) -> CellSpace:
        """The space that was searched."""
        return self.method.space


def read_search(path: Path) -> Saved:
    """The search in the run folder `path`, which may go on meanwhile.

    Raises:
        InputError: there is no search of this space, or it has no checkpoint that can be used.
    """
    run = RunFolder.open(path)
    job = load_mapping(run.config, "run's configuration").get("job")
    if job != "search":
        why = ", which has no shared weights to measure cells with" if job == "random search" else ""
        raise InputError(f"{path} is a run of {shown(job)}{why}: name a run of `pcdarts search --space nasbench201`")
    config = resolve(SearchConfig, file=run.config)
    if config.space != "nasbench201":
        raise InputError(
            f"{path} is a search of the space {config.space}, but what is ranked are cells of nasbench201, whose "
            "accuracies are known: name a run of `pcdarts search --space nasbench201`"
        )
    found = read_newest(run.checkpoint)
    if found is None:
        raise InputError(f"{path} has no checkpoint, and so no weights to measure with: let it search for an epoch")
    state = load_state(found[0], run.checkpoint, config.identity())
    try:
        epoch, stage = (int(state["place"][name]) for name in ("epoch", "stage"))
    except (LookupError, TypeError, ValueError):
        raise InputError(f"{run.checkpoint} does not say where its run stands: restore it from a copy") from None
    return Saved(run, config, state, sha256(found[0]).hexdigest(), epoch, stage, (found[1],) if found[1] else ())


def restored(
    saved: Saved, own: RunFolder, device: torch.device, *, batches: int, seed: int, data_root: Path | None = None
) -> Searched:
    """The search as it was, on `device`, and up to so many batches of its arch split, drawn with `seed`.

    Args:
        own: where a split is kept that the search did not keep.
        data_root: where the images are, if not where they were.

    Raises:
        InputError: the images are not there or are others, or the checkpoint does not fit.
        RunError: an image cannot be read.
    """
    config = saved.config if data_root is None else saved.config.model_copy(update={"data_root": data_root})
    data = training_data(config, device)
    if saved.state.get("data") != data.digest():
        raise InputError(
            f"{saved.run.path} searched on other images than those that are there now: restore them, or name their "
            "folder with --data-root"
        )
    network = network_of(config, data)
    space = config.cell_space
    costs = network.costs(space)
    method = make_method(config, space, device, lambda: costs)
    try:
        stage_config = stages_of(config, method.stages())[saved.stage].config
        supernet = make_supernet(stage_config, space, data.num_classes, data.image_channels).to(device)
        supernet.load_state_dict(saved.state["supernet"])
        method.load_state_dict(saved.state["method"])
    except (LookupError, TypeError, ValueError, RuntimeError, AttributeError):
        raise InputError(
            f"{saved.run.checkpoint} does not fit the search of its run: restore the file from a copy"
        ) from None
    found, about = _arch_batches(config, data, saved.run if saved.run.split.is_file() else own, device, batches, seed)
    return Searched(method, supernet.train(), stage_config, data, found, costs, (*data.notes, about))


def task_around(supernet: Supernet, config: SearchConfig, device: torch.device, batch: Batch) -> SupernetTask:
    """A task of a search that learns no more: whole batches, one process, and always the same arch batch."""
    return SupernetTask(
        supernet,
        make_sgd(supernet, config),
        gradient_clip=config.gradient_clip,
        parts=1,
        scaler=make_scaler("off", device),
        processes=ALONE,
        finite=FiniteCheck(0, [], ALONE),
        arch_batch=lambda: batch,
        seed=config.seed,
    )


def _arch_batches(
    config: SearchConfig, data: DataSet, run: RunFolder, device: torch.device, batches: int, seed: int
) -> tuple[tuple[Batch, ...], str]:
    """Batches of equally many images, drawn without replacement, and a line that says of what.

    What BatchNorm makes of an image depends on the size of its batch, so all have the size of the search's.
    """
    _, arch = search_splits(config, data, run, ALONE)
    size = min(config.batch_size, len(arch))
    if size < 2:
        raise InputError(f"the arch split of {data.name} has a single image, but batch statistics need two")
    number = min(batches, len(arch) // size)
    chosen = arch[torch.randperm(len(arch), generator=generator(seed, "images to measure on"))[: number * size]]
    supply = plain_batches(data.train.subset(chosen), data.mean, data.std, size, device)
    found = tuple(Batch(images, labels) for images, labels, _ in supply.numbered(0) if len(labels) > 1)
    if not found:
        raise RunError("none of the images to measure on can be read: repair them")
    fewer = f" (of {batches} that --batches asks for)" if number < batches else ""
    return found, (
        f"one-shot accuracies are on {counted(number, 'batch', 'batches')}{fewer} of {size} of the {len(arch):,} arch "
        "images, by the statistics of each batch"
    )
