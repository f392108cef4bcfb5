"""The plan of a fit: the rules applied to a folder, this machine and the time that is left."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import space_of, suggested_kind
from pcdarts.config.configs import SearchConfig, TrainConfig
from pcdarts.config.fit_config import FitConfig
from pcdarts.config.job_config import RunConfig
from pcdarts.config.recipes import OWN_IMAGES, recipe, resolve
from pcdarts.errors import InputError, counted, in_short, listed
from pcdarts.jobs.outcome.evaluation import EvaluationNetwork
from pcdarts.jobs.outcome.find_genotype import find_genotype
from pcdarts.network.complexity import Complexity
from pcdarts.network.latency.measure import whole_milliseconds
from pcdarts.network.latency.parts import parts_of
from pcdarts.network.latency.table import read_table
from pcdarts.network.stock import check_stock
from pcdarts.own_images import rules, search_rules
from pcdarts.own_images.competitors import scaled
from pcdarts.own_images.rules import Facts, NothingFits, Shape, StepTime, TooShort, Training
from pcdarts.own_images.search_rules import Search
from pcdarts.own_images.speed import search_step_time, step_time

LATENCY_SECONDS = 0.5
"""For which the latency of a network is measured."""


@dataclass(frozen=True)
class Plan:
    """What is to be done."""

    training: Training
    search: Search | str
    """Or why there is none."""
    trial_epochs: int
    """Of the short trainings between which validation chooses; 0 without a choice."""
    alone: Training | None = None
    """The training that there would be time for without a comparison, if there is one."""


class Planner:
    """Applies the rules to the folder of a fit; what it measures it measures once."""

    def __init__(self, config: FitConfig, facts: Facts) -> None:
        self.config, self.facts = config, facts
        self.fixed = config.fixed()
        self._measured, self.latency = cache(self._step_time), cache(self._latency)
        self.slowness = 1.0
        """How many times as long as measured steps take, as a training has shown."""
        self.table = None if config.latency_table is None else read_table(config.latency_table)
        self._search_steps: list[tuple[float, float]] = []
        self._beside: tuple[float, ...] | None = None

    def plan(self, seconds: float, whole: float) -> Plan:
        """The plan for `seconds` of the `whole` time.

        Raises:
            InputError: the time is too short, or no network is within the budget.
        """
        if self._beside is None:
            for name in rules.compared_networks(self.config.compare, self.config.minutes):
                check_stock(name)  # before anything is measured
            self._beside = self._compared(self.training(self.config.genotype, seconds))
        first = self.training(self.config.genotype, seconds)
        why = "--genotype" if self.config.genotype else search_rules.why_not_to_search(self.facts, self.config.search)
        if why is not None:
            return Plan(first, why, 0, self._alone(self.config.genotype, seconds))
        settings = search_rules.search_settings(self.facts, first.shape)
        images = settings.get("train_images", self.facts.images) // 2
        step = self._search_step_time(settings, images)
        search = search_rules.plan_search(
            self.facts, first.shape, whole, self.config.search, step, self.config.search_epochs
        )
        if isinstance(search, str):
            return Plan(first, search, 0, self._alone(None, seconds))
        try:
            return self._with_search(search, first, seconds)
        except InputError:
            if self.config.search != "auto" or self.config.search_epochs is not None:  # it is asked for
                raise
            why = "it would leave too little time for the training (--minutes, --search always)"
            return Plan(first, why, 0, self._alone(None, seconds))

    def _with_search(self, search: Search, first: Training, seconds: float) -> Plan:
        """The plan with this search, in the time for which without it `first` was the training.

        Raises:
            InputError: the time is too short.
        """
        left = seconds - search.seconds
        trial = 0
        if self.facts.validation:  # otherwise nothing can choose
            trial = self.trial_epochs(first, left)
            left -= 2 * (first.load_seconds + trial * first.epoch_seconds)
        return Plan(self.training(None, left, search=(search, seconds)), search, trial, self._alone(None, left))

    def _alone(self, genotype: str | None, seconds: float) -> Training | None:
        return self.training(genotype, seconds, beside=()) if self._beside else None

    def _compared(self, training: Training) -> tuple[float, ...]:
        """How many times as long as an epoch of this training that of each stock network is, beside which it is put.

        Raises:
            InputError: there is no such network, or it cannot take the images.
        """
        facts, shape, genotype = self.facts, training.shape, self.config.genotype
        names = rules.compared_networks(self.config.compare, self.config.minutes)
        if not names:
            return ()
        sizes = {"num_classes": len(facts.classes), "image_channels": facts.image_channels}
        sizes["image_size"] = shape.image_size
        images = (facts.image_channels, shape.image_size, shape.image_size)
        own = self.step_time(shape, training.batch_size, genotype).step
        base, target = self.train_config(training, genotype), self.size(shape, genotype).mult_adds
        times = []
        for name in names:
            stock = TrainConfig(**{**base.model_dump(), **scaled(name, sizes, images, target).settings})
            times.append(step_time(stock, None, len(facts.classes), facts.image_channels).step / own)
        return tuple(times)

    def _search_step_time(self, settings: dict[str, Any], images: int) -> tuple[float, float]:
        """Seconds of a weight step and of an α step: the slower of the measurements for the first plan and the next."""
        if len(self._search_steps) < 2:
            facts, config = self.facts, self.search_config(settings)
            self._search_steps.append(search_step_time(config, len(facts.classes), facts.image_channels, images))
        weight, arch = (max(times) for times in zip(*self._search_steps, strict=True))
        return weight, arch

    def trial_epochs(self, training: Training, seconds: float) -> int:
        """The epochs of each short training between which validation chooses: no more than the training itself has."""
        fit = math.floor((search_rules.TRIAL_SHARE * seconds - training.load_seconds) / training.epoch_seconds)
        return max(2, min(training.epochs, fit))

    def training(
        self,
        genotype: str | None,
        seconds: float,
        late: bool = False,
        search: tuple[Search, float] | None = None,
        beside: tuple[float, ...] | None = None,
    ) -> Training:
        """The training of a cell (by default the published one) for which there is time, `beside` the comparison.

        Where it is `late`, since the search is done already, it is the shortest training if there is no time for any.
        `search`: that which is planned before it, and the seconds that there are for both.

        Raises:
            InputError: the time is too short, or no network is within the budget.
        """
        fits = self._fits(genotype)
        try:
            return rules.plan_training(
                self.facts,
                seconds,
                self.fixed,
                lambda shape, batch: self.step_time(shape, batch, genotype),
                fits,
                (self._beside or ()) if beside is None else beside,
                self.config.export,
            )
        except NothingFits:
            known = (
                sorted({(one.image_size, one.num_cells, one.channels) for one in self.table.networks})
                if self.table
                else []
            )
            has = [f"{cells} cells of {channels} channels for {side}x{side} pixels" for side, cells, channels in known]
            of_table = f"; {self.config.latency_table} has {in_short(has) or 'none'}" if self.table else ""
            raise InputError(
                f"no network is within the budget{of_table}: raise it, or fix --channels, --num-cells and --image-size"
            ) from None
        except TooShort as error:
            if late:
                return error.training
            raise InputError(self._too_short(error, seconds, search)) from None

    def _too_short(self, error: TooShort, seconds: float, search: tuple[Search, float] | None) -> str:
        """What time is enough, with a margin, since another measurement may find other steps; and what else helps."""
        minutes, epochs = self.config.minutes, error.training.epochs
        used = 60 * rules.SAFETY * minutes - seconds
        needed = rules.MARGIN * error.training.all_seconds
        share, helps, beside = rules.SAFETY, [], ""
        if search is not None:  # what comes before the training takes a part of the time, however long that is
            share, taken = share - search_rules.BEFORE_TRAINING, rules.MARGIN * search[0].seconds
            fixed = self.config.search_epochs is not None or taken > search_rules.SEARCH_MOST_SHARE * 60 * minutes
            load, epoch = error.training.load_seconds, error.training.epoch_seconds
            used = (
                60 * rules.SAFETY * minutes
                - search[1]
                + (taken if fixed else 0.0)
                + 2 * rules.MARGIN * (load + 2 * epoch)
            )
            helps.append("--search never")
            beside = " besides the search"
        least = math.ceil((used + needed) / (60 * share))
        alone = " --compare none" if self.config.compare == "auto" and minutes < rules.COMPARE_MINUTES <= least else ""
        if self.fixed.get("epochs") and epochs > 1:
            helps.append("fewer --epochs")
        if self.fixed.get("epochs") or epochs == rules.LEAST_EPOCHS:  # otherwise there would be more epochs
            helps.append("fewer images (--train-images)")
        if self.fixed.get("image_size"):
            helps.append("a smaller --image-size")
        return (
            f"minutes is {minutes:g}, but {counted(epochs, 'epoch')} of the smallest network on these "
            f"{self.facts.images:,} training images, which is the least that is of use, take about "
            f"{counted(math.ceil(needed / 60), 'minute')} here{beside}: give --minutes {least}{alone} or more"
            + (f", or {listed(helps)}" if helps else "")
        )

    def _fits(self, genotype: str | None) -> Callable[[Shape], bool]:
        """Whether a network with this cell keeps to the budget.

        Raises:
            InputError: not even the smallest does.
        """
        config = self.config
        limits = {"mult_adds": config.max_mult_adds, "params": config.max_params, "latency": config.max_latency}

        @cache
        def costs(shape: Shape) -> dict[str, float]:
            of_shape: dict[str, float] = asdict(self.size(shape, genotype))
            return of_shape | ({} if limits["latency"] is None else {"latency": self.latency(shape, genotype)})

        def fits(shape: Shape) -> bool:
            return all(limit is None or costs(shape)[name] <= limit for name, limit in limits.items())

        side = rules.possible_sides(self.facts, self.fixed)[-1]
        kind = self.fixed.get("kind") or suggested_kind(side)
        num_cells = self.fixed.get("num_cells") or rules.SIZES[0][0]
        least = Shape(side, kind, num_cells, self.fixed.get("channels") or rules.LEAST_CHANNELS)
        if self.table is None and not fits(least):
            for name, limit in limits.items():
                if limit is not None and (number := costs(least)[name]) > limit:
                    enough = f"{math.ceil(1.2 * 100 * number) / 100:g}" if name == "latency" else f"{number}"
                    words = f"takes {number:.2f} ms" if name == "latency" else f"has {number} {name.replace('_', '-')}"
                    raise InputError(
                        f"max_{name} is {limit}, but the smallest network here ({least.num_cells} cells of "
                        f"{least.channels} channels, images of {side}x{side} pixels) {words}: give {enough} or more"
                    )
        return fits

    def size(self, shape: Shape, genotype: str | None) -> Complexity:
        """What a network costs with this cell, by default the published one."""
        return self._network(shape).complexity(self.genotype(shape, genotype))

    def _latency(self, shape: Shape, genotype: str | None) -> float:
        """The milliseconds that a network takes for one image, measured here or by the table; infinite if it lacks it.

        Raises:
            InputError: onnx or onnxruntime is missing.
        """
        network, cell = self._network(shape), self.genotype(shape, genotype)
        sizes = network.sizes
        if self.table is None:
            return whole_milliseconds([cell], sizes, seconds=LATENCY_SECONDS)[0]
        space = space_of(cell.form.macro, cell.num_nodes("normal"))
        if self.table.lacks(parts_of(space, sizes), sizes, space):
            return math.inf
        return float(network.costs(space, self.table).of(cell)["latency_ms"])

    def _network(self, shape: Shape) -> EvaluationNetwork:
        sizes = shape.kind, shape.channels, shape.num_cells
        return EvaluationNetwork(*sizes, len(self.facts.classes), self.facts.image_channels, shape.image_size)

    def genotype(self, shape: Shape, genotype: str | None) -> Genotype:
        return find_genotype(genotype or rules.published_cell(shape.kind), lambda line: None)

    def step_time(self, shape: Shape, batch_size: int, genotype: str | None) -> StepTime:
        """Measured once; longer where a training has taken longer."""
        time = self._measured(shape, batch_size, genotype)
        return StepTime(time.step * self.slowness, time.image * self.slowness)

    def learn_from(self, training: Training, genotype: str | None, seconds: float) -> None:
        """A step of this training has taken so many `seconds`: if that is more than was measured, it counts."""
        measured = self._measured(training.shape, training.batch_size, genotype).step
        self.slowness = max(self.slowness, seconds / measured)

    def _step_time(self, shape: Shape, batch_size: int, genotype: str | None) -> StepTime:
        training = Training(shape, batch_size, rules.MOST_EPOCHS, 0.0, 0.0)  # long ones have the dearest steps
        config = self.train_config(training, genotype)
        return step_time(config, self.genotype(shape, genotype), len(self.facts.classes), self.facts.image_channels)

    def train_flags(self, training: Training, genotype: str | None) -> dict[str, Any]:
        """What `pcdarts train` is told."""
        cell = genotype or rules.published_cell(training.shape.kind)
        chosen = rules.settings_for(self.facts, training) | {**self.fixed, "genotype": cell}
        return self._shared() | _changes(TrainConfig, chosen)

    def train_config(self, training: Training, genotype: str | None) -> TrainConfig:
        return resolve(TrainConfig, flags=self.train_flags(training, genotype))

    def search_flags(self, settings: dict[str, Any]) -> dict[str, Any]:
        """What `pcdarts search` is told."""
        shared = (
            "train_set",
            "test_set",
            "validation_set",
            "train_images",
            "pixel_range",
            "on_bad_image",
            "workers",
            "seed",
            "flip",
        )
        images = {"validation_fraction": self.facts.validation_fraction, **rules.mirroring_of(self.facts)}
        settings = {**images, **settings}
        settings |= {name: value for name, value in self.fixed.items() if name in shared}
        return self._shared() | _changes(SearchConfig, settings)

    def search_config(self, settings: dict[str, Any]) -> SearchConfig:
        return resolve(SearchConfig, flags=self.search_flags(settings))

    def _shared(self) -> dict[str, Any]:
        config = self.config
        shared = {
            "data": "folder",
            "data_root": str(config.folder.expanduser().absolute()),
            "threads": config.threads,
        }
        if config.device != "auto":
            shared["device"] = config.device
        return {name: value for name, value in shared.items() if value is not None}


def _changes(config_class: type[RunConfig], settings: dict[str, Any]) -> dict[str, Any]:
    """The settings that the recipe for own images does not have."""
    own = recipe(config_class, OWN_IMAGES)
    return {name: value for name, value in settings.items() if value != getattr(own, name)}
