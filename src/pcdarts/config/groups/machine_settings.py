"""Groups of settings about the machine that a job runs on, and about what happens there when something goes wrong."""

import re
from typing import Literal

from pydantic import field_validator

from pcdarts.config.groups.group import Group, setting
from pcdarts.config.groups.values import Count, NaturalNumber, Positive
from pcdarts.errors import shown


class Safety(Group):
    """What a job does about bad images and numbers, what it saves, and to whom it tells its figures."""

    changeable = frozenset({"on_bad_image", "max_skipped_batches", "checkpoint_minutes", "track"})

    on_bad_image: Literal["stop", "skip"] = setting("stop", "what to do about an image file that cannot be read")
    max_skipped_batches: NaturalNumber = setting(
        0, "largest number of batches to skip because loss or gradient is not finite (0: stop at the first)"
    )
    checkpoint_minutes: Positive | None = setting(
        10.0, "minutes between two checkpoints, besides those after each epoch (none: only these)"
    )
    track: Literal["none", "tensorboard", "wandb", "trackio"] = setting(
        "none", "also send the figures of every epoch to TensorBoard, or to a service with wandb's interface"
    )


class Seed(Group):
    """Where chance begins."""

    seed: int = setting(0, "seed of every random stream", ge=0, lt=2**63)


class Device(Group):
    """What a job computes on."""

    changeable = frozenset({"device"})

    device: str = setting("auto", "auto, cpu, cuda or cuda:N; auto takes the GPU if there is one")

    @field_validator("device")
    @classmethod
    def _device_is_known(cls, device: str) -> str:
        if not re.fullmatch(r"auto|cpu|cuda(:[0-9]{1,2})?", device):
            raise ValueError(f"device is {shown(device)}, but it must be auto, cpu, cuda or cuda:N")
        return device


class Threads(Group):
    """How much of the CPU a job takes."""

    changeable = frozenset({"threads"})

    threads: Count | None = setting(None, "CPU threads (none: PyTorch's default)")


class Machine(Device, Threads):
    """Where a job computes."""


class Determinism(Group):
    """Whether the same job gives the same bits."""

    changeable = frozenset({"deterministic"})

    deterministic: bool = setting(False, "only algorithms that give the same bits every time, also on a GPU")


class Compilation(Group):
    """Code made faster by PyTorch."""

    changeable = frozenset({"compile"})

    compile: bool = setting(
        False, "compile the network with torch.compile: this takes minutes, and is seldom worth it on a CPU"
    )
