"""The supernet with PyTorch alone: every cell a single differentiable function, computed per source node.

Autograd sees one node per cell instead of thousands: it slices, pads and accumulates nothing itself, and this code
chooses what is kept for the backward pass (`source.py`). There are no second derivatives; `reference.py` has them.
"""

from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from pcdarts.ops.compiling import never_compiled
from pcdarts.ops.precision import autocast_dtype, without_autocast
from pcdarts.ops.synchronize import WholeBatch
from pcdarts.supernet.arch import Computed, Mixture
from pcdarts.supernet.dropout import Dropping, dropping_of
from pcdarts.supernet.masks import selected_channels
from pcdarts.supernet.parameters import SupernetCell, SupernetParts
from pcdarts.supernet.plain import source as sources
from pcdarts.supernet.plain.by_source import (
    gradients_of_parameters,
    gradients_of_source,
    parameters,
    running_by_source,
    statistics_of_group,
    update_running,
    update_running_of_group,
    weights_by_source,
    weights_of_group,
)
from pcdarts.supernet.plain.channels_last import channels_last
from pcdarts.supernet.plain.dropped import DroppedSkips
from pcdarts.supernet.plain.groups import (
    CONVOLUTIONS,
    PRIMITIVES,
    SKIP,
    Group,
    add_rows,
    add_to_edges,
    groups_of,
    in_this_order,
    take,
    take_edges,
)
from pcdarts.supernet.plain.pointwise import sums_over_pixels
from pcdarts.supernet.plain.preprocess import preprocess
from pcdarts.supernet.plain.sampling import FirstChannels, MaskedChannels
from pcdarts.supernet.plain.saved import Saved, put_tensors, take_tensors
from pcdarts.supernet.plain.source import SourceStatistics, SourceWeights, Trace


def logits(network: SupernetParts, images: Tensor, mixture: Mixture, masks: list[Tensor] | None) -> Tensor:
    """The logits [B, num_classes] of a supernet, for checked images, mixture and masks."""
    batch = WholeBatch.of(images, network.synchronize and network.training)
    first, output = network.stem(images.contiguous(memory_format=torch.channels_last))
    # Two cells read an output, and both through a ReLU: one is enough.
    last = output.relu()
    before_last = last if first is output else first.relu()
    computed = {kind: mixture.computed(kind) for kind in mixture.op_weights}
    dropping = dropping_of(mixture.skip_dropout, images, network.training)
    for position, cell in enumerate(network.cells):
        if position > 0:
            before_last, last = last, output.relu()
        kind = cell.plan.kind
        mask = None if masks is None else masks[position]
        weights = mixture.op_weights[kind], mixture.edge_weights[kind]
        output = cell_output(cell, (before_last, last), *weights, mask, batch, computed[kind], dropping)
    return network.classifier(output.mean(dim=(2, 3)))


@never_compiled  # a cell is a function with a gradient of its own
def cell_output(
    cell: SupernetCell,
    inputs: tuple[Tensor, Tensor],
    op_weights: Tensor,
    edge_weights: Tensor,
    mask: Tensor | None,
    batch: WholeBatch,
    computed: Computed | None = None,
    dropping: Dropping | None = None,
) -> Tensor:
    """Eqs. (1) and (2) for one cell.

    Args:
        inputs: the outputs of the two cells before, rectified; a cell with one input reads the second.
        op_weights, edge_weights: [edges, primitives] and [edges], of the cell's kind.
        mask: the boolean S of Eq. (1), [edges, C], with C/k channels of each edge selected; or None for the first C/k
            and a shuffle.
        batch: what the statistics of the batch are taken of.
        computed: the operations that are computed; all, when absent.
        dropping: the dropout of this pass behind stride-1 skips.

    Returns:
        The output nodes of the space side by side, [B, output nodes · C, H', W'].
    """
    read = inputs[-cell.space.num_inputs :]
    nodes = [preprocess(module, x, batch) for module, x in zip(cell.preprocessing, read, strict=True)]
    op_weights, computed = in_this_order(cell.space, op_weights, computed)
    cell_pass = CellPass(cell, mask, batch, computed, dropping)
    output: Tensor = _Cell.apply(cell_pass, *nodes, op_weights, edge_weights, *parameters(cell.operations))
    return output


class _Cell(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, cell_pass: "CellPass", *tensors: Tensor) -> Tensor:
        count = cell_pass.space.num_inputs
        nodes, (op_weights, edge_weights), tensors = tensors[:count], tensors[count : count + 2], tensors[count + 2 :]
        dtype = autocast_dtype(nodes[0])
        with without_autocast(nodes[0]):
            inputs = [channels_last(x.to(dtype)) for x in nodes]
            output, saved = cell_pass.forward(inputs, op_weights, edge_weights, tensors)
        ctx.cell_pass = cell_pass
        found: list[Tensor] = []
        ctx.saved = take_tensors(saved, found)
        ctx.save_for_backward(*found)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        saved: Saved = put_tensors(ctx.saved, ctx.saved_tensors)
        needed = ctx.needs_input_grad
        mixture = 1 + ctx.cell_pass.space.num_inputs
        with without_autocast(grads[0]):
            with_mixture, with_weights = any(needed[mixture : mixture + 2]), any(needed[mixture + 2 :])
            gradients = ctx.cell_pass.backward(saved, grads[0], with_mixture, with_weights)
        gradients = (*gradients, *[None] * (len(needed) - 1 - len(gradients)))
        wanted = (g if need else None for g, need in zip(gradients, needed[1:], strict=True))
        return None, *wanted


class CellPass:
    """The computation of one cell on one batch: `forward`, and `backward` from what that saved."""

    def __init__(
        self,
        cell: SupernetCell,
        mask: Tensor | None,
        batch: WholeBatch,
        computed: Computed | None = None,
        dropping: Dropping | None = None,
    ) -> None:
        channels = cell.plan.channels
        self.cell, self.space, self.batch = cell, cell.space, batch
        everything = ((True,) * len(PRIMITIVES),) * cell.space.num_edges
        self.computed = computed or everything
        self.groups = self._groups(self.computed)
        self.is_whole = self.groups == self._groups(everything)
        self.sampling: FirstChannels | MaskedChannels
        if mask is None:
            self.sampling = FirstChannels(channels, cell.k)
        else:
            self.sampling = MaskedChannels(channels, selected_channels(mask, channels // cell.k))
        self.dropped = dropping and DroppedSkips(cell, self.sampling, self.computed, dropping)

    def forward(
        self, inputs: list[Tensor], op_weights: Tensor, edge_weights: Tensor, tensors: tuple[Tensor, ...]
    ) -> tuple[Tensor, Saved]:
        """The cell's output from its input nodes and the values of `by_source.parameters`."""
        weights = weights_by_source(self.cell, tensors, inputs[0].dtype)
        small = weights[0].last.dtype
        op_weights, edge_weights = op_weights.to(small), edge_weights.to(small)
        mixture = op_weights * edge_weights.unsqueeze(1)
        of_sources = self._by_source(mixture)
        skip = mixture[:, SKIP] * self.cell.unstrided
        bypass = self.sampling.bypass_weights(self.dropped.instead_of(skip) if self.dropped else skip, edge_weights)
        running = None if self.cell.training else running_by_source(self.cell, small)

        nodes, bypassed, halved = list(inputs), list(inputs), []
        if self.cell.strided_edges:
            pairs = [F.max_pool2d(x, 2, ceil_mode=True, return_indices=True) for x in inputs]
            bypassed, halved = [x for x, _ in pairs], [winners for _, winners in pairs]
        mixed = self._room_for_mixed(bypassed[0])
        traces: list[tuple[Trace, ...]] = []
        shifts: list[Tensor] = []
        statistics: list[list[SourceStatistics]] = []
        for source in range(self.space.num_nodes - 1):
            if source >= self.space.num_inputs:
                nodes.append(self._assemble(source, bypass, bypassed, mixed, shifts))
                bypassed.append(nodes[source])
            found, shift = self._leave(
                source,
                nodes[source],
                weights[source],
                of_sources[source],
                running[source] if running else None,
                mixed[source],
            )
            traces.append(tuple(trace for trace, _ in found))
            statistics.append([of_batch for _, of_batch in found])
            shifts.append(shift)
        nodes.append(self._assemble(self.space.num_nodes - 1, bypass, bypassed, mixed, shifts))
        output = channels_last(torch.cat([nodes[node] for node in self.space.outputs], dim=1))
        if running is None:
            self._update_running(statistics, self.batch.pixels(output))
        saved = Saved(
            tuple(inputs),
            tuple(bypassed),
            tuple(halved),
            tuple(traces),
            tuple(weights),
            op_weights,
            edge_weights,
            bypass,
        )
        return output, saved

    def _leave(
        self,
        source: int,
        node: Tensor,
        weights: SourceWeights,
        mixture: Tensor,
        running: SourceStatistics | None,
        mixed: Tensor,
    ) -> tuple[list[tuple[Trace, SourceStatistics]], Tensor]:
        """Add what leaves a source to `mixed`; returns trace and statistics of each group, and the constants [n, C]."""
        edges, n = self.space.edges_from(source), len(mixture)
        found = []
        shift = mixture.new_zeros(n, self.sampling.width)
        shared = self.sampling.sampled(node, edges) if self.sampling.sums_mixed else None
        for group in self.groups[source]:
            own = [edges[index] for index in group.edges]
            sampled = self.sampling.sampled(node, own) if shared is None else shared
            room = mixed if len(own) == n else self._zeros(mixed, len(own))
            trace, of_group, statistics = sources.forward(
                sampled,
                self.sampling.rectified(sampled, own) if group.among(CONVOLUTIONS) else None,
                weights_of_group(weights, group),
                take(mixture, group.edges),
                running and statistics_of_group(running, group),
                room,
                self.batch,
                group.primitives,
            )
            found.append((trace, statistics))
            if len(own) < n:
                add_to_edges(mixed, room, group.edges, n)
            add_rows(shift, of_group, group.edges)
        return found, shift

    def _update_running(self, statistics: list[list[SourceStatistics]], pixels: int) -> None:
        if self.is_whole:
            return update_running(self.cell, [found for (found,) in statistics], pixels)
        for source, groups in enumerate(self.groups):
            for group, found in zip(groups, statistics[source], strict=True):
                update_running_of_group(self.cell, source, group, found, pixels)
        return None

    def _assemble(
        self, target: int, bypass: Tensor, bypassed: list[Tensor], mixed: list[Tensor], shifts: list[Tensor]
    ) -> Tensor:
        """Eq. (2): the node `target` [B, C, H, W] from what its sources sent."""
        edges = self.space.edges_into(target)
        shift = torch.stack([shifts[source][self._number(source, target)] for source in range(target)])
        factors = bypass.to(bypassed[0].dtype)[:, :, None, None]
        row = self.sampling.spread_shift(shift, edges).to(factors.dtype)[:, None, None]
        passed = torch.addcmul(row, bypassed[0], factors[edges[0]])
        for source, edge in enumerate(edges[1:], start=1):
            passed.addcmul_(bypassed[source], factors[edge])
        arrived = [self._part(mixed[source], target) for source in range(target)]
        if self.dropped:
            self.dropped.arrive(edges, bypassed, arrived)
        return self.sampling.assemble(passed, arrived, edges)

    def backward(self, saved: Saved, grad: Tensor, with_mixture: bool, with_weights: bool) -> tuple[Tensor | None, ...]:
        """The gradients of the input nodes, op_weights, edge_weights and the parameters."""
        mixture = saved.op_weights * saved.edge_weights.unsqueeze(1)
        ends = saved.bypassed[0]
        of_nodes = [torch.zeros_like(x) for x in saved.nodes]
        outputs = grad.to(ends.dtype).split(self.cell.plan.channels, dim=1)
        of_outputs = dict(zip(self.space.outputs, outputs, strict=True))
        for node in self.space.intermediate:
            of_nodes.append(channels_last(of_outputs[node] if node in of_outputs else torch.zeros_like(outputs[0])))
        of_bypassed = list(of_nodes)
        if self.cell.strided_edges:
            of_bypassed[: len(saved.nodes)] = [torch.zeros_like(ends) for _ in saved.nodes]
        of_mixed = self._room_for_mixed(ends)
        of_bypass = torch.zeros_like(saved.bypass)
        of_sources = self._by_source(mixture)
        of_mixtures: list[Tensor] = []
        of_weights: list[SourceWeights] = []
        for source in range(self.space.num_nodes - 2, -1, -1):
            if source + 1 >= self.space.num_inputs:
                self._disassemble(source + 1, saved, of_nodes, of_bypassed, of_mixed, of_bypass, with_mixture)
            rows, found = self._return(
                source, saved, of_sources[source], of_mixed[source], of_nodes[source], with_weights
            )
            of_mixtures.append(rows)
            if found is not None:
                of_weights.append(found)
        for of_node, of_half, x, winners in zip(of_nodes, of_bypassed, saved.nodes, saved.halved, strict=False):
            of_node += torch.ops.aten.max_pool2d_with_indices_backward(
                of_half, x, [2, 2], [2, 2], [0, 0], [1, 1], True, winners
            )
        of_mixture = torch.cat(of_mixtures[::-1])[self.cell.edge_major]
        of_skip, of_edge_weights = self.sampling.bypass_gradients(of_bypass)
        if self.dropped:
            of_skip = self.dropped.of_weights
        of_mixture[:, SKIP] += of_skip * self.cell.unstrided
        for edge, row in enumerate(self.computed):
            if not row[SKIP]:
                of_mixture[edge, SKIP] = 0
        of_edge_weights = of_edge_weights + (of_mixture * saved.op_weights).sum(dim=1)
        of_op_weights = of_mixture * saved.edge_weights.unsqueeze(1)
        gradients = (*of_nodes[: len(saved.nodes)], of_op_weights, of_edge_weights)
        return (*gradients, *gradients_of_parameters(self.cell, of_weights[::-1])) if with_weights else gradients

    def _return(
        self, source: int, saved: Saved, mixture: Tensor, of_mixed: Tensor, of_node: Tensor, with_weights: bool
    ) -> tuple[Tensor, SourceWeights | None]:
        """The backward pass of `_leave`: adds to `of_node`; returns the gradients of the mixture and of the weights."""
        edges, n = self.space.edges_from(source), len(mixture)
        of_mixed = of_mixed[:, -n * self.sampling.width :]
        of_mixture = torch.zeros_like(mixture)
        of_weights: list[tuple[Group, SourceWeights]] = []
        for group, trace in zip(self.groups[source], saved.traces[source], strict=True):
            own = [edges[index] for index in group.edges]
            found = sources.backward(
                trace,
                weights_of_group(saved.weights[source], group),
                take(mixture, group.edges),
                channels_last(take_edges(of_mixed, group.edges, n)),
                with_weights,
                group.primitives,
            )
            self.sampling.give_back(of_node, found.sampled, found.rectified, own)
            add_rows(of_mixture, found.mixture, group.edges)
            if found.weights is not None:
                of_weights.append((group, found.weights))
        if not with_weights:
            return of_mixture, None
        if self.is_whole:
            return of_mixture, of_weights[0][1]
        return of_mixture, gradients_of_source(saved.weights[source], of_weights)

    def _disassemble(
        self,
        target: int,
        saved: Saved,
        of_nodes: list[Tensor],
        of_bypassed: list[Tensor],
        of_mixed: list[Tensor],
        of_bypass: Tensor,
        with_mixture: bool,
    ) -> None:
        """Hand the gradient of the node `target` to what it was assembled from."""
        edges = self.space.edges_into(target)
        parts = [self._part(of_mixed[source], target) for source in range(target)]
        of_passed = self.sampling.disassemble(of_nodes[target], parts, edges)
        factors = saved.bypass.to(of_passed.dtype)[:, :, None, None]
        if self.dropped:
            self.dropped.leave(edges, saved.bypassed, parts, of_bypassed, with_mixture)
        for source, edge in enumerate(edges):
            of_bypassed[source].addcmul_(of_passed, factors[edge])
            if with_mixture:
                of_bypass[edge] = sums_over_pixels(of_passed * saved.bypassed[source])

    def _room_for_mixed(self, ends: Tensor) -> list[Tensor]:
        """Zeros for what each source sends, [B, n·C/k, H', W']; if edges into one node share theirs, one for all."""
        counts = [len(self.space.edges_from(source)) for source in range(self.space.num_nodes - 1)]
        if self.sampling.sums_mixed:
            return [self._zeros(ends, counts[0])] * len(counts)
        return [self._zeros(ends, n) for n in counts]

    def _zeros(self, like: Tensor, n: int) -> Tensor:
        """[B, n·C/k, H, W] for `like` [B, channels, H, W]."""
        batch, _, *size = like.shape
        return channels_last(like.new_zeros(batch, *size, n * self.sampling.width).permute(0, 3, 1, 2))

    def _groups(self, computed: Computed) -> tuple[tuple[Group, ...], ...]:
        """Those of each source."""
        strided = self.cell.strided_edges
        return tuple(
            groups_of(tuple(computed[edge] for edge in edges), edges[0] in strided)
            for edges in map(self.space.edges_from, range(self.space.num_nodes - 1))
        )

    def _by_source(self, mixture: Tensor) -> list[Tensor]:
        """The rows of [edges, primitives] that belong to the edges of each source."""
        ordered = mixture[self.cell.source_major]
        return [ordered[start:stop] for start, stop in pairwise(self.cell.source_starts)]

    def _number(self, source: int, target: int) -> int:
        """Which of the edges from `source` leads to `target`."""
        return target - max(self.space.num_inputs, source + 1)

    def _part(self, mixed: Tensor, target: int) -> Tensor:
        """The columns of one target in what a source sends."""
        start = mixed.shape[1] - (self.space.num_nodes - target) * self.sampling.width
        return mixed[:, start : start + self.sampling.width]
