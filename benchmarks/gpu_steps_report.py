"""The file of figures of `gpu_steps.py`, its clock, its lines of text, and whose turn it is to measure."""

import fcntl
import gc
import json
import os
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from gpu_steps_profile import ceilings
from pcdarts.run.device import describe_device

SPARE_SECONDS = 6.0
"""Kept back of the time given, for the start of the process and what is on its way when it runs out."""
ROW_SECONDS = 12.0
"""A first guess of what a row needs; later the longest so far."""
STEPS = ("arch_step", "weight_step", "search_step")


@dataclass(frozen=True)
class Turns:
    """Processes that get ready at once, and have the device to themselves one after the other."""

    folder: Path
    sharers: int
    patience: float
    """Seconds to wait for those that are not ready yet."""

    def ready(self) -> None:
        """Nothing more to do beside others' measurements."""
        (self.folder / f"{threading.get_native_id()}.ready").touch()

    @contextmanager
    def mine(self) -> Iterator[None]:
        """Wait until all are ready, then until it is this one's turn."""
        self.ready()
        until = time.monotonic() + self.patience
        while len(list(self.folder.glob("*.ready"))) < self.sharers and time.monotonic() < until:
            time.sleep(0.1)
        with (self.folder / "turn").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


class Report:
    """FILE.json, and the clock."""

    def __init__(
        self, path: Path, seconds: float, device: torch.device, tiny: bool, turns: Turns | None = None
    ) -> None:
        self.path, self.device, self.tiny, self.turns = path, device, tiny, turns
        self.end = time.monotonic() + seconds - min(SPARE_SECONDS, seconds / 10)
        self.longest = 0.0 if tiny else ROW_SECONDS
        self.known: dict[str, Any] = {
            "device": describe_device(device),
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
            "tiny": tiny,
            "rows": [],
            "skipped": [],
        }
        self.write()

    def left(self) -> float:
        return self.end - time.monotonic()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """While nobody else measures; the ceilings are measured first, if they are not known yet."""
        free(self.device)
        with self.turns.mine() if self.turns else nullcontext():
            if "ceilings" not in self.known:
                self.known["ceilings"] = ceilings(self.device, self.tiny)
            yield

    def row(self, name: str, fill: Callable[[dict[str, Any]], None]) -> None:
        """Let `fill` fill a row if there is time for one as long as the longest, and write what is known."""
        if self.left() < self.longest:
            self.known["skipped"].append(name)
            self.write()
            return
        row: dict[str, Any] = {"name": name}
        self.known["rows"].append(row)
        started = time.monotonic()
        try:
            fill(row)
        except Exception:
            row["error"] = traceback.format_exc()
        row["took_seconds"] = time.monotonic() - started
        if not self.tiny and "error" not in row:
            self.longest = max(self.longest, row["took_seconds"])
        self.write()
        for line in lines_of(row):
            print(line, flush=True)

    def write(self) -> None:
        """Whole or not at all."""
        temporary = self.path.with_name(self.path.name + ".part")
        temporary.write_text(json.dumps(self.known, indent=1) + "\n", "utf-8")
        os.replace(temporary, self.path)


def free(device: torch.device) -> None:
    """Give back what nobody holds any more."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def lines_of(row: dict[str, Any]) -> list[str]:
    """A row in a few lines of text."""
    lines = [f"{row['name']} ({row['took_seconds']:.1f} s)"]
    if "ceilings" in row:
        rates = row["ceilings"]
        products = ", ".join(f"{name} {rates[name] / 1e12:.3g}" for name in ("float32", "tf32", "bf16"))
        lines.append(f"  copy {rates['copy_bytes_per_second'] / 1e9:.4g} GB/s; products in TFLOP/s: {products}")
    for name, form in row.get("forms", {}).items():
        parts = [f"{part} {form[part]['median_ms']:.4g} ms" for part in STEPS if part in form]
        kernels_ = form.get("kernels", {}).get("per_step")
        waits = form.get("synchronisations")
        memory = form["bytes"].get("peak")
        parts += [f"{kernels_:.0f} kernels"] if kernels_ is not None and memory else []
        parts += [f"{waits['count']} waits"] if isinstance(waits, dict) else []
        parts += [f"{memory / 1e9:.3g} GB"] if memory else []
        lines.append(f"  {name}: {', '.join(parts)}")
    for name, error in {**row.get("errors", {}), **({"": row["error"]} if "error" in row else {})}.items():
        lines.append(f"  FAILED {name}: {error.strip().splitlines()[-1][:200]}")
    return lines
