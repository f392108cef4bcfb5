"""What papers report of searches in NAS-Bench-201: test accuracies after 200 epochs."""

from dataclasses import dataclass

from pcdarts.truth.columns import DATA_SETS, Column


@dataclass(frozen=True)
class Published:
    """A row of a paper's table."""

    method: str
    accuracies: tuple[tuple[float, float | None], ...]
    """Mean and standard deviation in %, one for each of `DATA_SETS`."""
    source: str

    def of(self, column: Column) -> tuple[float, float | None] | None:
        """Its figures for a column; None where they are of another training or another set of images."""
        if column.data_set is None or column.split not in ("test", None) or column.epochs not in (200, None):
            return None
        return self.accuracies[DATA_SETS.index(column.data_set)]


_BENCHMARK = "Dong and Yang (2020)"
_MEMORY = "Dong and Yang (2020), quoted from memory"
_DRNAS = "README of DrNAS"
_PAPERS = "papers of the methods"

PUBLISHED = (
    Published("random search", ((93.70, 0.36), (71.04, 1.07), (44.57, 1.25)), _MEMORY),
    Published("REA (evolution)", ((93.92, 0.30), (71.84, 0.99), (45.54, 1.03)), _MEMORY),
    Published("REINFORCE", ((93.85, 0.37), (71.71, 1.09), (45.24, 1.18)), _BENCHMARK),
    Published("BOHB", ((93.61, 0.52), (70.85, 1.28), (44.42, 1.49)), _MEMORY),
    Published("RSPS (random, shared weights)", ((87.66, 1.69), (58.33, 4.34), (31.14, 3.88)), _BENCHMARK),
    Published("DARTS v1", ((54.30, 0.0), (15.61, 0.0), (16.32, 0.0)), _BENCHMARK),
    Published("DARTS v2", ((54.30, 0.0), (15.61, 0.0), (16.32, 0.0)), _BENCHMARK),
    Published("GDAS", ((93.61, 0.09), (70.70, 0.30), (41.71, 0.98)), _BENCHMARK),
    Published("SETN", ((87.64, 0.0), (59.05, 0.24), (32.52, 0.21)), _BENCHMARK),
    Published("ENAS", ((54.30, 0.0), (15.61, 0.0), (16.32, 0.0)), _BENCHMARK),
    Published("SNAS", ((92.77, 0.83), (69.34, 1.98), (43.16, 2.64)), _DRNAS),
    Published("PC-DARTS", ((93.41, 0.30), (67.48, 0.89), (41.31, 0.22)), _DRNAS),
    Published("DrNAS", ((94.36, 0.0), (73.51, 0.0), (46.34, 0.0)), _DRNAS),
    Published("DARTS-", ((93.80, 0.40), (71.53, 1.51), (45.12, 0.82)), _PAPERS),
    Published("iDARTS", ((93.58, None), (70.83, None), (40.89, None)), _PAPERS),
    Published("FairNAS", ((93.23, None), (71.00, None), (42.19, None)), _PAPERS),
    Published("GAEA (ERM)", ((94.10, None), (73.43, None), (46.36, None)), _PAPERS),
    Published("TE-NAS", ((93.90, 0.47), (71.24, 0.56), (42.38, 0.46)), _PAPERS),
)
