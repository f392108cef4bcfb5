"""Commands as real processes that begin with everything imported: one process imports it once, and forks them.

Importing takes longer than most of the tiny jobs of the tests. From its first line on, such a process is one like any
other, with an id and signals of its own, but at its end its modules are not taken apart: this takes long too.
`command_line.process` starts the whole command instead.
Other programs in Python that need the same imports can be forked too.
"""

import atexit
import functools
import gc
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn


class Forked:
    """A command inside `folder`, with what `subprocess.Popen` has for it.

    Args:
        folder: where it works.
        arguments: of the command line of pcdarts, or of `code`.
        code: a program in Python to run in place of the command line.
        environment: variables that it has besides those of this process.
    """

    def __init__(
        self, folder: Path, *arguments: str, code: str | None = None, environment: dict[str, str] | None = None
    ) -> None:
        self._out, self._err = (tempfile.TemporaryFile() for _ in range(2))  # noqa: SIM115
        self._numbers, numbers = os.pipe()
        order = {
            "folder": str(folder),
            "environment": {**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})},
            "arguments": arguments,
            "code": code,
        }
        descriptors = [self._out.fileno(), self._err.fileno(), numbers]
        socket.send_fds(_forker(), [json.dumps(order).encode()], descriptors)
        os.close(numbers)
        self.pid = self._number()
        self.returncode: int | None = None

    def _number(self) -> int:
        """The next of two that its parent tells: its id, and how it ended."""
        return int(struct.unpack("i", os.read(self._numbers, 4))[0])

    def poll(self) -> int | None:
        if self.returncode is None and select.select([self._numbers], [], [], 0)[0]:
            self._end()
        return self.returncode

    def _end(self) -> None:
        self.returncode = self._number()
        os.close(self._numbers)

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self) -> tuple[str, str]:
        """Wait for its end; what it printed."""
        if self.returncode is None:
            self._end()
        printed = []
        for file in (self._out, self._err):
            file.seek(0)
            printed.append(file.read().decode())
            file.close()
        return printed[0], printed[1]


@functools.cache
def _forker() -> socket.socket:
    """The connection to the process that forks; it ends with this one."""
    ours, theirs = socket.socketpair()
    command = [sys.executable, str(Path(__file__)), str(theirs.fileno())]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    _forker.process = subprocess.Popen(  # type: ignore[attr-defined]
        command, pass_fds=[theirs.fileno()], env=environment, stdin=subprocess.DEVNULL, start_new_session=True
    )
    theirs.close()
    return ours


def serve(connection: socket.socket) -> str | None:
    """Fork a process for every order, until nobody is left to give one.

    Returns in each of them, ready to begin: the code that it is to run, None for the command line.
    """
    while True:
        order, descriptors, _, _ = socket.recv_fds(connection, 2**20, 3)
        if not order:
            sys.exit()
        if os.fork() == 0:
            connection.close()
            begin(json.loads(order), *descriptors)
            return json.loads(order)["code"]
        for descriptor in descriptors:
            os.close(descriptor)


def begin(order: dict, out: int, err: int, numbers: int) -> None:
    """Fork the process itself, and stay behind as the parent who tells how it ends."""
    child = os.fork()
    if child:
        os.close(out)
        os.close(err)
        os.write(numbers, struct.pack("i", child))
        os.write(numbers, struct.pack("i", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))
        os._exit(0)
    os.close(numbers)
    os.dup2(out, sys.stdout.fileno())
    os.dup2(err, sys.stderr.fileno())
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    sys.argv = ["pcdarts", *order["arguments"]]


def end(program: Callable[[], None]) -> NoReturn:
    """Do the program and end with its exit code, 1 after an exception; the memory is left to the system."""
    code: object = 0
    try:
        program()
    except SystemExit as asked:
        code = 0 if asked.code is None else asked.code
    except BaseException:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        code = 1
    if not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code & 0xFF)


if __name__ == "__main__":
    import torch._dynamo  # noqa: F401  # which takes a second, and which every optimiser imports

    import pcdarts.detect.train_detector
    import pcdarts.jobs.search
    import pcdarts.jobs.train  # noqa: F401
    from pcdarts.__main__ import main

    gc.freeze()  # or every collection in a forked process looks at all of PyTorch
    code = serve(socket.socket(fileno=int(sys.argv[1])))
    end(main if code is None else lambda: exec(compile(code, "the test's program", "exec"), {"__name__": "__main__"}))
