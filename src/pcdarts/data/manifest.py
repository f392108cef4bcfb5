"""The weight and the arch split as a file: drawn once, used by any later run, which finds out whether it still fits."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pcdarts.data.disk.decode import quoted
from pcdarts.errors import InputError

FORMAT = 1
MAX_BYTES = 2**30
"""More than ten times what a manifest of all of ImageNet needs."""


@dataclass(frozen=True)
class SplitManifest:
    """Which training images are in which split, by the names of their files below the folder of the data set."""

    seed: int
    weight_fraction: float
    arch_fraction: float
    classes: tuple[str, ...]
    weight: tuple[str, ...]
    arch: tuple[str, ...]

    def to_json(self) -> str:
        """A JSON object with a line for each image, and a checksum over all of it."""
        fields = {"format": FORMAT, **asdict(self)}
        return json.dumps(fields | {"sha256": _checksum(fields)}, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str, where: Path | str) -> "SplitManifest":
        """Read what `to_json` wrote; `where` names it in messages.

        Raises:
            InputError: it is something else, was changed, or puts an image into both splits.
        """
        try:
            fields: dict[str, Any] = json.loads(text)
            checksum = fields.pop("sha256")
            if fields.pop("format") != FORMAT:
                raise ValueError
            numbers = {"seed": int(fields["seed"])} | {
                name: float(fields[name]) for name in ("weight_fraction", "arch_fraction")
            }
            names = {name: tuple(map(str, fields[name])) for name in ("classes", "weight", "arch")}
            manifest = cls(**numbers, **names)  # type: ignore[arg-type]  # by name
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
            raise InputError(f"{where} is no manifest of splits: make one with `pcdarts data split`") from None
        if checksum != _checksum({"format": FORMAT, **asdict(manifest)}):
            raise InputError(f"{where} was changed or damaged since it was made: restore it, or make another one")
        both = set(manifest.weight) & set(manifest.arch)
        several = len(set(manifest.weight)) < len(manifest.weight) or len(set(manifest.arch)) < len(manifest.arch)
        if both or several or not manifest.weight or not manifest.arch:
            raise InputError(f"{where} has an empty split, or an image twice: make one with `pcdarts data split`")
        return manifest

    @classmethod
    def from_file(cls, path: Path) -> "SplitManifest":
        """Read a manifest.

        Raises:
            InputError: it cannot be read, or as in `from_json`.
        """
        try:
            with path.open("rb") as file:
                content = file.read(MAX_BYTES + 1)
            if len(content) > MAX_BYTES:
                raise InputError(f"{quoted(path)} is too large for a manifest of splits")
            return cls.from_json(content.decode(), quoted(path))
        except OSError as error:
            raise InputError(
                f"the manifest {quoted(path)} cannot be read ({error.strerror}): make one with `pcdarts data split`"
            ) from None
        except UnicodeDecodeError:
            raise InputError(f"{quoted(path)} is no manifest of splits: make one with `pcdarts data split`") from None

    def indices(
        self, classes: Sequence[str], names: Sequence[str], where: str, may_lack: int = 0
    ) -> tuple[Tensor, Tensor]:
        """The weight and the arch split as indices, int64, of training images with these `names`.

        Args:
            may_lack: so many images may be missing, because they could not be read.

        Raises:
            InputError: the classes are others, an image is not there, or nothing is left of a split.
        """
        if tuple(classes) != self.classes:
            raise InputError(
                f"{where} was made for other classes ({len(self.classes)}, here {len(classes)}): make one of this data "
                "with `pcdarts data split`"
            )
        place = {name: index for index, name in enumerate(names)}
        missing = [name for name in self.weight + self.arch if name not in place]
        if len(missing) > may_lack:
            raise InputError(
                f"{len(missing)} images of {where} are not among the {len(names)} training images, first "
                f"{quoted(missing[0])}: restore them, drop --train-images, or make another manifest with `pcdarts data "
                "split`"
            )
        weight, arch = (
            torch.tensor([place[name] for name in split if name in place]) for split in (self.weight, self.arch)
        )
        if not len(weight) or not len(arch):
            raise InputError(f"no image of a split of {where} can be read: repair them, or make another manifest")
        return weight, arch


def _checksum(fields: dict[str, Any]) -> str:
    return sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
