"""A classifier in a safetensors file: what comes back is the same, and what is not one is refused in one line."""

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

import pcdarts
from pcdarts.errors import InputError
from pcdarts.network.classifier import Classifier, load_classifier, load_network
from small_classifier import BLUEPRINT, trained


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "model.safetensors"
    Classifier(BLUEPRINT, trained().state_dict()).save(path)
    return path


@pytest.fixture
def file(saved: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copy(saved, tmp_path))


def rewritten(file: Path, metadata: dict[str, Any], weights: dict[str, Tensor] | None = None) -> Path:
    """The same file with other words about its weights, or other weights."""
    blueprint = json.loads(BLUEPRINT.model_dump_json()) | metadata
    save_file(weights or load_network(file).state_dict(), file, {"pcdarts": json.dumps(blueprint)})
    return file


def test_a_classifier_is_the_network_of_normalised_images() -> None:
    network, pixels = trained(), torch.rand(2, 3, 8, 8)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (BLUEPRINT.mean, BLUEPRINT.std))
    with torch.no_grad():
        expected = network((pixels - mean) / std)
        assert torch.equal(Classifier(BLUEPRINT, network.state_dict())(pixels), expected)


def test_a_file_alone_gives_the_same_classifier(file: Path) -> None:
    loaded, pixels = load_classifier(file), torch.rand(3, 3, 8, 8)
    assert loaded.blueprint == BLUEPRINT
    assert not loaded.training
    assert torch.equal(loaded(pixels), Classifier(BLUEPRINT, trained().state_dict())(pixels))
    assert load_network(file.parent).state_dict().keys() == trained(auxiliary=False).state_dict().keys()


def test_a_file_has_the_fields_of_a_genotype_that_older_versions_can_read() -> None:
    written = json.loads(BLUEPRINT.model_dump_json())["genotype"]
    assert list(written) == ["normal", "normal_concat", "reduce", "reduce_concat"]


def test_a_cell_of_nas_bench_201_comes_back_with_its_network(tmp_path: Path) -> None:
    cell = "|none~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_3x3~0|skip_connect~1|avg_pool_3x3~2|"
    sizes = {"genotype": pcdarts.Genotype.from_text(cell), "kind": "cifar", "channels": 4, "num_cells": 3}
    network = pcdarts.Network(**sizes, num_classes=3, auxiliary=False).eval()
    blueprint = BLUEPRINT.model_copy(update=sizes)
    Classifier(blueprint, network.state_dict()).save(tmp_path / "model.safetensors")
    loaded, pixels = load_classifier(tmp_path), torch.rand(3, 3, 8, 8)
    assert loaded.blueprint == blueprint
    assert torch.equal(loaded(pixels), Classifier(blueprint, network.state_dict())(pixels))


def test_a_loaded_network_can_be_trained_on(file: Path) -> None:
    network = load_network(file).train()
    network(torch.randn(2, 3, 8, 8)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_the_metadata_say_all_in_plain_json(file: Path) -> None:
    with safe_open(file, framework="pt") as opened:
        metadata = opened.metadata()
    said = json.loads(metadata["pcdarts"])
    assert metadata["format"] == "pt"
    assert pcdarts.Genotype.from_json(json.dumps(said["genotype"])) == BLUEPRINT.genotype
    assert (said["classes"], said["image_size"], said["version"]) == (["ant", "bee", "wasp"], 8, pcdarts.__version__)


@pytest.mark.parametrize("content", [b"", b"\xff" * 100, pickle.dumps({"weight": [1]}), b"PK\x03\x04" + bytes(60)])
def test_what_is_no_safetensors_file_is_refused(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(
        InputError, match=r"model\.safetensors is refused \(.*give the safetensors file that pcdarts export wrote"
    ):
        load_classifier(file)


def test_a_file_that_breaks_off_is_refused(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(InputError, match="is refused"):
        load_classifier(file)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"model\.safetensors does not exist"):
        load_classifier(tmp_path)
    (tmp_path / "config.yaml").touch()
    with pytest.raises(InputError, match=r"is a run, not an export: .*`pcdarts export .*` writes one"):
        load_classifier(tmp_path)


def test_the_weights_of_others_are_refused(file: Path) -> None:
    save_file({"weight": torch.zeros(1)}, file, {"format": "pt"})
    with pytest.raises(InputError, match="do not describe a network of pcdarts"):
        load_classifier(file)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"channels": 8}, r"is \[4, 1, 3, 3\] float32, but the network has \[8, 1, 3, 3\] float32"),
        ({"channels": "4"}, "channels: Input should be a valid integer"),
        ({"num_cells": 10**9}, "num_cells: Input should be less than or equal to 1000"),
        ({"num_cells": 999}, "999 cells cannot be made of"),
        ({"kind": "imagenet", "channels": 3}, "ImageNet stem makes 3 channels"),
        ({"classes": ["ant"]}, "classes: Tuple should have at least 2 items"),
        ({"mean": [0.5]}, "mean has 1 channels and std 3"),
        ({"mean": [0.5] * 2, "std": [0.5] * 2}, "images have 1 or 3 channels, not 2"),
        ({"image_size": 2**40}, "image_size"),
        ({"std": [0, 1, 1]}, r"std\.0: Input should be greater than 0"),
        ({"genotype": None}, "genotype: "),
        ({"genotype": {"normal": [["__import__", 0]] * 2}}, "genotype.*: "),
        ({"weights": "elsewhere"}, "weights: Extra inputs are not permitted"),
        ({"classes": ["x" * 2_000_000, "y"]}, "too long"),
    ],
)
def test_metadata_that_cannot_be_true_are_refused(file: Path, metadata: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as refusal:
        load_classifier(rewritten(file, metadata))
    assert "\n" not in str(refusal.value)


def test_missing_and_unknown_and_other_tensors_are_refused_by_name(file: Path) -> None:
    weights = load_network(file).state_dict()
    bias = weights.pop("classifier.bias")
    for changed, message in (
        ({}, "classifier.bias is missing"),
        ({"classifier.bias": bias, "extra": bias.clone()}, "extra is .* none of that name"),
        ({"classifier.bias": bias.double()}, "float64, but the network has .* float32"),
        ({"classifier.bias": bias[:2]}, r"is \[2\] float32, but the network has \[3\]"),
    ):
        with pytest.raises(InputError, match=message):
            load_classifier(rewritten(file, {}, {**weights, **changed}))


def test_a_file_from_before_pixel_ranges_has_the_one_that_was_meant_then(file: Path) -> None:
    fields = json.loads(BLUEPRINT.model_dump_json())
    del fields["pixel_range"]
    save_file(load_network(file).state_dict(), file, {"pcdarts": json.dumps(fields)})
    assert load_classifier(file).blueprint.pixel_range == (0, 65535)


@pytest.mark.parametrize("pixel_range", [None, [0.0, 4095.0], [-1000.0, 3000.0]])
def test_a_pixel_range_comes_back_as_it_was(file: Path, pixel_range: list[float] | None) -> None:
    found = load_classifier(rewritten(file, {"pixel_range": pixel_range})).blueprint.pixel_range
    assert found == (None if pixel_range is None else tuple(pixel_range))


@pytest.mark.parametrize("pixel_range", [[1.0, 1.0], [2.0, 1.0], [0.0], ["0", "1"], [-1e308, 1e308]])
def test_a_pixel_range_that_does_not_rise_is_refused(file: Path, pixel_range: list[Any]) -> None:
    with pytest.raises(InputError, match=r"in its metadata, .*pixel_range"):
        load_classifier(rewritten(file, {"pixel_range": pixel_range}))


def test_a_file_of_pytorch_is_refused_with_what_makes_safetensors_of_it(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(1)}, tmp_path / "weights.pt")
    with pytest.raises(InputError, match=r"is refused \(it is a file of PyTorch\).*`pcdarts export .*weights\.pt"):
        pcdarts.load_classifier(tmp_path / "weights.pt")
