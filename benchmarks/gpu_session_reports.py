"""A plugin of pytest for `gpu_session.py`: what became of each test is written at once, a line of JSON each.

    GPU_SESSION_REPORTS=FILE python -m pytest -p gpu_session_reports ...

A report that is written at the end is lost where a test hangs. GPU_SESSION_SHARD=1/3 leaves all tests but every third
one, from the second on, to other processes.
"""

import json
import os
from pathlib import Path

import pytest

MOST_LETTERS = 6000
"""Of a failure's words."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """This process's share of the tests."""
    which, of_how_many = map(int, os.environ.get("GPU_SESSION_SHARD", "0/1").split("/"))
    others = [item for place, item in enumerate(items) if place % of_how_many != which]
    config.hook.pytest_deselected(items=others)
    items[:] = items[which::of_how_many]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """A test that passed, was skipped or failed, also while it was set up or cleared away."""
    if report.when != "call" and report.outcome == "passed":
        return
    line = {"test": report.nodeid, "outcome": report.outcome, "when": report.when, "seconds": round(report.duration, 2)}
    line["figures"] = dict(report.user_properties)
    if report.outcome != "passed":
        line["why"] = report.longreprtext[-MOST_LETTERS:] or str(report.longrepr)
    with Path(os.environ["GPU_SESSION_REPORTS"]).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, default=str) + "\n")
