"""A search, a training and a study to report on, made once."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from command_line import GENOTYPE, SEARCH, TRAIN, done

SETTINGS = {
    flag[2:].replace("-", "_"): yaml.safe_load(value) for flag, value in zip(SEARCH[1::2], SEARCH[2::2], strict=True)
}
STUDY = {
    "title": "A study of <script>alert(1)</script> & co",
    "note": "So small that its figures mean nothing.",
    "scale": "smoke",
    "seeds": 2,
    "methods": {
        "PC and <script>alert(2)</script>": {"search": SETTINGS},
        "random cells": {"cells": "random", "search": {"num_nodes": 4}},
    },
}
"""Names come from users' files, and may hold anything."""


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a search `one`, a training of it with two seeds `trained`, and `two`, which found another cell."""
    folder = tmp_path_factory.mktemp("runs")
    done(folder, *SEARCH, "--run", "one")
    result = json.loads((shutil.copytree(folder / "one", folder / "two") / "result.json").read_text())
    (folder / "two" / "result.json").write_text(json.dumps({**result, "genotype": GENOTYPE.to_text()}))
    (folder / "two" / "genotype.json").write_text(GENOTYPE.to_json())
    training = [*TRAIN[: TRAIN.index("--genotype")], "--genotype", "one", "--seeds", "2", "--run", "trained"]
    done(folder, *training)
    return folder


@pytest.fixture
def study(runs: Path, tmp_path: Path) -> Path:
    """Two methods and two seeds; of the random cells the second one is waiting, a search has not been trained."""
    folder = tmp_path / "tiny-smoke"
    searched, drawn = folder / "runs" / "pc-and-script-alert-2-script", folder / "runs" / "random-cells"
    for number, name in enumerate(("one", "two")):
        shutil.copytree(runs / name, searched / f"seed-{number}" / "search")
    shutil.copytree(runs / "trained" / "seed-0", searched / "seed-0" / "train")
    shutil.copytree(runs / "trained" / "seed-1", drawn / "seed-0" / "train")
    (folder / "study.yaml").write_text(yaml.safe_dump(STUDY))
    return folder


@pytest.fixture
def scored(runs: Path, known_table: Path, tmp_path: Path) -> Path:
    """A study that trains nothing: two searches, two random cells and a given one, scored by a table."""
    folder = tmp_path / "scored"
    methods = {
        "PC & <b>": {"search": SETTINGS},
        "random cells": {"cells": "random", "search": {"num_nodes": 4}},
        "given": {"cells": GENOTYPE.to_text()},
    }
    for number, name in enumerate(("one", "two")):
        shutil.copytree(runs / name, folder / "runs" / "pc-b" / f"seed-{number}" / "search")
    described = {"title": "Scored", "seeds": 2, "no_train": True, "table": str(known_table), "methods": methods}
    (folder / "study.yaml").write_text(yaml.safe_dump(described))
    return folder
