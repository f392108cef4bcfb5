"""Whatever is given as configuration, in a file or in flags, ends in a configuration or in clear lines."""

import json
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from command_line import run_in, snapshot
from hostile import cases, check_words, damaged, mutated, new_folder, outcome
from pcdarts.config.bench_config import BenchConfig
from pcdarts.config.configs import SearchConfig, ShowConfig, TestConfig, TrainConfig
from pcdarts.config.job_config import JobConfig, settings
from pcdarts.config.recipes import recipe, resolve

JOBS = (SearchConfig, TrainConfig)
FIELDS = sorted({name for job in (*JOBS, TestConfig, ShowConfig, BenchConfig) for name in settings(job)})
GOOD = recipe(SearchConfig, "fashion-mini").to_yaml()
BOMB = "a: &a [x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a]\nepochs: [*b, *b, *b, *b, *b, *b, *b, *b]\n"
CODE = "epochs: !!python/object/apply:os.abort []\n"

pieces = st.one_of(
    st.sampled_from(
        [
            *"{}[]:,#&*!|>%@`?-'\"\n\t\0\r ~<=.",
            *(
                "!!python/name:os.abort",
                "!!binary",
                "!!timestamp 2001",
                "!!set",
                "!!int x",
                "!!float [",
                "&a",
                "*a",
                "<<: ",
                "- ",
            ),
            *(
                "? [a]\n: b\n",
                "? {a: 1}\n: b\n",
                "? !!null\n: 1\n",
                "\n---\n",
                "\n...\n",
                "%YAML 9.9\n",
                "%TAG ! x\n",
                "\ud800",
                "\ufeff",
            ),
            *(
                ".inf",
                "-.nan",
                "1e400",
                "0x" + "f" * 5000,
                "9" * 5000,
                "1:99:99",
                "0o77",
                "0b1",
                "2001-99-99",
                "2001-01-01T99:99:99Z",
            ),
            *(
                "[" * 500,
                "{a: " * 500,
                "- " * 500,
                "true",
                "null",
                "folder",
                "cifar10",
                "'\\x00'",
                '"\\0\\uD800"',
                '"\\U0010FFFF"',
            ),
            *(f"\n{name}: " for name in FIELDS),
        ]
    ),
    st.text(max_size=6),
    st.integers().map(str),
    st.floats().map(str),
)
values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.integers(-2, 5),
        st.sampled_from([2**31, 2**63, 2**64, 10**4000, -(10**400)]),
        st.floats(),
        st.text(max_size=20),
        st.dates(),
        st.binary(max_size=5),
        st.sampled_from(
            ["none", "auto", "cuda:9", "cuda:" + "9" * 5000, "folder", "a\0b", "a\nb", "x" * 5000, "1" * 5000]
        ),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=2)),
    max_leaves=5,
)
fields = st.dictionaries(st.one_of(st.sampled_from(FIELDS), st.text(max_size=8)), values, max_size=6)
jobs = st.sampled_from([*JOBS, TestConfig, ShowConfig, BenchConfig])


def check_resolved(config: JobConfig | None) -> None:
    """What was accepted is a whole configuration: written to a file it is the same again."""
    if isinstance(config, JOBS):
        with new_folder() as folder:
            (folder / "again.yaml").write_text(config.to_yaml())
            assert resolve(type(config), file=folder / "again.yaml").to_yaml() == config.to_yaml()


def check_file(job: type[JobConfig], content: bytes, name: str = "my.yaml") -> None:
    with new_folder() as folder:
        (folder / name).write_bytes(content)
        check_resolved(outcome(lambda: resolve(job, file=folder / name)))
        assert (folder / name).read_bytes() == content


@cases(100)
@given(jobs, st.one_of(st.binary(max_size=40), damaged(GOOD.encode())))
def test_a_file_of_damaged_bytes_is_read_or_refused(job: type[JobConfig], content: bytes) -> None:
    check_file(job, content)


@cases(300)
@given(jobs, mutated(GOOD, pieces))
@example(SearchConfig, BOMB)
@example(SearchConfig, CODE)
@example(SearchConfig, "[" * 60_000)
@example(SearchConfig, "{" * 30_000)
@example(SearchConfig, "- " * 30_000)
@example(SearchConfig, "? " * 30_000)
@example(SearchConfig, "epochs: 0x" + "f" * 60_000)
@example(SearchConfig, "seed: 1" + ":59" * 15_000)
@example(SearchConfig, "? [a, b]\n: 1\n")
@example(SearchConfig, "? {a: b}\n: 1\n")
@example(SearchConfig, "".join(f"setting_{number}: 1\n" for number in range(3000)))
def test_a_changed_file_is_read_or_refused(job: type[JobConfig], text: str) -> None:
    check_file(job, text.encode("utf-8", "surrogatepass"))


@cases(150)
@given(jobs, st.lists(pieces, max_size=12).map("".join), st.sampled_from(["a.yaml", "a\nb", "\udcff", "é" * 100]))
def test_loose_pieces_of_yaml_are_read_or_refused(job: type[JobConfig], text: str, name: str) -> None:
    check_file(job, text.encode("utf-8", "surrogatepass"), name)


@cases(300)
@given(jobs, fields)
def test_settings_of_any_value_are_taken_or_refused(job: type[JobConfig], changes: dict[str, Any]) -> None:
    check_resolved(outcome(lambda: resolve(job, flags=changes)))
    check_file(job, yaml.safe_dump(changes, allow_unicode=False).encode("utf-8", "surrogatepass"))
    check_file(job, json.dumps(changes, default=repr).encode())


arguments = st.lists(
    st.one_of(
        st.sampled_from([f"--{name.replace('_', '-')}" for name in (*FIELDS, "config", "no-flip", "plan")]),
        st.sampled_from(
            ["--", "-", "--=", "--k=", "---k", "none", "a\nb", "\udcff", "x" * 3000, "-1", "1e999", "latest"]
        ),
        st.text(max_size=8).filter(lambda text: "\0" not in text),
        st.integers().map(str),
        st.floats().map(str),
    ),
    max_size=6,
)


@pytest.mark.parametrize("verb", ["search", "train", "test", "bench", "show"])
@cases(60)
@given(given_flags=arguments)
def test_any_flags_of_a_job_that_cannot_begin_are_refused(verb: str, given_flags: list[str]) -> None:
    # Whatever the flags say, the last of them asks for what is not there.
    last = {"test": ["--run", "nowhere"], "show": ["--svg", "/dev/null/no"]}.get(verb, ["--device", "cuda:999"])
    wanted = [argument for argument in given_flags if argument not in ("--help", "-h")]
    with new_folder() as folder:
        ended = run_in(folder, verb, *wanted, *last)
        assert ended.code == 2
        assert ended.err.startswith("pcdarts: error: ")
        check_words(ended.err.removeprefix("pcdarts: error: ").removesuffix("\n"))
        assert snapshot(folder) == {}
