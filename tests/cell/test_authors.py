"""The authors' key names, and state dicts that do not fit."""

import re

import pytest
import torch
from torch import nn

from pcdarts.cell.authors import load_translated, translate_key, translate_state, unwrapped
from pcdarts.cell.space import CellSpace
from pcdarts.cell.zoo import published
from pcdarts.errors import InputError
from pcdarts.network.network import Network
from pcdarts.supernet.supernet import Supernet


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


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "model.", "net."]
)
def test_the_prefixes_of_wrappers_are_left_out(prefix):
    assert translate_key(f"{prefix}cells.0._ops.3.op.1.weight") == "cells.0.ops.3.1.weight"


@pytest.mark.parametrize("wrapping", ["state_dict", "model_state_dict", "model", "net", "network", "weights"])
def test_weights_are_found_under_the_usual_names(wrapping):
    state = {"stem.0.weight": torch.ones(1), "cells.0.total_ops": torch.zeros(1)}
    assert list(translate_state({wrapping: state, "epoch": 3})) == ["stem.0.weight"]
    assert list(translate_state({"checkpoint": 1, "model": {wrapping: state}})) == ["stem.0.weight"]


def test_averaged_weights_count_if_there_are_no_others():
    state, averaged = {"stem.0.weight": torch.zeros(1)}, {"module.stem.0.weight": torch.ones(1), "n_averaged": 3}
    assert translate_state({"state_dict_ema": averaged})["stem.0.weight"] == 1
    assert translate_state({"state_dict_ema": averaged, "state_dict": state})["stem.0.weight"] == 0
    assert unwrapped({"ema": {"module": averaged}})[1] == "ema.module"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (nn.Linear(1, 1), r"this is a whole module \(Linear\): give its state_dict\(\)"),
        ([("stem.0.weight", 1)], r"of type list: give what model.state_dict\(\) returns"),
        ("weights.pt", "of type str: give what"),
        (None, "of type NoneType: give what"),
    ],
)
def test_what_is_no_state_dict_is_refused_with_what_to_give(given, message):
    with pytest.raises(InputError, match=message):
        translate_state(given)
    small = {"channels": 4, "num_cells": 3}
    networks = Network(published("darts_v1"), **small), Supernet(CellSpace(4), **small)
    for network in networks:
        with pytest.raises(InputError, match=message):
            network.load_authors_state_dict(given)


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
