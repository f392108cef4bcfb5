"""Whatever became of the files of a run, each verb does its work or says in one line what is wrong with which file."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from command_line import Ended, copy_of, run_in, snapshot
from hostile import cases, check_words, damaged, mutated, new_folder, outcome
from pcdarts.jobs.outcome.find_genotype import find_genotype
from pcdarts.run.checkpoint import save_checkpoint

FILES = (
    "config.yaml",
    "env.json",
    "metrics.jsonl",
    "log.txt",
    "state.json",
    "result.json",
    "genotype.json",
    "checkpoint.pt",
    "checkpoint.previous.pt",
    "cell_normal.svg",
)
json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=6), st.just(10**400)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=6,
)
pieces = st.one_of(
    st.sampled_from(
        [*'{}[]:,"\n\0 ', "null", "true", "1e999", "NaN", "9" * 5000, "[" * 2000, "\\ud800", "epoch", ": ", "- "]
    ),
    st.text(max_size=4),
    st.integers().map(str),
)


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def removed(path: Path) -> None:
    path.unlink()


def made_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def linked_to_itself(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


def linked_to_nothing(path: Path) -> None:
    path.unlink()
    path.symlink_to("gone")


def copied_from(other: str) -> Callable[[Path], None]:
    def copy(path: Path) -> None:
        source = path.with_name(other)
        if source.is_file() and source != path:
            shutil.copy(source, path)

    return copy


@st.composite
def changed(draw: st.DrawFn, path: Path) -> None:
    """Do one of many things to the file at `path`."""
    content = path.read_bytes()
    kind = draw(st.sampled_from(["bytes", "bytes", "text", "text", "text", "json", "file"]))
    text = content.decode("utf-8", "replace")
    match kind:
        case "bytes":
            path.write_bytes(draw(damaged(content)))
        case "text" if path.suffix != ".pt":
            path.write_text(draw(mutated(text, pieces)), "utf-8", "surrogatepass")
        case "json" if path.suffix in (".json", ".jsonl"):
            path.write_text(json.dumps(json_with_changes(draw, text)))
        case _:
            actions = (emptied, removed, made_a_folder, linked_to_itself, linked_to_nothing, *map(copied_from, FILES))
            draw(st.sampled_from(actions))(path)


def json_with_changes(draw: st.DrawFn, text: str) -> Any:
    """What the file says, or its first line, with some members of other kinds."""
    before = json.loads(text.partition("\n")[0] if text.count("\n{") else text)
    if not isinstance(before, dict) or draw(st.integers(0, 5)) == 0:
        return draw(json_values)
    return {**before, **draw(st.dictionaries(st.sampled_from(sorted(before)), json_values, min_size=1, max_size=2))}


def check_verb(data: st.DataObject, run: Path, *arguments: str) -> None:
    """Damage a copy of `run` and do the verb to it: its work, or a refusal that changes nothing."""
    with new_folder() as folder:
        copy = copy_of(run, folder / "run")
        names = [name for name in FILES if (copy / name).is_file()]
        for name in data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=True)):
            data.draw(changed(copy / name))
        before = snapshot(folder)
        ended = run_in(folder, *arguments)
        check_end(ended)
        if ended.code == 2:
            after = snapshot(folder)
            assert {path: after.get(path) for path in before} == before


def check_end(ended: Ended) -> None:
    """A verb ends in success or in one clear refusal, after any number of warnings."""
    assert ended.code in (0, 1, 2), ended
    errors = [line for line in ended.err.splitlines() if not line.startswith("pcdarts: warning: ")]
    for line in ended.err.splitlines():
        check_words(line)
    if ended.code == 0:
        assert errors == []
    else:
        assert errors[0].startswith("pcdarts: error: ")
        check_words("\n".join(errors).removeprefix("pcdarts: error: "))


@pytest.mark.parametrize("job", ["search", "train"])
@cases(12, slow=True)
@given(data=st.data())
def test_a_damaged_run_is_resumed_or_refused(unfinished: dict[str, Path], job: str, data: st.DataObject) -> None:
    check_verb(data, unfinished[job], job, "--resume", "run")


@pytest.mark.parametrize("job", ["search", "train"])
@cases(20, slow=True)
@given(data=st.data())
def test_a_damaged_finished_run_is_never_resumed(searched: Path, trained: Path, job: str, data: st.DataObject) -> None:
    check_verb(data, {"search": searched, "train": trained}[job], job, "--resume", "run")


@cases(30, slow=True)
@given(data=st.data())
def test_a_damaged_training_is_tested_or_refused(trained: Path, data: st.DataObject) -> None:
    check_verb(data, trained, "test", "run", "--test-images", "10")


@cases(60, slow=True)
@given(data=st.data())
def test_a_damaged_run_is_shown_or_refused(searched: Path, data: st.DataObject) -> None:
    check_verb(data, searched, "show", "run", "--json")


@cases(60, slow=True)
@given(data=st.data())
def test_the_genotype_of_a_damaged_run_is_found_or_refused(searched: Path, data: st.DataObject) -> None:
    with new_folder() as folder:
        copy = copy_of(searched, folder / "run")
        data.draw(changed(copy / "genotype.json"))
        found = outcome(lambda: find_genotype(str(copy)), str(copy))
        assert found is None or found.to_json()


@cases(60, slow=True)
@given(data=st.data())
def test_the_state_of_damaged_runs_is_told(searched: Path, unfinished: dict[str, Path], data: st.DataObject) -> None:
    check_verb(data, data.draw(st.sampled_from([searched, *unfinished.values()])), "status", "run")


odd_values = st.sampled_from(
    [
        *(None, True, 0, -1, 1, 7, 10**9, 10**30, 1.5, float("nan"), "", "text", b"", [], {}, (), [None], {"a": 1}),
        *(
            torch.zeros(0),
            torch.tensor(3),
            torch.tensor(float("nan")),
            torch.zeros(2, 3),
            torch.zeros(4, dtype=torch.int64),
        ),
        *(
            ["a", "b"],
            [0.5],
            [[1]],
            [1, 8, 8],
            [3, 8, 8],
            [10**9, 8, 8],
            {"normal": 1},
            {0: {"step": 1}},
            [1e-30],
            ["\ud800"],
        ),
    ]
)


def places_in(state: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something stands in nested dicts and lists."""
    members = state.items() if isinstance(state, dict) else enumerate(state) if isinstance(state, list) else ()
    return [place for key, item in members for place in ((*path, key), *places_in(item, (*path, key)))]


def put(state: Any, place: tuple[Any, ...], draw: Callable[..., Any]) -> None:
    """Remove what stands at a place, or put something of another kind or shape there."""
    *above, key = place
    for step in above:
        state = state[step]
    before = state[key]
    if draw(st.integers(0, 3)) == 0 and isinstance(state, dict):
        del state[key]
    elif isinstance(before, torch.Tensor) and draw(st.booleans()):
        shapes = [
            before[None],
            before.flatten(),
            before.double(),
            before.flatten()[:0],
            before * float("nan"),
            before.bool(),
        ]
        state[key] = draw(st.sampled_from(shapes))
    else:
        state[key] = draw(odd_values)


def check_state(data: st.DataObject, run: Path, *arguments: str) -> None:
    """Change what the checkpoint of `run` holds, with a right checksum, and do the verb."""
    with new_folder() as folder:
        copy = copy_of(run, folder / "run")
        saved = torch.load(copy / "checkpoint.pt", weights_only=True)
        outer = {place[:2] for place in places_in(saved["state"])}
        areas = st.sampled_from(sorted(outer, key=repr))
        for area in data.draw(st.lists(areas, min_size=1, max_size=2, unique=True)):
            below = [place for place in places_in(saved["state"]) if place[: len(area)] == area]
            if below:
                put(saved["state"], data.draw(st.sampled_from(below)), data.draw)
        (copy / "checkpoint.previous.pt").unlink(missing_ok=True)
        save_checkpoint(copy / "checkpoint.pt", saved["state"], saved["fingerprint"])
        check_end(run_in(folder, *arguments))


@pytest.mark.parametrize("job", ["search", "train"])
@cases(16, slow=True)
@given(data=st.data())
def test_a_checkpoint_of_odd_values_is_resumed_or_refused(
    unfinished: dict[str, Path], job: str, data: st.DataObject
) -> None:
    check_state(data, unfinished[job], job, "--resume", "run")


@cases(16, slow=True)
@given(data=st.data())
def test_a_checkpoint_of_odd_values_is_tested_or_refused(trained: Path, data: st.DataObject) -> None:
    check_state(data, trained, "test", "run", "--test-images", "10")
