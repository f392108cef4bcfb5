"""One small matrix per edge, whichever way it is computed: equal to the products edge by edge."""

import pytest
import torch

from operations import Operations
from pcdarts.supernet.plain.pointwise import (
    add_product,
    grouped_weights,
    multiply,
    products_over_pixels,
    transposed_weights,
)

CASES = [(n, c, dtype) for n, c in [(3, 4), (4, 8), (3, 8), (2, 20)] for dtype in (torch.float32, torch.float64)]


def draw(channels, dtype):
    return torch.randn(2, channels, 3, 5, dtype=dtype).contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("in_groups", [True, False], ids=["as on a CPU", "as on a GPU"])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize(("n", "c", "dtype"), CASES)
def test_blocks_act_on_every_edge(n, c, dtype, shared, in_groups):
    torch.manual_seed(0)
    x, y = draw(c if shared else n * c, dtype), draw(n * c, dtype)
    matrices, shift = torch.randn(n, c, c, dtype=dtype), torch.randn(n * c, dtype=dtype)
    edges = x.unflatten(1, (1 if shared else n, c)).expand(-1, n, -1, -1, -1)
    expected = torch.einsum("nij,bnjhw->bnihw", matrices, edges).flatten(1, 2)
    (weight,) = grouped_weights(matrices, n, shared, dtype, in_groups)
    torch.testing.assert_close(multiply(x, weight, shift), expected + shift[:, None, None])
    wide = draw(n * c + 3, dtype)
    before = wide.clone()
    add_product(wide, x, weight)
    torch.testing.assert_close(wide, before + torch.nn.functional.pad(expected, (0, 0, 0, 0, 3, 0)))
    (transposed,) = transposed_weights(matrices, n, shared, dtype)
    back = torch.einsum("nij,bnihw->bnjhw", matrices, y.unflatten(1, (n, c)))
    torch.testing.assert_close(multiply(y, transposed), back.sum(dim=1) if shared else back.flatten(1, 2))
    products = products_over_pixels([y], [x], n, shared, in_groups)[0]
    torch.testing.assert_close(products, torch.einsum("bnihw,bnjhw->nij", y.unflatten(1, (n, c)), edges))


@pytest.mark.parametrize(("n", "c"), [(3, 4), (4, 8), (3, 8), (2, 20)])
def test_a_gpu_multiplies_with_one_matrix_whatever_the_number_of_edges(n, c):
    x, matrices = torch.empty(2, n * c, 3, 5, device="meta"), torch.empty(n, c, c, device="meta")
    x = x.contiguous(memory_format=torch.channels_last)
    with Operations() as found:
        (weight,) = grouped_weights(matrices, n, False, torch.float32)
        add_product(multiply(x, weight), x, weight)
        products_over_pixels([x], [x], n, False)
    products = [name for name in found.names if "mm" in name]
    assert products == ["aten::mm", "aten::addmm_", "aten::mm"]
