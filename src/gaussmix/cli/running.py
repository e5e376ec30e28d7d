"""Runs what the arguments of the command `gaussmix` ask for."""

import logging
import shutil
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from gaussmix.cli.parser import make_parser
from gaussmix.display import progress
from gaussmix.errors import one_line


def run(argv: Sequence[str] | None) -> int:
    """Run a command, its warnings on lines of their own, and return its exit status."""
    with warnings.catch_warnings():
        warnings.simplefilter("default", UserWarning)
        warnings.showwarning = _show_warning
        arguments = make_parser().parse_args(argv)
        verbose = getattr(arguments, "verbose", False)
        with _heard(verbose), _cleaned_up() as arguments.leftovers:
            status: int = arguments.run(arguments)
        sys.stdout.flush()
    return status


@contextmanager
def _cleaned_up() -> Iterator[list[Path]]:
    """Yield a list for folders that are removed at the end, also if a signal comes meanwhile."""
    folders: list[Path] = []
    try:
        try:
            yield folders
        finally:
            _remove(folders)
    finally:
        _remove(folders)


def _remove(folders: list[Path]) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


class _Shown(logging.Handler):
    """Shows what the library logs on lines of their own."""

    def emit(self, record: logging.LogRecord) -> None:
        """Show a line."""
        progress.print_above(f"gaussmix: {record.getMessage()}")


@contextmanager
def _heard(verbose: bool) -> Iterator[None]:
    """Show what a fit says of its checkpoint, and, if wanted, how far long work is."""
    logger, handler = logging.getLogger("gaussmix"), _Shown()
    before = logger.level, progress.PROGRESS.level
    try:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        progress.PROGRESS.setLevel(logging.INFO if verbose else logging.WARNING)
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        progress.PROGRESS.setLevel(before[1])


def _show_warning(message: Warning | str, *_place: object, **_file: object) -> None:
    progress.print_above(f"gaussmix: warning: {one_line(message)}")
