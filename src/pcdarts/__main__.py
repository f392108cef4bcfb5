"""`python -m pcdarts` and the `pcdarts` command."""

import gc
import io
import sys
import warnings

from pcdarts.run.interruption import Interrupted, ending_afterwards


def main() -> None:
    """Run the command line and exit with its code."""
    try:
        with ending_afterwards():
            from pcdarts.cli import run_command
    except Interrupted as interrupt:
        print(f"pcdarts: {interrupt}", file=sys.stderr)
        sys.exit(interrupt.exit_code)

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # file names may hold anything
    # One line for a user, without the place in the source.
    warnings.formatwarning = lambda message, *_: f"pcdarts: warning: {message}\n"
    code = run_command(sys.argv[1:])
    gc.freeze()  # the memory goes with the process: looking for garbage in all of PyTorch takes half a second
    sys.exit(code)


if __name__ == "__main__":
    main()
