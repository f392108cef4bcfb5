"""What a regressor is told of a genotype: numbers that do not depend on how its nodes are numbered."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pcdarts.cell.budget import NetworkCosts
from pcdarts.cell.canonical import canonical
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CELL_KINDS, PRIMITIVES, CellKind, CellSpace

_OPERATIONS = tuple(primitive for primitive in PRIMITIVES if primitive != "none")
_WEIGHED = tuple(name for name in _OPERATIONS if "conv" in name)


def features(genotypes: Sequence[Genotype], costs: NetworkCosts) -> npt.NDArray[np.float64]:
    """One row for each genotype (at least one), `[genotypes, features]`, the same for two forms of one graph.

    For each cell: operations by edge, by target and by kind of source, their counts, the depth of the nodes counted in
    edges and in convolutions, and the number of paths; for both together the mult-adds and parameters of the network
    that `costs` is about, whose space is that of the genotypes.
    """
    forms = [canonical(genotype) for genotype in genotypes]
    sizes = np.array([[cost["mult_adds"], cost["params"]] for cost in map(costs.of, forms)], dtype=np.float64)
    cells = [np.concatenate([_of_cell(form, kind, costs.space) for kind in CELL_KINDS]) for form in forms]
    return np.hstack([np.array(cells), sizes])


def _of_cell(genotype: Genotype, kind: CellKind, space: CellSpace) -> npt.NDArray[np.float64]:
    by_edge = np.zeros((space.num_edges, len(_OPERATIONS)))
    by_target = np.zeros((space.num_intermediate, len(_OPERATIONS)))
    by_source = np.zeros((3, len(_OPERATIONS)))  # the two inputs, all other nodes
    paths, depth, convolutions = [1, 1], [0, 0], [0, 0]
    for target in range(2, space.num_nodes):
        pair = genotype.edges(kind)[2 * (target - 2) : 2 * (target - 1)]
        for primitive, source in pair:
            operation = _OPERATIONS.index(primitive)
            by_edge[space.edges_into(target)[source], operation] += 1
            by_target[target - 2, operation] += 1
            by_source[min(source, 2), operation] += 1
        paths.append(sum(paths[source] for _, source in pair))
        depth.append(1 + max(depth[source] for _, source in pair))
        convolutions.append(max(convolutions[source] + (primitive in _WEIGHED) for primitive, source in pair))
    totals = [max(depth), sum(depth), max(convolutions), sum(convolutions), sum(paths)]
    return np.concatenate(
        [
            by_edge.ravel(),
            by_edge.sum(1),
            by_target.ravel(),
            by_source.ravel(),
            by_source.sum(1),
            by_edge.sum(0),
            [by_edge[:, [_OPERATIONS.index(name) for name in _WEIGHED]].sum()],
            depth[2:],
            convolutions[2:],
            paths[2:],
            totals,
        ]
    )
