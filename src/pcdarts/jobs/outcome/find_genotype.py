"""From what a user types after `--genotype` or `show` to a genotype, and from a genotype to its files."""

import os
import re
from collections.abc import Callable
from pathlib import Path

from pcdarts.cell.arch_string import STRING
from pcdarts.cell.derive import random_genotype
from pcdarts.cell.draw import draw_svg
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.genotype_file import find_in_file
from pcdarts.cell.space import NASBENCH201, CellSpace
from pcdarts.cell.zoo import PUBLISHED, published_name
from pcdarts.config.configs import TrainConfig
from pcdarts.errors import InputError, counted, shown
from pcdarts.run.run_folder import RUNS, RunFolder
from pcdarts.run.whole_files import write_text


def find_genotype(name: str, say: Callable[[str], None] = print) -> Genotype:
    """The genotype meant by `name`.

    It is, in this order: `latest` (the newest finished search under runs/), `random:SEED`, `random:SEED:NODES` or
    `random:SEED:nasbench201` (a cell of the paper's space, of one with so many nodes, or of NAS-Bench-201, drawn
    without looking at data), a printed genotype (also of NAS-Bench-201), a run folder, a file, one of the genotypes of
    a run or file (`RUN:EPOCH`, `LOG:EPOCH`, `FILE:NAME`), or the name of a published cell. Where `name` could have
    meant another one, `say` is told which was taken.

    Raises:
        InputError: none of these, or an inconsistent genotype.
    """
    if name == "latest":
        return Genotype.from_file(latest_search().genotype)
    if name.startswith("random:"):
        match = re.fullmatch(r"random:([0-9]{1,19})(?::([0-9]{1,3}|nasbench201))?", name)
        if match is None:
            raise InputError(
                f"{shown(name)} names no random cell: write random:SEED or random:SEED:NODES with whole numbers, or "
                "random:SEED:nasbench201, such as random:0, random:0:7 or random:0:nasbench201"
            )
        seed, nodes = int(match[1]), match[2] or CellSpace().num_nodes
        return random_genotype(NASBENCH201 if nodes == "nasbench201" else CellSpace(int(nodes)), seed)
    if "Genotype(" in name or STRING.search(name):
        return Genotype.from_text(name)
    path, which = _path_and_choice(name)
    if os.path.isdir(path):  # unlike path.is_dir() also where no file can have such a name
        return _of_run(_run_at(path), which)
    if os.path.exists(path) or len(path.parts) > 1 or path.suffix:
        found = find_in_file(path, which)
        if found.remark:
            say(found.remark)
        return Genotype.from_found(found)
    ours = published_name(name)
    if name.strip().lower().replace("-", "_").replace(" ", "_") != ours:
        say(f"{name.strip()} is the published cell {ours}")
    return PUBLISHED[ours]


def trained_genotype(config: TrainConfig) -> Genotype | None:
    """The genotype whose network a training trains; None for a stock network.

    Raises:
        InputError: there is no such genotype.
    """
    return None if config.stock is not None else find_genotype(config.genotype)


def _path_and_choice(name: str) -> tuple[Path, str | None]:
    """The path that `name` begins with, and what follows a colon if such a file or folder exists only without it."""
    head, colon, which = name.rpartition(":")
    if os.path.exists(name) or not colon or not re.fullmatch(r"[\w-]+", which):
        return Path(name), None
    looks_like_a_path = len(Path(head).parts) > 1 or Path(head).suffix
    return (Path(head), which) if os.path.exists(head) or looks_like_a_path else (Path(name), None)


def _run_at(path: Path) -> RunFolder:
    """The run in a folder; where it is a folder of runs, such as a study, the refusal names one of them."""
    within = ("*", "*/search", "runs/*/*/search", "runs/*/*/*/search")
    inside = [found.parent for pattern in within for found in sorted(path.glob(f"{pattern}/genotype.json"))]
    if inside and not RunFolder(path).config.is_file():
        raise InputError(f"{path} is no run, but runs are in it: name those that are meant, such as {inside[0]}")
    return RunFolder.open(path)


def _of_run(run: RunFolder, epoch: str | None) -> Genotype:
    """The genotype of a run, or that of one of its epochs."""
    count = len(list(run.epoch_genotype(1).parent.glob("epoch_*.json")))
    if epoch is None:
        if not run.genotype.is_file():
            _refuse_stock(run)
            latest = f", or take what it would have found in epoch {count}: {run.path}:{count}" if count else ""
            raise InputError(f"{run.path} has no genotype.json yet: finish it with {run.to_finish_it} first{latest}")
        return Genotype.from_file(run.genotype)
    path = run.epoch_genotype(int(epoch)) if re.fullmatch(r"[0-9]{1,9}", epoch) else None
    if path is None or not path.is_file():
        known = (
            f"it has those of {counted(count, 'epoch')}, counted from 1"
            if count
            else "name one of a search, as in RUN:12"
        )
        raise InputError(f"{run.path} has no genotype of epoch {shown(epoch)}: {known}")
    return Genotype.from_file(path)


def _refuse_stock(run: RunFolder) -> None:
    stock = re.search(r"^stock: (\S+)$", run.config.read_text("utf-8", "replace"), re.MULTILINE)
    if stock is not None and stock[1] != "null":
        raise InputError(f"{run.path} trains the stock network {shown(stock[1])}, which has no cells: name another run")


def latest_search() -> RunFolder:
    """The newest finished search under runs/.

    Raises:
        InputError: there is none.
    """
    # Whatever --run called it, only a search has a genotype of its first epoch.
    results = [path for path in RUNS.glob("*/result.json") if RunFolder(path.parent).epoch_genotype(1).is_file()]
    if not results:
        raise InputError(
            "there is no finished search under runs/: run `pcdarts search` first, or name a run folder, "
            f"a file or a published cell ({', '.join(PUBLISHED)}), for a training with --genotype"
        )
    return RunFolder(max(results, key=lambda path: path.stat().st_mtime).parent)


def draw_cells(genotype: Genotype, folder: RunFolder) -> list[Path]:
    """Draw both cells into a folder, under the names they have in a run; return the files.

    Raises:
        RunError: they cannot be saved.
    """
    paths = [folder.cell_svg(kind) for kind in genotype.kinds]
    for kind, path in zip(genotype.kinds, paths, strict=True):
        write_text(path, draw_svg(genotype, kind))
    return paths


def save_genotype(run: RunFolder, genotype: Genotype | None) -> None:
    """Write the genotype that a run is about, if it is about one, and its drawings.

    Raises:
        RunError: they cannot be saved.
    """
    if genotype is None:
        return
    write_text(run.genotype, genotype.to_json())
    draw_cells(genotype, run)
