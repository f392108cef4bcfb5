"""What was fitted on a table, kept for later starts: plain arrays in one file, behind their checksum."""

import hashlib
import io
import platform
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import pcdarts
from pcdarts.cache import cache_folder, is_private, replace_file
from pcdarts.cell.budget import NetworkCosts
from pcdarts.cell.space import CellSpace
from pcdarts.score.arrays import Array, Linear, Trees
from pcdarts.score.regressor import Quality, Regressor
from pcdarts.score.table import CellTable

_DIGEST = hashlib.sha256().digest_size
_PICKLE = re.compile(r"yardstick-[0-9a-f]{16}(\.joblib)?")
"""What older versions kept."""


@dataclass(frozen=True, eq=False)
class Fitted:
    """What a `Yardstick` has besides its table."""

    regressor: Regressor
    costs: NetworkCosts
    random: Array


def kept_file(table: CellTable) -> Path:
    """Where it is kept: changes with the table, what was read from it, the code, and the libraries that fit it."""
    try:
        sklearn = metadata.version("scikit-learn")  # importing it takes seconds
    except metadata.PackageNotFoundError:
        sklearn = ""
    versions = f"{pcdarts.__version__} {sklearn} {np.__version__}"
    digest = hashlib.sha256(f"{table.checksum} {versions} {platform.machine()}".encode())
    for folder in ("cell", "network", "ops", "score"):
        for source in sorted((Path(pcdarts.__file__).parent / folder).glob("*.py")):
            digest.update(source.read_bytes())
    return cache_folder() / f"yardstick-{digest.hexdigest()[:16]}.arrays"


def read_kept(file: Path, space: CellSpace) -> Fitted | None:
    """What `keep` wrote; None when there is no such file, a damaged one, or one that others may have written."""
    with suppress(Exception):  # reading one may fail in any way
        if is_private(file.parent) and is_private(file):
            content = file.read_bytes()
            if content.startswith(_digest(content[_DIGEST:])):
                with np.load(io.BytesIO(content[_DIGEST:]), allow_pickle=False) as arrays:
                    return _fitted(dict(arrays), space)
    return None


def keep(fitted: Fitted, file: Path) -> str | None:
    """Keep it for later starts, and remove the pickles of older versions; return why that was not possible."""
    buffer = io.BytesIO()
    np.savez(buffer, **_arrays(fitted))
    content = buffer.getvalue()
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(_digest(content) + content, file)
    except OSError as error:
        return error.strerror or str(error)
    for old in file.parent.glob("yardstick-*"):
        with suppress(OSError):
            if _PICKLE.fullmatch(old.name) and old.is_file() and not old.is_symlink() and is_private(old):
                old.unlink()
    return None


def _arrays(fitted: Fitted) -> dict[str, Any]:
    regressor, costs = fitted.regressor, fitted.costs
    groups: dict[str, Mapping[Any, Any]] = {
        "trees": vars(regressor.trees),
        "linear": vars(regressor.linear),
        "quality": vars(regressor.quality),
        "choices": costs.choices,
    }
    named = {f"{group}.{name}": value for group, values in groups.items() for name, value in values.items()}
    return {**named, "rest": costs.rest, "random": fitted.random}


def _fitted(arrays: Mapping[str, npt.NDArray[Any]], space: CellSpace) -> Fitted:
    def group(name: str) -> dict[str, Any]:
        return {key.removeprefix(f"{name}."): value for key, value in arrays.items() if key.startswith(f"{name}.")}

    quality = Quality(**{name: value.item() for name, value in group("quality").items()})
    regressor = Regressor(Trees(**group("trees")), Linear(**group("linear")), quality)
    choices = {kind: arrays[f"choices.{kind}"] for kind in space.kinds}
    return Fitted(regressor, NetworkCosts(space, choices, arrays["rest"]), arrays["random"])


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()
