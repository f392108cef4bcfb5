"""`python -m pcdarts.attached COMMAND...`: a `pcdarts COMMAND...` that ends when whoever started it does.

Its standard input is a pipe that the starter holds open: when that ends, however it was killed, the command is asked to
save and end as by SIGTERM.
"""

import os
import signal
import sys
import threading

from pcdarts.__main__ import main


def end_with_starter() -> None:
    """Wait until nobody holds the other end of standard input, then end this process by SIGTERM."""
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=end_with_starter, daemon=True).start()
    main()
