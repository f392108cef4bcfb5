"""The Hugging Face Hub: networks from there, and export folders to there; nothing from there is unpickled."""

import os
from pathlib import Path
from typing import Any

from pcdarts.errors import InputError, RunError, check_path, shown
from pcdarts.extras import import_extra
from pcdarts.network.classifier import WEIGHTS, load_network
from pcdarts.network.network import Network
from pcdarts.ship.formats import FORMATS

CARD, SETTINGS = "README.md", "config.json"
"""What an export folder holds beside the network."""

UPLOADED = (CARD, SETTINGS, "cell_normal.svg", "cell_reduce.svg", *(form.file_name for form in FORMATS.values()))
"""Everything that is ever uploaded, whatever else lies in the folder."""


def from_pretrained(name_or_folder: str | Path, *, revision: str | None = None, token: str | None = None) -> Network:
    """The network in an export folder (or its safetensors file), or in a repository of the Hugging Face Hub.

    In evaluation mode, for normalised images; `load_classifier(download(name))` gives one that normalises and knows
    its classes.

    Args:
        name_or_folder: what exists on this machine, else `OWNER/NAME`.
        revision: branch, tag or commit of the repository.
        token: for a private repository (none: that of `hf auth login`).

    Raises:
        InputError: there is no such network, it cannot be had from the Hub, or what is there is refused.
    """
    check_path("name_or_folder", name_or_folder, "an export folder, or OWNER/NAME of the Hugging Face Hub")
    local = os.path.exists(name_or_folder)
    return load_network(name_or_folder if local else download(str(name_or_folder), revision=revision, token=token))


def download(repo_id: str, *, revision: str | None = None, token: str | None = None) -> Path:
    """The safetensors file of a repository, in the cache of huggingface-hub; offline what is there already.

    Raises:
        InputError: no such repository, revision or file, or no way to it.
    """
    hub = _hub("a network from the Hugging Face Hub")
    try:
        return Path(hub.hf_hub_download(repo_id, WEIGHTS, revision=revision, token=token))
    except Exception as error:  # of the Hub, of the network, of the disk: a dozen kinds
        raise InputError(
            f"{shown(repo_id)} is no folder here, and {WEIGHTS} cannot be had from the Hugging Face Hub "
            f"({_reason(error)}): check name and revision, `hf auth login` for a private one, and the connection"
        ) from None


def push_to_hub(folder: Path | str, repo_id: str, *, private: bool = False, token: str | None = None) -> str:
    """Upload what `pcdarts export` wrote, a run's `export/` or another folder; returns the address.

    Only the exported files, the card, its settings and drawings are sent, in one commit. A repository that is not there
    is made; one that is there keeps its other files.

    Args:
        folder: an export folder, or a run that has one.
        repo_id: `OWNER/NAME`.
        private: whether a new repository is private.
        token: one that may write (none: that of `hf auth login`).

    Raises:
        InputError: nothing is exported there.
        RunError: it cannot be uploaded.
    """
    check_path("folder", folder, "the folder that `pcdarts export` wrote")
    exported = export_folder(Path(folder))
    check_repository(repo_id)
    hub = _hub("an upload to the Hugging Face Hub")
    try:
        api = hub.HfApi(token=token, library_name="pcdarts")
        address = api.create_repo(repo_id, private=private, exist_ok=True)
        names = [name for name in UPLOADED if (exported / name).is_file()]
        api.upload_folder(
            repo_id=address.repo_id, folder_path=exported, allow_patterns=names, commit_message="Upload by pcdarts"
        )
    except Exception as error:
        raise RunError(
            f"{exported} cannot be uploaded to {shown(repo_id)} ({_reason(error)}): `hf auth login` with a token that "
            "may write, check name and connection, and push again"
        ) from None
    return str(address)


def check_repository(repo_id: str, purpose: str = "an upload to the Hugging Face Hub") -> None:
    """Make sure that a repository may have this name.

    Raises:
        InputError: it may not, or `huggingface_hub` is not installed.
    """
    _hub(purpose)
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # it is, by assignment

    try:
        validate_repo_id(repo_id)
    except HFValidationError:
        raise InputError(f"{shown(repo_id)} is no name of a repository: write OWNER/NAME") from None


def export_folder(path: Path) -> Path:
    """`path` if it is an export folder, else that of the run at `path`.

    Raises:
        InputError: neither.
    """
    for folder in (path, path / "export"):
        if (folder / SETTINGS).is_file() and any((folder / form.file_name).is_file() for form in FORMATS.values()):
            return folder
    raise InputError(f"{path} holds no exported network: run `pcdarts export` first")


def _hub(purpose: str) -> Any:
    return import_extra("huggingface_hub", "hf", purpose)


def _reason(error: Exception) -> str:
    return shown(" ".join(str(error).split()) or type(error).__name__, 300)
