"""Parts a to d of `gpu_session.py`: every job on the GPU, the tests marked `gpu`, step times and kernels."""

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from gpu_session_commands import PATIENCE_SECONDS, ROOT, Ended, Session, pcdarts
from gpu_session_machine import SomeImages

HERE = Path(__file__).resolve().parent
HERE_PLUGIN = "gpu_session_reports"


@dataclass
class Ask:
    """What a part is asked for."""

    device: str
    tiny: bool
    part: str = ""
    until: float = 0.0
    """On the monotonic clock."""
    images: SomeImages | None = None

    def left(self) -> float:
        """Seconds that this part may still take, less those that it takes to stop a command."""
        return self.until - time.monotonic() - PATIENCE_SECONDS


# ---- a: smoke ----


def smoke(session: Session, ask: Ask) -> None:
    """Every job in a process of its own; chains of them at once, since most of their time is starting."""
    runs = session.work / "runs"
    runs.mkdir(exist_ok=True)
    make_coco_set(session.work / "coco")
    Image.linear_gradient("L").save(session.work / "grey.png")
    chains = [
        search_and_what_follows(session, ask),
        train_and_what_follows(session, ask),
        detection(session, ask, runs),
        *other_searches(ask, runs),
        *measurements(session, ask),
    ]
    with ThreadPoolExecutor(len(chains)) as pool:
        for outcome in [pool.submit(run_chain, session, ask, chain) for chain in chains]:
            outcome.result()
    steps = session.part("a")["steps"]
    bad = [name for name, step in steps.items() if step["ended"] != "done"]
    session.part("a")["lines"] = [
        f"{len(steps) - len(bad)} of {len(steps)} jobs ended well; not: {', '.join(bad) or 'none'}"
    ]


Chain = Sequence[tuple[str, Sequence[str | Path]]]


def run_chain(session: Session, ask: Ask, chain: Chain) -> list[Ended]:
    """One after the other; those after a failure are tried too, since each may fail in its own way."""
    few = {"OMP_NUM_THREADS": "1"}
    return [session.command("a", name, pcdarts(*words), min(ask.left(), 120), environment=few) for name, words in chain]


def search_and_what_follows(session: Session, ask: Ask) -> Chain:
    device, search = ["--device", ask.device], session.work / "runs" / "a-search"
    few, kernels = [*small(ask), "--epochs", "2"], ["--kernels", "plain"] if ask.tiny else []  # those of a GPU
    train = ["train", *few, "--test-images", "20", "--genotype", search]
    return [
        ("search", ["search", *few, *kernels, "--arch-frozen-epochs", "1", "--run", search, *device]),
        ("train-of-search", [*train, "--run", session.work / "runs" / "a-train-of-search", *device]),
        ("resume", ["search", "--resume", search, "--epochs", "3", *device]),
    ]


def train_and_what_follows(session: Session, ask: Ask) -> Chain:
    device, train = ["--device", ask.device], session.work / "runs" / "a-train"
    few = [*small(ask), "--epochs", "2", "--test-images", "20", "--genotype", "pc_darts_cifar10"]
    return [
        ("train", ["train", *few, "--run", train, *device]),
        ("test", ["test", train, *device]),
        ("predict", ["predict", train, session.work / "grey.png", *device]),
        ("export", ["export", train]),
        ("export-onnx", ["export", train, "--format", "onnx", "--out", session.work / "runs" / "a-export-onnx"]),
    ]


def small(ask: Ask) -> list[str]:
    """Few images of the set inside the package, and small networks."""
    if ask.tiny:
        return [
            "--train-images",
            "40",
            "--image-size",
            "8",
            "--channels",
            "4",
            "--num-cells",
            "3",
            "--batch-size",
            "10",
        ]
    return ["--train-images", "512", "--batch-size", "64"]


def detection(session: Session, ask: Ask, runs: Path) -> Chain:
    device = ["--device", ask.device]
    size = ["--channels", "4", "--num-cells", "3"] if ask.tiny else []
    coco = ["--data-root", session.work / "coco", "--train-sets", "train2017", "--test-set", "val2017"]
    few = ["--epochs", "2", "--batch-size", "4", "--image-size", "96", "--lr-warmup-epochs", "0"]
    detector = runs / "a-detect"
    return [
        ("detect-train", ["detect", "train", "--recipe", "coco-mini", *coco, *few, *size, "--run", detector, *device]),
        ("detect-test", ["detect", "test", detector, *device]),
    ]


def other_searches(ask: Ask, runs: Path) -> list[Chain]:
    """What the paper's search does not use: second order, random masks, other precisions, deterministic algorithms."""
    few = ["search", *small(ask), "--epochs", "1", "--arch-frozen-epochs", "0", "--device", ask.device]
    second = ["--second-order", "--k", "2", "--channel-sampling", "random"]
    if ask.tiny:  # the others would take the rehearsal's minutes, and are the same code on a CPU
        return [[("second-order", [*few, "--kernels", "plain", *second, "--run", runs / "a-second"])]]
    kinds = {
        "bf16": ["--amp", "bf16"],
        "fp16": ["--amp", "fp16"],
        "second-order": second,
        "deterministic": ["--deterministic"],
        "compile": ["--compile"],
    }
    return [[(name, [*few, *flags, "--run", runs / f"a-{name}"])] for name, flags in kinds.items()]


def measurements(session: Session, ask: Ask) -> list[Chain]:
    """The jobs that measure, which would take a minute of a rehearsal."""
    figures = session.work / "figures"
    figures.mkdir(exist_ok=True)
    device = ["--device", ask.device]
    size = ["--channels", "8", "--num-cells", "3", "--num-nodes", "4"]  # whether they run; part c is for figures
    bench = ["bench", "--repeats", "2", "--json", figures / "a-bench.json", *size, *device]
    return [] if ask.tiny else [[("bench", bench), ("plan", ["search", *small(ask), *size, "--plan", *device])]]


def make_coco_set(root: Path) -> None:
    """Coloured rectangles in COCO's format, as the tests have them."""
    sys.path.append(str(ROOT / "tests"))
    from coco_set import box, write_set

    boxes = [[box(7, 5, 5, 20, 15), box(2, 30, 10, 15, 20)], [box(90, 10, 4, 25, 25)]]
    write_set(root, "train2017", boxes * 4)
    write_set(root, "val2017", boxes * 2, first_id=100)


# ---- b: tests ----

ALONE = "test_processes.py"
"""Fills the memory of the card on purpose: runs when the other files are done."""

SHARDS = {"test_supernet.py": 3, "test_jobs.py": 4, "test_waiting.py": 3}
"""Processes that share a file's tests; one for the others. The first use of every shape of a convolution costs cuDNN
about 0.1 s, so that a file takes a minute or two."""


def tests(session: Session, ask: Ask) -> None:
    """pytest on `tests/gpu`, in some processes at once; each test is reported when it ends."""
    known = session.part("b")
    files = [path.name for path in sorted((ROOT / "tests" / "gpu").glob("test_*.py"))]
    if not files:
        known["lines"] = ["tests/gpu is not there: nothing was tested"]
        return
    reports = session.work / "figures" / "b-tests.jsonl"
    reports.parent.mkdir(exist_ok=True)
    together = [file for file in files if file != ALONE]
    share = ask.left() * (0.65 if len(together) < len(files) else 1)

    def run(file: str, shard: int, of_how_many: int, seconds: float) -> None:
        words = [sys.executable, "-m", "pytest", f"tests/gpu/{file}", "-q", "-p", "no:cacheprovider"]
        words += ["-p", HERE_PLUGIN, "--timeout", "100", "-m", "gpu"]
        environment = {"PCDARTS_GPU_TESTS_ON": ask.device, "GPU_SESSION_REPORTS": str(reports)}
        environment["OMP_NUM_THREADS"] = "1"  # a dozen processes, each with a thread for every core, wait for another
        environment["PYTHONPATH"] = f"{session.environment['PYTHONPATH']}{os.pathsep}{HERE}"
        environment["GPU_SESSION_SHARD"] = f"{shard}/{of_how_many}"
        name = file.removesuffix(".py") + (f"-{shard}" if of_how_many > 1 else "")
        session.command("b", name, words, seconds, environment=environment, cwd=ROOT)
        known.update(read_reports(reports))
        session.save()

    shards = {} if ask.tiny else SHARDS
    jobs = [(file, shard, shards.get(file, 1)) for file in together for shard in range(shards.get(file, 1))]
    at_once = 1 if ask.tiny else len(jobs)
    with ThreadPoolExecutor(at_once) as pool:
        for outcome in [pool.submit(run, *job, share * at_once / len(jobs)) for job in jobs]:
            outcome.result()
    if ALONE in files:
        run(ALONE, 0, 1, ask.left())


def read_reports(path: Path) -> dict[str, Any]:
    """How many tests there were, what the failed ones said, and all figures that were noted."""
    with suppress(OSError):
        reports = [json.loads(line) for line in path.read_text("utf-8").split("\n")[:-1]]
        failed = {report["test"]: report["why"] for report in reports if report["outcome"] == "failed"}
        counts = Counter(report["outcome"] for report in reports)
        lines = [", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))]
        for test, why in failed.items():
            said = [line for line in why.splitlines() if line.startswith("E ")]
            lines += [f"failed: {test}", *(f"  {line[:200]}" for line in said[:4] or why.splitlines()[-2:])]
        return {"lines": lines, "failed": failed, "tests": reports, "log_is_shown": True}
    return {"lines": ["no test has ended"]}


# ---- c and d: step times, kernels ----


WAVES = [
    ["K=4, float32", "K=4, bf16", "K=4, TF32", "convolutions of one source node"],
    ["K=8, float32", "K=2, float32", "ImageNet cells at 28x28, K=2, float32"],
    ["K=1, float32", "K=1, bf16", "ImageNet cells at 28x28, K=2, bf16"],
]
"""Rows of `gpu_steps.py` that get ready side by side, by worth: few, since it is one device that they warm up on."""


def step_times(session: Session, ask: Ask) -> None:
    """`gpu_steps.py`, a process for each row; its figures are copied whenever it writes some."""
    known = session.part("c")
    figures = session.work / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    waves = [[""]] if ask.tiny else WAVES  # all rows in one process

    def measure(row: str, place: str, sharers: int, seconds: float) -> None:
        file = figures / f"{place}.json"
        words = ["--output", file, "--seconds", f"{seconds:.0f}", "--device", ask.device]
        words += ["--rows", row, "--turns", turns, "--sharers", str(sharers)] if row else []
        words += ["--tiny"] if ask.tiny else []

        def copy() -> bool:
            with suppress(OSError, ValueError):
                known.setdefault("figures", {})[row or "all"] = json.loads(file.read_text("utf-8"))
            return False

        ended = session.command("c", place, [sys.executable, HERE / "gpu_steps.py", *words], seconds, watch=copy)
        copy()
        show_log(known, ended, 60)
        session.save()

    for number, wave in enumerate(waves):
        turns = session.work / "turns" / str(number)
        turns.mkdir(parents=True)
        seconds = max(ask.left(), 1)
        with ThreadPoolExecutor(len(wave)) as pool:
            places = [f"{number}-{place}" for place in range(len(wave))]
            jobs = zip(wave, places, strict=True)
            for outcome in [pool.submit(measure, *job, len(wave), seconds) for job in jobs]:
                outcome.result()


def kernels_of_steps(session: Session, ask: Ask) -> None:
    """What part c has seen of the kernels of each step; it takes no time."""
    known = session.part("d")
    rows = [row for found in session.part("c").get("figures", {}).values() for row in found["rows"]]
    known["kernels"] = {row["name"]: row["forms"] for row in rows if row.get("forms")}
    known["lines"] = [line for row in rows for line in lines_of_kernels(row)]
    known["lines"] = known["lines"] or ["no kernels are known: they are looked at in part c, which goes before"]


def lines_of_kernels(row: dict[str, Any]) -> list[str]:
    """The most expensive kernels of each form of a row, and how long the device idled."""
    lines = []
    for name, form in row.get("forms", {}).items():
        if "idle_share" in form:
            idle = form["idle_share"]
            idle = idle if isinstance(idle, str) else f"{100 * idle:.0f} %"
            lines.append(f"{row['name']}, {name}: idle {idle}")
            lines += [f"  {100 * k['share']:.0f} % {k['name'][:90]}" for k in form["kernels"]["most_expensive"][:5]]
    return lines


def show_log(known: dict[str, Any], ended: Ended, lines: int) -> None:
    """Add the end of a log to what the table says of a part, without the traceback of having been stopped."""
    text = ended.text().rstrip()
    if text.endswith("KeyboardInterrupt"):
        text = text[: text.rfind("Traceback (most recent call last):")].rstrip()
    known["lines"] = [*known.get("lines", []), *(line[:200] for line in text.splitlines()[-lines:])]
    known["log_is_shown"] = True
