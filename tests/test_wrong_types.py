"""Every public callable, given what people are likely to give it instead, says what to give."""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

import pcdarts
from pcdarts.errors import InputError
from small_classifier import BLUEPRINT

G = pcdarts.published("darts_v1")
SPACE = pcdarts.CellSpace(4)
SMALL = {"channels": 4, "num_cells": 3}
IMAGES = torch.zeros(2, 3, 16, 16)


def network() -> pcdarts.Network:
    return pcdarts.Network(G, **SMALL)


def supernet() -> pcdarts.Supernet:
    return pcdarts.Supernet(SPACE, kernels="plain", **SMALL)


def mixture() -> pcdarts.Mixture:
    return pcdarts.ArchParameters(SPACE).mixture()


WRONG: dict[str, tuple[Callable[[], object], str]] = {
    "Network of a name": (
        lambda: pcdarts.Network("darts_v1", **SMALL),
        "give pcdarts.published(NAME), pcdarts.Genotype",
    ),
    "Network of nothing": (lambda: pcdarts.Network(None), "genotype is missing, but it must be a Genotype"),
    "Network of text for a number": (lambda: pcdarts.Network(G, channels="36"), "channels is of type str, but"),
    "Network of half a cell": (lambda: pcdarts.Network(G, num_cells=2.5), "num_cells is of type float, but"),
    "Network on a list of images": (lambda: network()([IMAGES[0]]), "images is of type list, but it must be a tensor"),
    "Network loads a module": (lambda: network().load_authors_state_dict(network()), "give its state_dict()"),
    "Network loads a file name": (lambda: network().load_authors_state_dict("weights.pt"), "of type str: give what"),
    "Supernet of a number": (lambda: pcdarts.Supernet(6), "space is of type int, but it must be a CellSpace: give"),
    "Supernet of a genotype": (lambda: pcdarts.Supernet(G), "space is of type Genotype, but it must be a CellSpace"),
    "Supernet of a mixture without a kind": (
        lambda: supernet()(IMAGES, replace(mixture(), op_weights={"normal": mixture().op_weights["normal"]})),
        'op_weights["reduce"] of the mixture is missing, but it must be a tensor: give {"normal": ..., "reduce"',
    ),
    "Supernet of a mixture whose active is a tensor": (
        lambda: supernet()(IMAGES, replace(mixture(), active=torch.ones(5, 8, dtype=torch.bool))),
        'active of the mixture is of type Tensor, but it must be a dict: give {"normal": ..., "reduce": ...} with',
    ),
    "Supernet without a mixture": (lambda: supernet()(IMAGES), "mixture is missing, but it must be a Mixture"),
    "Supernet with its parameters": (
        lambda: supernet()(IMAGES, pcdarts.ArchParameters(SPACE)),
        "mixture is of type ArchParameters, but it must be a Mixture of operations and edges: give supernet",
    ),
    "Supernet loads a module": (lambda: supernet().load_authors_state_dict(network()), "give its state_dict()"),
    "ArchParameters of a number": (lambda: pcdarts.ArchParameters(6), "give pcdarts.CellSpace(num_nodes=6)"),
    "CellSpace of text": (lambda: pcdarts.CellSpace("6"), "num_nodes is of type str, but it must be a whole number"),
    "derive of a supernet": (lambda: pcdarts.derive(supernet()), "give the pcdarts.ArchParameters that were trained"),
    "derive of a mixture": (
        lambda: pcdarts.derive(pcdarts.ArchParameters(SPACE).mixture()),
        "what to derive from is of type Mixture, but it must be ArchParameters",
    ),
    "complexity for a side": (lambda: pcdarts.complexity(network(), 32), "input_shape is of type int, but it must be"),
    "complexity for two sides": (lambda: pcdarts.complexity(network(), (32, 32)), "give one such as (3, 32, 32)"),
    "complexity of a genotype": (lambda: pcdarts.complexity(G), "model is of type Genotype, but it must be a module"),
    "complexity of a supernet": (lambda: pcdarts.complexity(supernet()), "mixture is missing"),
    "Genotype of a text": (lambda: pcdarts.Genotype(G.to_text()), "give it to Genotype.from_text"),
    "Genotype of a name": (
        lambda: pcdarts.Genotype(normal="darts_v1", normal_concat=(2,), reduce=(), reduce_concat=()),
        "normal cell: expected a list",
    ),
    "Genotype of a file object": (lambda: pcdarts.Genotype.from_file(None), "path is missing, but it must be a path"),
    "a published number": (lambda: pcdarts.published(5), "the name of a published cell is a text, not of type int"),
    "Classifier of a genotype": (lambda: pcdarts.Classifier(G, {}), "blueprint is of type Genotype, but it must be"),
    "Classifier of a network": (lambda: pcdarts.Classifier(BLUEPRINT, network()), "give network.state_dict()"),
    "load_classifier of a dictionary": (
        lambda: pcdarts.load_classifier({}),
        "path is of type dict, but it must be a path",
    ),
    "load_network of nothing": (
        lambda: pcdarts.load_network(None),
        "give the file or folder that pcdarts export wrote",
    ),
    "from_pretrained of a number": (lambda: pcdarts.from_pretrained(5), "give an export folder, or OWNER/NAME"),
    "Run of a network": (lambda: pcdarts.Run(network()), "path is of type Network, but it must be a path: give a run"),
    "search for many epochs": (lambda: pcdarts.search(epochs="many"), "epochs is many, but it must be a whole number"),
    "train a number": (lambda: pcdarts.train(genotype=5), "genotype is 5, but it must be a text"),
    "resume a number": (lambda: pcdarts.train(resume=5), "resume is of type int, but it must be a path"),
    "fit to a number": (lambda: pcdarts.fit(5), "folder is 5, but it must be a path"),
    "predict with a network": (
        lambda: pcdarts.predict(network(), "photo.jpg"),
        "run is of type Network, but it must be a path: give a run, an export folder or a safetensors file",
    ),
    "predict a tensor": (
        lambda: pcdarts.predict("run", IMAGES),
        "images must be the path of an image or a folder, or a list of such paths",
    ),
    "push_to_hub of a network": (
        lambda: pcdarts.push_to_hub(network(), "me/net"),
        "give the folder that `pcdarts export`",
    ),
}  # type: ignore[arg-type]


@pytest.mark.parametrize(("call", "message"), WRONG.values(), ids=WRONG.keys())
def test_an_argument_of_the_wrong_type_is_refused_with_what_to_give(call: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)) as refusal:
        call()
    assert "\n" not in str(refusal.value)


def test_every_public_callable_is_among_them() -> None:
    plain = {"InputError", "RunError", "Mixture"}  # errors, and what ArchParameters makes
    assert {name for name in pcdarts.__all__ if not any(name in case for case in WRONG)} == plain


def test_the_public_names_are_listed() -> None:
    assert [name for name in dir(pcdarts) if not name.startswith("__")] == sorted(pcdarts.__all__)
