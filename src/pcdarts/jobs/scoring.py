"""Scores of what a search has found, epoch by epoch."""

import re
from dataclasses import dataclass

from pcdarts.cell.genotype import Genotype
from pcdarts.run.folder import RunFolder
from pcdarts.score.yardstick import Score, Yardstick


@dataclass(frozen=True)
class RunScores:
    """What a yardstick says of one search."""

    final: Score | None
    """Of the genotype that it found; None before it has ended."""
    epochs: tuple[tuple[int, Score], ...]
    """Of what would have been derived after each epoch, counted from 1; empty for a search without epochs."""


def scores_of(run: RunFolder, yardstick: Yardstick) -> RunScores:
    """The scores of a search, or of as much of it as there is.

    Raises:
        InputError: a genotype of the run cannot be read, or is not of the table's space.
    """
    files = {
        int(match[1]): path
        for path in run.epoch_genotype(1).parent.glob("epoch_*.json")
        if (match := re.fullmatch(r"epoch_([0-9]+)\.json", path.name))
    }
    epochs = sorted(files)
    genotypes = [Genotype.from_file(files[epoch]) for epoch in epochs]
    if run.genotype.is_file():
        genotypes.append(Genotype.from_file(run.genotype))
    scores = yardstick.scores(genotypes)
    final = scores.pop() if run.genotype.is_file() else None
    return RunScores(final, tuple(zip(epochs, scores, strict=True)))
