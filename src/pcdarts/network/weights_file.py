"""Read files of weights that other programs saved, without running any code in them."""

import io
import pickle
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors

from pcdarts.errors import InputError, shown


class _Ignored:
    """A placeholder for other objects in a checkpoint, such as a NumPy number or the script's arguments.

    It is created in place of the object, so that no class of NumPy or Python is instantiated.
    """

    def __init__(self, *arguments: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


_IGNORED = [
    "argparse.Namespace",
    "numpy.dtype",
    "numpy.ndarray",
    *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("scalar", "_reconstruct")),
]

_REMEDY = "in the script that made it, torch.save(model.state_dict(), ...) saves the weights alone"


def read_weights(path: Path) -> Any:
    """Tensors (on the CPU) and plain values from a file that `torch.save` or safetensors wrote.

    Raises:
        InputError: it cannot be read, is damaged, or holds other objects, such as a whole pickled module.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from None
    if not content:
        raise InputError(f"{path} is empty: give a file of weights")
    if content[8:9] == b"{":
        try:
            return load_safetensors(content)
        except (SafetensorError, ValueError, KeyError) as error:
            raise InputError(f"{path} is truncated or damaged ({shown(error)}): fetch it again") from None
    if content[257:262] == b"ustar":
        raise InputError(f"{path} is of the .tar format that PyTorch wrote before 2017, which runs code: {_REMEDY}")
    if not content.startswith((b"PK\x03\x04", b"\x80")):
        raise InputError(f"{path} is not a file of weights: give one that torch.save wrote, such as weights.pt")
    return _loaded(path, content)


def _loaded(path: Path, content: bytes) -> Any:
    damaged = InputError(f"{path} is truncated or damaged, or torch.save did not write it: fetch or save it again")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns about files before it refuses them
            if content.startswith(b"PK"):
                with zipfile.ZipFile(io.BytesIO(content)) as archive:
                    if sum(member.file_size for member in archive.infolist()) > len(content):
                        raise damaged  # torch does not compress, and such a file could fill the memory
                    if any(member.filename.endswith("/constants.pkl") for member in archive.infolist()):
                        raise InputError(f"{path} is a TorchScript program, which is not read: {_REMEDY}")
            with torch.serialization.safe_globals([(_Ignored, name) for name in _IGNORED]):
                return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except InputError:
        raise
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL ([\w.]{1,100}) was not", str(error))
        if found is None:
            raise damaged from None
        raise InputError(
            f"{path} is refused: it holds a whole model or other objects ({found[1]}), not weights alone, and reading "
            f"those would run code: {_REMEDY}"
        ) from None
    except Exception:  # a damaged or hostile file may raise any error
        raise damaged from None
