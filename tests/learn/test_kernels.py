"""Which kernels a search takes: those asked for, those it was begun with, or the faster ones of this machine."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from command_line import SEARCH, copy_of, done, refused, result_of
from operations import sizes_alive
from pcdarts.jobs.status import status_of
from pcdarts.learn.kernels import WORTH_MEASURING, Choice, choose_kernels
from pcdarts.learn.steps import Setting
from pcdarts.run.run_folder import RunFolder
from pcdarts.supernet.native import build, cells
from pcdarts.supernet.native.answers import Answer, kept_answer, measured_answer, network_class
from pcdarts.supernet.native.cells import available
from pcdarts.supernet.supernet import Supernet

needs_compiler = pytest.mark.skipif(not available(), reason="no C++ compiler here")
SETTING = Setting(channels=4, num_cells=3, num_nodes=3, k=2, batch_size=4, image_size=8, device="cpu")
NETWORK, STEP = network_class(4, 2, 3, "first"), "4 images, maps of 8x8"


@pytest.fixture
def unmeasured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine on which nothing was measured, with its library."""
    library = build.library_path()
    assert library is not None
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "cache" / "pcdarts").mkdir(mode=0o700, parents=True)
    (tmp_path / "cache" / "pcdarts" / library.name).write_bytes(library.read_bytes())


def choose(
    asked: str = "auto", steps: int = WORTH_MEASURING, setting: Setting = SETTING, **options: Any
) -> tuple[Choice, list[str]]:
    said: list[str] = []
    network = replace(setting, kernels=asked).network()  # type: ignore[arg-type]
    assert isinstance(network, Supernet)
    choice = choose_kernels(network, asked, setting, steps, said.append, **options)
    assert network.kernels == choice.kernels
    return choice, said


@needs_compiler
@pytest.mark.usefixtures("unmeasured")
def test_a_long_search_measures_once_and_takes_the_faster_ones() -> None:
    choice, said = choose()
    answer = kept_answer(NETWORK, STEP)
    assert answer is not None
    assert choice == (answer.kernels, f"{answer.words()}, as measured just now")
    assert said == ["measuring which kernels are faster here: a few seconds, once for networks and steps like these"]
    assert choose() == (Choice(answer.kernels, f"{answer.words()}, as measured here before"), [])


@needs_compiler
@pytest.mark.usefixtures("unmeasured")
def test_measuring_leaves_chance_and_memory_as_they_were() -> None:
    cells.give_back_memory()
    network, state = SETTING.network(), torch.get_rng_state()
    assert isinstance(network, Supernet)
    weights = [parameter.clone() for parameter in network.parameters()]
    before = sum(sizes_alive())
    assert choose_kernels(network, "auto", SETTING, WORTH_MEASURING, lambda _: None).why.endswith("just now")
    assert torch.equal(torch.get_rng_state(), state)
    assert sum(sizes_alive()) <= before  # what is kept would count in the peak memory of the search
    assert all(map(torch.equal, weights, network.parameters()))


@needs_compiler
@pytest.mark.usefixtures("unmeasured")
def test_a_short_search_takes_what_was_measured_before_and_else_the_rule() -> None:
    rule = f"the usual ones for so many channels; measuring does not pay for {WORTH_MEASURING - 1} steps"
    assert choose(steps=WORTH_MEASURING - 1) == (Choice("native", rule), [])
    wide = replace(SETTING, channels=72)
    usual = "the usual ones for so many channels; measuring does not pay for 1 step"
    assert choose(steps=1, setting=wide)[0] == ("plain", usual)
    measured_answer(NETWORK, STEP, lambda: Answer(native=2.0, plain=1.0))
    assert choose(steps=1)[0].kernels == "plain"
    like_it = "the faster ones for such networks, as measured here before with other batches or images"
    assert choose(steps=1, setting=replace(SETTING, batch_size=6))[0] == ("plain", like_it)


@needs_compiler
@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize("kernels", ["native", "plain"])
def test_what_is_asked_for_is_taken_and_nothing_is_measured(kernels: str) -> None:
    assert choose(kernels) == (Choice(kernels, "as asked"), [])  # type: ignore[arg-type]
    assert kept_answer(NETWORK, STEP) is None


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"amp": "bf16"}, "the native ones compute in float32, not in bf16"),
        ({"device": "meta"}, "the native ones compute float32 and float64 on a CPU"),
    ],
)
def test_what_native_kernels_cannot_do_is_the_reason_for_plain_ones(changes: dict[str, Any], why: str) -> None:
    setting = replace(SETTING, **changes)
    network = setting.network().to(setting.device if setting.device == "meta" else "cpu")
    assert isinstance(network, Supernet)
    assert choose_kernels(network, "auto", setting, 1000, print) == ("plain", why)


@pytest.mark.usefixtures("unmeasured")
def test_without_a_compiler_the_reason_says_what_brings_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setitem(__import__("sys").modules, "ziglang", None)
    build.load.cache_clear()
    try:
        choice, _ = choose()
        line = refused(tmp_path, "bench", "--kernels", "both", "--repeats", "1")
    finally:
        build.load.cache_clear()
    assert line.startswith("kernels is both, but no C++ compiler works here: install g++ or clang, or run pip install")
    assert choice == (
        "plain",
        "there is no C++ compiler for the native ones; pip install 'pcdarts[native]' brings one",
    )


@needs_compiler
@pytest.mark.usefixtures("unmeasured")
def test_a_compiler_that_fails_is_not_taken_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXXFLAGS", '"')
    build.load.cache_clear()
    try:
        with pytest.warns(match="plain ones are used: CXXFLAGS cannot be read: No closing quotation"):
            choice, _ = choose()
    finally:
        build.load.cache_clear()
    assert choice == ("plain", "the native ones could not be compiled, as the warning says")


@needs_compiler
@pytest.mark.usefixtures("unmeasured")
def test_a_resumed_search_keeps_its_kernels_whatever_was_measured_since(tmp_path: Path, finished_search: Path) -> None:
    begun = result_of(finished_search)["search_cost"]["kernels"]
    run = copy_of(finished_search, tmp_path / "run")
    opposite = Answer(native=2.0, plain=1.0) if begun == "native" else Answer(native=1.0, plain=2.0)
    measured_answer(network_class(4, 2, 4, "first"), "10 images, maps of 8x8", lambda: opposite)
    printed = done(tmp_path, "search", "--resume", "run", "--epochs", "6")
    assert f"\n{begun} kernels: as this run was begun\n" in printed
    cost = result_of(run)["search_cost"]
    assert (cost["kernels"], cost["kernels_why"]) == (begun, "as this run was begun")
    new = done(tmp_path, *SEARCH, "--epochs", "2", "--run", "new")
    assert f"\n{opposite.kernels} kernels: 2.0 times as fast as the {begun} ones (1 s against 2 s), as measured" in new


def test_the_result_and_the_status_tell_the_kernels(finished_search: Path, killed_search: Path) -> None:
    cost = result_of(finished_search)["search_cost"]
    line = f"{cost['kernels']} kernels: {cost['kernels_why']}"
    assert line in (finished_search / "log.txt").read_text().splitlines()
    assert status_of(RunFolder(finished_search)).kernels == cost["kernels"]
    assert (
        status_of(RunFolder(killed_search)).kernels == json.loads((killed_search / "state.json").read_text())["kernels"]
    )
