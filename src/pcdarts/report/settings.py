"""The settings and the environment of runs: what differs between them, and what is common to all."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from pcdarts.errors import shown
from pcdarts.report.subject import Group

_OMITTED = {"job", "seed", "seeds", "genotype"}
"""Settings that the report shows elsewhere, or that always differ."""
_ENVIRONMENT = ("pcdarts", "commit", "python", "torch", "torchvision", "platform", "cpu", "cores", "device")


class Settings(NamedTuple):
    """The settings of one job: those that differ, a column for each group, and those that do not."""

    job: str
    groups: list[str]
    differing: list[tuple[str, list[str]]]
    common: list[tuple[str, str]]


def settings_of(groups: Sequence[Group]) -> list[Settings]:
    """A table for every job; several values of a group are one text."""
    jobs = dict.fromkeys(history.job for group in groups for history in group.histories)
    return [_of_job(job, groups) for job in jobs]


def environment_of(groups: Sequence[Group]) -> list[tuple[str, str]]:
    """Versions and machine; several values are one text."""
    histories = [history for group in groups for history in group.histories]
    found = [(name, _values(history.environment.get(name) for history in histories)) for name in _ENVIRONMENT]
    return [(name, values) for name, values in found if values]


def _of_job(job: str, groups: Sequence[Group]) -> Settings:
    found = {group.name: [history for history in group.histories if history.job == job] for group in groups}
    runs = {name: histories for name, histories in found.items() if histories}
    names = dict.fromkeys(
        name
        for histories in runs.values()
        for history in histories
        for name in history.settings
        if name not in _OMITTED
    )
    differing, common = [], []
    for name in names:
        values = [_values(history.settings.get(name) for history in histories) for histories in runs.values()]
        if len(set(values)) > 1:
            differing.append((name, values))
        else:
            common.append((name, values[0]))
    return Settings(job, list(runs), differing, common)


def _values(values: Any) -> str:
    texts = dict.fromkeys(shown("none" if value is None else value, 200) for value in values)
    return ", ".join(texts) if set(texts) != {"none"} else ""
