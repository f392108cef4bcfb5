"""Equations (1) and (2) word for word: slow, readable, one edge and one operation at a time.

Pure functions over the parameters of a `Supernet`; its stem, preprocessing and classifier are used as they are. The
softmax of α and β is taken before, in `ArchParameters.mixture`. The fast supernet must equal this in outputs and all
gradients; the tests hold it to that. A space with other primitives than the paper's and NAS-Bench-201's is computed
here alone.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from pcdarts.supernet.arch import Computed, Mixture
from pcdarts.supernet.dropout import Dropping, dropping_of
from pcdarts.supernet.edges import EPSILON, EdgeNorm, SeparableStage
from pcdarts.supernet.parameters import SupernetCell, SupernetParts


def supernet(model: SupernetParts, images: Tensor, mixture: Mixture, masks: list[Tensor] | None = None) -> Tensor:
    """The logits [B, classes] of `model`; `masks` as in `Supernet.forward`, or None for the first 1/K channels."""
    before_last, last = model.stem(images)
    dropping = dropping_of(mixture.skip_dropout, images, model.training)
    for position, cell in enumerate(model.cells):
        kind = cell.plan.kind
        mask = first_channels(cell) if masks is None else masks[position]
        weights = mixture.op_weights[kind], mixture.edge_weights[kind]
        output = cell_output(cell, before_last, last, *weights, mask, masks is None, mixture.computed(kind), dropping)
        before_last, last = last, output
    return model.classifier(model.closing(last).mean(dim=(2, 3)))


def first_channels(cell: SupernetCell) -> Tensor:
    """The mask [edges, C] that selects the first C/K channels on every edge (Sec. 4.1)."""
    mask = torch.zeros(cell.space.num_edges, cell.plan.channels, dtype=torch.bool)
    mask[:, : cell.plan.channels // cell.k] = True
    return mask


def cell_output(
    cell: SupernetCell,
    before_last: Tensor,
    last: Tensor,
    op_weights: Tensor,
    edge_weights: Tensor,
    mask: Tensor,
    shuffle: bool,
    computed: Computed,
    dropping: Dropping | None = None,
) -> Tensor:
    """Sec. 3.1: concat(x_2, ..., x_{N-1}) of one cell; in another space, of the nodes that it has for outputs.

    Where every edge selects the first channels, the channels of each new node are shuffled before they are used
    (Sec. 4.1). Random masks need no shuffle.
    """
    inputs = (before_last, last)[-cell.space.num_inputs :]  # `last` alone in a space of one input
    nodes = [preprocess(x) for preprocess, x in zip(cell.preprocessing, inputs, strict=True)]
    for target in cell.space.intermediate:
        edges = cell.space.edges_into(target)
        node = torch.stack(  # Eq. (2)
            [
                edge_weights[edge]
                * partial_channels(cell, edge, nodes[source], op_weights[edge], mask[edge], computed[edge], dropping)
                for source, edge in enumerate(edges)
            ]
        ).sum(dim=0)
        nodes.append(channel_shuffle(node, cell.k) if shuffle else node)
    return torch.cat([nodes[node] for node in cell.space.outputs], dim=1)


def partial_channels(
    cell: SupernetCell,
    edge: int,
    x: Tensor,
    op_weights: Tensor,
    mask: Tensor,
    computed: Sequence[bool] | None = None,
    dropping: Dropping | None = None,
) -> Tensor:
    """Eq. (1): f_PC(x; S) = Σ_o softmax(α)_o · o(S * x) + (1 - S) * x for x [B, C, H, W] and S [C].

    `op_weights` is softmax(α) of the edge. The sum has only the operations that are `computed` (None: all of them): one
    of weight zero is absent, and so are its gradients (see `Mixture`). `none` is zero, and adds nothing.
    On a stride-2 edge a 2x2 max-pool halves the images of the bypassed channels (authors' code; the paper is silent).
    """
    stride = cell.space.form.stride(cell.plan.kind, cell.space.edges[edge].source)
    selected = x[:, mask]
    mixed = sum(
        op_weights[index] * dropped(operation(cell, edge, primitive, selected, stride), primitive, stride, dropping)
        for index, primitive in enumerate(cell.space.primitives)
        if primitive != "none" and (computed is None or computed[index])
    )
    output = x.clone() if stride == 1 else F.max_pool2d(x, 2, ceil_mode=True)
    output[:, mask] = mixed
    return output


def dropped(output: Tensor, primitive: str, stride: int, dropping: Dropping | None) -> Tensor:
    """Dropout behind a skip of stride 1, where the mixture has it (P-DARTS); other operations are as they were."""
    if dropping is None or primitive != "skip_connect" or stride > 1:
        return output
    return output * dropping.kept(output) / (1 - dropping.rate)


def channel_shuffle(x: Tensor, groups: int) -> Tensor:
    """ShuffleNet's shuffle: channel c of group g moves to position c · groups + g."""
    per_group = x.shape[1] // groups
    order = [g * per_group + c for c in range(per_group) for g in range(groups)]
    return x[:, order]


def operation(cell: SupernetCell, edge: int, primitive: str, x: Tensor, stride: int) -> Tensor:
    """o(x) for one primitive of Sec. 4.1 on one edge, x [B, C/K, H, W]."""
    if cell.modules_of_edges is not None:
        return cell.modules_of_edges(edge, primitive, x)
    candidates = cell.operations
    if primitive == "max_pool_3x3":
        return normalize(F.max_pool2d(x, 3, stride, padding=1), candidates.max_pool_norm, edge)
    if primitive == "avg_pool_3x3":
        return normalize(F.avg_pool2d(x, 3, stride, padding=1, count_include_pad=False), candidates.avg_pool_norm, edge)
    if primitive == "skip_connect":
        return x if stride == 1 else reduced_skip(cell, edge, x)
    if primitive == "sep_conv_3x3":
        hidden = separable_stage(candidates.sep_conv_3x3.first, edge, x, stride)
        return separable_stage(candidates.sep_conv_3x3.second, edge, hidden, 1)
    if primitive == "sep_conv_5x5":
        hidden = separable_stage(candidates.sep_conv_5x5.first, edge, x, stride)
        return separable_stage(candidates.sep_conv_5x5.second, edge, hidden, 1)
    if primitive == "dil_conv_3x3":
        return separable_stage(candidates.dil_conv_3x3, edge, x, stride)
    return separable_stage(candidates.dil_conv_5x5, edge, x, stride)


def separable_stage(module: SeparableStage, edge: int, x: Tensor, stride: int) -> Tensor:
    """ReLU, depthwise convolution, 1x1 convolution, BatchNorm."""
    depthwise = module.depthwise[edge].unsqueeze(1)
    pointwise = module.pointwise[edge][:, :, None, None]
    padding = module.dilation * (depthwise.shape[-1] - 1) // 2
    x = F.conv2d(x.relu(), depthwise, None, stride, padding, module.dilation, groups=x.shape[1])
    return normalize(F.conv2d(x, pointwise), module.norm, edge)


def reduced_skip(cell: SupernetCell, edge: int, x: Tensor) -> Tensor:
    """`skip_connect` at stride 2: two halved grids, one shifted by a pixel, each through its own 1x1 convolution."""
    module = cell.operations.reduced_skip
    position = int(module.position[edge])
    x = x.relu()
    shifted = F.pad(x, (0, 1, 0, 1))[:, :, 1:, 1:]
    even = F.conv2d(x, module.even[position][:, :, None, None], stride=2)
    odd = F.conv2d(shifted, module.odd[position][:, :, None, None], stride=2)
    return normalize(torch.cat([even, odd], dim=1), module.norm, position)


def normalize(x: Tensor, norm: EdgeNorm, edge: int) -> Tensor:
    """BatchNorm without affine parameters: batch statistics in training, the edge's running ones in evaluation."""
    if norm.training:
        mean, var = x.mean(dim=(0, 2, 3)), x.var(dim=(0, 2, 3), unbiased=False)
    else:
        mean, var = norm.running_mean[edge], norm.running_var[edge]
    return (x - mean[:, None, None]) / (var[:, None, None] + EPSILON).sqrt()
