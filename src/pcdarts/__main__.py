"""`python -m pcdarts` and the `pcdarts` command."""

import sys
import warnings


def main() -> None:
    """Run the command line and exit with its code."""
    from pcdarts.cli import run_command

    # One line for a user, without the place in the source.
    warnings.formatwarning = lambda message, *_: f"pcdarts: warning: {message}\n"
    sys.exit(run_command(sys.argv[1:]))


if __name__ == "__main__":
    main()
