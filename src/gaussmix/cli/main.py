"""Runs the command `gaussmix`: its signals, warnings, errors and exit status.

Nothing large is imported before signals are looked after.
"""

import io
import os
import sys

TYPE_CHECKING = False  # as in typing, which takes longer to import than this module
if TYPE_CHECKING:
    from collections.abc import Sequence

INTERRUPTED = 130  # 128 + SIGINT, as shells have it
USAGE_ERROR = 2  # argparse's


def main(argv: "Sequence[str] | None" = None) -> int:
    """Run the command and return its exit status.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; by default the command line's.

    Returns
    -------
    int
        0 if all went well, 1 if `verify` or `bench` found something wrong, 2 for wrong usage or
        input, 128 and the number of the signal after Ctrl-C (130), SIGTERM (143) and SIGHUP (129).
    """
    try:
        from gaussmix.cli import signals

        with signals.at_once():
            _prepare_output()
            if [*(sys.argv[1:] if argv is None else argv)] == ["--version"]:
                return _print_version()
            from gaussmix.cli.running import run
        with signals.as_errors():
            return run(argv)
    except KeyboardInterrupt as error:  # one of `signals`, or Python's own before
        _complain(getattr(error, "message", "interrupted"), *getattr(error, "__notes__", ()))
        return getattr(error, "status", INTERRUPTED)
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, TypeError, OSError, MemoryError, OverflowError, ImportError) as error:
        from gaussmix.errors import one_line

        _complain(f"error: {one_line(error)}")
        return USAGE_ERROR


def _prepare_output() -> None:
    if sys.stdout is None:
        raise ValueError("standard output is closed; it is where results are printed")
    if isinstance(sys.stdout, io.TextIOWrapper):  # a file's name may not exist in its encoding
        sys.stdout.reconfigure(errors="backslashreplace")


def _print_version() -> int:
    """Print the version, without what takes long to import."""
    from gaussmix.config import version

    print(f"gaussmix {version()}")
    sys.stdout.flush()
    return 0


def _complain(*lines: str) -> None:
    if sys.stderr is None:
        return
    try:
        for line in lines:
            print(f"gaussmix: {line}", file=sys.stderr)
    except OSError:  # the terminal is gone
        pass
