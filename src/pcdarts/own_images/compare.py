"""`pcdarts compare`: stock networks and random cells, trained as a run was, beside it in one table."""

import shlex
import statistics
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from pcdarts.config.compare_config import CompareConfig
from pcdarts.config.configs import TrainConfig
from pcdarts.config.groups.values import Count, NaturalNumber
from pcdarts.config.recipes import resolve
from pcdarts.config.yaml_files import load_mapping
from pcdarts.errors import InputError, counted, shown
from pcdarts.jobs.test import restored, trained_runs
from pcdarts.launch import begin, go_on
from pcdarts.own_images.compare_speed import speeds
from pcdarts.own_images.compare_words import Row, compare_table, markdown, notes, sentences
from pcdarts.own_images.competitors import competitors
from pcdarts.run.device import choose_device
from pcdarts.run.processes import ALONE, Processes
from pcdarts.run.run_folder import RunFolder
from pcdarts.run.whole_files import write_text

OWN = "own"
"""The folder of the run's own network with the seeds that it lacks."""


def run_compare(config: CompareConfig, run: RunFolder, resume: bool, processes: Processes = ALONE) -> dict[str, Any]:
    """Train every network that is left, each in a run folder inside `run`; measure and compare; returns the result.

    Raises:
        InputError: the run is no finished training, there is no such network, or it cannot take the images.
        RunError, Interrupted: as a training; what was done is kept.
    """
    if processes.count > 1:
        raise InputError("compare works in one process: start it without torchrun")
    choose_device(config.device, config.threads)
    trained, runs = finished_training(config.trained)
    plan = kept_plan(run) if run.plan.exists() else planned(config, trained, runs)
    for line in plan["lines"]:
        run.say(line)
    for number, training in enumerate(plan["trainings"], 1):
        of_it = RunFolder(run.path / training["folder"])
        if of_it.is_finished:
            continue
        run.write_json(run.plan, plan | {"phase": training["folder"]})
        run.say(f"training {number} of {len(plan['trainings'])}: {training['name']}")
        here = {"device": config.device, "threads": config.threads}
        if of_it.config.is_file():
            go_on(resolve(TrainConfig, file=of_it.config, flags=here), of_it.path)
        else:
            settings = {**training["settings"], "seed": training["seed"], "seeds": training["seeds"], **here}
            begin(TrainConfig(**{**trained.model_dump(), **settings}), of_it.path)
    run.say(f"measuring how long each network takes for one image (batch 1, {config.threads or 1} thread)")
    rows = rows_of(run, plan, runs, config.threads or 1)
    table = compare_table(rows, notes(rows, threads=config.threads or 1))
    said = sentences(rows, tried_pretrained=config.pretrained)
    result = {"run": plan["run"], "rows": [asdict(row) for row in rows], "sentences": said}
    run.write_json(run.path / "compare.json", result | {"table": asdict(table)})
    run.write_json(run.plan, plan | {"phase": None, "result_lines": said})
    write_text(run.path / "compare.md", markdown(f"{config.trained} and other networks", table, said))
    print(f"\n{table.to_markdown()}", flush=True)
    for line in said:
        run.say(line)
    run.finish(result)
    if not run.is_part:
        print(f"next: {shlex.join(['pcdarts', 'report', str(run.path)])}", flush=True)
    return result


def finished_training(path: Path) -> tuple[TrainConfig, list[RunFolder]]:
    """The configuration of a training, and the runs of its seeds.

    Raises:
        InputError: there is none at `path`, or it is not finished.
    """
    run = RunFolder.open(path)
    job = load_mapping(run.config, "run's configuration").get("job")
    if job != "train":
        remedy = f"; train what it found with `pcdarts train --genotype {path}`" if "search" in str(job) else ""
        raise InputError(f"{path} is a run of {shown(job)}, but what is compared is a training{remedy}")
    config = resolve(TrainConfig, file=run.config)
    if not config.test:
        raise InputError(f"{path} was told to measure no test images (test: false): train again with --test")
    return config, trained_runs(path)


def planned(config: CompareConfig, trained: TrainConfig, runs: list[RunFolder]) -> dict[str, Any]:
    """Every training that is to be done, in order, as plain values.

    Raises:
        InputError: as `competitors`.
    """
    learnt = restored(resolve(TrainConfig, file=runs[0].config), runs[0])
    seeds = config.seeds or len(runs)
    found = competitors(config, trained, learnt)
    epochs = epochs_done(trained, runs)
    trainings: list[dict[str, Any]] = [
        {
            "name": one.name,
            "folder": one.folder,
            "settings": epochs | {name: str(v) if isinstance(v, Path) else v for name, v in one.settings.items()},
            "said": one.said,
            "seed": trained.seed,
            "seeds": seeds,
        }
        for one in found
    ]
    lines = [
        f"{counted(seeds, 'seed')} of each network, from {trained.seed} on; images, epochs, augmentation, selection "
        "and learning rate are the run's"
        + (f" ({counted(epochs['epochs'], 'epoch')}, for which its minutes were enough)" if epochs else ""),
        *(f"{one.name}: {one.said}" for one in found),
    ]
    if trained.init is not None or trained.is_pretrained:
        lines.insert(1, "the run began with weights that were there (init, pretrained): those that are scaled do not")
    if (lacking := seeds - len(runs)) > 0:
        own = {"name": "the run's own network", "folder": OWN, "settings": epochs, "said": ""}
        trainings.insert(0, own | {"seed": trained.seed + len(runs), "seeds": lacking})
        lines.insert(
            1,
            f"the run has {counted(len(runs), 'seed')}: its own network gets {counted(lacking, 'more seed')} first",
        )
    return {
        "run": str(config.trained.absolute()),
        "seeds": seeds,
        "epochs": epochs.get("epochs", trained.epochs),
        "lines": lines,
        "trainings": trainings,
    }


def epochs_done(trained: TrainConfig, runs: list[RunFolder]) -> dict[str, Any]:
    """What other networks are told where the run's time decided about its epochs: do as many, however long it takes.

    With several seeds it is their mean.
    """
    if trained.max_minutes is None:
        return {}
    done = round(statistics.mean(run.read_result().get("epochs_done", trained.epochs) for run in runs))
    return {"epochs": done, "max_minutes": None, "most_epochs": None}


def rows_of(run: RunFolder, plan: dict[str, Any], runs: list[RunFolder], threads: int) -> list[Row]:
    """What came out for every network, that of the run first."""
    compared = RunFolder(Path(plan["run"]))
    name = (compared.fit or compared).path.name
    own = [*runs[: plan["seeds"]], *(trained_runs(run.path / OWN) if (run.path / OWN).is_dir() else [])]
    of_each: list[tuple[dict[str, Any], list[RunFolder]]] = [({"name": name, "said": ""}, own)]
    of_each += [(one, trained_runs(run.path / one["folder"])) for one in plan["trainings"] if one["folder"] != OWN]
    measured = speeds([folders[0] for _, folders in of_each], threads=threads)
    for problem in measured.problems:
        run.say(problem)
    rows = []
    for (training, folders), onnx, pytorch in zip(of_each, measured.onnx, measured.pytorch, strict=True):
        results = [folder.read_result() for folder in folders]
        first = results[0]
        rows.append(
            Row(
                name=training["name"],
                accuracies=[100 - one["test_top1_error"] for one in results],
                test_images=first["test_images"],
                params=first["params"],
                mult_adds=first["mult_adds"],
                train_seconds=statistics.mean(one["train_seconds"] for one in results),
                devices=sorted({str(one["device"]) for one in results}),
                onnx_milliseconds=onnx,
                pytorch_milliseconds=pytorch,
                said=training["said"],
                changes=list(first.get("changes", [])),
                pretrained=bool(training.get("settings", {}).get("pretrained")),
                random=training["name"].startswith("random cell "),
            )
        )
    return rows


def kept_plan(run: RunFolder) -> dict[str, Any]:
    """The plan of a comparison that was begun.

    Raises:
        InputError: the file is damaged.
    """
    plan = run.read_plan()
    try:
        _Plan.model_validate(plan)
    except ValidationError:
        raise InputError(f"{run.plan} is damaged: restore it from a copy, or start a new comparison") from None
    return plan


class _Training(BaseModel):
    name: str
    folder: Annotated[str, Field(pattern=r"^[^/\\]*[^/\\.][^/\\]*$")]
    """A name: nothing is written outside the comparison's own folder."""
    settings: dict[str, Any]
    said: str
    seed: NaturalNumber
    seeds: Count


class _Plan(BaseModel):
    """What `planned` returns, and what is read back."""

    run: str
    seeds: Count
    lines: list[str]
    trainings: list[_Training]
