"""Files of weights that other programs saved: read without running anything that is in them."""

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
    """What stands in a checkpoint beside its weights: a NumPy number, the script's arguments.

    Such an object becomes one of these instead: of NumPy's and Python's own classes none is made.
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
    """What `torch.save` or safetensors saved at `path`: tensors and plain values, on the CPU, nothing else.

    Raises:
        InputError: it cannot be read, is damaged, or holds more than that, such as a whole pickled module.
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
        raise InputError(f"{path} is no file of weights: give one that torch.save wrote, such as weights.pt")
    return _loaded(path, content)


def _loaded(path: Path, content: bytes) -> Any:
    damaged = InputError(f"{path} is truncated or damaged, or torch.save did not write it: fetch or save it again")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of files that it then refuses
            if content.startswith(b"PK"):
                with zipfile.ZipFile(io.BytesIO(content)) as archive:
                    if sum(member.file_size for member in archive.infolist()) > len(content):
                        raise damaged  # compressed, as torch never does: it could fill the memory
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
            f"{path} is refused: it holds a whole model or other objects ({found[1]}), not weights alone, and to read "
            f"those would run code: {_REMEDY}"
        ) from None
    except Exception:  # a damaged or hostile file may fail in any way
        raise damaged from None
