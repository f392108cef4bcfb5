"""A cell's weights and running statistics, source by source, and their gradients and updates back again.

Parameters have an `edges` axis ordered by target (`CellSpace.edges`). What is computed per source reads a contiguous
range of their source-major copy, made once per call.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from pcdarts.supernet.edges import CandidateOperations, EdgeNorm, Statistics
from pcdarts.supernet.parameters import SupernetCell
from pcdarts.supernet.plain.groups import CONVOLUTIONS, POOLS, SEPARABLE, SKIP, Group, take, take_edges
from pcdarts.supernet.plain.source import SourceStatistics, SourceWeights

NUM_DEPTHWISE, NUM_FIRST, NUM_LAST = 6, 2, 4
_KINDS = (SEPARABLE, CONVOLUTIONS, POOLS, (SKIP,))
"""The primitives of each field of `SourceStatistics`."""


def parameters(operations: CandidateOperations) -> list[Tensor]:
    """The parameters of a cell's operations, in the order that the functions of this module know."""
    stages = (*operations.first_stages, *operations.last_stages)
    tensors: list[Tensor] = [stage.depthwise for stage in stages]
    tensors += [stage.pointwise for stage in stages]
    if operations.strided:
        tensors += [operations.reduced_skip.even, operations.reduced_skip.odd]
    return tensors


def weights_by_source(cell: SupernetCell, tensors: Sequence[Tensor], dtype: torch.dtype) -> list[SourceWeights]:
    """The weights of each source, from `parameters`; depthwise kernels as `dtype`, others in float32 at least."""
    small = torch.promote_types(dtype, torch.float32)
    depthwise = [p.to(dtype)[cell.source_major].flatten(0, 1).unsqueeze(1) for p in tensors[:NUM_DEPTHWISE]]
    pointwise = torch.stack([p.to(small) for p in tensors[NUM_DEPTHWISE : NUM_DEPTHWISE + NUM_FIRST + NUM_LAST]])
    pointwise = pointwise[:, cell.source_major]
    skip = _skip_matrices(*tensors[-2:]).to(small)[:, cell.strided_source_major] if cell.strided_edges else None
    width = pointwise.shape[-1]
    result = []
    for start, stop in pairwise(cell.source_starts):
        result.append(
            SourceWeights(
                tuple(kernel[start * width : stop * width] for kernel in depthwise),
                pointwise[:NUM_FIRST, start:stop],
                pointwise[NUM_FIRST:, start:stop],
                skip[:, start:stop] if skip is not None and start < skip.shape[1] else None,
            )
        )
    return result


def weights_of_group(weights: SourceWeights, group: Group) -> SourceWeights:
    """Those weights of a source that a group of its edges and operations computes with."""
    n, edges = weights.last.shape[1], group.edges
    return SourceWeights(
        tuple(take_edges(weights.depthwise[stage], edges, n, dim=0) for stage in _stages(group)),
        take(take(weights.first, group.among(SEPARABLE)), edges, dim=1),
        take(take(weights.last, group.among(CONVOLUTIONS)), edges, dim=1),
        take(weights.skip, edges, dim=1) if weights.skip is not None and SKIP in group.primitives else None,
    )


def gradients_of_source(weights: SourceWeights, found: Sequence[tuple[Group, SourceWeights]]) -> SourceWeights:
    """The gradients of the weights of a source from those of its groups; zeros for what was not computed."""
    n = weights.last.shape[1]
    kernels = [torch.zeros_like(kernel) for kernel in weights.depthwise]
    first, last = torch.zeros_like(weights.first), torch.zeros_like(weights.last)
    skip = None if weights.skip is None else torch.zeros_like(weights.skip)
    for group, part in found:
        for stage, kernel in zip(_stages(group), part.depthwise, strict=True):
            _set(kernels[stage].unflatten(0, (n, -1)), group.edges, kernel.unflatten(0, (len(group.edges), -1)))
        for index, stage_gradient in zip(group.among(SEPARABLE), part.first, strict=True):
            _set(first[index], group.edges, stage_gradient)
        for index, stage_gradient in zip(group.among(CONVOLUTIONS), part.last, strict=True):
            _set(last[index], group.edges, stage_gradient)
        if skip is not None and part.skip is not None:
            _set(skip[0], group.edges, part.skip[0])
    return SourceWeights(tuple(kernels), first, last, skip)


def _stages(group: Group) -> list[int]:
    """The indices of a group's depthwise kernels in `SourceWeights.depthwise`."""
    return [*group.among(SEPARABLE), *(len(SEPARABLE) + index for index in group.among(CONVOLUTIONS))]


def _set(x: Tensor, edges: Sequence[int], values: Tensor) -> None:
    for edge, value in zip(edges, values, strict=True):
        x[edge] = value


def gradients_of_parameters(cell: SupernetCell, of_sources: list[SourceWeights]) -> list[Tensor]:
    """The inverse of `weights_by_source`, for gradients: one for each of `parameters`."""
    gradients = []
    width = of_sources[0].last.shape[-1]
    for kernels in zip(*(weights.depthwise for weights in of_sources), strict=True):
        gradients.append(torch.cat(kernels).squeeze(1).unflatten(0, (-1, width))[cell.edge_major])
    for stages in ([weights.first for weights in of_sources], [weights.last for weights in of_sources]):
        gradients += torch.cat(stages, dim=1)[:, cell.edge_major].unbind()
    skips = [weights.skip for weights in of_sources if weights.skip is not None]
    if skips:
        skip = torch.cat(skips, dim=1)[0, cell.strided_edge_major]
        gradients += [skip[:, : width // 2, :width], skip[:, width // 2 :, width:]]
    return gradients


def running_by_source(cell: SupernetCell, dtype: torch.dtype) -> list[SourceStatistics]:
    """The running statistics of each source, as `dtype`."""
    groups = [_stacked(norms, order, dtype) for norms, order in _norms(cell)]
    result = []
    for start, stop in pairwise(cell.source_starts):
        parts = [Statistics(group.mean[:, start:stop], group.variance[:, start:stop]) for group in groups]
        skip = parts[3] if len(parts) > 3 and len(parts[3].mean[0]) > 0 else None
        result.append(SourceStatistics(parts[0], parts[1], parts[2], skip))
    return result


def update_running(cell: SupernetCell, batches: list[SourceStatistics], pixels: int) -> None:
    """Let the running statistics follow those of a batch with `pixels` values per channel."""
    for index, (norms, _) in enumerate(_norms(cell)):
        found = [group for batch in batches if (group := batch[index]) is not None]
        order = cell.edge_major if index < 3 else cell.strided_edge_major
        mean = torch.cat([group.mean for group in found], dim=1)[:, order]
        variance = torch.cat([group.variance for group in found], dim=1)[:, order]
        for norm, *batch in zip(norms, mean, variance, strict=True):
            norm.update(Statistics(*batch), pixels)


def statistics_of_group(running: SourceStatistics, group: Group) -> SourceStatistics:
    """Those running statistics of a source that a group normalises with."""
    pairs = zip(running, _KINDS, strict=True)
    return SourceStatistics(*(_taken(found, group.among(kind), group.edges) for found, kind in pairs))


def _taken(statistics: Statistics | None, operations: Sequence[int], edges: Sequence[int]) -> Statistics | None:
    if statistics is None or not operations:
        return None
    return Statistics(*(take(take(value, operations), edges, dim=1) for value in statistics))


def update_running_of_group(
    cell: SupernetCell, source: int, group: Group, batch: SourceStatistics, pixels: int
) -> None:
    """As `update_running`, for a group of a source; the running statistics of all others stay as they are."""
    edges = [cell.space.edges_from(source)[index] for index in group.edges]
    for (norms, _), statistics, kind in zip(_norms(cell), batch, _KINDS, strict=False):
        if statistics is None:
            continue
        for index, mean, variance in zip(group.among(kind), *statistics, strict=True):
            for edge, *of_edge in zip(edges, mean, variance, strict=True):
                number = cell.strided_edges.index(edge) if kind == (SKIP,) else edge
                norms[index].update(Statistics(*of_edge), pixels, number)


def _norms(cell: SupernetCell) -> list[tuple[list[EdgeNorm], Tensor]]:
    """The normalisations in the order of `SourceStatistics`, and their edges source by source."""
    operations = cell.operations
    groups = [
        ([stage.norm for stage in operations.first_stages], cell.source_major),
        ([stage.norm for stage in operations.last_stages], cell.source_major),
        (list(operations.pool_norms), cell.source_major),
    ]
    if cell.strided_edges:
        groups.append(([operations.reduced_skip.norm], cell.strided_source_major))
    return groups


def _stacked(norms: list[EdgeNorm], order: Tensor, dtype: torch.dtype) -> Statistics:
    mean = torch.stack([norm.running_mean for norm in norms])[:, order]
    variance = torch.stack([norm.running_var for norm in norms])[:, order]
    return Statistics(mean.to(dtype), variance.to(dtype))


def _skip_matrices(even: Tensor, odd: Tensor) -> Tensor:
    """[1, edges, C, 2C]: one 1x1 convolution for both grids, from two of [edges, C/2, C]."""
    edges, half, width = even.shape
    matrices = even.new_zeros(1, edges, 2 * half, 2 * width)
    matrices[0, :, :half, :width] = even
    matrices[0, :, half:, width:] = odd
    return matrices
