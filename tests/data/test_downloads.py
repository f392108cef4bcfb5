"""What torchvision downloads: from a server on this machine, whole or not at all, and never over a user's files."""

import gzip
import hashlib
import io
import pickle
import struct
import tarfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from torchvision import datasets

from pcdarts.data.sources import load_data
from pcdarts.errors import InputError


class Handler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder and the address at which its files are served."""
    folder = tmp_path / "served"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def cifar(server: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """A small CIFAR-10 on the server, of ten images in each file, with checksums of its own; its files by name."""
    folder, address = server
    source = datasets.CIFAR10
    numbers = np.random.default_rng(0)
    files = {}
    for part in ("train_list", "test_list"):
        for name, _ in getattr(source, part):
            pixels = numbers.integers(0, 256, (10, 3072), dtype=np.uint8)
            files[name] = pickle.dumps({"data": pixels, "labels": list(range(10))})
        checksums = [[name, hashlib.md5(files[name]).hexdigest()] for name, _ in getattr(source, part)]
        monkeypatch.setattr(source, part, checksums)
    files["batches.meta"] = pickle.dumps({"label_names": [f"class {number}" for number in range(10)]})
    monkeypatch.setattr(source, "meta", {**source.meta, "md5": hashlib.md5(files["batches.meta"]).hexdigest()})
    with tarfile.open(folder / source.filename, "w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"{source.base_folder}/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    monkeypatch.setattr(source, "url", address + source.filename)
    monkeypatch.setattr(source, "tgz_md5", hashlib.md5((folder / source.filename).read_bytes()).hexdigest())
    return files


@pytest.fixture
def fashion(server: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A Fashion-MNIST of ten images in each set on the server; the names of its archives."""
    folder, address = server
    resources = []
    for name, _ in datasets.FashionMNIST.resources:
        head = struct.pack(">4i", 0x803, 10, 28, 28) if "images" in name else struct.pack(">2i", 0x801, 10)
        content = gzip.compress(head + (bytes(range(245)) * 32 if "images" in name else bytes(range(10))), mtime=0)
        (folder / name).write_bytes(content)
        resources.append((name, hashlib.md5(content).hexdigest()))
    monkeypatch.setattr(datasets.FashionMNIST, "resources", resources)
    monkeypatch.setattr(datasets.FashionMNIST, "mirrors", [address])
    return [name for name, _ in resources]


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def refusal(name: str, root: Path) -> str:
    """Load what is to be refused in one line with every file as it was; return that line."""
    before = contents(root)
    with pytest.raises(InputError) as error:
        load_data(name, root=root)
    assert contents(root) == before
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_is_not_there_is_downloaded_whole_with_the_folder_for_it(tmp_path, cifar):
    root = tmp_path / "new" / "data"
    assert len(load_data("cifar10", root=root).train) == 50
    assert sorted(path.name for path in root.iterdir()) == ["cifar-10-batches-py", "cifar-10-python.tar.gz"]
    before = contents(tmp_path / "new")
    load_data("cifar10", root=root)
    assert contents(tmp_path / "new") == before


def test_own_data_in_the_layout_of_cifar_is_never_overwritten(tmp_path, cifar):
    root = tmp_path / "mine"
    (root / "cifar-10-batches-py").mkdir(parents=True)
    for name in cifar:
        (root / "cifar-10-batches-py" / name).write_bytes(pickle.dumps({"data": name, "labels": [0]}))
    message = refusal("cifar10", root)
    assert message.startswith("these are not the files of CIFAR-10: ")
    assert (
        f"'{root}/cifar-10-batches-py/data_batch_1' is another file, or not the whole one; nothing was changed"
        in message
    )
    assert "give another --data-root" in message
    assert "--data folder" in message


def test_a_single_file_of_ones_own_or_half_a_set_is_not_completed(tmp_path, cifar):
    root = tmp_path / "mine"
    load_data("cifar10", root=root)
    (root / "cifar-10-batches-py" / "test_batch").unlink()
    message = refusal("cifar10", root)
    assert "data_batch_1' is there, but not '" in message
    assert "test_batch'; nothing was changed" in message
    (root / "cifar-10-batches-py" / "test_batch").write_bytes(b"mine")
    assert "test_batch' is another file" in refusal("cifar10", root)


@pytest.mark.parametrize("name", ["cifar-10-python.tar.gz", "cifar-10-batches-py"])
def test_a_file_with_the_name_of_archive_or_folder_is_not_overwritten(tmp_path, cifar, name):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / name).write_bytes(b"mine")
    assert f"{name}' is another file" in refusal("cifar10", tmp_path / "mine")


def test_an_archive_that_is_right_is_unpacked_without_a_download_beside_other_files(tmp_path, cifar, server):
    root = tmp_path / "mine"
    (root / "cifar-10-batches-py").mkdir(parents=True)
    (root / "cifar-10-batches-py" / "notes.txt").write_text("mine")
    (server[0] / "cifar-10-python.tar.gz").rename(root / "cifar-10-python.tar.gz")
    before = contents(root)
    assert len(load_data("cifar10", root=root).test) == 10
    after = contents(root)
    assert after | before == after
    assert {name for name in after if name not in before} == {f"cifar-10-batches-py/{name}" for name in cifar}


def test_a_download_that_fails_or_is_damaged_leaves_nothing_behind(tmp_path, cifar, server):
    archive = server[0] / "cifar-10-python.tar.gz"
    archive.write_bytes(archive.read_bytes()[:-10])
    with pytest.raises(InputError, match="could not be read from or downloaded to"):
        load_data("cifar10", root=tmp_path / "new" / "data")
    assert not (tmp_path / "new").exists()


def test_fashion_mnist_is_downloaded_or_unpacked_but_never_over_a_file(tmp_path, fashion, server):
    assert len(load_data("fashion-mnist", root=tmp_path / "new").train) == 10

    archives_alone = tmp_path / "archives" / "FashionMNIST" / "raw"
    archives_alone.mkdir(parents=True)
    for name in fashion[1:]:
        (server[0] / name).rename(archives_alone / name)
    assert len(load_data("fashion-mnist", root=tmp_path / "archives").test) == 10
    assert contents(tmp_path / "archives") == contents(tmp_path / "new")

    (archives_alone / "train-labels-idx1-ubyte").unlink()
    assert "is there, but not '" in refusal("fashion-mnist", tmp_path / "archives")
    for name in fashion:
        (archives_alone / name.removesuffix(".gz")).unlink(missing_ok=True)
    (archives_alone / fashion[0]).write_bytes(b"mine")
    assert f"{fashion[0]}' is another file" in refusal("fashion-mnist", tmp_path / "archives")
