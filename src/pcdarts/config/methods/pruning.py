"""The settings of methods that take operations away, one part after the other, until a cell is left."""

from typing import ClassVar

from pydantic import ValidationInfo, field_validator

from pcdarts.config.groups.group import at_most, setting
from pcdarts.config.groups.values import Count, NaturalNumber, NotNegative, Positive, Probability
from pcdarts.config.methods.robust import RobustSettings
from pcdarts.config.methods.settings import MethodSettings


class PDartsSettings(RobustSettings):
    """three stages, each of more cells and fewer operations on an edge, with dropout behind skips (P-DARTS)"""

    added_cells: tuple[NaturalNumber, NaturalNumber] = setting(
        (6, 12), "cells that the second and the third stage have more than the first", after="num_cells"
    )
    operations_left: tuple[Count, Count] = setting((5, 3), "operations of an edge in the second and the third stage")
    skip_dropout: tuple[Probability, Probability, Probability] = setting(
        (0.1, 0.4, 0.7),
        "dropout behind skips of stride 1 at the beginning of each stage, from which it falls",
        after="edge_normalization",
    )
    skips_kept: NaturalNumber | None = setting(
        2, "skips of the normal cell: while it has more, the weakest goes; a budget means the best cell with so few"
    )
    arch_learning_rate: Positive = setting(6e-4, "fixed learning rate of Adam on alpha and beta", after="gradient_clip")
    arch_adam_betas: tuple[Probability, Probability] = setting((0.5, 0.999), "momenta of Adam")
    arch_weight_decay: NotNegative = setting(1e-3, "weight decay of alpha and beta")

    @property
    def usual_max_skips(self) -> int | None:
        return self.skips_kept

    @field_validator("operations_left")
    @classmethod
    def _operations_only_go(cls, kept: tuple[int, int], info: ValidationInfo) -> tuple[int, int]:
        if not 8 >= kept[0] >= kept[1] >= 3:
            raise ValueError(
                f"operations_left is {kept[0]} and {kept[1]}, but of the 8 operations some go after each stage, and of "
                "those left one may be none and one a skip: give two numbers from 8 down to 3"
            )
        return kept


class TenasSettings(MethodSettings):
    """no training: operations and edges go in rounds by two measures of supernets with fresh weights (TE-NAS)"""

    has_budgets: ClassVar[bool] = False
    trains_weights: ClassVar[bool] = False
    beside_steps: ClassVar[str] = "all that this method does: measuring supernets without each operation and edge"

    operations_pruned: Count = setting(
        3,
        "operations that every edge loses in a round, until one is left, before nodes lose edges; a round is a stage, "
        "and each of its epochs measures with fresh weights",
        after="edge_normalization",
    )
    kernel_images: int = setting(
        14, "images of a batch of the arch split whose kernel's condition number is measured", ge=2, after="batch_size"
    )
    patches: Count = setting(3000, "patches of 3x3 pixels on which linear regions are counted")

    @field_validator("kernel_images")
    @classmethod
    def _a_batch_has_so_many(cls, images: int, info: ValidationInfo) -> int:
        return at_most(images, info, "batch_size")
