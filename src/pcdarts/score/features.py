"""The features of a genotype for a regressor; they do not depend on the numbering of its nodes."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pcdarts.cell.budget import NetworkCosts
from pcdarts.cell.canonical import canonical
from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import CellKind, CellSpace


def features(genotypes: Sequence[Genotype], costs: NetworkCosts) -> npt.NDArray[np.float64]:
    """One row per genotype (at least one), `[genotypes, features]`; equal graphs have equal rows.

    For each cell: operations by edge, by target and by kind of source, their counts, the depth of the nodes in edges
    and in convolutions, and the number of paths; for both cells together the mult-adds and parameters of the network,
    from `costs`, whose space must be that of the genotypes.
    """
    forms = [canonical(genotype) for genotype in genotypes]
    sizes = np.array([[cost["mult_adds"], cost["params"]] for cost in map(costs.of, forms)], dtype=np.float64)
    cells = [np.concatenate([_of_cell(form, kind, costs.space) for kind in costs.space.kinds]) for form in forms]
    return np.hstack([np.array(cells), sizes])


def _of_cell(genotype: Genotype, kind: CellKind, space: CellSpace) -> npt.NDArray[np.float64]:
    operations = [primitive for primitive in space.primitives if primitive != "none"]
    weighed = [name for name in operations if "conv" in name]
    inputs = space.num_inputs
    by_edge = np.zeros((space.num_edges, len(operations)))
    by_target = np.zeros((space.num_intermediate, len(operations)))
    by_source = np.zeros((inputs + 1, len(operations)))  # the inputs, all other nodes
    paths, depth, convolutions = [1] * inputs, [0] * inputs, [0] * inputs
    for target, edges in genotype.entering(kind).items():
        edges = tuple(edge for edge in edges if edge[0] != "none")
        for primitive, source in edges:
            operation = operations.index(primitive)
            by_edge[space.edges_into(target)[source], operation] += 1
            by_target[target - inputs, operation] += 1
            by_source[min(source, inputs), operation] += 1
        paths.append(sum(paths[source] for _, source in edges))
        depth.append(1 + max((depth[source] for _, source in edges), default=-1))
        convolutions.append(max((convolutions[source] + (name in weighed) for name, source in edges), default=0))
    totals = [max(depth), sum(depth), max(convolutions), sum(convolutions), sum(paths)]
    return np.concatenate(
        [
            by_edge.ravel(),
            by_edge.sum(1),
            by_target.ravel(),
            by_source.ravel(),
            by_source.sum(1),
            by_edge.sum(0),
            [by_edge[:, [operations.index(name) for name in weighed]].sum()],
            depth[inputs:],
            convolutions[inputs:],
            paths[inputs:],
            totals,
        ]
    )
