"""Published cells as timm models: the numbers of `Network`, the interface of timm."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn

import pcdarts
from pcdarts.errors import InputError
from pcdarts.network.classifier import Classifier
from pcdarts.ship.formats import timm_settings
from small_classifier import BLUEPRINT, trained

timm: Any = pytest.importorskip("timm")

SMALL = {"channels": 4, "num_cells": 3}
IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module", autouse=True)
def _registered() -> None:
    import pcdarts.timm_models  # noqa: F401  # registers the models


def small(name: str = "pcdarts_cifar10_c36", **options: Any) -> Any:
    torch.manual_seed(0)
    return timm.create_model(name, **SMALL | options)


@pytest.mark.parametrize(
    ("name", "cell", "kind", "num_classes", "params"),
    [
        ("pcdarts_cifar10_c36", "pc_darts_cifar10", "cifar", 10, 3_634_678),
        ("pcdarts_cifar10_c48", "pc_darts_cifar10", "imagenet", 1000, None),
        ("pcdarts_imagenet_c48", "pc_darts_imagenet", "imagenet", 1000, 5_342_464),
        ("pdarts_c36", "p_darts", "cifar", 10, None),
        ("darts_v2_c48", "darts_v2", "imagenet", 1000, None),
    ],
)
def test_a_model_is_the_papers_network(name: str, cell: str, kind: Any, num_classes: int, params: int | None) -> None:
    channels, num_cells = (36, 20) if kind == "cifar" else (48, 14)
    with torch.device("meta"):
        model = timm.create_model(name)
        network = pcdarts.Network(
            pcdarts.published(cell),
            kind=kind,
            channels=channels,
            num_cells=num_cells,
            num_classes=num_classes,
            auxiliary=False,
        )
    shapes = {name: weight.shape for name, weight in model.state_dict().items()}
    assert shapes == {name: weight.shape for name, weight in network.state_dict().items()}
    assert params in (None, sum(weight.numel() for weight in model.parameters()))
    side = 32 if kind == "cifar" else 224
    assert model.default_cfg["input_size"] == (3, side, side)
    assert timm.is_model(name)


@pytest.mark.parametrize("name", ["pcdarts_cifar10_c36", "pcdarts_imagenet_c48"])
def test_the_same_weights_give_the_same_logits_and_gradients(name: str) -> None:
    model = small(name)
    kind: Any = "cifar" if name.endswith("c36") else "imagenet"
    cell = pcdarts.published("pc_darts_cifar10" if kind == "cifar" else "pc_darts_imagenet")
    network = pcdarts.Network(cell, kind=kind, num_classes=model.num_classes, auxiliary=False, **SMALL)
    network.load_state_dict(model.state_dict())
    for one in (model, network):
        one.double()(IMAGES.double()).square().sum().backward()
    for mine, theirs in zip(model.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad)
    with torch.no_grad():
        torch.testing.assert_close(model.eval()(IMAGES.double()), network.eval()(IMAGES.double()))


def test_the_forward_pass_comes_in_two_halves() -> None:
    model = small(num_classes=7).eval()
    features = model.forward_features(IMAGES)
    assert features.shape == (2, model.num_features, 8, 8)
    assert model.forward_head(features, pre_logits=True).shape == (2, model.head_hidden_size)
    assert torch.equal(model.forward_head(features), model(IMAGES))


def test_the_classifier_can_be_replaced_and_removed() -> None:
    model = small().eval()
    assert isinstance(model.get_classifier(), nn.Linear)
    assert model.get_classifier().out_features == 10
    for num_classes, pool, shape in (
        (3, None, (2, 3)),
        (4, "catavgmax", (2, 4)),
        (0, "avg", (2, model.num_features)),
        (0, "", (2, model.num_features, 8, 8)),
    ):
        model.reset_classifier(num_classes, pool)
        assert model(IMAGES).shape == shape
        assert model.num_classes == num_classes
    assert small(num_classes=0)(IMAGES).shape == (2, model.num_features)


def test_a_new_classifier_has_the_precision_of_the_model() -> None:
    model = small().double().eval()
    model.reset_classifier(3)
    assert model(IMAGES.double()).dtype == torch.float64


def test_features_are_maps_of_three_resolutions() -> None:
    cifar = small(features_only=True, in_chans=1)
    assert (cifar.feature_info.channels(), cifar.feature_info.reduction()) == ([16, 32, 64], [1, 2, 4])
    assert [tuple(part.shape) for part in cifar(IMAGES[:, :1])] == [(2, 16, 32, 32), (2, 32, 16, 16), (2, 64, 8, 8)]
    imagenet = small("pcdarts_imagenet_c48", features_only=True, out_indices=(0, -1))
    assert imagenet.feature_info.reduction() == [8, 32]
    assert [tuple(part.shape) for part in imagenet(IMAGES)] == [(2, 16, 4, 4), (2, 64, 1, 1)]
    assert not [name for name, _ in imagenet.named_parameters() if "classifier" in name]


def test_intermediate_maps_are_the_networks_features_and_may_end_early() -> None:
    model = small().eval()
    output, maps = model.forward_intermediates(IMAGES)
    assert torch.equal(output, model.forward_features(IMAGES))
    assert all(map(torch.equal, maps, model.features(IMAGES)))
    first = model.forward_intermediates(IMAGES, indices=[0], stop_early=True, intermediates_only=True)
    assert torch.equal(first[0], maps[0])
    with pytest.raises(InputError, match="maps are NCHW"):
        model.forward_intermediates(IMAGES, output_fmt="NLC")


def test_drop_path_and_dropout_act_in_training_alone() -> None:
    model = small(drop_path_rate=0.5, drop_rate=0.5)
    assert model.drop_path == 0.5
    assert not torch.equal(model.train()(IMAGES), model(IMAGES))
    assert torch.equal(model.eval()(IMAGES), model(IMAGES))


def test_learning_rates_can_fall_with_the_depth() -> None:
    from timm.optim import param_groups_layer_decay

    groups = param_groups_layer_decay(small(), layer_decay=0.5)
    assert len({group["lr_scale"] for group in groups}) == SMALL["num_cells"] + 2  # stem, cells, classifier


def test_there_are_no_published_weights_but_files_can_be_loaded(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="No pretrained weights exist for pcdarts_cifar10_c36"):
        small(pretrained=True)
    file = tmp_path / "model.safetensors"
    Classifier(BLUEPRINT, trained().state_dict()).save(file)
    overlay = {"file": str(file), "num_classes": 3}
    model = small(pretrained=True, num_classes=3, pretrained_cfg_overlay=overlay).eval()
    assert torch.equal(model(IMAGES), trained()(IMAGES))
    other_head = small(pretrained=True, num_classes=5, in_chans=1, pretrained_cfg_overlay=overlay)
    assert other_head(IMAGES[:, :1]).shape == (2, 5)


@pytest.fixture(params=["colour", "greyscale, in three strides"])
def export(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Classifier]:
    """An export folder as timm reads it, and the classifier in it."""
    blueprint, weights = BLUEPRINT, trained().state_dict()
    if request.param != "colour":
        changes = {"kind": "imagenet", "mean": (0.5,), "std": (0.2,), "image_size": 64, "border": 1 / 16}
        blueprint = BLUEPRINT.model_copy(update=changes)
        network = pcdarts.Network(
            blueprint.genotype, kind="imagenet", channels=4, num_cells=3, num_classes=3, image_channels=1
        )
        weights = network.state_dict()
    classifier = Classifier(blueprint, weights)
    classifier.save(tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(timm_settings(blueprint, classifier.network)))
    return tmp_path, classifier


def test_an_export_of_ones_own_is_a_timm_model_with_the_same_logits(export: tuple[Path, Classifier]) -> None:
    from pcdarts.timm_models import from_export

    folder, classifier = export
    blueprint = classifier.blueprint
    channels, side = blueprint.image_channels, blueprint.image_size
    images = torch.randn(2, channels, side, side, generator=torch.Generator().manual_seed(1))
    models = [from_export(folder), from_export(folder / "model.safetensors")]
    for model in (*models, timm.create_model(f"local-dir:{folder}", pretrained=True)):
        assert torch.equal(model.eval()(images), classifier.network(images))
        reading = timm.data.resolve_model_data_config(model)
        assert tuple(reading["input_size"]) == (channels, side, side)
        assert (tuple(reading["mean"]), tuple(reading["std"])) == (blueprint.mean, blueprint.std)
        assert (reading["crop_pct"], reading["interpolation"]) == (1 - 2 * blueprint.border, "bilinear")
        assert list(model.pretrained_cfg["label_names"]) == ["ant", "bee", "wasp"]


def test_an_export_can_have_another_classifier_other_channels_or_give_features(
    export: tuple[Path, Classifier],
) -> None:
    from pcdarts.timm_models import from_export

    folder, classifier = export
    channels, side = classifier.blueprint.image_channels, classifier.blueprint.image_size
    images = torch.randn(2, channels, side, side, generator=torch.Generator().manual_seed(1))
    for load in (
        from_export,
        lambda path, **options: timm.create_model(f"local-dir:{path}", pretrained=True, **options),
    ):
        model = load(folder, num_classes=5).eval()
        assert model(images).shape == (2, 5)
        assert torch.equal(model.forward_features(images), from_export(folder).eval().forward_features(images))
        assert all(
            map(torch.equal, load(folder, features_only=True).eval()(images), classifier.network.features(images))
        )
        assert load(folder, in_chans=4 - channels)(torch.randn(2, 4 - channels, side, side)).shape == (2, 3)


def test_an_image_of_the_right_size_is_read_by_timm_as_by_the_run(tmp_path: Path) -> None:
    from pcdarts.timm_models import from_export

    classifier = Classifier(BLUEPRINT, trained().state_dict())
    classifier.save(tmp_path / "model.safetensors")
    values = torch.randint(0, 256, (8, 8, 3), generator=torch.Generator().manual_seed(2), dtype=torch.uint8)
    model = from_export(tmp_path).eval()
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
    read = transform(Image.fromarray(values.numpy()))[None]
    torch.testing.assert_close(model(read), classifier(values.permute(2, 0, 1)[None] / 255))


def test_a_model_without_its_sizes_is_refused_and_so_is_a_folder_without_an_export(tmp_path: Path) -> None:
    from pcdarts.timm_models import from_export

    with pytest.raises(InputError, match="the model pcdarts needs genotype, kind, channels and num_cells: give them"):
        timm.create_model("pcdarts")
    with pytest.raises(InputError, match=r"model.safetensors does not exist: give a safetensors file"):
        from_export(tmp_path)
    options = {"genotype": BLUEPRINT.genotype.to_text(), "kind": "cifar", "channels": 4, "num_cells": 3}
    assert timm.create_model("pcdarts", **options, num_classes=7)(IMAGES).shape == (2, 7)


def test_gradient_checkpointing_is_refused() -> None:
    model = small()
    model.set_grad_checkpointing(False)
    with pytest.raises(InputError, match="gradient checkpointing is not supported"):
        model.set_grad_checkpointing()
