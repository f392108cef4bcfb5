"""What the DARTS and PC-DARTS search scripts saved, one module per edge and operation, in our stacked layout."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from pcdarts.cell.authors import translate_state
from pcdarts.supernet.parameters import SupernetCell


def from_authors_state_dict(
    state: Mapping[str, Any], own: Mapping[str, Tensor], cells: Sequence[SupernetCell]
) -> dict[str, Tensor]:
    """Translate the authors' names and stack what they keep per edge.

    Args:
        state: their state dict (`cells.0._ops.3._ops.4.op.1.weight`, ...).
        own: the state dict of the supernet that is to take it, for the names and shapes.
        cells: its cells, for the edges.

    Returns:
        What was found, under our names; what did not fit keeps its translated name, for an error to name it.

    Raises:
        InputError: a value that is not a tensor.
    """
    found = translate_state(state)
    for key in [key for key in found if ".ops." in key and key.endswith("num_batches_tracked")]:
        del found[key]
    for position, cell in enumerate(cells):
        for ours, theirs in _names(cell.space.primitives, cell.plan.kind == "reduce").items():
            name = f"cells.{position}.operations.{ours}"
            edges = cell.strided_edges if ours.startswith("reduced_skip.") else range(cell.space.num_edges)
            names = [f"cells.{position}.ops.{edge}.ops.{theirs}" for edge in edges]
            shape = own[name].shape[1:]
            if all(key in found and found[key].numel() == shape.numel() for key in names):
                found[name] = torch.stack([found.pop(key).reshape(shape) for key in names])
    return found


def _names(primitives: tuple[str, ...], reduce: bool) -> dict[str, str]:
    """Our names under `cells.N.operations` and theirs under `cells.N.ops.EDGE.ops`."""
    stages = {
        "sep_conv_3x3.first": ("sep_conv_3x3", 1),
        "sep_conv_3x3.second": ("sep_conv_3x3", 5),
        "sep_conv_5x5.first": ("sep_conv_5x5", 1),
        "sep_conv_5x5.second": ("sep_conv_5x5", 5),
        "dil_conv_3x3": ("dil_conv_3x3", 1),
        "dil_conv_5x5": ("dil_conv_5x5", 1),
    }
    names: dict[str, str] = {}
    norms = {"max_pool_norm": "max_pool_3x3", "avg_pool_norm": "avg_pool_3x3"}
    norm_keys = {ours: f"{primitives.index(primitive)}.1" for ours, primitive in norms.items()}
    for ours, (primitive, first) in stages.items():
        index = primitives.index(primitive)
        names[f"{ours}.depthwise"] = f"{index}.{first}.weight"
        names[f"{ours}.pointwise"] = f"{index}.{first + 1}.weight"
        norm_keys[f"{ours}.norm"] = f"{index}.{first + 2}"
    if reduce:
        index = primitives.index("skip_connect")
        names["reduced_skip.even"] = f"{index}.conv_1.weight"
        names["reduced_skip.odd"] = f"{index}.conv_2.weight"
        norm_keys["reduced_skip.norm"] = f"{index}.bn"
    for ours, theirs in norm_keys.items():
        for statistic in ("running_mean", "running_var"):
            names[f"{ours}.{statistic}"] = f"{theirs}.{statistic}"
    return names
