"""Pretrained weights of stock networks: from a cache or a file, without a network, and never unpickled."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from pcdarts.errors import InputError
from pcdarts.network.pretrained import find_weights, line_about, take_weights
from pcdarts.network.stock import StockNetwork

NAME = "shufflenet_v2_x0_5"


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    """What torchvision would save, for 1,000 classes."""
    torch.manual_seed(1)
    state = StockNetwork(NAME, num_classes=1000).model.state_dict()
    return {name: weight.clone() for name, weight in state.items()}


def network(image_channels: int = 3) -> StockNetwork:
    torch.manual_seed(0)
    return StockNetwork(NAME, num_classes=3, image_channels=image_channels, image_size=16)


def test_all_weights_but_those_of_the_last_layer_are_taken(tmp_path: Path, weights: dict[str, torch.Tensor]) -> None:
    torch.save(weights, tmp_path / "weights.pth")
    ours = network()
    own_classifier = ours.model.fc.weight.clone()
    about = take_weights(ours, tmp_path / "weights.pth")
    state = ours.model.state_dict()
    assert all(torch.equal(state[name], weights[name]) for name in weights if not name.startswith("fc."))
    assert torch.equal(state["fc.weight"], own_classifier)
    assert about["new"] == ["the last layer"]
    assert "all but the last layer, which begins at random" in line_about(about, [0.5])
    assert "with the mean [0.5] of the training images, as for every network here" in line_about(about, [0.5])


def test_the_first_convolution_sums_the_colours_for_grey_images(
    tmp_path: Path, weights: dict[str, torch.Tensor]
) -> None:
    save_file(weights, tmp_path / "model.safetensors")
    ours = network(image_channels=1)
    take_weights(ours, tmp_path / "model.safetensors")
    summed = weights["conv1.0.weight"].sum(dim=1, keepdim=True)
    torch.testing.assert_close(ours.model.state_dict()["conv1.0.weight"], summed)


def test_weights_of_another_network_are_refused(tmp_path: Path, weights: dict[str, torch.Tensor]) -> None:
    other = {name: weight for name, weight in weights.items() if not name.startswith("stage4.3")}
    torch.save(other, tmp_path / "other.pth")
    with pytest.raises(InputError, match=rf"not hold the weights of {NAME}: stage4\.3\.branch2\.0\.weight is miss"):
        take_weights(network(), tmp_path / "other.pth")


def test_a_file_that_holds_more_than_weights_is_not_unpickled(tmp_path: Path) -> None:
    torch.save(network(), tmp_path / "whole.pth")
    with pytest.raises(InputError, match="holds a whole model or other objects"):
        take_weights(network(), tmp_path / "whole.pth")


def test_without_weights_it_is_said_which_file_is_needed_and_where_it_was_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: dict[str, torch.Tensor]
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    with pytest.raises(InputError) as refusal:
        find_weights(NAME)
    (line,) = str(refusal.value).splitlines()
    assert (
        f"nothing is downloaded: {folder} (torchvision's cache) does not hold shufflenetv2_x0.5-f707e7126e.pth" in line
    )
    assert "put https://download.pytorch.org/models/shufflenetv2_x0.5-f707e7126e.pth there, or name a file" in line
    folder.mkdir(parents=True)
    torch.save(weights, folder / "shufflenetv2_x0.5-f707e7126e.pth")
    assert find_weights(NAME) == folder / "shufflenetv2_x0.5-f707e7126e.pth"


def test_of_timm_the_cache_of_the_hub_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("timm")
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(InputError) as refusal:
        find_weights("timm/lcnet_050")
    (line,) = str(refusal.value).splitlines()
    assert f"{tmp_path} (huggingface-hub's cache) does not hold model.safetensors of timm/lcnet_050.ra2_in1k" in line
    assert "`hf download timm/lcnet_050.ra2_in1k model.safetensors` puts it there" in line


def test_a_file_that_is_named_and_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--pretrained-file .*none\.pth does not exist"):
        find_weights(NAME, tmp_path / "none.pth")
