"""`pcdarts score`: how good cells are, by a table of cells with known accuracy."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from pcdarts.cell.genotype import Genotype
from pcdarts.config.study_config import ScoreConfig
from pcdarts.errors import InputError, shown
from pcdarts.jobs.outcome.find_genotype import find_genotype
from pcdarts.run.display.columns import aligned
from pcdarts.score.table import KnownCell, read_table
from pcdarts.score.yardstick import PERCENTILE, RANDOM_CELLS, Score, Yardstick, yardstick_of


@dataclass(frozen=True)
class _Scored:
    name: str
    genotype: Genotype
    score: Score
    elsewhere: KnownCell | None
    """The row of another kind that lists the cell, if there is one."""


def run_score(config: ScoreConfig) -> None:
    """Print the accuracy of each cell, listed or predicted, and its percentile among random cells.

    Raises:
        InputError: a genotype does not exist or is not of the table's space, or the table cannot be used.
    """
    assert config.table is not None
    say: Callable[[str], None] = (lambda remark: None) if config.as_json else print
    found = [(name, find_genotype(name, say=say)) for name in config.genotypes]
    table = read_table(config.table, config.kind, config.column)
    for name, genotype in found:  # before a regressor is fitted, which takes minutes
        try:
            table.check(genotype)
        except InputError as error:
            raise InputError(f"{shown(name)} cannot be scored by {table.path}: {error}") from None
    yardstick = yardstick_of(table, say)
    scored = [_scored(yardstick, name, genotype) for name, genotype in found]
    if config.as_json:
        print(json.dumps(_as_object(yardstick, scored), indent=2))
        return
    for line in yardstick.words():
        print(line)
    print()
    rows = [("cell", "accuracy", "95 % interval", "percentile")]
    for line in aligned([*rows, *((shown(each.name), *in_words(each.score)) for each in scored)]):
        print(line)
    print(PERCENTILE)
    for each in scored:
        if each.elsewhere is not None:
            print(
                f"{shown(each.name)}: listed with {each.elsewhere.accuracy:.2f} % among the rows of kind "
                f"{shown(each.elsewhere.kind)}, which may be another scale"
            )


def in_words(score: Score) -> tuple[str, str, str]:
    """A score's accuracy, interval and percentile."""
    if score.interval is None:
        return f"{score.accuracy:.2f} % listed", "", f"{score.percentile:5.1f}"
    low, high = score.interval
    return f"{score.accuracy:.2f} % predicted", f"{low:.2f} to {high:.2f} %", f"{score.percentile:5.1f}"


def _scored(yardstick: Yardstick, name: str, genotype: Genotype) -> _Scored:
    [score] = yardstick.scores([genotype])
    known = yardstick.table.listed(genotype)
    return _Scored(name, genotype, score, None if score.listed else known)


def _as_object(yardstick: Yardstick, scored: list[_Scored]) -> dict[str, Any]:
    return {
        "table": {
            "path": str(yardstick.table.path),
            "checksum": yardstick.table.checksum,
            "kind": yardstick.table.kind,
            "notes": yardstick.table.notes,
        },
        "regressor": asdict(yardstick.quality),
        "random_cells": RANDOM_CELLS,
        "cells": [
            {
                "name": each.name,
                "genotype": each.genotype.to_text(),
                **asdict(each.score),
                "elsewhere": None
                if each.elsewhere is None
                else {"kind": each.elsewhere.kind, "accuracy": each.elsewhere.accuracy},
            }
            for each in scored
        ],
    }
