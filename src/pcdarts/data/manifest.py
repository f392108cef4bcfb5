"""A file with the weight and the arch split: drawn once, and checked by every run that uses it."""

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
_OTHER = "is not a manifest of splits: make one with `pcdarts data split`"
MAX_BYTES = 2**30
"""More than ten times the size of a manifest of all of ImageNet."""


@dataclass(frozen=True)
class SplitManifest:
    """The training images in each split, by their file names below the folder of the data set."""

    seed: int
    weight_fraction: float
    arch_fraction: float
    classes: tuple[str, ...]
    weight: tuple[str, ...]
    arch: tuple[str, ...]

    def to_json(self) -> str:
        """A JSON object with a line per image, and a checksum of all of it."""
        fields = {"format": FORMAT, **asdict(self)}
        return json.dumps(fields | {"sha256": _checksum(fields)}, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str, where: Path | str) -> "SplitManifest":
        """Read what `to_json` wrote; `where` names it in messages.

        Raises:
            InputError: it is something else, was changed, or has an image twice or an empty split.
        """
        try:
            fields: dict[str, Any] = json.loads(text)
            checksum = fields.pop("sha256")
            if fields.pop("format") != FORMAT:
                raise ValueError
            fractions = (float(fields[name]) for name in ("weight_fraction", "arch_fraction"))
            names = (tuple(map(str, fields[name])) for name in ("classes", "weight", "arch"))
            manifest = cls(int(fields["seed"]), *fractions, *names)  # type: ignore[arg-type]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
            raise InputError(f"{where} {_OTHER}") from None
        if checksum != _checksum({"format": FORMAT, **asdict(manifest)}):
            raise InputError(f"{where} was changed or damaged since it was made: restore it, or make another one")
        images = manifest.weight + manifest.arch
        if len(set(images)) < len(images) or not manifest.weight or not manifest.arch:
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
            raise InputError(f"{quoted(path)} {_OTHER}") from None

    def indices(
        self, classes: Sequence[str], names: Sequence[str], where: str, may_lack: int = 0
    ) -> tuple[Tensor, Tensor]:
        """The weight and the arch split as indices, int64, into the training images with these `names`.

        Args:
            where: the name of the manifest, for messages.
            may_lack: how many images may be missing, because they could not be read.

        Raises:
            InputError: the classes differ, an image is missing, or a split would be empty.
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
