"""`python -m pcdarts.study.attached COMMAND...`: a `pcdarts COMMAND...` that ends when its starter ends.

Its standard input is a pipe that the starter holds open. When the starter ends, even by SIGKILL, the command gets a
SIGTERM, on which it saves and ends.
"""

import os
import runpy
import signal
import sys
import threading


def end_with_starter() -> None:
    """Wait until the other end of standard input is closed, then send this process SIGTERM."""
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=end_with_starter, daemon=True).start()
    runpy.run_module("pcdarts", run_name="__main__")
