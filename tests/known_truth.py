"""A small table of NAS-Bench-201 with made-up accuracies: what a test looks cells up in."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pcdarts.cell.derive import random_genotype
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import NASBENCH201
from pcdarts.config.configs import SearchConfig

CELLS = tuple(dict.fromkeys(random_genotype(NASBENCH201, seed).to_text() for seed in range(40)))
HEADER = "index,architecture,c10_test_200,cifar100_test_200,ImageNet16-120_valid_12,lat_phone"


def accuracies_of(cell: str) -> tuple[float, float, float]:
    """Made up: convolutions help, and the text decides the rest; all cells differ."""
    convolutions = cell.count("nor_conv_3x3") + cell.count("nor_conv_1x1") / 2
    noise = sum(place * ord(letter) for place, letter in enumerate(cell)) % 997 / 1000
    return (80 + 2 * convolutions + noise, 50 + 3 * convolutions + noise, 20 + convolutions + noise)


def line_of(index: int, cell: str) -> str:
    return ",".join([str(index), cell, *(f"{accuracy:.3f}" for accuracy in accuracies_of(cell)), f"{5 + index / 10}"])


def write_table(path: Path, cells: Sequence[str] = CELLS) -> Path:
    """A table with these cells."""
    path.write_text("\n".join([HEADER, *(line_of(index, cell) for index, cell in enumerate(cells))]) + "\n")
    return path


def leave_search(run: Path, cells: Sequence[str], **settings: Any) -> Path:
    """What a search of NAS-Bench-201 leaves, whose genotype after each epoch was one of these cells; none is done."""
    config = SearchConfig(space="nasbench201", num_cells=3, arch_frozen_epochs=0, epochs=len(cells), **settings)
    (run / "genotypes").mkdir(parents=True)
    (run / "config.yaml").write_text(config.to_yaml())
    records = [{"epoch": number, "weight_loss": 1.0} for number in range(1, len(cells) + 1)]
    (run / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    for number, cell in enumerate(cells, start=1):
        (run / "genotypes" / f"epoch_{number:03d}.json").write_text(Genotype.from_text(cell).to_json())
    (run / "genotype.json").write_text(Genotype.from_text(cells[-1]).to_json())
    result = {"genotype": cells[-1], "arch_top1_error": 50.0, "search_cost": {"hours": 0.1}}
    (run / "result.json").write_text(json.dumps(result))
    return run
