"""One run of a study as a process: `python -m pcdarts.study.child COMMAND...` is `pcdarts COMMAND...`, for as long as
its parent lives.

Its standard input is a pipe that whoever started it holds open: when that ends, however it was killed, the run is asked
to save and end as by SIGTERM.
"""

import os
import signal
import sys
import threading

from pcdarts.__main__ import main


def end_with_parent() -> None:
    """Wait until nobody holds the other end of standard input, then end this process by SIGTERM."""
    try:
        while os.read(sys.stdin.fileno(), 4096):
            pass
    except OSError:
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=end_with_parent, daemon=True).start()
    main()
