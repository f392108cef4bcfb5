"""The file `plan.json` of a fit: what was planned and why, which phase it is in, and the time that it has used."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field

from pcdarts.config.groups.values import NotNegative
from pcdarts.errors import InputError
from pcdarts.own_images.rules import Facts
from pcdarts.run.run_folder import RunFolder


class _Planned(BaseModel):
    search: dict[str, Any] | str
    trials: dict[Annotated[str, Field(pattern=r"^trial-[a-z]+$")], dict[str, Any]]
    """By the names of their folders: nothing is written outside the fit's own folder."""


class _Cell(BaseModel):
    origin: str
    said: str


class _Kept(BaseModel):
    seconds: dict[str, NotNegative]
    phase: str | None
    began: NotNegative | None = None
    facts: Facts | None = None
    plan: _Planned | None = None
    train: dict[str, Any] | None = None
    cell: _Cell | None = None


class Account:
    """What a fit knows of itself, kept whole on the disk: time counts across kills and resumes.

    Raises:
        InputError: the file is damaged.
    """

    def __init__(self, run: RunFolder) -> None:
        self.run = run
        self._began: float | None = None
        self.facts: Facts | None = None
        """What an earlier session has seen of the images."""
        self.kept: dict[str, Any] = {"seconds": {}, "phase": None}
        if run.plan.exists():
            try:
                self.kept |= json.loads(run.plan.read_text("utf-8"))
                self.facts = _Kept.model_validate(self.kept).facts
            except (OSError, ValueError, TypeError, RecursionError):
                raise InputError(f"{run.plan} is damaged: restore it from a copy, or start a new fit") from None
        if (began := self.kept.pop("began", None)) is not None:  # a kill has left the phase without an end
            self._add(max(0.0, _last_sign(run.path) - began))

    def forget_plan(self) -> None:
        """Begin anew, but for the time that was used.

        Raises:
            RunError: it cannot be saved.
        """
        self.facts, self.kept = None, {name: self.kept[name] for name in ("seconds", "phase")}
        self.save()

    def save(self, **facts: Any) -> None:
        """Keep these facts too.

        Raises:
            RunError: they cannot be saved.
        """
        self.kept |= facts
        self.run.write_json(self.run.plan, self.kept)

    @property
    def seconds(self) -> float:
        """Used so far, in all sessions."""
        now = 0.0 if self._began is None else time.monotonic() - self._began
        return now + float(sum(self.kept["seconds"].values()))

    def _add(self, seconds: float) -> None:
        phase = self.kept["phase"]
        self.kept["seconds"][phase] = self.kept["seconds"].get(phase, 0.0) + seconds

    @contextmanager
    def counting(self, phase: str) -> Iterator[None]:
        """Count the time of the context for a phase; after a kill it ends with the last sign of life in the folder."""
        self.save(phase=phase, began=time.time())
        self._began = time.monotonic()
        try:
            yield
        finally:
            self._add(time.monotonic() - self._began)
            self._began = None
            self.save(began=None)


def _last_sign(folder: Path) -> float:
    """When a file of the run last changed, but for those of this session."""
    own = {".lock", "state.json"}
    times = [0.0]
    for path in folder.rglob("*"):
        if path.is_file() and not (path.parent == folder and path.name in own):
            times.append(path.stat().st_mtime)
    return max(times)
