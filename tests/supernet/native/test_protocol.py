"""What is handed to the kernels has names, and what does not fit is refused before they run."""

import pytest
import torch

from pcdarts.supernet.native import build, protocol


@pytest.mark.skipif(build.load() is None, reason="no C++ compiler here")
def test_the_library_and_python_agree_on_every_field_and_say_so():
    assert protocol.is_ours(build.load())
    lines = protocol.layout().splitlines()
    assert "CellShape 96" in lines
    assert "weight_gradients 72 8 number" in lines
    assert "running_mean 128 72 pointer" in lines
    assert "parameters 16 112 structure" in lines


GOOD = {"input": torch.ones(2), "output": torch.ones(2), "weights": [torch.ones(2), None]}


def test_a_structure_holds_the_addresses_of_the_tensors_named():
    filled = protocol.fill(protocol.PreprocessGradients, torch.float32, **GOOD)
    assert filled.input == GOOD["input"].data_ptr()
    assert list(filled.weights) == [GOOD["weights"][0].data_ptr(), None]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input": torch.ones(2, dtype=torch.float64)}, "input must be contiguous, of torch.float32 and on the CPU"),
        ({"output": torch.ones(2, 2).t()}, "output must be contiguous"),
        ({"weights": [torch.ones(2)]}, "PreprocessGradients.weights takes 2 tensors, not 1"),
        ({"weights": [torch.ones(2).half(), None]}, "weights must be contiguous, of torch.float32"),
        ({"statistics": None}, "PreprocessGradients has the fields .*, not .*statistics"),
    ],
)
def test_a_tensor_or_a_field_that_does_not_fit_is_refused(change, message):
    with pytest.raises(TypeError, match=message):
        protocol.fill(protocol.PreprocessGradients, torch.float32, **{**GOOD, **change})


def test_a_field_that_is_left_out_is_refused():
    with pytest.raises(TypeError, match="PreprocessGradients has the fields"):
        protocol.fill(protocol.PreprocessGradients, torch.float32, input=torch.ones(2))
