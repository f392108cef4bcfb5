"""Whatever is given for a file of weights, it is the network that was saved or is refused in a line."""

import io

import torch
from hypothesis import given
from hypothesis import strategies as st

from authors_layout import AuthorsNetwork
from hostile import cases, damaged, new_folder, outcome
from pcdarts.cell.zoo import published
from pcdarts.jobs.foreign_weights import OnlyGenotype, classifier_of

SIZES = {"kind": "cifar", "channels": 2, "num_cells": 3, "num_classes": 3, "auxiliary": False}


def saved(zipped: bool) -> bytes:
    buffer = io.BytesIO()
    state = AuthorsNetwork(published("darts_v1"), **SIZES).state_dict()
    torch.save({"epoch": 1, "state_dict": state}, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


@cases(100)
@given(st.one_of(damaged(saved(zipped=True)), damaged(saved(zipped=False)), st.binary(max_size=50)))
def test_a_damaged_file_is_read_or_refused_by_its_name(content: bytes) -> None:
    with new_folder() as folder:
        (folder / "weights.pt").write_bytes(content)
        outcome(lambda: classifier_of(folder / "weights.pt", OnlyGenotype("darts_v1"), len), "weights.pt")
        assert (folder / "weights.pt").read_bytes() == content


odd = st.one_of(
    st.none(),
    st.integers(),
    st.text(max_size=9),
    st.sampled_from([torch.zeros(0), torch.zeros(3, 2, 1, 1), torch.tensor(3), torch.ones(2).to_sparse(), [], {}]),
)
keys = st.sampled_from(
    ["state_dict", "stem.0.weight", "stem0.0.weight", "classifier.weight", "cells.7._ops.0.op.1.weight"]
)


@cases(100)
@given(
    st.recursive(odd, lambda inner: st.dictionaries(keys | st.integers(), inner, max_size=4), max_leaves=8), odd, keys
)
def test_any_values_are_read_or_refused(value: object, other: object, key: str) -> None:
    state = AuthorsNetwork(published("darts_v1"), **SIZES).state_dict()
    with new_folder() as folder:
        for given_ in (value, {"state_dict": {**state, key: other}}):
            torch.save(given_, folder / "weights.pt")
            outcome(lambda: classifier_of(folder / "weights.pt", OnlyGenotype("darts_v1"), len), "weights.pt")
