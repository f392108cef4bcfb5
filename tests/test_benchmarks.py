"""The scripts of `benchmarks/`, whose commands stand in the docs, can be started."""

import runpy
from pathlib import Path

import pytest

SCRIPTS = sorted((Path(__file__).parents[1] / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_everything_that_a_benchmark_imports_exists(script: Path) -> None:
    assert runpy.run_path(str(script))["__doc__"]
