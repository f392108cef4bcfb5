"""The manifest of a split: what it says is what is used, and what no longer fits is refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pcdarts.data.manifest import SplitManifest
from pcdarts.errors import InputError

NAMES = ["train/ant/1.png", "train/ant/2 ö\udcff.png", "train/bee/3.png", "train/bee/4.png"]
MANIFEST = SplitManifest(3, 0.5, 0.25, ("ant", "bee"), (NAMES[1], NAMES[2]), (NAMES[0],))


def read(manifest: SplitManifest | str) -> SplitManifest:
    return SplitManifest.from_json(manifest if isinstance(manifest, str) else manifest.to_json(), "split.json")


def test_a_manifest_survives_its_file_and_gives_the_images_in_its_order(tmp_path: Path) -> None:
    file = tmp_path / "split.json"
    file.write_text(MANIFEST.to_json())
    assert SplitManifest.from_file(file) == MANIFEST
    weight, arch = MANIFEST.indices(("ant", "bee"), NAMES, "split.json")
    assert (weight.tolist(), arch.tolist()) == ([1, 2], [0])


def test_an_edited_manifest_is_refused() -> None:
    with pytest.raises(InputError, match=r"split.json was changed or damaged since it was made"):
        read(MANIFEST.to_json().replace("bee/3", "bee/4"))


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"format": 1}', "{" * 9999, '{"sha256": 1, "format": 2}'])
def test_something_else_than_a_manifest_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="is not a manifest of splits"):
        read(text)


@pytest.mark.parametrize(
    "changes", [{"weight": (NAMES[0],)}, {"weight": (NAMES[1], NAMES[1])}, {"arch": ()}], ids=["both", "twice", "empty"]
)
def test_an_image_is_in_one_split_once(changes: dict[str, tuple[str, ...]]) -> None:
    with pytest.raises(InputError, match="has an empty split, or an image twice"):
        read(replace(MANIFEST, **changes))


def test_other_data_is_refused() -> None:
    with pytest.raises(InputError, match=r"made for other classes .2, here 3."):
        MANIFEST.indices(("ant", "bee", "wasp"), NAMES, "split.json")
    with pytest.raises(InputError, match=r"1 images of split.json are not among .* first 'train/bee/3.png'"):
        MANIFEST.indices(("ant", "bee"), NAMES[:2], "split.json")


def test_images_that_could_not_be_read_may_be_missing() -> None:
    weight, arch = MANIFEST.indices(("ant", "bee"), NAMES[:2], "split.json", may_lack=1)
    assert (weight.tolist(), arch.tolist()) == ([1], [0])
    with pytest.raises(InputError, match="no image of a split"):
        MANIFEST.indices(("ant", "bee"), NAMES[1:], "split.json", may_lack=1)


def test_a_manifest_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"the manifest '.*nowhere.json' cannot be read .No such file"):
        SplitManifest.from_file(tmp_path / "nowhere.json")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="is not a manifest"):
        SplitManifest.from_file(tmp_path / "binary")
    assert json.loads(MANIFEST.to_json())["weight_fraction"] == 0.5
