"""Whatever stands in a folder of images, it becomes a data set or is refused in one line, and stays as it was."""

import os
from contextlib import suppress
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hostile import cases, check_words, new_folder, outcome
from pcdarts.data.disk.decode import OnBadImage
from pcdarts.data.sources import load_data

PIXELS = np.random.default_rng(0).integers(0, 256, (10, 10, 3), dtype=np.uint8)

names = st.one_of(
    st.sampled_from(
        ["cat", "dog", "Cat", "train", "TRAIN", "val", "valid", "test", "a.png", "b.JPG", "c.webp", "notes.txt"]
    ),
    st.sampled_from(
        [".hidden", "été", "猫", "🐜", "\udcff\udcfe", "new\nline", "'\"", "~", "-", " ", "x" * 255, "\u202e", "a.png "]
    ),
    st.text(min_size=1, max_size=6).filter(lambda name: not set("\0/") & set(name) and name not in (".", "..")),
)
places = st.lists(names, min_size=1, max_size=4).map(lambda parts: Path(*parts))
kinds = ["image", "grey", "large", "empty", "garbage", "folder", "pipe", "dangling", "itself", "up", "root", "same"]
entries = st.lists(st.tuples(places, st.sampled_from(kinds)), max_size=6)
starts = st.sampled_from(["nothing", "classes", "train", "train test", "train val", "train val test"])


def image(path: Path, mode: str = "RGB", times: int = 1) -> None:
    Image.fromarray(np.tile(PIXELS, (times, 1, 1))).convert(mode).save(path, "PNG")


def make(path: Path, kind: str, root: Path) -> None:
    """Put something at `path`, if that is possible."""
    with suppress(OSError, ValueError):  # a file is in the way, the name is too long, or not one for this file system
        path.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(path):
            return
        match kind:
            case "image":
                image(path)
            case "grey":
                image(path, "L")
            case "large":
                image(path, times=2)
            case "empty":
                path.write_bytes(b"")
            case "garbage":
                path.write_bytes(b"\x89PNG\r\n\x1a\n and no more")
            case "folder":
                path.mkdir()
            case "pipe":
                os.mkfifo(path)
            case "dangling":
                path.symlink_to(root / "gone.png")
            case "itself":
                path.symlink_to(path)
            case "up":
                path.symlink_to(path.parent, target_is_directory=True)
            case "root":
                path.symlink_to(root, target_is_directory=True)
            case "same":
                path.symlink_to(root / "cat", target_is_directory=True)


def begin(start: str, root: Path) -> None:
    """A good folder of two classes, in one of the layouts."""
    for which in {"nothing": [], "classes": ["."]}.get(start, start.split()):
        for name in ("cat", "dog"):
            for number in range(3):
                make(root / which / name / f"{number}.png", "image", root)


def listing(root: Path) -> list[tuple[str, int, int]]:
    """Every name below `root` with what a change would change."""
    found = []
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            status = os.lstat(os.path.join(folder, name))
            found.append((os.path.join(folder, name), status.st_size, status.st_mtime_ns))
    return sorted(found)


@cases(300)
@given(starts, entries, st.sampled_from([None, 8]), st.sampled_from([None, 4]), st.sampled_from(["stop", "skip"]))
def test_a_folder_of_anything_is_read_or_refused(
    start: str,
    added: list[tuple[Path, str]],
    image_size: int | None,
    train_images: int | None,
    on_bad_image: OnBadImage,
) -> None:
    with new_folder() as root:
        begin(start, root)
        for place, kind in added:
            make(root / place, kind, root)
        before = listing(root)
        data = outcome(
            lambda: load_data(
                "folder", root=root, image_size=image_size, train_images=train_images, on_bad_image=on_bad_image
            )
        )
        if data is not None:
            assert (
                data.train.labels.unique().tolist()
                == data.test.labels.unique().tolist()
                == list(range(data.num_classes))
            )
            for line in data.skipped:
                check_words(line)
            assert on_bad_image == "skip" or data.skipped == ()
        else:
            assert start == "nothing" or added, "a good folder was refused"
        assert listing(root) == before


@cases(100)
@given(st.text(max_size=20), st.sampled_from(["folder", "fashion-mini"]))
def test_a_root_of_any_name_is_read_or_refused(name: str, data: str) -> None:
    with new_folder() as folder:
        assert outcome(lambda: load_data(data, root=f"{folder}/nothing/{name}")) is None
        assert outcome(lambda: load_data(data, root=f"~{name}\0")) is None
