"""Folders of NATS-Bench: read with the benchmark's own package, and never by running what they hold."""

import bz2
import pickle
from pathlib import Path

import numpy as np
import pytest

from known_truth import CELLS
from pcdarts.errors import InputError
from pcdarts.truth.nats import check_folder
from pcdarts.truth.table import read_truth


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def trial(epochs: int, **accuracies: float) -> dict[str, object]:
    """The results of one training, as the package keeps them: after every epoch; all but the last are worse."""
    names = [name.replace("_", "-") for name in accuracies]
    every = {
        f"{name}@{epoch}": np.float64(accuracy - (epochs - 1 - epoch))  # as the benchmark's files have them
        for name, accuracy in zip(names, accuracies.values(), strict=True)
        for epoch in range(epochs)
    }
    return {
        "eval_names": names,
        "eval_acc1es": every,
        "eval_losses": dict.fromkeys(every, 1.0),
        "eval_times": dict.fromkeys(every, 1.0),
        "epochs": epochs,
    }


def write_folder(folder: Path, cells=CELLS[:3], seeds=(777, 888)) -> Path:
    folder.mkdir(exist_ok=True)
    save(folder / "meta.pickle.pbz2", {"meta_archs": list(cells), "total_archs": len(cells)})
    for index, cell in enumerate(cells):
        more = {seed: float(seed == 888) for seed in (seeds if index else (777,))}
        results = {("cifar10", seed): trial(200, ori_test=90.0 + index + extra) for seed, extra in more.items()} | {
            ("cifar100", 777): trial(200, x_valid=60.0 + index, x_test=61.0 + index, ori_test=1.0)
        }
        state = {
            "arch_index": index,
            "arch_str": cell,
            "all_results": results,
            "dataset_seed": {"cifar10": list(more), "cifar100": [777]},
            "clear_net_done": True,
        }
        save(folder / f"{index:06d}.pickle.pbz2", {"200": state})
    return folder


def save(path: Path, value: object) -> None:
    path.write_bytes(bz2.compress(pickle.dumps(value, protocol=4)))


def test_means_over_the_seeds_after_the_last_epoch_are_read(tmp_path):
    pytest.importorskip("nats_bench")
    folder = write_folder(tmp_path / "NATS-tss")
    check_folder(folder)
    table = read_truth(folder)
    assert table.cells == CELLS[:3]
    assert [column.name for column in table.columns] == ["cifar10_test_200", "cifar100_test_200", "cifar100_valid_200"]
    assert table.accuracies.tolist() == [[90, 61, 60], [91.5, 62, 61], [92.5, 63, 62]]
    assert table.columns[0].in_words == "CIFAR-10, test, 200 epochs"


def test_what_was_read_is_kept_until_a_file_changes(tmp_path):
    pytest.importorskip("nats_bench")
    folder = write_folder(tmp_path / "NATS-tss")
    first = read_truth(folder)
    [kept] = (tmp_path / "cache" / "pcdarts").iterdir()
    kept.write_text(kept.read_text().replace("91.5", "91.25"))
    again = read_truth(folder)
    assert (again.cells, again.columns) == (first.cells, first.columns)
    assert again.accuracies[1, 0] == 91.25
    write_folder(folder, seeds=(777,))
    assert read_truth(folder).accuracies[1, 0] == 91


def test_a_folder_with_a_fault_is_refused_in_one_line(tmp_path):
    pytest.importorskip("nats_bench")
    folder = write_folder(tmp_path / "NATS-tss")
    (folder / "000001.pickle.pbz2").unlink()
    with pytest.raises(InputError, match=r"000001\.pickle\.pbz2 is missing: give the folder of NATS-Bench, such as"):
        read_truth(folder)
    save(folder / "000001.pickle.pbz2", {"200": {"arch_str": CELLS[1]}})
    with pytest.raises(InputError, match=r"000001\.pickle\.pbz2 has no accuracy: give the folder"):
        read_truth(folder)
    save(folder / "000001.pickle.pbz2", {"200": {"arch_str": CELLS[1], "dataset_seed": {"cifar10": [777]}}})
    with pytest.raises(InputError, match=r"000001\.pickle\.pbz2 is no file of a cell .KeyError"):
        read_truth(folder)
    (folder / "000001.pickle.pbz2").write_bytes((folder / "000000.pickle.pbz2").read_bytes())
    with pytest.raises(InputError, match=r"000001\.pickle\.pbz2 is of .*, not of "):
        read_truth(folder)
    (folder / "meta.pickle.pbz2").unlink()
    with pytest.raises(InputError, match=r"has no meta\.pickle\.pbz2: give the folder"):
        check_folder(folder)


def test_nothing_in_a_folder_is_run(tmp_path):
    pytest.importorskip("nats_bench")
    folder = write_folder(tmp_path / "NATS-tss")

    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "run",))

    save(folder / "000000.pickle.pbz2", {"200": Evil()})
    with pytest.raises(InputError, match=r"cannot read .*000000.*it holds pathlib.*, which is no plain value"):
        read_truth(folder)
    assert not (tmp_path / "run").exists()
    save(folder / "000000.pickle.pbz2", {"200": np.array([Evil()], dtype=object)[:]})
    with pytest.raises(InputError, match=r"cannot read .*000000.*, which is no plain value"):
        read_truth(folder)
    assert not (tmp_path / "run").exists()


def test_without_the_package_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "nats_bench", None)
    (tmp_path / "NATS-tss").mkdir()
    with pytest.raises(
        InputError, match=r"^reading a folder of NATS-Bench needs nats_bench: pip install 'pcdarts\[nats\]'$"
    ):
        read_truth(tmp_path / "NATS-tss")
