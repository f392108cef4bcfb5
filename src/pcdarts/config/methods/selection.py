"""What dense methods can be told about how their cell is selected: `methods/selection/darts_pt.py`."""

from typing import Literal

from pydantic import ValidationInfo, field_validator

from pcdarts.config.groups.group import setting
from pcdarts.config.groups.values import Count, NaturalNumber
from pcdarts.config.methods.robust import RobustSettings

MEASURING = "measuring the supernet without each operation and edge"


class SelectionSettings(RobustSettings):
    """A method whose mixture weighs all operations to the end has these settings too."""

    selection: Literal["weights", "perturbation"] = setting(
        "weights",
        "what the cell keeps: the operations and edges of the largest weights, or (perturbation) those whose removal "
        "costs the supernet most accuracy, one decision after the other (DARTS-PT)",
        after="latency_table",
    )
    tuning_epochs: NaturalNumber = setting(
        5, "epochs from one of these decisions to the next, in a second stage, at a tenth of learning_rate"
    )
    removal_batches: Count | None = setting(
        None, "batches of the arch split on which a removal is measured (none: the whole split)"
    )

    @property
    def weighs_operations(self) -> bool:
        return self.has_budgets and self.selection == "weights"

    @field_validator("selection")
    @classmethod
    def _one_cell_is_left(cls, selection: str, info: ValidationInfo) -> str:
        if selection == "weights":
            return selection
        limits = ("max_mult_adds", "max_params", "max_skips", "max_latency")
        limited = [name for name in limits if info.data.get(name) is not None]
        if limited:
            raise ValueError(
                f"selection is perturbation, which leaves one cell, but {limited[0]} chooses among cells by the "
                "weights of their operations: drop it, or use selection weights"
            )
        return selection

    @field_validator("eigenvalue_every")
    @classmethod
    def _the_search_goes_on_to_its_selection(cls, every: int, info: ValidationInfo) -> int:
        if every and info.data.get("selection") == "perturbation":
            raise ValueError(
                f"eigenvalue_every is {every} and may end the search, but selection is perturbation, which begins "
                "after its last epoch: drop one of them"
            )
        return every


SELECTION = SelectionSettings.model_fields.keys() - RobustSettings.model_fields.keys()
"""The settings of `SelectionSettings` that are its own."""
