"""What was measured on a machine is kept for later, and believed only if nobody else can have written it."""

import inspect
import os
import time

import pytest
import torch

from command_line import Ended, end_of
from forked import Forked
from pcdarts.cell.space import CellSpace
from pcdarts.supernet.native import answers, build
from pcdarts.supernet.native.answers import Answer, kept_answer, kept_kernels, measured_answer, network_class
from pcdarts.supernet.native.compiler import find_compiler
from pcdarts.supernet.supernet import Supernet

pytestmark = pytest.mark.skipif(find_compiler() is None, reason="no C++ compiler here")
PLAIN, NATIVE = Answer(native=2.0, plain=1.0), Answer(native=1.0, plain=2.5)
NETWORK = network_class(4, 2, 3, "first")


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    """The cache folder of a machine on which nothing was measured."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "pcdarts").mkdir(mode=0o700)
    return tmp_path / "pcdarts"


def never() -> Answer:
    raise AssertionError("this was measured before")


def written(content: bytes) -> None:
    build.library_path().with_suffix(".json").write_bytes(content)
    answers._kept.cache_clear()


def supernet(channels=4):
    return Supernet(CellSpace(3), channels=channels, k=2, num_cells=1)


def test_an_answer_is_measured_once_and_says_by_how_much():
    assert kept_answer(NETWORK, "step") is None
    assert measured_answer(NETWORK, "step", lambda: NATIVE) == NATIVE
    assert measured_answer(NETWORK, "step", never) == kept_answer(NETWORK, "step") == NATIVE
    assert (NATIVE.kernels, PLAIN.kernels) == ("native", "plain")
    assert NATIVE.words() == "2.5 times as fast as the plain ones (1 s against 2.5 s)"
    assert PLAIN.words() == "2.0 times as fast as the native ones (1 s against 2 s)"


def test_a_supernet_takes_the_answer_of_its_class_and_else_the_rule():
    assert supernet().prefers_native
    measured_answer(NETWORK, "step", lambda: PLAIN)
    assert not supernet().prefers_native
    assert supernet().kernels == "plain"
    assert supernet(channels=8).prefers_native


def test_a_wide_supernet_may_have_been_found_faster_with_native_kernels():
    assert not supernet(channels=128).prefers_native
    measured_answer(network_class(128, 2, 3, "first"), "step", lambda: NATIVE)
    assert supernet(channels=128).prefers_native


def test_where_answers_for_several_steps_differ_the_rule_decides():
    measured_answer(NETWORK, "small", lambda: PLAIN)
    assert kept_kernels(NETWORK) == "plain"
    measured_answer(NETWORK, "large", lambda: NATIVE)
    assert kept_kernels(NETWORK) is None
    assert supernet().prefers_native


def test_other_threads_and_other_targets_have_answers_of_their_own(monkeypatch):
    threads = torch.get_num_threads()
    measured_answer(NETWORK, "step", lambda: PLAIN)
    torch.set_num_threads(threads + 1)
    assert network_class(4, 2, 3, "first") != NETWORK
    torch.set_num_threads(threads)
    monkeypatch.setenv("PCDARTS_NATIVE_TARGET", "baseline")
    assert kept_answer(NETWORK, "step") is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"\xff",
        b"[" * 50_000,
        b'{"%s": 3}' % NETWORK.encode(),
        b'{"%s": {"step": {"native": 1.0}}}' % NETWORK.encode(),
        b'{"%s": {"step": {"native": 1.0, "plain": "0.5"}}}' % NETWORK.encode(),
        b'{"%s": {"step": {"native": 1.0, "plain": NaN}}}' % NETWORK.encode(),
        b'{"%s": {"step": {"native": 1.0, "plain": 0.5}}, "%s": {}}' % (NETWORK.encode(), b"x" * answers.LARGEST_FILE),
    ],
)
def test_a_damaged_file_is_as_if_it_were_not_there_and_is_replaced(content):
    written(content)
    assert kept_answer(NETWORK, "step") is None
    assert measured_answer(NETWORK, "step", lambda: PLAIN) == PLAIN
    assert measured_answer(NETWORK, "step", never) == PLAIN


def test_a_file_that_others_could_have_written_is_not_believed(folder):
    measured_answer(NETWORK, "step", lambda: PLAIN)
    folder.chmod(0o777)
    answers._kept.cache_clear()
    assert kept_answer(NETWORK, "step") is None
    assert measured_answer(NETWORK, "step", lambda: NATIVE) == NATIVE
    folder.chmod(0o700)
    answers._kept.cache_clear()
    assert kept_answer(NETWORK, "step") == PLAIN


def test_where_nothing_can_be_kept_every_process_measures(folder):
    folder.rmdir()
    folder.write_text("")
    assert measured_answer(NETWORK, "step", lambda: PLAIN) == PLAIN
    assert measured_answer(NETWORK, "step", lambda: NATIVE) == NATIVE


def test_a_pass_of_a_supernet_opens_no_file_and_yet_knows_what_was_measured_since(tmp_path):
    measured_answer(NETWORK, "step", lambda: PLAIN)  # which needs no library
    lines = [
        "import sys, torch",
        "from pcdarts.cell.space import CellSpace",
        "from pcdarts.supernet.arch import ArchParameters",
        "from pcdarts.supernet.native.answers import Answer, measured_answer, network_class",
        "from pcdarts.supernet.supernet import Supernet",
        "supernet = Supernet(CellSpace(3), channels=4, k=2, num_cells=1)",
        "mixture, images = ArchParameters(supernet.space).mixture(), torch.rand(2, 3, 8, 8)",
        "supernet(images, mixture)",
        "opened = []",
        "sys.addaudithook(lambda event, arguments: opened.append(arguments[0]) if event == 'open' else None)",
        "supernet(images, mixture)",
        "print(opened, supernet.kernels)",
        "measured_answer(network_class(4, 2, 3, 'first'), 'other step', lambda: Answer(native=1.0, plain=2.0))",
        "print(supernet.prefers_native)",
    ]
    run = Forked(tmp_path, code="\n".join(lines), environment={"XDG_CACHE_HOME": str(tmp_path)})
    assert end_of(run) == Ended(0, "[] plain\nTrue\n", "")


def measure_and_tell(folder):
    """In a process of its own: an answer that only this process would give."""
    with open(f"{folder}/measured.txt", "a") as file:
        file.write(f"{os.getpid()}\n")
    time.sleep(0.3)
    return Answer(float(os.getpid()), 1.0)


def test_of_several_processes_one_measures_and_the_others_take_its_answer(tmp_path):
    lines = [
        "import os, time, torch, warnings",
        "from pcdarts.supernet.native.answers import Answer, measured_answer",
        inspect.getsource(measure_and_tell),
        f"print(measured_answer('network', 'step', lambda: measure_and_tell({str(tmp_path)!r})).native)",
    ]
    runs = [
        Forked(tmp_path, code="\n".join(lines), environment={"XDG_CACHE_HOME": str(tmp_path / "cache")})
        for _ in range(2)
    ]
    ended = [end_of(run) for run in runs]
    (process,) = (tmp_path / "measured.txt").read_text().split()
    assert ended == [Ended(0, f"{float(process)}\n", "")] * 2
