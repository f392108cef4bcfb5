"""From what a user types after `--genotype` or `show` to a genotype, and from a genotype to its files."""

import os
import re
from pathlib import Path

from pcdarts.cell.derive import random_genotype
from pcdarts.cell.draw import draw_svg
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CELL_KINDS, CellSpace
from pcdarts.cell.zoo import PUBLISHED, published
from pcdarts.errors import InputError, shown
from pcdarts.run.files import write_text
from pcdarts.run.folder import RUNS, RunFolder


def find_genotype(name: str) -> Genotype:
    """The genotype meant by `name`.

    It is, in this order: `latest` (the newest finished search under runs/), `random:SEED` or `random:SEED:NODES` (a
    cell of the paper's space, or of one with so many nodes, drawn without looking at data), a printed genotype, a run
    folder, a file, or the name of a published cell.

    Raises:
        InputError: none of these, or an inconsistent genotype.
    """
    if name == "latest":
        return Genotype.from_file(latest_search().genotype)
    if name.startswith("random:"):
        match = re.fullmatch(r"random:([0-9]{1,19})(?::([0-9]{1,3}))?", name)
        if match is None:
            raise InputError(
                f"{shown(name)} names no random cell: write random:SEED or random:SEED:NODES with whole numbers, such "
                "as random:0 or random:0:7"
            )
        space = CellSpace(int(match[2])) if match[2] else CellSpace()
        return random_genotype(space, int(match[1]))
    if "Genotype(" in name:
        return Genotype.from_text(name)
    path = Path(name)
    if os.path.isdir(path):  # unlike path.is_dir() also where no file can have such a name
        run = RunFolder.open(path)
        if not run.genotype.is_file():
            raise InputError(f"{path} has no genotype.json yet: finish it with --resume {path} first")
        return Genotype.from_file(run.genotype)
    if os.path.exists(path) or len(path.parts) > 1 or path.suffix:
        return Genotype.from_file(path)
    return published(name)


def latest_search() -> RunFolder:
    """The newest finished search under runs/.

    Raises:
        InputError: there is none.
    """
    # Whatever --run called it, only a search has a genotype of its first epoch.
    results = [path for path in RUNS.glob("*/result.json") if RunFolder(path.parent).epoch_genotype(1).is_file()]
    if not results:
        raise InputError(
            "there is no finished search under runs/: run `pcdarts search` first, or give --genotype a run folder, "
            f"a file or a published cell ({', '.join(PUBLISHED)})"
        )
    return RunFolder(max(results, key=lambda path: path.stat().st_mtime).parent)


def draw_cells(genotype: Genotype, folder: RunFolder) -> list[Path]:
    """Draw both cells into a folder, under the names they have in a run; return the files.

    Raises:
        RunError: they cannot be saved.
    """
    paths = [folder.cell_svg(kind) for kind in CELL_KINDS]
    for kind, path in zip(CELL_KINDS, paths, strict=True):
        write_text(path, draw_svg(genotype, kind))
    return paths


def save_genotype(run: RunFolder, genotype: Genotype) -> None:
    """Write the genotype that a run is about, and its drawings.

    Raises:
        RunError: they cannot be saved.
    """
    write_text(run.genotype, genotype.to_json())
    draw_cells(genotype, run)
