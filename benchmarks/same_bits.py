"""Whether two versions of pcdarts compute the same bits: `python benchmarks/same_bits.py OLD NEW`.

OLD and NEW are checkouts, folders with `src/pcdarts`. Each does the same small jobs with the same seeds, every one as
`python -m pcdarts` in a folder of its own, with one thread. Then all that the two run folders hold must be the same:
every tensor and value of the checkpoints, bit by bit, the metrics, the results, the genotypes of all epochs. Times,
memory and reasons (`run_ends.MAY_DIFFER`) are left out. The exit code is 1 if anything differs or a job fails.

With `--output DIR` the runs are kept, in `DIR/old` and `DIR/new`. Such a folder can stand for OLD or NEW in a later
call, which then does only the jobs of the other one:

    python benchmarks/same_bits.py OLD NEW --output DIR
    python benchmarks/same_bits.py DIR/old NEW --jobs search,killed
"""

import argparse
import os
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from run_ends import End, bits, differences, end_of
from same_bits_jobs import JOBS, Job, write_images

MOVED = {
    "/checkpoint.pt/state/method/arch/": "/checkpoint.pt/state/arch/",
    "/checkpoint.pt/state/method/optimizer/": "/checkpoint.pt/state/arch_optimizer/",
    "/checkpoint.pt/state/errors/found/": "/checkpoint.pt/state/candidates/errors/",
    "/checkpoint.pt/state/network/": "/checkpoint.pt/state/candidates/network/",
    "/checkpoint.pt/state/optimizer/": "/checkpoint.pt/state/candidates/optimizer/",
    "/checkpoint.pt/state/scaler/": "/checkpoint.pt/state/candidates/scaler/",
}
"""What newer versions may keep elsewhere: the beginning of its path there, and in the version compared with.

A path that the older version has too is left alone.
"""

ADDED = (
    "/checkpoint.pt/fingerprint/",
    "/result.json/test_details/",
    "/checkpoint.pt/state/place/stage",
    "/checkpoint.pt/state/arch_batches/epoch",
    "/checkpoint.pt/state/arch_batches/taken",
)
"""Plain values that only a newer version holds, by a part of the path: new settings, figures and counts.

No tensor is ever left out.
"""

DROPPED = ("/checkpoint.pt/state/place/arch_batches", "/checkpoint.pt/state/candidates/number")
"""Plain values that a newer version no longer needs, such as a count that is kept elsewhere now."""

SHOWN = 8
"""So many differences of a job are printed."""


class Failed(Exception):
    """A job did not end as it should, or what is to be compared is not there; in words."""


class Refused(Exception):
    """A job was refused; with the line that said why."""


@dataclass(frozen=True)
class Version:
    """One of the two things that are compared: a checkout, or the runs that an earlier call kept."""

    name: str
    """OLD or NEW."""
    path: Path
    runs: Path
    """Where its runs are, or will be."""

    @property
    def is_checkout(self) -> bool:
        return (self.path / "src" / "pcdarts").is_dir()

    def run_of(self, name: str) -> Path:
        """The finished run of a job, which is done now unless an earlier call, or an earlier job of this call, did it.

        Raises:
            Failed: the job did not end as it should, or the kept runs lack it.
            Refused: the job was refused.
        """
        job, folder = JOBS[name], self.runs / name
        run, note, refusal = folder / "run", folder / "job.txt", folder / "refused.txt"
        if not note.exists():
            if not self.is_checkout:
                raise Failed(f"{self.path} has no run of this job")
            folder.mkdir(parents=True)
            note.write_text(f"{job}\n", "utf-8")
            try:
                do(job, self.path / "src", folder)
            except Refused as refused:
                refusal.write_text(str(refused), "utf-8")
        elif note.read_text("utf-8") != f"{job}\n":
            raise Failed(f"the run in {folder} was made with other settings: run both versions again")
        if refusal.exists():
            raise Refused(refusal.read_text("utf-8"))
        if not (run / "result.json").exists():
            raise Failed(f"the run in {folder} is not finished")
        return run


def do(job: Job, source: Path, folder: Path) -> None:
    """Do a job with the package in `source`, in `folder`; its run folder is `run`.

    Raises:
        Failed, Refused: it did not end as it should.
    """
    command = [*shlex.split(job.command), "--threads", "1", "--device", "cpu", "--seed", "1", "--run", "run"]
    resume = [command[0], "--resume", "run"]
    if job.killed:
        kill_after_an_epoch(start(command, source, folder), folder / "run" / job.killed)
        command = resume
    complete(job, start(command, source, folder, job.processes))
    if job.then:
        complete(job, start([*resume, *shlex.split(job.then)], source, folder))


def kill_after_an_epoch(process: subprocess.Popen[str], metrics: Path) -> None:
    """Kill a job (SIGKILL) once its metrics have a line.

    Raises:
        Failed: it ended before.
    """
    while process.poll() is None and not (metrics.exists() and metrics.read_text("utf-8").endswith("\n")):
        time.sleep(0.002)
    process.kill()
    _, errors = process.communicate()
    if process.returncode != -9:
        raise Failed(f"it ended with exit code {process.returncode} before it was killed: {last_line(errors)}")


def complete(job: Job, process: subprocess.Popen[str]) -> None:
    """Wait for the end of a job.

    Raises:
        Refused: it was refused, and may be.
        Failed: it ended with another exit code than 0.
    """
    _, errors = process.communicate()
    if process.returncode == 2 and job.needs:
        raise Refused(last_line(errors))
    if process.returncode:
        raise Failed(f"exit code {process.returncode}: {last_line(errors)}")


def start(command: list[str], source: Path, folder: Path, processes: int = 1) -> subprocess.Popen[str]:
    """Start pcdarts inside `folder`, from the package in `source` and with one thread: bits depend on how many."""
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), "-m", "--"]
    return subprocess.Popen(
        [sys.executable, "-m", *(torchrun if processes > 1 else []), "pcdarts", *command],
        cwd=folder,
        env=environment(source),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def environment(source: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}


def last_line(text: str) -> str:
    """The last line of ours on stderr, else the last one."""
    lines = text.strip().splitlines() or ["it said nothing"]
    return next((line for line in reversed(lines) if line.startswith("pcdarts: ")), lines[-1])


def in_names_of(older: End, end: End) -> End:
    """An end with the paths of an older version's, so far as `MOVED` knows of them.

    Raises:
        Failed: two values would have one path.
    """
    renamed: End = {}
    for path, value in end.items():
        new = next((new for new in MOVED if new in path and path not in older), None)
        name = path.replace(new, MOVED[new]) if new else path
        if name in renamed:
            raise Failed(f"{name} is there twice, in its old and its new place")
        renamed[name] = value
    return renamed


def compare(one: End, other: End, names: tuple[str, str]) -> list[str]:
    """Where two ends differ, in words, one line for each path; `names` are what the two are called."""
    other = in_names_of(one, other)
    paths = [path for path in differences(one, other) if not is_expected(path, one, other)]
    paths.sort(key=lambda path: "/metrics.jsonl/" not in path)  # first, as they tell in which epoch it began
    return [f"{path}: {difference(path, one, other, names)}" for path in paths]


def is_expected(path: str, one: End, other: End) -> bool:
    """Whether this is a plain value that only one end has, and that only a newer or an older version has."""
    for end, without, parts in ((other, one, ADDED), (one, other, DROPPED)):
        if path not in without and any(part in path for part in parts):
            return not isinstance(end[path], Tensor)
    return False


def difference(path: str, one: End, other: End, names: tuple[str, str]) -> str:
    """What differs at a path."""
    for name, end, without in ((names[0], one, other), (names[1], other, one)):
        if path not in without:
            return f"only {name} has it ({shown(end[path])})"
    first, second = one[path], other[path]
    if isinstance(first, Tensor) and isinstance(second, Tensor) and shown(first) == shown(second):
        changed = (bits(first) != bits(second)).reshape(first.numel(), -1).any(dim=1).sum()
        apart = (first.double() - second.double()).abs().max()  # in float64, where no difference overflows
        return f"{int(changed)} of {first.numel()} numbers differ, by {float(apart):.2g} at most"
    return f"{shown(first)} in {names[0]}, {shown(second)} in {names[1]}"


def shown(value: Any) -> str:
    """A tensor by its type and shape, another value in up to 60 characters."""
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def counted(end: End) -> str:
    """How much was compared.

    Raises:
        Failed: there is no tensor or no epoch.
    """
    tensors = sum(isinstance(value, Tensor) for value in end.values())
    epochs = sum(path.endswith("/epoch") and "/metrics.jsonl/" in path for path in end)
    if not (tensors and epochs):
        raise Failed(f"there is nothing to compare: {tensors} tensors, {epochs} epochs")
    return f"{tensors} tensors, {len(end) - tensors} other values, {epochs} epochs"


def check(name: str, old: Version, new: Version) -> tuple[str, list[str]]:
    """Do a job with both versions: `equal`, `refused` or `differs`, and what there is to say about it."""
    ends, refusals = {}, []
    for version in (old, new):
        try:
            ends[version] = end_of(version.run_of(name))
        except Refused as refusal:
            refusals.append(str(refusal))
        except (Failed, OSError, ValueError, RuntimeError) as failure:
            return "differs", [f"{version.name}: {failure}"]
    if len(refusals) == 2:
        return "refused", [f"by both, for want of {JOBS[name].needs}: {refusals[0]}"]
    if refusals:
        return "differs", [f"only {new.name if old in ends else old.name} refuses it: {refusals[0]}"]
    try:
        lines = compare(ends[old], ends[new], (old.name, new.name))
        amount = counted(ends[new])
        if twin := JOBS[name].same_as:
            for version in (old, new):
                names = (f"{version.name}'s job {twin}", f"{version.name}'s job {name}")
                lines += compare(end_of(version.run_of(twin)), ends[version], names)
            amount += f", also those of job {twin}"
    except (Failed, OSError, ValueError, RuntimeError) as failure:
        return "differs", [str(failure)]
    return ("differs", lines) if lines else ("equal", [amount])


def report(name: str, verdict: str, lines: list[str], seconds: float) -> None:
    """Print what came out of a job."""
    if len(lines) == 1:
        print(f"{name}: {verdict}: {lines[0]} ({seconds:.0f} s)", flush=True)
        return
    more = [f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    print(f"{name}: {verdict} in {len(lines)} places ({seconds:.0f} s)")
    print(*(f"    {line}" for line in [*lines[:SHOWN], *more]), sep="\n", flush=True)


def version(name: str, path: Path, output: Path) -> Version:
    """OLD or NEW of the command line.

    Raises:
        SystemExit: it is neither a checkout nor a folder of kept runs, or the package would come from elsewhere.
    """
    path = path.absolute()
    found = Version(name, path, output / name.lower())
    if not found.is_checkout:
        if not any(path.glob("*/job.txt")):
            sys.exit(f"{path} is no checkout (it has no src/pcdarts), and holds no runs of an earlier call")
        return Version(name, path, path)
    where = [sys.executable, "-c", "import pcdarts; print(pcdarts.__file__)"]
    said = subprocess.run(where, env=environment(path / "src"), cwd=output, capture_output=True, text=True)
    if not Path(said.stdout.strip()).is_relative_to(path / "src"):
        sys.exit(f"Python takes pcdarts from {said.stdout.strip() or 'nowhere'}, not from {path / 'src'}")
    return found


def compared(old: Version, new: Version, jobs: Iterable[str]) -> bool:
    """Do and compare jobs, print what comes out, and say whether nothing differs."""
    verdicts = []
    for name in jobs:
        since = time.monotonic()
        verdict, lines = check(name, old, new)
        report(name, verdict, lines, time.monotonic() - since)
        verdicts.append(verdict)
    counts = [f"{verdicts.count(verdict)} {word}" for verdict, word in WORDS.items() if verdict in verdicts]
    print(f"of {len(verdicts)} jobs: {', '.join(counts)}")
    return "differs" not in verdicts


WORDS = {"equal": "equal", "differs": "not equal", "refused": "refused by both versions"}


def main() -> None:
    parser = argparse.ArgumentParser(description="Do small jobs with two versions of pcdarts and compare every bit.")
    parser.add_argument("old", type=Path, metavar="OLD", help="checkout, or DIR/old of an earlier call")
    parser.add_argument("new", type=Path, metavar="NEW", help="checkout that must compute the same")
    parser.add_argument("--jobs", default=",".join(JOBS), metavar="NAME,NAME", help="only these (default: %(default)s)")
    parser.add_argument("--output", type=Path, metavar="DIR", help="keep the runs in this new folder")
    arguments = parser.parse_args()
    names = arguments.jobs.split(",")
    if unknown := [name for name in names if name not in JOBS]:
        parser.error(f"there is no job {unknown[0]!r}: choose from {', '.join(JOBS)}")
    if arguments.output and arguments.output.exists():
        parser.error(f"{arguments.output} exists: choose a new folder")
    with tempfile.TemporaryDirectory() as temporary:
        output = (arguments.output or Path(temporary)).absolute()
        output.mkdir(parents=True, exist_ok=True)
        old, new = version("OLD", arguments.old, output), version("NEW", arguments.new, output)
        write_images(output / "images")
        alike = compared(old, new, names)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"the jobs took {used.ru_utime + used.ru_stime:.0f} s of processor time")
    sys.exit(not alike)


if __name__ == "__main__":
    main()
