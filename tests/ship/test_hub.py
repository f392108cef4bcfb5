"""The Hugging Face Hub: an export goes there and comes back, through HTTP to a server on this machine."""

import json
import sys
from pathlib import Path

import pytest

import pcdarts
from command_line import Ended, end_of
from forked import Forked
from hub_server import hub_server
from pcdarts.errors import InputError, RunError
from pcdarts.network.classifier import Classifier
from pcdarts.ship.formats import timm_settings
from small_classifier import BLUEPRINT, trained

SECRET = "hf_of_the_tests"
PUSH_AND_FETCH = """
import sys, pcdarts
print(pcdarts.push_to_hub(sys.argv[1], "me/net", private=True))
print(pcdarts.from_pretrained("me/net").classifier.bias.tolist())
"""
FETCH_ALL = """
import sys, pcdarts
for name in sys.argv[1:]:
    try:
        print(pcdarts.from_pretrained(name).classifier.bias.tolist())
    except pcdarts.InputError as error:
        print(error)
"""


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """An export folder, with something in it that is nobody else's business."""
    folder = tmp_path / "run" / "export"
    folder.mkdir(parents=True)
    Classifier(BLUEPRINT, trained().state_dict()).save(folder / "model.safetensors")
    for name in ("README.md", "config.json", "cell_normal.svg", "cell_reduce.svg", "notes.txt", ".env"):
        (folder / name).write_text("{}")
    return folder


TIMM = """
import sys, timm, pcdarts.timm_models
print(timm.create_model("hf-hub:me/net", pretrained=True).classifier.bias.tolist())
"""


def python(code: str, *arguments: object, **environment: str) -> Ended:
    """What a Python process does that knows nothing of this machine's caches and credentials."""
    return end_of(Forked(Path.cwd(), *map(str, arguments), code=code, environment={"HF_TOKEN": SECRET, **environment}))


def plant(cache: Path, repo_id: str, content: bytes) -> None:
    """Put a file of weights where huggingface-hub keeps those that it has fetched."""
    repository = cache / "hub" / f"models--{repo_id.replace('/', '--')}"
    snapshot = repository / "snapshots" / ("b" * 40)
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("b" * 40)
    (snapshot / "model.safetensors").write_bytes(content)


def test_an_export_goes_to_the_hub_and_comes_back_also_offline(tmp_path: Path, exported: Path) -> None:
    bias, cache = str(trained().classifier.bias.tolist()), tmp_path / "cache"
    with hub_server() as server:
        settings = timm_settings(BLUEPRINT, trained(auxiliary=False))
        (exported / "config.json").write_text(json.dumps(settings))
        ended = python(PUSH_AND_FETCH, exported.parent, HF_ENDPOINT=server.address, HF_HOME=str(cache))
        as_timm = python(TIMM, HF_ENDPOINT=server.address, HF_HOME=str(cache))
    assert ended.code == 0, ended.err
    assert ended.out.splitlines() == [f"{server.address}/me/net", bias]
    assert as_timm.out.splitlines()[-1:] == [bias], as_timm.err
    assert set(server.files) == {path.name for path in exported.iterdir()} - {"notes.txt", ".env"}
    assert server.files["model.safetensors"] == (exported / "model.safetensors").read_bytes()
    assert (server.created["name"], server.created["visibility"]) == ("net", "private")
    assert server.credentials == {f"Bearer {SECRET}"}

    plant(cache, "me/planted", b"cos\nsystem\n(S'touch ran'\ntR.")
    ended = python(FETCH_ALL, "me/net", "me/other", "me/planted", HF_HUB_OFFLINE="1", HF_HOME=str(cache))
    again, unknown, planted = ended.out.splitlines()
    assert again == bias
    assert unknown.startswith(
        "me/other is not a folder here, and model.safetensors cannot be downloaded from the Hugging"
    )
    assert "model.safetensors is refused (" in planted
    assert not Path("ran").exists()
    assert SECRET not in ended.out + ended.err


def test_a_folder_or_a_file_needs_no_hub(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for place in (exported, str(exported / "model.safetensors")):
        assert not pcdarts.from_pretrained(place).training
    with pytest.raises(InputError, match=r"Hugging Face Hub needs huggingface_hub: pip install 'pcdarts\[hf\]'"):
        pcdarts.from_pretrained("me/net")


def test_a_folder_without_an_export_is_not_uploaded(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no exported network: run `pcdarts export` first"):
        pcdarts.push_to_hub(tmp_path, "me/net")


def test_a_failed_upload_is_one_line(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")  # where nobody listens
    with pytest.raises(RunError, match="cannot be uploaded to me/net ") as failure:
        pcdarts.push_to_hub(exported, "me/net", token=SECRET)
    assert SECRET not in str(failure.value)
    with pytest.raises(InputError, match="no name is not a valid name of a repository"):
        pcdarts.push_to_hub(exported, "no name", token=SECRET)
