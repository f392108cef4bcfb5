"""Published cells as timm models: `import pcdarts.timm_models`, then `timm.create_model("pcdarts_cifar10_c36")`.

timm has no way to find the models of other packages by itself: the import registers them. No weights of these are
published. A network of one's own is the model `pcdarts`: `from_export("RUN/export")`, or
`timm.create_model("local-dir:RUN/export", pretrained=True)`, and from the Hub `"hf-hub:OWNER/NAME"`.
"""

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from pcdarts.cell.genotype import Genotype
from pcdarts.cell.space import NetworkKind, stem_stride
from pcdarts.cell.stem import check_images
from pcdarts.cell.zoo import published
from pcdarts.errors import InputError, listed
from pcdarts.extras import import_extra
from pcdarts.network.classifier import WEIGHTS, cells_of, load_classifier
from pcdarts.network.network import Network
from pcdarts.network.parts import dense_gradient
from pcdarts.ship.formats import timm_settings

_layers: Any = import_extra("timm.layers", "timm", "pcdarts.timm_models")
_models: Any = import_extra("timm.models", "timm", "pcdarts.timm_models")
_features: Any = import_extra("timm.models._features", "timm", "pcdarts.timm_models")


class TimmNetwork(Network):
    """`Network` with the interface that timm's models have; the same parameters, names and numbers.

    There is no auxiliary head: `Network` has one.

    Args:
        num_classes: number of logits; with 0 the pooled features are returned.
        in_chans: channels of the images.
        global_pool: "avg", or "max", "avgmax" and "catavgmax"; with "" (and no classes) features keep their maps.
        drop_rate: dropout before the classifier.
        drop_path_rate: drop-path, the same in all cells.
    """

    global_pool: Any

    def __init__(
        self,
        genotype: Genotype,
        *,
        kind: NetworkKind,
        channels: int,
        num_cells: int,
        num_classes: int = 1000,
        in_chans: int = 3,
        global_pool: str = "avg",
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__(
            genotype,
            kind=kind,
            channels=channels,
            num_cells=num_cells,
            auxiliary=False,
            image_channels=in_chans,
            drop_path=drop_path_rate,
        )
        self.in_chans = in_chans
        self.num_features = self.cells[-1].out_channels
        stride = stem_stride(kind)
        self.feature_info = [
            {"num_chs": channels, "reduction": stride << level, "module": f"cells.{position}"}
            for level, (position, channels) in enumerate(
                zip(self.feature_positions, self.feature_channels, strict=True)
            )
        ]
        self.head_drop = nn.Dropout(drop_rate)
        self.reset_classifier(num_classes, global_pool)

    def forward(self, images: Tensor) -> Tensor:
        """Logits `[B, num_classes]` of images `[B, in_chans, H, W]`, in the precision of the context.

        Raises:
            InputError: as `Network.forward`.
        """
        return self.forward_head(self.forward_features(images))

    def forward_features(self, images: Tensor) -> Tensor:
        """What the last cell makes of the images, `[B, num_features, H', W']`."""
        features, _ = self.forward_intermediates(images)
        return features

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        """Pool and classify; with `pre_logits` what the classifier would read, `[B, head_hidden_size]`."""
        pooled: Tensor = self.head_drop(self.global_pool(dense_gradient(features)))
        return pooled if pre_logits else self.classifier(pooled)

    def forward_intermediates(
        self,
        images: Tensor,
        indices: int | list[int] | tuple[int, ...] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> Any:
        """The maps that `Network.features` has, after their ReLU, and before them what `forward_features` returns.

        Args:
            indices: which maps (none: all; a number: so many of the last).
            norm: is ignored, as there is no last normalisation.
            stop_early: compute no cell after the last of these maps.
            output_fmt: only "NCHW".
            intermediates_only: return the list of maps alone.

        Raises:
            InputError: another output format, or images that the network does not take.
        """
        if output_fmt != "NCHW":
            raise InputError(f"output_fmt is {output_fmt!r}, but the maps are NCHW")
        check_images(images, self.image_channels, self.smallest_image_side)
        levels, last = _features.feature_take_indices(len(self.feature_info), indices)
        wanted = [self.feature_positions[level] for level in levels]
        output, maps = images, []
        for position, (output, rectified) in enumerate(self._cell_outputs(images)):  # noqa: B007  # the last one counts
            if position in wanted:
                maps.append(rectified)
            if stop_early and position == self.feature_positions[last]:
                break
        return maps if intermediates_only else (output, maps)

    def get_classifier(self) -> nn.Module:
        """The linear classifier, or the identity where there are no classes."""
        return self.classifier

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """A new classifier of so many classes, and another pooling if one is given."""
        if global_pool is None:
            global_pool = self.global_pool.pool_type
        self.num_classes = num_classes
        like = next(self.parameters())
        self.global_pool, classifier = _layers.create_classifier(self.num_features, num_classes, pool_type=global_pool)
        self.classifier = classifier.to(like.device, like.dtype)
        self.head_hidden_size = self.num_features * self.global_pool.feat_mult()

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Which parameters belong together when learning rates fall with the depth."""
        return {"stem": r"^stem", "blocks": r"^cells\.(\d+)"}

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Cannot be had; timm calls this with False too.

        Raises:
            InputError: it is asked for.
        """
        if enable:
            raise InputError("gradient checkpointing is not supported by networks of pcdarts: use smaller batches")

    def prune_intermediate_layers(
        self, indices: int | list[int] | tuple[int, ...] = 1, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """Drop the classifier, which `features_only` does not use; which maps are taken, counted from the first."""
        if prune_head:
            self.reset_classifier(0, "")
        levels: list[int] = _features.feature_take_indices(len(self.feature_info), indices)[0]
        return levels


_SETTINGS: dict[NetworkKind, dict[str, Any]] = {
    "cifar": {"kind": "cifar", "channels": 36, "num_cells": 20, "num_classes": 10},
    "imagenet": {"kind": "imagenet", "channels": 48, "num_cells": 14, "num_classes": 1000},
}
"""The evaluation networks of Secs. 4.2 and 4.3."""

_INPUTS: dict[NetworkKind, dict[str, Any]] = {
    "cifar": {
        "num_classes": 10,
        "input_size": (3, 32, 32),
        "crop_pct": 1.0,
        "interpolation": "bilinear",
        "mean": (0.4914, 0.4822, 0.4465),
        "std": (0.2470, 0.2435, 0.2616),
        "first_conv": "stem.0",
        "classifier": "classifier",
    },
    "imagenet": {
        "num_classes": 1000,
        "input_size": (3, 224, 224),
        "crop_pct": 0.875,
        "interpolation": "bilinear",
        "first_conv": "stem.quarter.0",
        "classifier": "classifier",
    },
}
"""How their images are made, as timm says it."""

_CELLS: dict[str, tuple[str, NetworkKind]] = {
    "pcdarts_cifar10_c36": ("pc_darts_cifar10", "cifar"),
    "pcdarts_cifar10_c48": ("pc_darts_cifar10", "imagenet"),
    "pcdarts_imagenet_c48": ("pc_darts_imagenet", "imagenet"),
    "pdarts_c36": ("p_darts", "cifar"),
    "pdarts_c48": ("p_darts", "imagenet"),
    "darts_v1_c36": ("darts_v1", "cifar"),
    "darts_v2_c36": ("darts_v2", "cifar"),
    "darts_v2_c48": ("darts_v2", "imagenet"),
}
"""A published cell and the network that it is for, by the name of the model."""

default_cfgs = _models.generate_default_cfgs(
    {"pcdarts": _INPUTS["cifar"], **{name: _INPUTS[kind] for name, (_, kind) in _CELLS.items()}}
)
"""Where timm looks for what a model's images are like."""


def _register(name: str, cell: str, kind: NetworkKind) -> None:
    def make(pretrained: bool = False, **options: Any) -> nn.Module:
        return _build(name, pretrained, genotype=published(cell), **_SETTINGS[kind] | options)

    make.__name__ = name
    _models.register_model(make)


def _build(name: str, pretrained: bool, **options: Any) -> nn.Module:
    model: nn.Module = _models.build_model_with_cfg(
        TimmNetwork,
        name,
        pretrained,
        feature_cfg={"out_indices": (0, 1, 2), "feature_cls": "getter"},
        **options,
    )
    return model


@_models.register_model  # type: ignore[untyped-decorator]
def pcdarts(pretrained: bool = False, *, genotype: Genotype | str | None = None, **options: Any) -> nn.Module:
    """A network of any genotype (printed text will do), kind, channels and num_cells: what an export folder describes.

    Raises:
        InputError: one of these is missing, or out of range.
    """
    missing = [name for name in ("kind", "channels", "num_cells") if name not in options]
    if genotype is None or missing:
        wanted = listed((["genotype"] if genotype is None else []) + missing, "and")
        raise InputError(
            f"the model pcdarts needs {wanted}: give them, or take a whole export with "
            'pcdarts.timm_models.from_export("FOLDER") or timm.create_model("local-dir:FOLDER", pretrained=True)'
        )
    options["genotype"] = Genotype.from_text(genotype) if isinstance(genotype, str) else genotype
    return _build("pcdarts", pretrained, **options)


def from_export(folder: Path | str, **options: Any) -> nn.Module:
    """The trained network in an export folder (or its safetensors file), with its weights, as timm's models are.

    Its `pretrained_cfg` says what its images are like, as `timm.data.resolve_model_data_config` reads it.

    Args:
        folder: what `pcdarts export` wrote.
        options: as of `timm.create_model`: `features_only`, `num_classes` (another number: a new classifier),
            `in_chans`, `drop_rate` and so on.

    Raises:
        InputError: there is no such file, or it is damaged.
    """
    trained = load_classifier(folder)
    settings = timm_settings(cells_of(trained.blueprint, Path(folder), "timm's model pcdarts"), trained.network)
    file = Path(folder) / WEIGHTS if Path(folder).is_dir() else Path(folder)
    pretrained_cfg = {"architecture": "pcdarts", **settings["pretrained_cfg"], "file": str(file)}
    return pcdarts(pretrained=True, pretrained_cfg=pretrained_cfg, **settings["model_args"] | options)


for _name, (_cell, _kind) in _CELLS.items():
    _register(_name, _cell, _kind)
