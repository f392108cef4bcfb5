"""The scores of a search, epoch by epoch."""

import re
from dataclasses import dataclass
from pathlib import Path

from pcdarts.cell.genotype import Genotype
from pcdarts.errors import InputError
from pcdarts.run.run_folder import RunFolder
from pcdarts.score.yardstick import Score
from pcdarts.truth.yardstick import Judge


@dataclass(frozen=True)
class RunScores:
    """The scores of one search."""

    final: Score | None
    """Of its final genotype; None before it has ended."""
    epochs: tuple[tuple[int, Score], ...]
    """Of the genotype derived after each epoch, counted from 1; empty for a search without epochs."""
    left_out: int = 0
    """How many epochs have a genotype that the table does not know."""


def scores_of(run: RunFolder, yardstick: Judge) -> RunScores:
    """The scores of a search, finished or not; damaged files are left out.

    Raises:
        InputError: a genotype of the run is not of the table's space.
    """
    files = {
        int(match[1]): path
        for path in run.epoch_genotype(1).parent.glob("epoch_*.json")
        if (match := re.fullmatch(r"epoch_([0-9]+)\.json", path.name))
    }
    found = {epoch: genotype for epoch in sorted(files) if (genotype := _genotype(files[epoch]))}
    known = {epoch: genotype for epoch, genotype in found.items() if yardstick.knows(genotype)}
    last = _genotype(run.genotype)
    scores = yardstick.scores([*known.values(), *([last] if last else [])])
    final = scores.pop() if last else None
    return RunScores(final, tuple(zip(known, scores, strict=True)), len(found) - len(known))


def _genotype(path: Path) -> Genotype | None:
    try:
        return Genotype.from_file(path)
    except InputError:
        return None
