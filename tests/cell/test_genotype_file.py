"""Genotypes as they come: logs with one for every epoch, Python files that give them names, and odd spellings."""

import re
from pathlib import Path

import pytest

from pcdarts.cell.genotype import Genotype
from pcdarts.cell.genotype_file import find_in_file
from pcdarts.cell.zoo import published
from pcdarts.errors import InputError

CELLS = [published(name) for name in ("darts_v1", "darts_v2", "p_darts")]
TEXTS = [cell.to_text() for cell in CELLS]


def log(first: int = 0, marker: str = "epoch {} lr 2.500000e-02") -> str:
    """What the authors' search scripts write, with three epochs."""
    lines = ["07/12 08:15:00 PM gpu device = 0", "07/12 08:15:00 PM args = Namespace(arch='DARTS', epochs=3, seed=2)"]
    for epoch, text in enumerate(TEXTS, first):
        lines += [f"07/12 08:15:01 PM {marker.format(epoch)}", f"07/12 08:15:01 PM genotype = {text}"]
        lines += ["07/12 08:20:00 PM train 000 2.3 9.3 50.0", "07/12 08:25:00 PM valid_acc 41.9"]
    return "\n".join(lines) + "\n"


def saved(folder: Path, text: str, name: str = "log.txt") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def refusal(path: Path, which: str | None = None) -> str:
    with pytest.raises(InputError) as error:
        Genotype.from_file(path, which)
    return str(error.value)


# Logs


def test_of_a_log_the_last_genotype_is_taken_and_their_number_is_said(tmp_path: Path) -> None:
    path = saved(tmp_path, log())
    assert Genotype.from_file(path) == CELLS[2]
    assert find_in_file(path).remark == f"{path}: the last of 3 genotypes, of epoch 2, line 12"


@pytest.mark.parametrize("first", [0, 1])
def test_an_epoch_is_the_one_that_the_log_numbers_so(tmp_path: Path, first: int) -> None:
    path = saved(tmp_path, log(first))
    assert [Genotype.from_file(path, str(first + index)) for index in range(3)] == CELLS
    remark = find_in_file(path, str(first + 1)).remark
    assert remark == f"{path}: the genotype of epoch {first + 1}, line 8; its epochs are {first} to {first + 2}"
    assert refusal(path, "7") == f"{path} has no genotype of epoch 7: its epochs are {first} to {first + 2}"


@pytest.mark.parametrize("marker", ["Epoch: {} lr: 0.1", "Epoch {}/50", "epoch, {}, train_acc", "Epoch: [{}][0/390]"])
def test_epochs_are_known_however_they_are_written(tmp_path: Path, marker: str) -> None:
    assert Genotype.from_file(saved(tmp_path, log(marker=marker)), "1") == CELLS[1]


def test_where_a_log_numbers_no_epochs_its_genotypes_are_counted_from_1(tmp_path: Path) -> None:
    path = saved(tmp_path, "\n".join(f"08:15 {text}" for text in TEXTS))
    assert Genotype.from_file(path, "1") == CELLS[0]
    assert find_in_file(path, "2").remark == f"{path} numbers no epochs: genotype 2 of 3, counted from 1, is taken"
    for which in ("0", "4"):
        message = f"{path} has no genotype of epoch {which}: it numbers no epochs, and holds 3, counted from 1"
        assert refusal(path, which) == message


def test_of_an_epoch_that_a_log_has_several_times_the_last_is_taken(tmp_path: Path) -> None:
    path = saved(tmp_path, log() + log().replace(TEXTS[1], TEXTS[0]))
    assert Genotype.from_file(path, "1") == CELLS[0]
    assert "the genotype of epoch 1, the last of 2, " in str(find_in_file(path, "1").remark)


def test_a_fault_is_named_with_its_line_and_epoch(tmp_path: Path) -> None:
    path = saved(tmp_path, log().replace("('sep_conv_3x3', 3)", "('sep_conv_3x3', 9)"))
    assert refusal(path).startswith(f"{path}, line 12 (epoch 2): normal cell, node 4: takes input from node 9")
    path = saved(tmp_path, log().rpartition("reduce=")[0])
    assert refusal(path).startswith(f"{path}, line 12 (epoch 2): the genotype breaks off before its closing bracket")
    assert refusal(path, "best") == f"{path} gives no genotype the name best: of a log, name an epoch, as in {path}:12"


def test_a_genotype_that_breaks_off_does_not_swallow_the_next_one(tmp_path: Path) -> None:
    path = saved(tmp_path, log().rpartition("reduce=")[0] + "\n" + log(3))
    assert Genotype.from_file(path, "3") == CELLS[0]
    assert "of 6 genotypes" in str(find_in_file(path).remark)


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_line_ends_and_encodings_of_any_system_are_read(tmp_path: Path, ending: str, encoding: str) -> None:
    (tmp_path / "log.txt").write_bytes(log().replace("\n", ending).encode(encoding))
    assert Genotype.from_file(tmp_path / "log.txt", "1") == CELLS[1]


def test_colours_and_foreign_bytes_are_no_hindrance(tmp_path: Path) -> None:
    colourful = log().replace("genotype", "\x1b[1;32mgenotype\x1b[0m").replace("'sep", "\x1b[31m'sep").encode()
    (tmp_path / "log.txt").write_bytes(b"\xcf\xd6\xd4\xda\n" + colourful)
    assert Genotype.from_file(tmp_path / "log.txt") == CELLS[2]


def test_a_log_of_megabytes_is_read(tmp_path: Path) -> None:
    noise = "07/12 08:20:00 PM train 000 2.3 9.3 50.0\n" * 40_000
    path = saved(tmp_path, log() + noise + log(3))
    assert path.stat().st_size > 1_500_000
    assert Genotype.from_file(path, "5") == CELLS[2]
    assert Genotype.from_file(path, "0") == CELLS[0]


def test_a_genotype_may_take_many_lines(tmp_path: Path) -> None:
    broken = log().replace("), (", "),\n    (").replace("normal_concat", "\nnormal_concat")
    assert Genotype.from_file(saved(tmp_path, broken), "1") == CELLS[1]


# Python files

PYTHON = f"""
from collections import namedtuple
Genotype = namedtuple('Genotype', 'normal normal_concat reduce reduce_concat')
PRIMITIVES = ['none', 'skip_connect']
'''
Old = {TEXTS[2]}
'''
First = {TEXTS[0]}  # 3.00 %
# Second = {TEXTS[0]}
Second = genotypes.{TEXTS[1]}
BEST = Second
"""


def test_of_a_python_file_a_genotype_is_taken_by_name(tmp_path: Path) -> None:
    path = saved(tmp_path, PYTHON, "genotypes.py")
    assert Genotype.from_file(path, "First") == CELLS[0]
    assert Genotype.from_file(path, "second") == CELLS[1]
    assert Genotype.from_file(path, "BEST") == CELLS[1]
    assert find_in_file(path, "BEST").remark == f"{path}: BEST is Second"


def test_without_a_name_the_names_are_listed_and_what_is_commented_out_is_not_there(tmp_path: Path) -> None:
    path = saved(tmp_path, PYTHON, "genotypes.py")
    several = f"{path} holds several genotypes: name one, as in {path}:BEST (there are First, Second, BEST)"
    assert refusal(path) == several
    assert refusal(path, "Old") == f"{path} has no genotype called Old: use one of First, Second, BEST"


def test_a_name_is_not_needed_where_there_is_one_genotype(tmp_path: Path) -> None:
    assert Genotype.from_file(saved(tmp_path, f"A = {TEXTS[1]}\nB = A\n", "genotypes.py")) == CELLS[1]


def test_names_are_known_in_a_text_file_too_but_lines_of_a_log_are_no_names(tmp_path: Path) -> None:
    path = saved(tmp_path, PYTHON, "genotypes.txt")
    assert Genotype.from_file(path, "First") == CELLS[0]
    path = saved(tmp_path, "".join(f"genotype = {text}\n" for text in TEXTS))
    assert Genotype.from_file(path) == CELLS[2]


def test_a_fault_in_a_python_file_is_named_with_line_and_name(tmp_path: Path) -> None:
    path = saved(tmp_path, PYTHON.replace("('skip_connect', 2)]", "('skip_connect', 9)]", 2), "genotypes.py")
    assert refusal(path, "First").startswith(f"{path}, line 8 (First): normal cell, node 5: takes input from node 9")
    path = saved(tmp_path, "A = (\n", "genotypes.py")
    assert refusal(path).startswith(f"{path} is no Python that can be read in line 1: ")
    path = saved(tmp_path, "A = 1\n", "genotypes.py")
    assert refusal(path).startswith(f"{path} gives no genotype a name: expected lines such as NAME = Genotype(")


def test_python_is_never_run(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    path = saved(
        tmp_path, f"open({str(trap)!r}, 'w')\nA = {TEXTS[0]}\nB = Genotype(open({str(trap)!r}, 'w'))\n", "g.py"
    )
    assert Genotype.from_file(path, "A") == CELLS[0]
    assert "only quoted names" in refusal(path, "B")
    assert not trap.exists()


# Spellings


@pytest.mark.parametrize(
    "change",
    [
        lambda text: re.sub(r", (\d)\)", r", np.int64(\1))", text),
        lambda text: re.sub(r", (\d)\)", r", int64(\1))", text),
        lambda text: re.sub(r"\('(\w+)'", r"(numpy.str_('\1')", text),
        lambda text: re.sub(r"\(('\w+'), (\d)\)", r"[\1, \2]", text),
        lambda text: re.sub(r"\(('\w+'), (\d)\)", r"(\1, \2, 0.125)", text),
        lambda text: re.sub(r"\(('\w+'), (\d)\)", r"(\1, \2, np.float32(-1e-3))", text),
        lambda text: re.sub(r"(\('\w+', \d\), \('\w+', \d\))", r"[\1]", text),
        lambda text: text.replace("skip_connect", "skip_con\nnect"),
    ],
    ids=["np.int64", "int64", "np.str_", "lists", "weights", "NumPy weights", "grouped by node", "broken lines"],
)
def test_a_genotype_is_read_however_it_is_spelt(tmp_path: Path, change) -> None:  # type: ignore[no-untyped-def]
    changed = change(TEXTS[0])
    assert changed != TEXTS[0]
    assert Genotype.from_text(changed) == CELLS[0]
    assert Genotype.from_file(saved(tmp_path, f"08:15 genotype = {changed}\n")) == CELLS[0]


def test_a_third_member_of_an_edge_that_is_no_weight_is_refused() -> None:
    with pytest.raises(InputError, match=r"normal cell, node 2: an edge is a pair \(primitive, input node\), not"):
        Genotype.from_text(re.sub(r"\(('\w+'), (\d)\)", r"(\1, \2, 'attention')", TEXTS[0]))
