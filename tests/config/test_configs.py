"""A configuration is checked as a whole, never changes, and survives its file."""

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pcdarts.cell.zoo import published
from pcdarts.config.bench_config import BenchConfig
from pcdarts.config.configs import SearchConfig, ShowConfig, TestConfig, TrainConfig
from pcdarts.config.groups.group import ConfigError
from pcdarts.config.groups.method_settings import remarks_on
from pcdarts.config.groups.values import DATA_NAMES, IMAGE_FILES
from pcdarts.config.job_config import JobConfig
from pcdarts.config.random_search_config import RandomSearchConfig
from pcdarts.config.yaml_files import MAX_YAML_BYTES, read_yaml
from pcdarts.data.sources import READERS
from pcdarts.errors import InputError


def problems(config_class: type[JobConfig] = SearchConfig, **fields: Any) -> list[str]:
    with pytest.raises(ConfigError) as refusal:
        config_class(**fields)
    return refusal.value.problems


def test_the_search_defaults_are_those_of_section_4_2() -> None:
    config = SearchConfig()
    assert (config.num_cells, config.num_nodes, config.epochs, config.channels) == (8, 6, 50, 16)
    assert (config.k, config.batch_size, config.arch_frozen_epochs, config.weight_fraction) == (4, 256, 15, 0.5)
    assert (config.learning_rate, config.learning_rate_min, config.momentum) == (0.1, 0.0, 0.9)
    assert (config.weight_decay, config.arch_weight_decay) == (3e-4, 1e-3)
    assert (config.arch_learning_rate, config.arch_adam_betas) == (6e-4, (0.5, 0.999))


def test_the_train_defaults_are_those_of_section_4_2() -> None:
    config = TrainConfig()
    assert (config.num_cells, config.channels, config.epochs, config.batch_size) == (20, 36, 600, 128)
    assert (config.learning_rate, config.momentum, config.weight_decay) == (0.025, 0.9, 3e-4)
    assert (config.gradient_clip, config.drop_path, config.cutout) == (5.0, 0.3, 16)
    assert (config.auxiliary, config.auxiliary_weight) == (True, 0.4)


def test_a_configuration_cannot_be_changed() -> None:
    config = SearchConfig()
    with pytest.raises(ValidationError, match="frozen"):
        config.k = 2  # type: ignore[misc]
    assert config.k == 4


def test_every_setting_explains_itself_in_one_line() -> None:
    for config_class in (SearchConfig, RandomSearchConfig, TrainConfig, TestConfig, ShowConfig, BenchConfig):
        for name, field in config_class.model_fields.items():
            assert name == "job" or (field.description and "\n" not in field.description), name


def test_every_data_set_that_can_be_configured_has_something_that_reads_it() -> None:
    assert {*READERS, *IMAGE_FILES} == {*DATA_NAMES}


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"k": 3}, "k is 3, but it must divide channels (16): use 1, 2, 4, 8 or 16"),
        ({"channels": 18}, "k is 4, but it must divide channels (18): use 1, 2, 3, 6, 9 or 18"),
        ({"epochs": 10}, "arch_frozen_epochs is 15, but it must be at most epochs (10)"),
        ({"epochs": "abc"}, "epochs is abc, but it must be a whole number"),
        ({"epochs": 2.5}, "epochs is 2.5, but it must be a whole number"),
        ({"epochs": True}, "epochs is true, but it is not a switch"),
        ({"epochs": None}, "epochs is None, but it must be a whole number"),
        ({"batch_size": 0}, "batch_size is 0, but it must be at least 1"),
        ({"num_nodes": 2}, "num_nodes is 2, but it must be at least 3"),
        ({"num_cells": 2}, "num_cells is 2, but it must be at least 3"),
        ({"learning_rate": 0}, "learning_rate is 0, but it must be more than 0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan, but it must be a finite number"),
        ({"learning_rate_min": 0.2}, "learning_rate_min is 0.2, but it must be at most learning_rate (0.1)"),
        ({"momentum": 1}, "momentum is 1, but it must be less than 1"),
        ({"weight_fraction": 0.0}, "weight_fraction is 0.0, but it must be more than 0"),
        ({"weight_fraction": 1}, "weight_fraction is 1, but it must be less than 1"),
        ({"arch_fraction": 0.6}, "arch_fraction is 0.6, but with weight_fraction 0.5 it must be at most 1"),
        ({"arch_adam_betas": (0.5,)}, "arch_adam_betas is (0.5,), but it must be two numbers"),
        ({"arch_adam_betas": (0.5, 0.9, 0.9)}, "arch_adam_betas is (0.5, 0.9, 0.9), but it must be two numbers"),
        ({"arch_adam_betas": 0.5}, "arch_adam_betas is 0.5, but it must be two numbers"),
        ({"flip": "maybe"}, "flip is maybe, but it must be true or false"),
        ({"kind": "cifra"}, "kind is cifra, but it must be cifar, stride2, stride4 or imagenet: did you mean cifar?"),
        ({"device": "gpu"}, "device is gpu, but it must be auto, cpu, cuda or cuda:N"),
        ({"data": "folder"}, "data is folder, but data_root is not given: name the folder of class folders"),
        ({"cutout": -1}, "cutout is -1, but it must be at least 0"),
        ({"seed": 2**63}, f"seed is {2**63}, but it must be less than 9.22337e+18"),
        ({"threads": 0}, "threads is 0, but it must be at least 1"),
        ({"kernels": "fast"}, "kernels is fast, but it must be auto, native or plain"),
        ({"arch_frozen": 3}, "there is no setting arch_frozen: did you mean arch_frozen_epochs?"),
        ({"zzz": 3}, "there is no setting zzz"),
        ({"job": "train"}, "job is train, but it must be search"),
    ],
)
def test_a_wrong_value_is_refused_by_name_value_and_expectation(fields: dict[str, Any], problem: str) -> None:
    assert problems(**fields) == [problem]


def test_all_problems_are_reported_at_once() -> None:
    fields = {"epochs": 0, "k": 5, "data": "cifar", "flips": True}
    assert problems(**fields) == [
        "data is cifar, but it must be fashion-mini, fashion-mnist, cifar10, cifar100, folder, imagenet or "
        "huggingface: did you mean cifar10?",
        "k is 5, but it must divide channels (16): use 1, 2, 4, 8 or 16",
        "epochs is 0, but it must be at least 1",
        "there is no setting flips: did you mean flip?",
    ]
    with pytest.raises(InputError, match=r"^4 problems with the configuration:\n  data is cifar"):
        SearchConfig(**fields)


def test_a_wrong_value_does_not_drag_others_along() -> None:
    assert problems(channels="many") == ["channels is many, but it must be a whole number"]
    assert problems(epochs="many") == ["epochs is many, but it must be a whole number"]


def test_a_value_of_any_length_and_kind_is_told_in_one_short_line() -> None:
    (problem,) = problems(epochs="1\n" * 1000)
    assert "\n" not in problem
    assert len(problem) < 200


def test_frozen_epochs_may_fill_the_search() -> None:
    assert SearchConfig(epochs=15).arch_frozen_epochs == 15


def test_a_test_needs_its_run() -> None:
    assert problems(TestConfig) == [
        "run is missing: folder of a finished train run, an exported file, or weights.pt of other scripts"
    ]
    assert TestConfig(run=Path("runs/x")).data is None


def test_a_bench_is_checked_as_a_search_is() -> None:
    assert problems(BenchConfig, k=3) == ["k is 3, but it must divide channels (16): use 1, 2, 4, 8 or 16"]
    assert problems(BenchConfig, repeats=0) == ["repeats is 0, but it must be at least 1"]
    assert problems(BenchConfig, kernels="all") == ["kernels is all, but it must be auto, native, plain or both"]


def test_the_fingerprint_leaves_out_where_and_how_fast_a_run_computes() -> None:
    here = SearchConfig(data_root=Path("/a"), device="cpu", threads=1, kernels="plain")
    there = SearchConfig(data_root=Path("/b"), device="cuda", threads=8, kernels="native")
    assert here.fingerprint() == there.fingerprint()
    assert here.fingerprint() != SearchConfig(k=2).fingerprint()


@settings(max_examples=25)
@given(
    epochs=st.integers(1, 10**6),
    learning_rate=st.floats(1e-12, 1e6),
    betas=st.tuples(st.floats(0, 0.999), st.floats(0, 0.999)),
    root=st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1),
    flip=st.booleans(),
    recipe=st.none() | st.text(),
)
def test_a_configuration_survives_its_file(
    tmp_path_factory: pytest.TempPathFactory,
    epochs: int,
    learning_rate: float,
    betas: tuple[float, float],
    root: str | None,
    flip: bool,
    recipe: str | None,
) -> None:
    config = SearchConfig(
        recipe=recipe,
        data_root=None if root is None else Path(root),
        epochs=epochs,
        arch_frozen_epochs=0,
        learning_rate=learning_rate,
        arch_adam_betas=betas,
        flip=flip,
    )
    file = tmp_path_factory.getbasetemp() / "survives.yaml"
    file.write_text(config.to_yaml(), encoding="utf-8")
    written = read_yaml(file, SearchConfig)
    assert list(written) == list(type(config).model_fields)
    if root is not None:  # found from any folder
        config = config.model_copy(update={"data_root": Path(os.path.abspath(os.path.expanduser(root)))})
    assert SearchConfig(**written) == config


def test_a_configuration_file_has_a_line_for_every_field() -> None:
    config = TrainConfig(genotype=published("pc_darts_cifar10").to_text())
    names = [line.partition(":")[0] for line in config.to_yaml().splitlines()]
    assert names == list(TrainConfig.model_fields)


def test_a_file_may_hold_some_of_the_settings(tmp_path: Path) -> None:
    file = tmp_path / "some.yaml"
    file.write_text("# a comment\nk: 2\nlearning_rate: 6e-4\narch_adam_betas: [0.5, 0.9]\n")
    config = SearchConfig(**read_yaml(file, SearchConfig))
    assert (config.k, config.learning_rate, config.arch_adam_betas) == (2, 6e-4, (0.5, 0.9))


@pytest.mark.parametrize("content", ["", "# nothing\n", "---\n"])
def test_an_empty_file_changes_nothing(tmp_path: Path, content: str) -> None:
    file = tmp_path / "empty.yaml"
    file.write_text(content)
    assert read_yaml(file, SearchConfig) == {}


def test_the_file_of_another_job_is_refused_with_the_command_that_takes_it(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(TrainConfig().to_yaml())
    with pytest.raises(InputError, match="configures the job train, not search: use it with `pcdarts train`"):
        read_yaml(file, SearchConfig)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"- 1\n- 2\n", "expected lines such as `epochs: 50`"),
        (b"just text", "expected lines such as `epochs: 50`"),
        (b"k: 2\nepochs: 3\nk: 4\n", "k is given twice in line 3"),
        (b"k: [1, 2\n", "expected ',' or ']'"),
        (b"a: &x [1]\nb: *x\n", r"an alias \(\*\) is not accepted"),
        (b"k: !!python/object/apply:os.system ['true']\n", "could not determine a constructor"),
        (b"k: 2\n---\nk: 3\n", "another document"),
        (b"\xff\xfe\x00k", "not readable as YAML"),
        (b"k: \x07\n", "not readable as YAML"),
        (b"[" * 2_000, "not readable as YAML"),
        (b"k: " + b"1" * MAX_YAML_BYTES, r"is too large for a configuration \(over 64 KiB\)"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused_in_one_line(tmp_path: Path, content: bytes, reason: str) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_bytes(content)
    with pytest.raises(InputError, match=reason) as refusal:
        read_yaml(file, SearchConfig)
    assert str(file) in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read the configuration .*: No such file"):
        read_yaml(tmp_path / "missing.yaml", SearchConfig)
    with pytest.raises(InputError, match=r"cannot read the configuration .*: Is a directory"):
        read_yaml(tmp_path, SearchConfig)


def test_a_search_that_is_too_short_for_its_method_says_what_it_lacks() -> None:
    def remarks(method: str, epochs: int, frozen: int = 0) -> list[str]:
        return remarks_on(SearchConfig(method=method, epochs=epochs, arch_frozen_epochs=frozen))

    assert remarks("darts", 1) == remarks("evolution", 2) == remarks("nao", 31) == []
    assert remarks("evolution", 3, 2) == [
        "nothing evolves: the population is there after epoch 3, and there are 3 (--epochs)"
    ]
    (line,) = remarks("nao", 40, 30)
    assert line.endswith("no round of 30 epochs (--round-epochs) ends before the last of 40 (--epochs)")
