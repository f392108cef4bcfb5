"""The authors' key names, and state dicts that do not fit."""

import re

import pytest
import torch
from torch import nn

from pcdarts.cell.authors import load_translated, translate_key, translate_state
from pcdarts.errors import InputError


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("stem.0.weight", "stem.0.weight"),
        ("stem0.3.weight", "stem.quarter.3.weight"),
        ("stem1.1.running_mean", "stem.eighth.1.running_mean"),
        ("cells.0.preprocess0.op.1.weight", "cells.0.preprocess0.1.weight"),
        ("cells.3.preprocess0.conv_1.weight", "cells.3.preprocess0.conv_1.weight"),
        ("cells.0._ops.3.op.1.weight", "cells.0.ops.3.1.weight"),
        ("cells.0._ops.3._ops.4.op.1.weight", "cells.0.ops.3.ops.4.1.weight"),
        ("cells.2._ops.1.bn.bias", "cells.2.ops.1.bn.bias"),
        ("auxiliary_head.features.2.weight", "auxiliary_head.features.2.weight"),
        ("module.classifier.weight", "classifier.weight"),
        ("module.stem0.0.weight", "stem.quarter.0.weight"),
    ],
)
def test_a_key_of_the_authors_has_one_name_of_ours(theirs, ours):
    assert translate_key(theirs) == ours


def test_a_whole_checkpoint_is_opened():
    state = {"epoch": 3, "state_dict": {"module.stem0.0.weight": torch.ones(1)}, "optimizer": {}}
    assert list(translate_state(state)) == ["stem.quarter.0.weight"]


def test_a_value_that_is_no_tensor_is_refused():
    with pytest.raises(InputError, match=r"epoch .* type int, expected a tensor"):
        translate_state({"epoch": 3})


def test_every_misfit_is_named_and_nothing_is_loaded():
    module = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    before = {key: value.clone() for key, value in module.state_dict().items()}
    state = {key: value + 1 for key, value in before.items() if key != "0.bias"}
    state |= {"2.weight": torch.zeros(1), "1.weight": torch.zeros(3)}
    misfits = "0.bias is missing, 2.weight is unexpected, 1.weight is [3] instead of [2];"
    with pytest.raises(InputError, match=re.escape(misfits)):
        load_translated(module, state)
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())


def test_of_many_misfits_three_are_named_and_the_others_counted():
    with pytest.raises(InputError, match=r"1\.running_mean is missing \(and 2 more\)"):
        load_translated(nn.Sequential(nn.ReLU(), nn.BatchNorm2d(2)), {"weight": torch.ones(2)})
