"""Find the files of COCO sets: in the official layout, Roboflow's, and those of other tools."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from pcdarts.data.disk.decode import quoted
from pcdarts.data.disk.set_folders import meaning
from pcdarts.errors import InputError, closest, first_of, listed

_ROBOFLOW = "_annotations.coco.json"

_SETS_NAMED = 12
"""The most names in a message."""


def find_annotations(root: Path, name: str, needs_objects: bool) -> Path:
    """The annotation file of the set `name`, the first of these that exists.

    `root/annotations/instances_NAME.json`, `root/annotations/NAME.json`, the same two in `root`,
    `root/NAME/_annotations.coco.json` (Roboflow), the only JSON file in `root/NAME`; and, unless `needs_objects`,
    `root/annotations/image_info_NAME.json`.

    Raises:
        InputError: none exists (the message lists the sets that do), or there are several in `root/NAME`.
    """
    if not name or "/" in name or "\0" in name or name in (".", ".."):
        raise InputError(f"the COCO set {quoted(name)} is not a valid name of a folder: use one such as train2017")
    for folder in (root / "annotations", root):
        for path in (folder / f"instances_{name}.json", folder / f"{name}.json"):
            if os.path.isfile(path):
                return path
    beside = _beside_images(root / name)
    if len(beside) == 1:
        return beside[0]
    if beside:
        names = listed([repr(path.name) for path in beside[:_SETS_NAMED]], "and")
        raise InputError(
            f"the COCO set {name!r} has {len(beside)} JSON files in {quoted(root / name)}, {names}: keep the one with "
            f"its annotations, or call it {_ROBOFLOW}"
        )
    without_objects = root / "annotations" / f"image_info_{name}.json"
    if not os.path.isfile(without_objects):
        raise _not_there(root, name)
    if needs_objects:
        raise InputError(
            f"the COCO set {name!r} has no boxes to train on, which would be in "
            f"{quoted(root / 'annotations' / f'instances_{name}.json')}: train on another set"
        )
    return without_objects


def find_image_folder(root: Path, name: str, file_names: Sequence[str]) -> Path:
    """The folder of the images of a set: the first candidate that has any of them.

    Raises:
        InputError: no candidate has any.
    """
    names = dict.fromkeys([name, name.replace("-dev", "")])  # test-dev2015 is a part of test2015
    below = [root / path for each in names for path in (each, f"images/{each}", f"{each}/images", f"{each}/data")]
    folders = [folder for folder in [*below, root / "images", root] if os.path.isdir(folder)]
    for folder in folders:
        if any(os.path.isfile(os.path.join(folder, file_name)) for file_name in file_names):
            return folder
    looked_in = listed([quoted(folder) for folder in folders], "and")
    raise InputError(
        f"the COCO set {name!r} has no image whose file exists; the first of {len(file_names)} is called "
        f"{quoted(file_names[0])} and is not in {looked_in}: check --data-root"
    )


def sets_in(root: Path) -> list[str]:
    """The names of the sets that `find_annotations` would find, with objects or without."""
    found = set()
    for folder in (root / "annotations", root):
        stems = [path.stem for path in _json_files(folder) if path.name != _ROBOFLOW]
        official = [
            stem.removeprefix(prefix)
            for stem in stems
            for prefix in ("instances_", "image_info_")
            if stem.startswith(prefix)
        ]
        found.update(official or stems)  # official files lie beside captions and keypoints of the same images
    found.update(folder.name for folder in _entries(root) if len(_beside_images(folder)) == 1)
    return sorted(found - {"annotations"})


def _not_there(root: Path, name: str) -> InputError:
    if not os.path.isdir(root):
        return InputError(
            f"the COCO set {name!r} does not exist, since {quoted(root)} is not a folder: check --data-root"
        )
    sets = sets_in(root)
    if not sets:
        return InputError(
            f"there is no COCO set in {quoted(root)}: expected annotations/instances_{name}.json and the images in "
            f"{name}, or {name}/{_ROBOFLOW} beside its images: check --data-root"
        )
    if len(sets) == 1:
        return InputError(
            f"the COCO set {name!r} is not in {quoted(root)}, whose only set is {sets[0]!r}: name that, as in "
            f"{shlex.join(['--train-sets', sets[0], '--test-set', 'none'])} --held-out IMAGES"
        )
    there = listed(first_of([repr(each) for each in sets], _SETS_NAMED), "and")
    flags = _flags_of(sets)
    how = f", as in {flags}" if flags else f" with --train-sets and --test-set{closest(name, sets)}"
    return InputError(f"the COCO set {name!r} is not in {quoted(root)}, whose sets are {there}: name them{how}")


def _flags_of(sets: Sequence[str]) -> str | None:
    """Example flags, if one set's name means training and another one's validation or testing."""
    by_meaning = {meaning(name): name for name in reversed(sets)}
    test = by_meaning.get("val") or by_meaning.get("test")
    if test is None or "train" not in by_meaning:
        return None
    return shlex.join(["--train-sets", by_meaning["train"], "--test-set", test])


def _beside_images(folder: Path) -> list[Path]:
    """The JSON files in a folder of images; only Roboflow's if there is one."""
    files = _json_files(folder)
    return [path for path in files if path.name == _ROBOFLOW] or files


def _json_files(folder: Path) -> list[Path]:
    return [path for path in _entries(folder) if path.suffix.lower() == ".json" and os.path.isfile(path)]


def _entries(folder: Path) -> list[Path]:
    """The entries of a folder without hidden ones; empty if it cannot be listed or does not exist."""
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    return [folder / name for name in sorted(names) if not name.startswith(".")]
