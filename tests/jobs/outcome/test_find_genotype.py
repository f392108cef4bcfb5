"""From what a user types to a genotype: paths with an epoch or a name, and the authors' names of cells."""

import json
from pathlib import Path

import pytest

from command_line import GENOTYPE, done, refused
from pcdarts.cell.zoo import published

LOG = f"epoch 0 lr 0.1\ngenotype = {published('darts_v1').to_text()}\nepoch 1 lr 0.1\ngenotype = {GENOTYPE.to_text()}\n"


def test_a_log_is_shown_with_what_was_taken_of_it(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text(LOG)
    lines = done(tmp_path, "show", "log.txt").splitlines()
    assert lines[0] == "log.txt: the last of 2 genotypes, of epoch 1, line 4"
    assert GENOTYPE.to_text() in lines
    assert published("darts_v1").to_text() in done(tmp_path, "show", "log.txt:0").splitlines()
    assert json.loads(done(tmp_path, "show", "log.txt", "--json")) == json.loads(GENOTYPE.to_json())


def test_an_existing_file_with_a_colon_in_its_name_is_that_file(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text(LOG)
    (tmp_path / "log.txt:0").write_text(GENOTYPE.to_text())
    assert GENOTYPE.to_text() in done(tmp_path, "show", "log.txt:0").splitlines()


@pytest.mark.parametrize("path", ["C:\\x\\log.txt", "C:\\x\\log.txt:12", "C:/x/log.txt"])
def test_the_drive_of_a_windows_path_is_no_file(tmp_path: Path, path: str) -> None:
    (tmp_path / "C").write_text(LOG)
    assert refused(tmp_path, "show", path).startswith(f"{path.removesuffix(':12')}: No such file or directory")


def test_the_genotype_of_an_epoch_of_a_search_is_shown(tmp_path: Path, finished_search: Path) -> None:
    third = (finished_search / "genotypes" / "epoch_003.json").read_text()
    assert done(tmp_path, "show", f"{finished_search}:3", "--json") == third
    message = f"{finished_search} has no genotype of epoch 9: it has those of 5 epochs, counted from 1"
    assert refused(tmp_path, "show", f"{finished_search}:9") == message


def test_a_name_of_the_authors_is_said_to_be_ours(tmp_path: Path) -> None:
    assert done(tmp_path, "show", "PCDARTS").splitlines()[0] == "PCDARTS is the published cell pc_darts_cifar10"
    assert "is the published cell" not in done(tmp_path, "show", "PC-DARTS-CIFAR10")
    assert "did you mean 'p_darts'?" in refused(tmp_path, "show", "PDARST")
