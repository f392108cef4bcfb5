"""`pcdarts fit`: from a folder of images to a network one would ship, by the jobs that can be called one by one."""

import shlex
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from pcdarts.config.compare_config import CompareConfig
from pcdarts.config.configs import ExportConfig, SearchConfig, TrainConfig
from pcdarts.config.fit_config import FitConfig
from pcdarts.config.job_config import FolderConfig, settings
from pcdarts.config.recipes import resolve
from pcdarts.errors import InputError, RunError
from pcdarts.jobs.outcome.evaluation import as_flag
from pcdarts.jobs.outcome.find_genotype import find_genotype, save_genotype
from pcdarts.launch import begin, go_on
from pcdarts.network.latency.timing import onnx_milliseconds
from pcdarts.own_images.account import Account
from pcdarts.own_images.chance import choice_between
from pcdarts.own_images.look import look_at
from pcdarts.own_images.planning import Planner
from pcdarts.own_images.rules import MOST_EPOCHS, SAFETY, Shape, Training, compared_networks, steps_in
from pcdarts.own_images.search_rules import Search
from pcdarts.own_images.words import cell_chosen, choice_line, closing_lines, plan_lines
from pcdarts.report.of_fit import FLOAT, INT8
from pcdarts.run.device import choose_device
from pcdarts.run.processes import ALONE, Processes
from pcdarts.run.run_folder import RunFolder
from pcdarts.run.whole_files import write_text
from pcdarts.ship.export import run_export, settings_of
from pcdarts.ship.formats import FORMATS
from pcdarts.ship.int8 import LosesTooMuch

Config = TypeVar("Config", bound=FolderConfig)
ONNX_SECONDS = 1.0
"""For which each ONNX model is timed."""
SEARCHED, PUBLISHED = "trial-searched", "trial-published"
"""The short trainings between which validation chooses."""
KEPT = ("params", "mult_adds", "genotype", "leaks", "ended_early", "more_epochs")
"""What the result of the training says that is the fit's result too, beside what was measured of the test images."""


def print_plan(config: FitConfig) -> None:
    """Look at the images, measure steps and print the plan; no run folder is made.

    Raises:
        InputError: the folder, the device, the time or the budget cannot be used.
    """
    choose_device(config.device, config.threads)
    facts, notes = look_at(config)
    print(*notes, sep="\n", flush=True)
    planner = Planner(config, facts)
    plan = planner.plan(SAFETY * 60 * config.minutes, 60 * config.minutes)
    print(*plan_lines(config, planner, plan), sep="\n", flush=True)


def run_fit(config: FitConfig, run: RunFolder, resume: bool, processes: Processes = ALONE) -> dict[str, Any]:
    """Do all phases, or those that are left, each in a run folder inside `run`; returns what `result.json` holds.

    Raises:
        InputError: the folder, the device, the time or the budget cannot be used, or a phase refuses.
        RunError, Interrupted: as the phases do; what was done is kept.
    """
    if processes.count > 1:
        raise InputError("fit works in one process: start it without torchrun")
    return Fit(config, run).do()


class Fit:
    """A fit in its folder."""

    def __init__(self, config: FitConfig, run: RunFolder) -> None:
        self.config, self.run, self.account = config, run, Account(run)
        if (
            run.config.is_file()
            and run.has_only_begun
            and resolve(FitConfig, file=run.config).identity() != config.identity()
        ):
            write_text(run.config, config.to_yaml())  # resumed with other settings before anything was done by them
            self.account.forget_plan()
        self.search_place = str((run.path / "search").absolute())
        self.choice: list[str] = []
        """Why the cell is trained that is trained, if there was a choice."""

    def do(self) -> dict[str, Any]:
        """All phases that are left."""
        choose_device(self.config.device, self.config.threads)
        with self.account.counting("planning"):
            self.planner = self._planner()
            if "plan" not in self.account.kept:
                self._plan()
        genotype = self._searched()
        if "train" not in self.account.kept:
            with self.account.counting("planning"):
                self._plan_training(genotype)
        trained = self._phase("train", TrainConfig, self.account.kept["train"])
        with self.account.counting("export"):
            files, int8 = self._export()
            latency = self._latency(
                resolve(TrainConfig, file=RunFolder(self.run.path / "train").config).image_size or 0, int8
            )
        compared = self._compared()
        named = [name for name in trained if name.startswith("test_") or name in KEPT]
        result = {
            **{name: trained[name] for name in named},
            "seconds": self.account.seconds,
            "seconds_by_phase": self.account.kept["seconds"],
            **({"cell": self.account.kept["cell"]} if "cell" in self.account.kept else {}),  # older plans say nothing
            **({"int8": int8} if int8 else {}),
            **latency,
            **compared,
            "files": [str(path.relative_to(self.run.path)) for path in files],
        }
        save_genotype(self.run, find_genotype(trained["genotype"]))
        lines = closing_lines(self.run, self.config, self.planner.facts, result)
        self.account.save(result_lines=lines, phase=None)
        for line in ["", *lines]:
            self.run.say(line)
        self.run.finish(result)
        return result

    def _planner(self) -> Planner:
        """About what was seen before, or what a look at the images shows."""
        if self.account.facts is not None:
            return Planner(self.config, self.account.facts)
        facts, notes = look_at(self.config)
        for line in notes:
            self.run.say(line)
        self.account.save(facts=asdict(facts))
        return Planner(self.config, facts)

    def _plan(self) -> None:
        """Plan everything, say so, and keep what is to be done first."""
        whole = 60 * self.config.minutes
        self.planner.plan(self._seconds_left(), whole)  # which measures, and that has taken time
        plan = self.planner.plan(self._seconds_left(), whole)
        lines = plan_lines(self.config, self.planner, plan)
        for line in lines:
            self.run.say(line)
        search: dict[str, Any] | str
        trials: dict[str, dict[str, Any]] = {}
        if isinstance(plan.search, Search):
            search = self.planner.search_flags(dict(plan.search.settings))
            cells = {SEARCHED: self.search_place, PUBLISHED: None}
            epochs = {"epochs": plan.trial_epochs, "test": False}
            if plan.trial_epochs:
                trials = {name: self.planner.train_flags(plan.training, cell) | epochs for name, cell in cells.items()}
        else:
            search = plan.search
            self._save_training(plan.training, self.config.genotype)
        self.account.save(plan={"search": search, "trials": trials}, lines=lines, whole=whole)

    def _seconds_left(self) -> float:
        return SAFETY * 60 * self.config.minutes - self.account.seconds

    def _searched(self) -> str | None:
        """The cell to be trained, searched for if that is planned; None for the published one."""
        plan = self.account.kept["plan"]
        if isinstance(plan["search"], str):
            return self.config.genotype
        self._phase("search", SearchConfig, plan["search"])
        results = {name: self._phase(name, TrainConfig, flags) for name, flags in plan["trials"].items()}
        if not results:
            return self.search_place
        searched, published = (results[name]["validation_top1_error"] for name in (SEARCHED, PUBLISHED))
        takes_searched, why = choice_between(searched, published, self.planner.facts.validation)
        if "train" not in self.account.kept:
            with self.account.counting("planning"):
                for name, result in results.items():
                    self._learn_from(name, result)
            self.choice = [
                choice_line(searched, published, sum(self.planner.facts.validation), plan["trials"][SEARCHED]["epochs"])
                + f"; {why}"
            ]
            self.run.say(*self.choice)
        return self.search_place if takes_searched else None

    def _plan_training(self, genotype: str | None) -> None:
        """Fix the training for the time that is left."""
        left = self._seconds_left()
        try:
            training = self.planner.training(genotype, left, late=True)
        except InputError as error:  # of a searched cell, that costs more than the published one
            self.choice.append(f"with the searched cell {error}; the published one is trained")
            self.run.say(self.choice[-1])
            genotype, training = None, self.planner.training(None, left, late=True)
        if training.seconds > left:
            self.run.say(
                f"of the time {max(0.0, left) / 60:.1f} min are left, but the shortest training takes "
                f"{training.seconds / 60:.1f} min: it is made all the same"
            )
        self._save_training(training, genotype)

    def _save_training(self, training: Training, genotype: str | None) -> None:
        """What the training is told: also how long it may take, unless its epochs are fixed by the user."""
        flags, after = self.planner.train_flags(training, genotype), training.all_seconds - training.seconds
        if self.config.epochs is None:
            planned = training.epochs * training.epoch_seconds
            left = self._seconds_left() - training.load_seconds - after
            flags |= {"max_minutes": round(max(planned, left) / 60, 3), "most_epochs": MOST_EPOCHS}
        cell = cell_chosen(flags["genotype"], genotype, genotype == self.search_place, self.choice)
        self.account.save(train=flags, after=after, cell=cell)

    def _learn_from(self, name: str, result: dict[str, Any]) -> None:
        """A short training shows how long steps of its network take here, with all that goes on besides."""
        config = resolve(TrainConfig, file=RunFolder(self.run.path / name).config)
        shape = Shape(config.image_size or 0, config.kind, config.num_cells, config.channels)
        steps = config.epochs * steps_in(self.planner.facts.images, config.batch_size)
        training = Training(shape, config.batch_size, config.epochs, 0.0, 0.0)
        self.planner.learn_from(training, config.genotype, result["train_seconds"] / steps)

    def _phase(self, name: str, config_class: type[Config], flags: dict[str, Any]) -> dict[str, Any]:
        """Begin a job in the folder `name`, or go on with it; returns what its `result.json` holds."""
        run = RunFolder(self.run.path / name)
        if not run.is_finished:
            with self.account.counting(name):
                if run.config.is_file():
                    here = {name: getattr(self.config, name) for name in ("device", "threads")}
                    here |= self._told_since(config_class)
                    go_on(resolve(config_class, file=run.config, flags=here), run.path)
                else:
                    flags = flags | self._told_since(config_class)
                    self.run.say(f"{name}: {command(config_class, flags)}")
                    begin(resolve(config_class, flags=flags), run.path)
        return run.read_result()

    def _told_since(self, config_class: type[FolderConfig]) -> dict[str, Any]:
        """What a resumed fit may say anew, of which the plan knows nothing: where its images are, how they are read."""
        told = {name: getattr(self.config, name) for name in FitConfig.changeable - {"folder"}}
        told |= {"data_root": str(self.config.folder.expanduser().absolute())}
        told |= {"trained": str((self.run.path / "train").absolute())}
        fields = config_class.model_fields
        return {name: value for name, value in told.items() if value is not None and name in fields}

    def _export(self) -> tuple[list[Path], dict[str, Any]]:
        """Write the network for other programs; what cannot be written is said.

        Returns the files, and what is known of an int8 model, if one was made, whether it is among them or was refused.
        """
        folder, int8 = self.run.path / "export", {}
        for left in folder.glob(".export-*"):  # by a session that was killed while it wrote
            shutil.rmtree(left, ignore_errors=True)
        for name in self.config.export:
            wanted = ExportConfig(run=self.run.path / "train", format=name, out=folder)  # type: ignore[arg-type]
            if not (folder / FORMATS[wanted.format].file_name).exists():
                try:
                    run_export(wanted)
                except LosesTooMuch as error:
                    int8 = {"exported": False, **error.found}
                except (InputError, RunError) as error:
                    self.run.say(f"not exported as {name}: {error}")
        if (folder / INT8).is_file():
            int8 = {"exported": True, **(settings_of(folder) or {"files": {INT8: {}}})["files"][INT8].get("int8", {})}
        return sorted(path for path in folder.glob("*") if path.is_file()), int8

    def _latency(self, side: int, int8: dict[str, Any]) -> dict[str, Any]:
        """The milliseconds of each ONNX model for one image, by turns; nothing where there is none.

        The export of an int8 model has measured both.
        """
        models = sorted((self.run.path / "export").glob("*.onnx"))
        known = {FLOAT: int8.get("float_milliseconds"), INT8: int8.get("int8_milliseconds")}
        if not models or all(known.get(model.name) for model in models):
            return {"onnx_ms": {model.name: known[model.name] for model in models}} if models else {}
        shape = (self.planner.facts.image_channels, side, side)
        try:
            times = onnx_milliseconds(models, seconds=ONNX_SECONDS, image_shape=shape)
        except InputError as error:
            self.run.say(f"not timed: {error}")
            return {}
        return {"onnx_ms": {model.name: time for model, time in zip(models, times, strict=True)}}

    def _compared(self) -> dict[str, Any]:
        """Train the stock networks, and say how they compare; what cannot be done is said."""
        names = compared_networks(self.config.compare, self.config.minutes)
        if not names:
            return {}
        flags: dict[str, Any] = {"trained": str((self.run.path / "train").absolute()), "with": ",".join(names)}
        flags |= {} if self.config.threads is None else {"threads": self.config.threads}
        try:
            return {"compared": self._phase("compare", CompareConfig, flags)}
        except (InputError, RunError) as error:
            self.run.say(f"not compared: {error}")
            return {}


def command(config_class: type[FolderConfig], flags: dict[str, Any]) -> str:
    """The command that does the same."""
    words, fields = ["pcdarts", *config_class.job_name().split()], settings(config_class)
    for name, value in flags.items():
        words += [str(value)] if fields[name].is_required() else as_flag(name, value)
    return shlex.join(words)
