"""A job that has a run folder, from what was said of it: configured, then begun, continued or planned."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pcdarts.config.fitting import fitted_epochs
from pcdarts.config.flags import RUN_FLAGS
from pcdarts.config.job_config import JobConfig
from pcdarts.config.recipes import resolve
from pcdarts.config.verbs import Job, imported
from pcdarts.config.yaml_files import read_yaml
from pcdarts.errors import InputError, shown
from pcdarts.extras import without_collection
from pcdarts.run.interruption import ending_afterwards
from pcdarts.run.run_folder import RunFolder

Config = TypeVar("Config", bound=JobConfig)


def work(job: Job, said: Mapping[str, Any], problems: Sequence[str] = ()) -> Path | None:
    """Start or continue a job that has a run folder, or plan one.

    Args:
        job: one of `JOBS`.
        said: its settings by name, as text or as values, and what else flags say: `RUN_FLAGS` and `plan`.
        problems: what was wrong with reading them.

    Returns:
        The run folder; None where nothing was begun: of a plan, and in all processes but the first.

    Raises:
        InputError: something is wrong with settings, folder or data.
        RunError, Interrupted: the job failed, or was asked to end.
    """
    config_class, flags = job.config, dict(said)
    plans = flags.pop("plan", False)
    file, place, resumed = (Path(flags.pop(name)) if name in flags else None for name in RUN_FLAGS)
    if plans and (place or resumed):
        raise InputError("--plan makes no run: drop --run and --resume")
    if resumed and (file or place):
        raise InputError("--resume takes configuration and folder from the run: drop --config and --run")
    config: Any  # of that class
    if resumed:
        config = _config_of(RunFolder.open(resumed), config_class, flags, problems)
    else:
        fitted, lines = fitted_epochs(config_class, file, flags)
        taken = _settings_of_start(config_class, file, flags)
        config = resolve(config_class, file=file, flags={**fitted, **taken, **flags}, problems=problems)
    if plans:
        print(*lines, sep="\n", end="\n" if lines else "")
        with without_collection():
            plan = imported(job.plans)
        plan(config)
        return None
    with ending_afterwards(), without_collection():  # half an import is worse than a moment's wait
        from pcdarts.launch import begin, go_on

        imported(job.does)
    if resumed:
        go_on(config, resumed)
        return resumed
    return begin(config, place, lines)


def _settings_of_start(config_class: type[JobConfig], file: Path | None, flags: Mapping[str, Any]) -> dict[str, Any]:
    """What a training takes from the weights that it is to begin with, where nobody says otherwise."""
    given = {**({} if file is None else read_yaml(file, config_class)), **flags}
    if config_class.job_name() != "train" or "stock" in given or not isinstance(path := given.get("init"), str):
        return {}
    with ending_afterwards():
        from pcdarts.jobs.start import load_start
    genotype = given["genotype"] if isinstance(given.get("genotype"), str) else None
    start = load_start(Path(path), genotype, lambda line: None)
    return {name: value for name, value in start.settings().items() if name not in given}


def _config_of(run: RunFolder, config_class: type[Config], flags: Mapping[str, Any], problems: Sequence[str]) -> Config:
    """The configuration that a run began with; flags may repeat it, say where and how fast to compute, or train on.

    Of a fit that has planned, and done nothing yet, they may change it.
    """
    begun = resolve(config_class, file=run.config)
    if "method" in flags and flags["method"] != (before := getattr(begun, "method", flags["method"])):
        raise InputError(_begun_with(run, "method", before, flags["method"]))  # before its settings are looked at
    config = resolve(config_class, file=run.config, flags=flags, problems=problems)
    if config.job == "fit" and run.has_only_begun:
        return config
    for name, value in config.identity().items():
        if value != (before := begun.fingerprint().get(name)):
            raise InputError(_begun_with(run, name, before, value))
    return config


def _begun_with(run: RunFolder, name: str, before: Any, value: Any) -> str:
    return (
        f"{run.path} was begun with {name} {shown(before)}, not {shown(value)}: drop the flag to resume it, or start a "
        "new run"
    )
