"""`python -m pcdarts.study.attached COMMAND...`: a `pcdarts COMMAND...` that ends when its starter ends.

Its standard input is a pipe that the starter holds open: when that ends, however it was killed, the command is asked to
save and end as by SIGTERM.
"""

import os
import runpy
import signal
import sys
import threading


def end_with_starter() -> None:
    """Wait until nobody holds the other end of standard input, then end this process by SIGTERM."""
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=end_with_starter, daemon=True).start()
    runpy.run_module("pcdarts", run_name="__main__")
