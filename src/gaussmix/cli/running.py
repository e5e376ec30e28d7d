"""Runs what the arguments of the command `gaussmix` ask for."""

import sys
import warnings
from collections.abc import Sequence

from gaussmix import progress
from gaussmix.cli.parser import make_parser
from gaussmix.errors import one_line


def run(argv: Sequence[str] | None) -> int:
    """Run a command, its warnings on lines of their own, and return its exit status."""
    with warnings.catch_warnings():
        warnings.simplefilter("default", UserWarning)
        warnings.showwarning = _show_warning
        arguments = make_parser().parse_args(argv)
        status: int = arguments.run(arguments)
        sys.stdout.flush()
    return status


def _show_warning(message: Warning | str, *_place: object, **_file: object) -> None:
    progress.print_above(f"gaussmix: warning: {one_line(message)}")
