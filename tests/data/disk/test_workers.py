import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pcdarts.data.disk.workers import PREFETCHED, in_workers
from pcdarts.errors import InputError, RunError
from worker_reads import Read


def values(results: Iterator[tuple[int, Tensor]]) -> list[int]:
    return [int(tensor[0]) for _, tensor in results]


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def gone(pids: set[int], within: float = 20) -> bool:
    end = time.monotonic() + within
    while any(map(is_alive, pids)) and time.monotonic() < end:
        time.sleep(0.05)
    return not any(map(is_alive, pids))


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_results_come_in_the_order_of_their_requests(workers: int) -> None:
    requests = [10, 13, 12, 11, 20, 19, 18, 17]
    assert values(in_workers(Read(offset=100), requests, workers)) == [100 + request for request in requests]


def test_the_work_is_done_in_other_processes_or_in_this_one() -> None:
    assert {pid for pid, _ in in_workers(Read(), range(10, 14), 0)} == {os.getpid()}
    pids = {pid for pid, _ in in_workers(Read(), range(10, 18), 2)}
    assert len(pids) == 2
    assert os.getpid() not in pids


def test_a_script_that_begins_at_its_top_level_is_not_begun_anew_in_each_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, main = tmp_path / "script.py", sys.modules["__main__"]
    script.write_text("raise SystemExit('begun anew')")
    monkeypatch.setattr(main, "__file__", str(script), raising=False)
    monkeypatch.setattr(main, "__spec__", None)
    assert values(in_workers(Read(), range(10, 14), 1)) == [10, 11, 12, 13]
    assert sys.modules["__main__"] is main


def test_python_ends_though_results_are_still_being_read() -> None:
    code = """
from pcdarts.data.disk.workers import in_workers
from worker_reads import Read
if __name__ == "__main__":
    results = in_workers(Read(), range(10, 100), 1)
    print(next(results)[0])
    cycle = [results]
    cycle.append(cycle)  # so that nothing closes the results before the end
    del results, cycle
"""
    paths = os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    assert gone({int(done.stdout)})


@pytest.mark.parametrize("workers", [0, 2])
def test_requests_are_drawn_only_a_little_ahead(workers: int) -> None:
    drawn: list[int] = []

    def requests() -> Iterator[int]:
        for request in range(10, 1000):
            drawn.append(request)
            yield request

    results = in_workers(Read(), requests(), workers)
    for _ in range(3):
        next(results)
    assert len(drawn) <= 3 + PREFETCHED * workers
    results.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    ("request_", "kind", "words"),
    [
        (3, InputError, "image 3 is bad"),
        (4, RunError, "the disk is gone"),
        (5, InputError, "a.png is torn"),
    ],
)
def test_an_error_arrives_as_it_was_raised_after_what_came_before(
    workers: int, request_: int, kind: type[Exception], words: str
) -> None:
    results = in_workers(Read(), [10, request_, 11], workers)
    assert int(next(results)[1][0]) == 10
    with pytest.raises(kind) as caught:
        next(results)
    assert str(caught.value) == words


def test_a_mistake_keeps_its_traceback() -> None:
    with pytest.raises(KeyError, match="a mistake of ours"):
        list(in_workers(Read(), [6], 1))


def test_a_killed_worker_is_one_line() -> None:
    with pytest.raises(RunError, match="the process that reads images has ended or was killed") as caught:
        list(in_workers(Read(), [10, 7, 11], 1))
    assert "\n" not in str(caught.value)


def test_closing_early_and_failing_leave_no_process() -> None:
    results = in_workers(Read(), range(10, 1000), 2)
    pids = {next(results)[0] for _ in range(6)}
    results.close()  # type: ignore[attr-defined]
    assert gone(pids)
    results = in_workers(Read(), [10, 3, *range(10, 1000)], 1)
    pid, _ = next(results)
    with pytest.raises(InputError) as caught:  # the error is kept, and its frames with it
        next(results)
    assert gone({pid}), caught
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_workers_are_deaf_to_the_signals_that_the_main_process_heeds(number: int) -> None:
    results = in_workers(Read(), range(10, 20), 1)
    pid, first = next(results)
    os.kill(pid, number)
    forkserver = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")")[-1].split()[1])
    assert forkserver != os.getpid()
    os.kill(forkserver, number)
    assert [int(first[0]), *values(results)] == list(range(10, 20))


def test_signals_of_this_process_are_not_blocked_afterwards() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    values(in_workers(Read(), [10], 1))
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before


def test_starting_workers_draws_no_random_number() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    values(in_workers(Read(), [10], 1))
    torch.testing.assert_close(torch.rand(3), expected, rtol=0, atol=0)
