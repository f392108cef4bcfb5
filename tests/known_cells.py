"""A made-up table of cells whose accuracy follows a rule, for scoring cells."""

import csv
from pathlib import Path

from pcdarts.cell.derive import random_genotype
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CELL_KINDS, CellSpace


def accuracy_of(genotype: Genotype) -> float:
    """The rule, in %: every separable convolution adds 0.5 points to 80, every other operation but a pool 0.2."""
    operations = [primitive for kind in CELL_KINDS for primitive, _ in genotype.edges(kind)]
    separable = sum(primitive.startswith("sep_conv") for primitive in operations)
    pools = sum("pool" in primitive for primitive in operations)
    return 80 + 0.5 * separable + 0.2 * (len(operations) - separable - pools)


def write_table(path: Path, cells: int = 60, nodes: int = 6) -> Path:
    """Write random cells of so many nodes with their accuracies as CSV; the seeds of the cells begin at 10,000."""
    genotypes = [random_genotype(CellSpace(nodes), 10_000 + seed) for seed in range(cells)]
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["genotype", "accuracy"])
        rows.writerows([genotype.to_text(), f"{accuracy_of(genotype):.2f}"] for genotype in genotypes)
    return path
