"""`pcdarts export`: write a trained network to a file for other programs, check it, and add a model card."""

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import yaml
from jinja2 import Environment, StrictUndefined
from torch import Tensor

from pcdarts.cell.genotype import Genotype
from pcdarts.config.configs import ExportConfig, TrainConfig
from pcdarts.config.recipes import resolve
from pcdarts.data.disk.depth import number_text
from pcdarts.data.images import DataSet
from pcdarts.data.leak_words import leak_sentences
from pcdarts.errors import InputError, RunError, shown
from pcdarts.extras import import_extra
from pcdarts.jobs.foreign_weights import classifier_of, is_exported, is_file_of_weights, refuse_options
from pcdarts.jobs.measured import is_known, own_data
from pcdarts.jobs.outcome.find_genotype import draw_cells
from pcdarts.jobs.test import IMAGENET_CLASSES, Learnt, blueprint_of, relabelled, restored, trained_runs
from pcdarts.learn.by_class import of_results
from pcdarts.learn.job_batches import plain_batches, reading_processes, skipped_lines
from pcdarts.network.classifier import WEIGHTS, Blueprint, Classifier
from pcdarts.network.complexity import complexity
from pcdarts.network.stock import AnyNetwork
from pcdarts.run.device import choose_device
from pcdarts.run.ended_early import how_it_ended, more_than_planned
from pcdarts.run.run_folder import RunFolder
from pcdarts.run.whole_files import write_text
from pcdarts.ship import hub
from pcdarts.ship.formats import FORMATS, Format, check, timm_settings
from pcdarts.ship.int8 import quantise

CHECKED_IMAGES = 32
"""The number of test images on which the exported file and the network must agree."""

_DATASETS = {
    "cifar10": "uoft-cs/cifar10",
    "cifar100": "uoft-cs/cifar100",
    "fashion-mini": "zalando-datasets/fashion_mnist",
    "fashion-mnist": "zalando-datasets/fashion_mnist",
    "imagenet": "ILSVRC/imagenet-1k",
}
"""The names of the data sets on the Hugging Face Hub."""


def run_export(config: ExportConfig) -> None:
    """Write the network of a run to a file, check it on test images, and add a card, settings and drawings.

    Raises:
        InputError: there is no finished train run, its data or a library is missing, or the file exists already.
        RunError: the file does not give the network's logits, or cannot be saved or uploaded.
    """
    if config.push is not None:
        hub.check_repository(config.push, "--push")
    from_file = is_file_of_weights(config.run)
    folder = config.out or (config.run.with_name(f"{config.run.stem}-export") if from_file else config.run / "export")
    target = folder / FORMATS[config.format].file_name
    if not os.path.lexists(target):
        export_one(config, folder, target)
    elif config.push is None:
        raise InputError(f"{target} exists already: remove it, or choose another folder with --out")
    if config.push is not None:
        print(f"uploading {folder}", flush=True)
        print(hub.push_to_hub(folder, config.push, private=config.private))


def export_one(config: ExportConfig, folder: Path, target: Path) -> None:
    """Export to `target` in `folder`, which keeps its files in other formats."""
    choose_device("cpu", config.threads)
    form = FORMATS[config.format]
    for library in form.libraries:
        import_extra(library, "onnx", f"--format {config.format}")
    source = of_file(config) if is_file_of_weights(config.run) else of_run(config)
    blueprint, about = source.classifier.blueprint, source.about
    files = files_beside(folder, about)

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".export-", dir=folder) as scratch:
            beside = Path(scratch) / target.name
            if config.format == "onnx-int8":
                said, files[target.name] = quantised(config, source, folder, beside)
            else:
                said, files[target.name] = saved(source, beside, form)
            if isinstance(blueprint, Blueprint):
                draw_cells(blueprint.genotype, RunFolder(folder))
            timm = timm_settings(blueprint, source.network) if WEIGHTS in files else {}
            describe(folder, about, files, timm)
            beside.replace(target)  # last, because its existence means that the export is complete
    except (InputError, RunError):
        raise
    except Exception as error:  # errors of the disk or of the exporters, of many types
        reason = shown(" ".join(str(error).split()) or type(error).__name__, 300)
        raise RunError(f"{target} cannot be exported: {reason}") from error
    finally:
        with suppress(OSError):
            folder.rmdir()  # only if it is empty, because the export failed
    print(f"{target}: {target.stat().st_size / 1e6:.2f} MB, {said}; {folder / hub.CARD} says how to load it")


def saved(source: "Source", path: Path, form: Format) -> tuple[str, dict[str, Any]]:
    """Save the network to a file and compare its logits; what was found, in words and for the settings."""
    form.save(source.classifier, source.pixels[:2], path)
    difference = check(path, form, source.network.eval(), source.pixels, source.normalized)
    count = len(source.pixels)
    words = f"logits of {count} {source.images} within {difference:.2g} of the network's"
    return words, {"largest_difference": difference, "images": count}


def quantised(config: ExportConfig, source: "Source", folder: Path, path: Path) -> tuple[str, dict[str, Any]]:
    """Save the network as an int8 model, made of the ONNX model that is in the folder or of a new one."""
    assert source.data is not None, "a file of weights was refused"
    name, form = FORMATS["onnx"].file_name, FORMATS["onnx"]
    float_model = folder / name
    if float_model.is_file():  # it may have been changed since
        check(float_model, form, source.network.eval(), source.pixels, source.normalized)
    else:
        float_model = path.with_name(name)
        saved(source, float_model, form)
    labels = relabelled(source.data, list(source.classifier.blueprint.classes), config.run)
    found = quantise(float_model, path, source.data, labels, config.max_loss)
    for line in [*skipped_lines(source.data), *found.lines()]:
        print(line, flush=True)
    words = f"{found.int8_accuracy:.2f} % right where the float model has {found.float_accuracy:.2f} %"
    return words, {"int8": asdict(found), "own_images": source.own_images}


@dataclass(frozen=True)
class Source:
    """A classifier to export, and the images on which its file is checked."""

    classifier: Classifier
    network: AnyNetwork
    """The network of the classifier, for normalised images."""
    pixels: Tensor
    """[B, C, H, W] in [0, 1]."""
    normalized: Tensor
    """The same images, normalised."""
    images: str
    """Which images these are, in words."""
    about: dict[str, Any]
    """The content of the card."""
    data: DataSet | None = None
    """The images of the run; None of a file of weights."""
    own_images: bool = True
    """Whether they are those that the run was trained and tested on, as far as anybody can tell."""


def of_run(config: ExportConfig) -> Source:
    """The network of a run, with some of its test images."""
    run, *others = trained_runs(config.run)
    refuse_options(config.run, config, "image_size")
    if others:
        print(f"of {1 + len(others)} seeds the first: {run.path}", flush=True)
    trained = resolve(TrainConfig, file=run.config)
    learnt = restored(trained, run)
    blueprint = blueprint_of(trained, learnt)
    places = {"root": config.data_root} if config.data_root else None
    workers = (
        reading_processes(trained.workers, torch.device("cpu")) if config.format == "onnx-int8" else 0
    )  # it reads all
    data = own_data(
        trained, places=places, image_size=learnt.image_size, pixel_range=learnt.pixel_range, workers=workers
    )
    for line in filter(run.is_news, data.notes):
        print(line, flush=True)
    own_images = is_known(data, learnt.known_by)
    if not own_images:
        print(
            f"warning: these are not the images that {run.path} was trained and tested on; the exported file is "
            "checked on them all the same, and the card has the error that the run measured"
        )
    pixels, normalized = some_images(data, learnt)
    about = {
        "network": blueprint.model_dump(mode="json"),
        "counts": counts(learnt.network, data.test.shape),
        "test": errors_of(run),
        "training": training_of(trained, run),
        **weaknesses_of(run),
        "data": data_of(trained, data if own_images else None, run.read_result().get("leaks")),
        **cell_of(run),
    }
    classifier = Classifier(blueprint, learnt.network.state_dict())
    return Source(classifier, learnt.network, pixels, normalized, "test images", about, data, own_images)


def of_file(config: ExportConfig) -> Source:
    """The network of a file of weights; checked on random images, since its data may not be available."""
    if is_exported(config.run):
        raise InputError(f"{config.run} is exported already: export the run or the file of weights that it came from")
    if config.format == "onnx-int8":
        raise InputError(
            f"--format onnx-int8 needs training images, and {config.run} has none: export a run, or use --format onnx"
        )
    classifier = classifier_of(config.run, config).classifier
    blueprint = classifier.blueprint
    side, channels = blueprint.image_size, blueprint.image_channels
    pixels = torch.rand(CHECKED_IMAGES, channels, side, side, generator=torch.Generator().manual_seed(0))
    about = {
        "network": blueprint.model_dump(mode="json"),
        "counts": counts(classifier.network, (channels, side, side)),
        "weights": config.run.name,
    }
    normalized = (pixels - classifier.mean) / classifier.std
    return Source(classifier, classifier.network, pixels, normalized, "random images", about)


def training_of(trained: TrainConfig, run: RunFolder) -> dict[str, Any]:
    """The settings of a training for the card: initial weights by their checksum, since their path is private."""
    settings = trained.fingerprint()
    if settings.pop("init") is not None:
        init = run.read_result().get("init")
        settings["init"] = init.get("sha256") if isinstance(init, dict) else None
    if settings.pop("pretrained_file") is not None:
        settings["pretrained"] = True
    return settings


def data_of(trained: TrainConfig, data: DataSet | None, leaks: Any) -> dict[str, Any]:
    """The last name of the folder that a training had its images from, and how many it had, if these are they.

    Also how many were in two sets, as the training has found, or these images show.
    """
    facts: dict[str, Any] = {}
    if trained.data == "folder" and trained.data_root is not None:
        facts["folder"] = Path(os.path.abspath(trained.data_root)).name
    if data is not None:
        facts["training_images"] = len(data.train)
        facts["validation_images"] = 0 if data.validation is None else len(data.validation)
        leaks = data.leaks if leaks is None else leaks
    if leaks is not None:
        facts["leaks"] = leaks
    return facts


def cell_of(run: RunFolder) -> dict[str, str]:
    """How a fit has come by the cell of its training, in words; nothing of other trainings."""
    cell = run.fit.read_plan().get("cell") if run.fit else None
    said = cell.get("said") if isinstance(cell, dict) else None
    return {"cell": said} if isinstance(said, str) else {}


def some_images(data: DataSet, learnt: Learnt) -> tuple[Tensor, Tensor]:
    """`CHECKED_IMAGES` of the test images, as pixels in [0, 1] and normalised, both [B, C, H, W]."""
    count = min(len(data.test), CHECKED_IMAGES)
    images = data.test.subset(torch.linspace(0, len(data.test) - 1, count).long())
    plain = [0.0] * len(learnt.mean), [1.0] * len(learnt.std)
    pixels, normalized = (
        next(plain_batches(images, mean, std, count, torch.device("cpu")).epoch(0))[0]
        for mean, std in (plain, (learnt.mean, learnt.std))
    )
    return pixels.contiguous(), normalized


def errors_of(run: RunFolder) -> dict[str, Any]:
    """The number of test images that a run measured, the top-1 error in %, and the top-5 error if it is known.

    Also the epoch whose weights they are of, if validation images have chosen it, and how the training ended, if that
    was not with as many epochs as were planned.
    """
    result = run.read_result()
    known: dict[str, Any] = {name: result.get(f"test_{name}") for name in ("images", "top1_error", "top5_error")}
    known |= {"best_epoch": result.get("best_epoch"), "ended_early": how_it_ended(result)}
    known |= {"more_epochs": more_than_planned(result)}
    if not all(isinstance(known[name], float | int) for name in ("images", "top1_error")):
        raise InputError(
            f"{run.result} has no test error: if its training was told to measure none (test: false), train again with "
            "--test; otherwise restore the file from a copy"
        )
    return {name: value for name, value in known.items() if value is not None}


def weaknesses_of(run: RunFolder) -> dict[str, Any]:
    """What the network is bad at, in lines of text; nothing of runs of earlier versions."""
    details = of_results([run.read_result()])
    if details is None:
        return {}
    means = {"balanced_accuracy": details.balanced_accuracy, "macro_f1": details.macro_f1}
    return {"test_details": {**means, "lines": list(details.lines())}}


def counts(network: AnyNetwork, shape: tuple[int, int, int]) -> dict[str, int]:
    """Parameters, and mult-adds for one image of this shape."""
    size = complexity(network, shape)
    return {"params": size.params, "mult_adds": size.mult_adds}


def files_beside(folder: Path, about: dict[str, Any]) -> dict[str, Any]:
    """The records of the files already exported to a folder.

    Raises:
        InputError: the folder belongs to another network, or to something else.
    """
    earlier = settings_of(folder)
    if earlier is None:
        return {}
    same = about.keys() - {"data", "cell"}  # which earlier versions did not say
    if {name: earlier.get(name) for name in same} != json.loads(json.dumps({name: about[name] for name in same})):
        raise InputError(f"{folder / hub.SETTINGS} belongs to another network: choose another folder with --out")
    return dict(earlier["files"])


def settings_of(folder: Path) -> dict[str, Any] | None:
    """The settings that `describe` wrote to a folder; None if there are none.

    Raises:
        InputError: the file of settings is another program's.
    """
    path = folder / hub.SETTINGS
    try:
        settings = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError):
        settings = None
    if not isinstance(settings, dict) or not isinstance(settings.get("files"), dict):
        raise InputError(f"{path} was not written by pcdarts: choose another folder with --out")
    return settings


def describe(folder: Path, about: dict[str, Any], files: dict[str, Any], timm: dict[str, Any]) -> None:
    """Write the card and the settings, which include those for timm; a card that was edited by hand is kept.

    Raises:
        RunError: they cannot be saved.
    """
    card = folder / hub.CARD
    earlier = settings_of(folder)
    if card.exists() and (earlier is None or card.read_text("utf-8", "replace") != model_card(earlier)):
        print(f"{card} differs from what pcdarts wrote, and is kept as it is")
    else:
        write_text(card, model_card({**about, "files": files}))
    settings = {"library_name": "pcdarts", **about, "files": files, **timm}
    write_text(folder / hub.SETTINGS, json.dumps(settings, indent=2) + "\n")


def model_card(about: dict[str, Any]) -> str:
    """The card in the format of the Hugging Face Hub: Markdown with a YAML header."""
    network, training = about["network"], about.get("training")
    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    template = environment.from_string(resources.files("pcdarts.ship").joinpath("model_card.md.j2").read_text("utf-8"))
    source = training["data"] if training else "folder"
    if source == "imagenet" and len(network["classes"]) != IMAGENET_CLASSES:
        source = "folder"  # another data set in the layout of ImageNet
    name = "Image" if source in ("folder", "huggingface") else source
    data = about.get("data", {})
    return template.render(
        **{"training": None, "test_details": None, "cell": None, **about, "data": data},
        title=f"{name} classifier: {_size_of(network)}",
        source=data.get("folder", source) if source == "folder" else source,
        dataset=_DATASETS.get(source),
        size=network["image_size"],
        exact=any("largest_difference" in file for file in about["files"].values()),
        int8=about["files"].get(FORMATS["onnx-int8"].file_name, {}).get("int8"),
        leaks=leak_sentences(data.get("leaks")),
        genotype=Genotype.from_json(json.dumps(network["genotype"])).to_text() if "genotype" in network else None,
        number=number_text,
        rounded=lambda values: [round(value, 4) for value in values],
        settings=yaml.safe_dump(training, sort_keys=False, width=1000),
    )


def _size_of(network: dict[str, Any]) -> str:
    """What a title says of a network."""
    if "stock" in network:
        return network["stock"] + (f", {network['stock_width']:g} times as wide" if network["stock_width"] else "")
    return f"{network['num_cells']} cells, {network['channels']} channels"
