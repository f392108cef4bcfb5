"""Download networks from the Hugging Face Hub and upload export folders to it; nothing is unpickled."""

import os
from pathlib import Path
from typing import Any

from pcdarts.errors import InputError, RunError, check_path, shown
from pcdarts.extras import import_extra
from pcdarts.network.classifier import WEIGHTS, load_network
from pcdarts.network.stock import AnyNetwork
from pcdarts.ship.formats import FORMATS

CARD, SETTINGS = "README.md", "config.json"
"""The files in an export folder beside the network."""

UPLOADED = (CARD, SETTINGS, "cell_normal.svg", "cell_reduce.svg", *(form.file_name for form in FORMATS.values()))
"""The only files that are uploaded from a folder."""


def from_pretrained(name_or_folder: str | Path, *, revision: str | None = None, token: str | None = None) -> AnyNetwork:
    """The network in an export folder (or its safetensors file), or in a repository of the Hugging Face Hub.

    It is in evaluation mode and takes normalised images; `load_classifier(download(name))` gives a classifier that
    normalises images itself and knows its classes.

    Args:
        name_or_folder: a path that exists on this machine, otherwise `OWNER/NAME`.
        revision: branch, tag or commit of the repository.
        token: for a private repository; None uses that of `hf auth login`.

    Raises:
        InputError: there is no such network, it cannot be downloaded, or its file is refused.
    """
    check_path("name_or_folder", name_or_folder, "an export folder, or OWNER/NAME of the Hugging Face Hub")
    local = os.path.exists(name_or_folder)
    return load_network(name_or_folder if local else download(str(name_or_folder), revision=revision, token=token))


def download(repo_id: str, *, revision: str | None = None, token: str | None = None) -> Path:
    """The path of a repository's safetensors file in the cache of huggingface-hub; offline, if it is there already.

    Raises:
        InputError: there is no such repository, revision or file, or it cannot be reached.
    """
    hub = _hub("a network from the Hugging Face Hub")
    try:
        return Path(hub.hf_hub_download(repo_id, WEIGHTS, revision=revision, token=token))
    except Exception as error:  # errors of the Hub, the network or the disk, of many types
        raise InputError(
            f"{shown(repo_id)} is not a folder here, and {WEIGHTS} cannot be downloaded from the Hugging Face Hub "
            f"({_reason(error)}): check name and revision, `hf auth login` for a private one, and the connection"
        ) from None


def push_to_hub(folder: Path | str, repo_id: str, *, private: bool = False, token: str | None = None) -> str:
    """Upload the files that `pcdarts export` wrote; returns the address of the repository.

    Only the exported files, the card, its settings and drawings are uploaded, in one commit. The repository is created
    if it does not exist; an existing one keeps its other files.

    Args:
        folder: an export folder, or a run that has one.
        repo_id: `OWNER/NAME`.
        private: whether a new repository is private.
        token: a token with the right to write; None uses that of `hf auth login`.

    Raises:
        InputError: the folder holds no exported network.
        RunError: the upload failed.
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
    """Check that a repository can have this name.

    Raises:
        InputError: it cannot, or `huggingface_hub` is not installed.
    """
    _hub(purpose)
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # it is, by assignment

    try:
        validate_repo_id(repo_id)
    except HFValidationError:
        raise InputError(f"{shown(repo_id)} is not a valid name of a repository: write OWNER/NAME") from None


def export_folder(path: Path) -> Path:
    """`path` if it is an export folder, otherwise the export folder of the run at `path`.

    Raises:
        InputError: there is neither.
    """
    for folder in (path, path / "export"):
        if (folder / SETTINGS).is_file() and any((folder / form.file_name).is_file() for form in FORMATS.values()):
            return folder
    raise InputError(f"{path} holds no exported network: run `pcdarts export` first")


def _hub(purpose: str) -> Any:
    return import_extra("huggingface_hub", "hf", purpose)


def _reason(error: Exception) -> str:
    return shown(" ".join(str(error).split()) or type(error).__name__, 300)
