"""A recipe's numbers of epochs, fitted to another length of the job than the recipe's own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pcdarts.config.job_config import JobConfig
from pcdarts.config.recipes import RECIPES, chosen_recipe, recipe
from pcdarts.config.yaml_files import read_yaml


def fitted_epochs(
    config_class: type[JobConfig], file: Path | None, flags: Mapping[str, Any]
) -> tuple[dict[str, int], list[str]]:
    """The settings that depend on `epochs` where only that was given, and a line about each that is changed.

    `arch_frozen_epochs` keeps its share of a search that is shorter than the recipe's, rounded down; a longer one keeps
    the recipe's number, as in Table 4 of the paper. `lr_warmup_epochs` is a number of its own (5 of 250 epochs and of
    100 alike) and is scaled only where it would leave nothing. What `flags` or `file` say stays as it is.

    Raises:
        InputError: the file cannot be read, or there is no such recipe.
    """
    if config_class.job_name() not in RECIPES:
        return {}, []
    given = {**({} if file is None else read_yaml(file, config_class)), **flags}
    named = chosen_recipe(config_class.job_name(), given)
    base = recipe(config_class, named).model_dump()
    wanted = str(given.get("epochs", ""))
    if not (wanted.isascii() and wanted.isdigit() and len(wanted) < 10 and 0 < int(wanted) < base["epochs"]):
        return {}, []
    fitted: dict[str, int] = {}
    for name in ("arch_frozen_epochs", "lr_warmup_epochs"):
        number = base.get(name, 0)
        if number and name not in given and (name == "arch_frozen_epochs" or number >= int(wanted)):
            fitted[name] = number * int(wanted) // base["epochs"]
    lines = [
        f"{name} is {number} (the recipe {named} has {base[name]} of {base['epochs']} epochs, scaled to {wanted}; "
        f"--{name.replace('_', '-')} sets it)"
        for name, number in fitted.items()
        if number != base[name]
    ]
    return fitted, lines
