"""The check of exported files: what a file gives is compared with the network, whatever the file is."""

from pathlib import Path

import pytest
import torch
from torch import nn

from pcdarts.errors import RunError
from pcdarts.network.classifier import Blueprint, Classifier
from pcdarts.ship.formats import FORMATS, _with_folded_norms, check
from small_classifier import BLUEPRINT, trained

PIXELS = torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))
MEAN, STD = (torch.tensor(values).view(3, 1, 1) for values in (BLUEPRINT.mean, BLUEPRINT.std))


def difference(path: Path, blueprint: Blueprint = BLUEPRINT, **changed: torch.Tensor) -> float:
    """What the check finds for a file of the network with these weights changed."""
    form, network = FORMATS["safetensors"], trained()
    form.save(Classifier(blueprint, network.state_dict() | changed), PIXELS[:2], path)
    return check(path, form, network, PIXELS, (PIXELS - MEAN) / STD)


def test_a_file_of_the_same_network_passes(tmp_path: Path) -> None:
    assert difference(tmp_path / "model.safetensors") < 1e-6


def test_another_weight_is_found(tmp_path: Path) -> None:
    other = {"classifier.bias": trained().classifier.bias.detach() + 0.25}
    with pytest.raises(
        RunError, match=r"logits for 1 images by up to 0\.25, where 0\.0001 is allowed; nothing is exported"
    ):
        difference(tmp_path / "model.safetensors", **other)


def test_another_normalisation_is_found(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="differs from the network"):
        difference(tmp_path / "model.safetensors", BLUEPRINT.model_copy(update={"mean": (0.5, 0.4, 0.2)}))


def test_logits_that_are_no_numbers_are_found(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="by up to nan"):
        difference(tmp_path / "model.safetensors", **{"classifier.bias": torch.full((3,), float("nan"))})


def test_batchnorms_folded_into_convolutions_change_nothing_but_their_number() -> None:
    classifier = Classifier(BLUEPRINT, trained().state_dict())
    folded = _with_folded_norms(classifier)
    pixels = torch.rand(3, 3, 8, 8)
    with torch.no_grad():
        assert torch.allclose(folded(pixels), classifier(pixels), atol=1e-5)
    norms = [sum(isinstance(module, nn.BatchNorm2d) for module in some.modules()) for some in (classifier, folded)]
    assert norms[1] < norms[0] / 2
