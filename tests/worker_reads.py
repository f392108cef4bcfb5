"""What worker processes do in tests: in a module of its own, where they find it by name."""

import os
import signal
import time
from dataclasses import dataclass

import torch
from torch import Tensor

from pcdarts.errors import InputError, RunError


@dataclass(frozen=True)
class Read:
    """Something different for each request."""

    offset: int = 0

    def __call__(self, request: int) -> tuple[int, Tensor]:
        if request == 3:
            raise InputError("image 3 is bad")
        if request == 4:
            raise RunError("the disk is gone")
        if request == 5:
            raise BadOne("a.png")
        if request == 6:
            raise KeyError("a mistake of ours")
        if request == 7:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.02 * (request % 2))
        return os.getpid(), torch.full((2,), self.offset + request)


class BadOne(InputError):
    """An error that cannot be unpickled: it takes other arguments than those it keeps."""

    def __init__(self, path: str, why: str = "torn") -> None:
        super().__init__(f"{path} is {why}")
