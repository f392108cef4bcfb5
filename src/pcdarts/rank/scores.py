"""What a search, and what no search, says of a cell: one-shot accuracy, alpha-score, and measures without training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count

import torch
from torch import Tensor

from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellKind, CellSpace
from pcdarts.config.methods.settings import MethodSettings
from pcdarts.data.streams import generator
from pcdarts.learn.networks import make_supernet
from pcdarts.learn.task import SupernetTask
from pcdarts.methods.method import Batch
from pcdarts.methods.paths import path_of
from pcdarts.methods.selection.te_nas import ranks
from pcdarts.methods.selection.untrained import Untrained
from pcdarts.rank.searched import Searched, task_around
from pcdarts.supernet.arch import Mixture

KERNEL_IMAGES, PATCHES = 14, 3000
"""As TE-NAS has them."""


@dataclass(frozen=True)
class Score:
    """A number that cells are ordered by."""

    name: str
    """In files."""
    words: str
    axis: str
    """What an axis with it is called, with the unit."""
    higher_is_better: bool = True
    is_logarithmic: bool = False
    """Whether an axis shows its decimal logarithm."""
    scale: float = 1.0
    """An axis shows so many times the number."""


SCORES = (
    Score("one_shot_accuracy", "one-shot accuracy", "one-shot accuracy (%)"),
    Score("alpha_score", "alpha-score", "sum of the log weights by alpha of the six operations"),
    Score(
        "condition_number",
        "TE-NAS: conditioning",
        "log10 of the NTK's condition number (less is better)",
        higher_is_better=False,
        is_logarithmic=True,
    ),
    Score("linear_regions", "TE-NAS: regions", "linear regions"),
    Score("te_nas", "TE-NAS: both ranks", "sum of both ranks"),
    Score("params", "parameters", "parameters (millions)", scale=1e-6),
    Score("mult_adds", "mult-adds", "mult-adds (millions)", scale=1e-6),
)
"""In the order in which they are shown; more is better, where it is not said."""


class Measures:
    """Measures one cell after the other; each number is a function of search, images, seed and cell alone."""

    def __init__(self, searched: Searched, device: torch.device, seed: int, *, te_nas: bool) -> None:
        self._searched, self._device = searched, device
        self.why_no_alpha: str | None = None
        """Why there are no alpha-scores, if there are none."""
        self._mixture = searched.method.mixture().detach()
        config = searched.stage_config
        if isinstance(config, MethodSettings) and not config.weighs_operations:
            how = " with selection perturbation" if config.has_budgets else ""
            self.why_no_alpha = (
                f"there are no alpha-scores: {config.method}{how} {config.without_budgets} and does not weigh their "
                "operations"
            )
        self._task = task_around(searched.supernet, config, device, searched.batches[0])
        self._untrained = self._without_training(seed) if te_nas else None

    def of(self, cell: Genotype) -> dict[str, float]:
        """The scores of a cell by name, but for those that depend on the other cells."""
        found = {"one_shot_accuracy": one_shot_accuracy(self._task, self._path(cell), self._searched.batches)}
        if self.why_no_alpha is None:
            found["alpha_score"] = alpha_score(self._mixture, self._searched.space, cell)
        if self._untrained is not None:
            ones = dict.fromkeys(
                self._searched.space.kinds, torch.ones(self._searched.space.num_edges, device=self._device)
            )
            κ, R = self._untrained.measured(path_of(cell, self._searched.space, ones))
            found |= {"condition_number": κ, "linear_regions": R}
        costs = self._searched.costs.of(cell)
        return found | {name: costs[name] for name in ("params", "mult_adds")}

    def _path(self, cell: Genotype) -> Mixture:
        """The cell in the supernet, whose edges weigh what the search has learnt, if it normalises edges."""
        return path_of(cell, self._searched.space, self._mixture.edge_weights)

    def _without_training(self, seed: int) -> Untrained:
        """All channels through the operations and a plain sum of edges: the network of the cell, as it will be trained.

        All cells have the same first weights where they have the same operations.
        """
        config = self._searched.stage_config.model_copy(update={"k": 1, "amp": "off"})
        data, batch = self._searched.data, self._searched.batches[0]._replace(masks=None)
        supernet = make_supernet(config, self._searched.space, data.num_classes, data.image_channels)
        task = task_around(supernet.to(self._device).train(), config, self._device, batch)
        chance = generator(seed, "weights without training")
        return Untrained(task, batch, min(KERNEL_IMAGES, len(batch.labels)), PATCHES, chance)


def one_shot_accuracy(task: SupernetTask, path: Mixture, batches: Sequence[Batch]) -> float:
    """The accuracy in % of a path through the supernet with the weights that it has, on batches of the arch split.

    BatchNorm takes the statistics of each batch.
    """
    numbers, right, images = count(), torch.zeros(()), 0
    for batch in batches:
        seen = batch._replace(masks=task.masks("error", next(numbers)))
        right = right + (100 - task.errors([path], seen)[0].cpu()) * len(batch.labels)
        images += len(batch.labels)
    return float(right) / images


def alpha_score(mixture: Mixture, space: CellSpace, cell: Genotype) -> float:
    """The sum of the logarithms of the weights that the cell's operations have in what was learnt.

    A weight of zero counts as the smallest normal float32. The weights of edges would add the same to every cell.
    """
    there: Mapping[CellKind, Tensor] = path_of(cell, space).op_weights
    total = 0.0
    for kind in space.kinds:
        weights = mixture.op_weights[kind].cpu().double().clamp_min(torch.finfo(torch.float32).tiny)
        total += float((weights.log() * there[kind]).sum())
    return total


def with_ranks(scores: Sequence[Mapping[str, float]]) -> list[dict[str, float]]:
    """The scores of all cells, with TE-NAS' sum of the ranks by both of its measures, where these are there."""
    if not scores or "condition_number" not in scores[0]:
        return [dict(each) for each in scores]
    by_κ = ranks([-each["condition_number"] for each in scores])
    by_R = ranks([each["linear_regions"] for each in scores])
    return [{**each, "te_nas": float(a + b)} for each, a, b in zip(scores, by_κ, by_R, strict=True)]
