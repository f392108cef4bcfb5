"""What a machine with a GPU can say of pcdarts in a few minutes: does it run, is it right, how fast is it.

    python benchmarks/gpu_session.py --output DIR --minutes 12 --wheels build/gpu_session_wheels --images PIECE...
    python benchmarks/gpu_session.py --output DIR --rehearse        # all of it, tiny, on a CPU

Parts, in order of worth; each is made of commands that run in processes of their own, each with a limit:

    a  smoke: every job of the command line on the GPU
    b  tests: those marked `gpu`
    c  step times and peak memory by turns (`gpu_steps.py`)
    d  the most expensive kernels of a step, and the time that the device idles, as part c saw them
    f  images per second of the paper's evaluation network
    e  the paper's search on CIFAR-10, as far as it comes in the time that is left

DIR gets a JSON file per part, `summary.json`, and `session.tar.gz` with all logs and small files of the runs, each
written anew after every command: whatever ends the session, what was known is there. docs/gpu.md says more.
"""

import argparse
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gpu_session_commands import Session
from gpu_session_machine import describe_machine, install_wheels, prepare_images
from gpu_session_parts import Ask, kernels_of_steps, smoke, step_times, tests
from gpu_session_runs import paper_search, training_rate

ORDER = "abcdfe"
SHARES = {"a": 3.0, "b": 3.0, "c": 5.0, "d": 0.0, "f": 2.0, "e": 3.0}
"""Of the time that is left when a part begins, divided among it and the parts after it; the last one gets all of it."""

REHEARSED_SHARES = {"a": 12.0, "b": 6.0, "c": 6.0, "d": 0.0, "f": 2.0, "e": 2.0}
"""Two slow cores start the processes of part a one after the other; f and e end by themselves."""

PARTS: dict[str, Callable[[Session, Ask], None]] = {
    "a": smoke,
    "b": tests,
    "c": step_times,
    "d": kernels_of_steps,
    "f": training_rate,
    "e": paper_search,
}

CLOSING_SECONDS = 8.0
"""Kept back for the last files and the table."""


class Ending(BaseException):
    """A signal, or the clock, ends the session."""


def main() -> None:
    options = parse()
    try:
        options.output.mkdir(parents=True, exist_ok=True)
        if any(options.output.iterdir()):
            raise OSError(f"{options.output} is not empty: choose another folder")
    except OSError as error:
        sys.exit(f"gpu_session.py: {error}")
    work = Path(tempfile.mkdtemp(prefix="gpu-session-")) if options.work is None else options.work
    session = Session(options.output, work, time.monotonic() + 60 * options.minutes - CLOSING_SECONDS)
    end_in_time(session, 60 * options.minutes - CLOSING_SECONDS / 2)
    try:
        hold(session, options)
    except Ending as ending:
        session.note(f"ended before everything was done: {ending}")
    finally:
        ignore_signals()  # the rest takes a second
        session.end_all()
        session.save()
    print(session.table(), flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder for the results, new or empty")
    parser.add_argument("--minutes", type=float, help="after which everything is over (12; in a rehearsal 4)")
    parser.add_argument(
        "--parts", default=",".join(ORDER), help="which, in this order, such as a,b or c=150,d,f,e with seconds (all)"
    )
    parser.add_argument("--wheels", type=Path, help="folder of wheels of packages that the machine lacks")
    parser.add_argument("--images", type=Path, nargs="+", default=[], help="pieces, or folders of pieces")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--work", type=Path, help="folder for runs and images (a new one in the temporary folder)")
    parser.add_argument("--rehearse", action="store_true", help="tiny sizes on the CPU")
    options = parser.parse_args()
    try:
        options.parts = [part_of(word) for word in options.parts.split(",")]
    except ValueError as error:
        parser.error(str(error))
    if options.rehearse:
        options.device = "cpu"
    options.minutes = options.minutes or (4 if options.rehearse else 12)
    return options


def end_in_time(session: Session, seconds: float) -> None:
    """SIGTERM, SIGINT and the clock end all commands and raise `Ending` in the main thread.

    That SIGINT has a handler also means that commands do not inherit it ignored, as from a shell's background job.
    """

    def end(number: int, frame: object) -> None:
        ignore_signals()
        session.end_all()  # now: other threads wait for their commands, and this one for them
        raise Ending("the time is up" if number == signal.SIGALRM else signal.Signals(number).name)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
        signal.signal(number, end)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 1))


def part_of(word: str) -> tuple[str, float | None]:
    """`a` or `a=90`: a part, and its limit in seconds if it has one of its own."""
    name, equals, seconds = word.strip().partition("=")
    if name not in PARTS:
        raise ValueError(f"there is no part {name!r}: choose from {', '.join(ORDER)}")
    return name, float(seconds) if equals else None


def ignore_signals() -> None:
    """From now on nothing interrupts."""
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def hold(session: Session, options: argparse.Namespace) -> None:
    """Everything, in order."""
    session.about |= {"asked_for": options.parts, "minutes": options.minutes, "rehearsal": options.rehearse}
    ask = Ask(options.device, tiny=options.rehearse)
    if ask.tiny:
        session.environment["OMP_NUM_THREADS"] = "1"  # tiny steps only wait for one another on several
    with failing_alone(session, "machine"):
        install_wheels(session, options.wheels)
    with failing_alone(session, "machine"):
        describe_machine(session, ask.device)
    if {name for name, _ in options.parts} & set("fe"):
        with failing_alone(session, "machine"):
            ask.images = prepare_images(session, options.images, tiny=ask.tiny)
    shares = REHEARSED_SHARES if ask.tiny else SHARES
    for place, (name, limit) in enumerate(options.parts):
        ahead = sum(shares[other] for other, _ in options.parts[place:])
        seconds = session.left() * shares[name] / max(ahead, 1e-9) if limit is None else min(limit, session.left())
        ask.part, ask.until = name, time.monotonic() + seconds
        print(f"-- part {name}: until {ask.until - session.began:.0f} s", flush=True)
        with failing_alone(session, name):
            PARTS[name](session, ask)
        session.save()


@contextmanager
def failing_alone(session: Session, part: str) -> Iterator[None]:
    """A mistake in one part, which is kept, must not cost the others."""
    try:
        yield
    except Exception:
        session.part(part)["mistake"] = traceback.format_exc()
        print(traceback.format_exc(), flush=True)


if __name__ == "__main__":
    main()
