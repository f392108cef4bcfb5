"""A space that differs from the paper's in every field, in the manner of NAS-Bench-201."""

from pcdarts.cell.space import CellForm, CellSpace

PRIMITIVES = ("skip_connect", "none", "dil_conv_5x5", "sep_conv_3x3", "avg_pool_3x3")
ON_LONG_EDGES = ("none", "skip_connect", "avg_pool_3x3")
SPACE = CellSpace(
    4,
    form=CellForm(kinds=("normal",), num_inputs=1, edges_kept=None),
    primitives=PRIMITIVES,
    allowed=(PRIMITIVES, ON_LONG_EDGES, PRIMITIVES, ON_LONG_EDGES, ("sep_conv_3x3",), PRIMITIVES[2:]),
    concatenates=False,
)
"""One kind of cell with one input, four nodes that sum all that enters them, the last of which is the output."""
