"""What `pcdarts compare` can be told."""

from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, field_validator

from pcdarts.config.groups.group import argument, setting
from pcdarts.config.groups.values import Count, NaturalNumber
from pcdarts.config.job_config import FolderConfig


class CompareConfig(FolderConfig):
    """Train stock networks and random cells as a run was trained, and say which network is the best."""

    model_config = ConfigDict(serialize_by_alias=True)

    changeable = frozenset({"trained"})

    job: Literal["compare"] = "compare"
    trained: Path = argument("folder of a finished train run, of which every other network gets the settings")
    networks: str | None = setting(
        "mobilenet_v3_small,shufflenet_v2_x0_5",
        "stock networks, separated by commas: of torchvision, or timm/NAME (none: no stock networks)",
        alias="with",
        after="trained",
    )
    random: NaturalNumber = setting(0, "number of random cells in networks of the run's stem and depth")
    seeds: Count | None = setting(
        None, "seeds of every network, from the run's first one on (none: as many as the run has)"
    )
    pretrained: bool = setting(
        False, "train each stock network twice: also from its weights learnt on ImageNet, at its own width"
    )

    @field_validator("networks")
    @classmethod
    def _names_are_there(cls, networks: str | None) -> str | None:
        if networks is not None and not all(name.strip() for name in networks.split(",")):
            raise ValueError(f"with is {networks!r}, but it must be names separated by commas: resnet18,timm/lcnet_050")
        return networks

    @property
    def names(self) -> list[str]:
        """The stock networks, each once."""
        return list(dict.fromkeys(name.strip() for name in (self.networks or "").split(",") if name.strip()))
