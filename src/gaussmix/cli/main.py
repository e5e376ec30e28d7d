"""Runs the command `gaussmix`: its warnings, errors and exit status."""

import io
import os
import sys
import warnings
from collections.abc import Sequence

from gaussmix import progress
from gaussmix.cli.parser import USAGE_ERROR, make_parser

INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; by default the command line's.

    Returns
    -------
    int
        0 if all went well, 1 if `verify` or `bench` found something wrong, 2 for wrong usage or
        input, 130 after Ctrl-C.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default", UserWarning)
            warnings.showwarning = _show_warning
            _prepare_output()
            arguments = make_parser().parse_args(argv)
            status: int = arguments.run(arguments)
            sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        print("gaussmix: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, TypeError, OSError, MemoryError, OverflowError, ImportError) as error:
        print(f"gaussmix: error: {_one_line(error)}", file=sys.stderr)
        return USAGE_ERROR


def _prepare_output() -> None:
    if sys.stdout is None:
        raise ValueError("standard output is closed; it is where results are printed")
    if isinstance(sys.stdout, io.TextIOWrapper):  # a file's name may not exist in its encoding
        sys.stdout.reconfigure(errors="backslashreplace")


def _show_warning(message: Warning | str, *_place: object, **_file: object) -> None:
    progress.print_above(f"gaussmix: warning: {_one_line(message)}")


def _one_line(message: object) -> str:
    if isinstance(message, OSError) and message.filename is not None:
        return f"{message.filename}: {message.strerror}"
    return " ".join(str(message).split()) or type(message).__name__
