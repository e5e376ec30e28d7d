"""Progress of long work: a bar on terminals and in notebooks, by tqdm, or a line every so often."""

import io
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from importlib.util import find_spec
from time import monotonic
from typing import Any

Progress = Callable[[int, int], None]

PROGRESS = logging.getLogger("gaussmix.progress")
"""Has lines at INFO where no bar is drawn."""
SECONDS = 10.0  # between lines


def shown() -> bool:
    """Whether a bar can be drawn: there is a terminal or a notebook, and tqdm is installed."""
    return find_spec("tqdm") is not None and (on_terminal() or _in_notebook())


def on_terminal() -> bool:
    """Whether standard error is a terminal that tqdm, which is installed, can draw on."""
    return sys.stderr is not None and sys.stderr.isatty() and find_spec("tqdm") is not None


def speaks() -> bool:
    """Whether anybody hears what is logged."""
    return PROGRESS.isEnabledFor(logging.INFO)


class Pace:
    """Says when it is time for the next line."""

    def __init__(self) -> None:
        self._next = monotonic() + SECONDS

    def due(self) -> bool:
        """Whether it is time, and somebody hears; the next time is then later."""
        if not speaks() or monotonic() < self._next:
            return False
        self._next = monotonic() + SECONDS
        return True


@contextmanager
def bar(label: str, unit: str) -> Iterator[Progress]:
    """Draw a bar that is told what has been done, and of how much."""
    if not shown():
        yield _lines(label, unit)
        return
    with _tqdm()(desc=label, unit=f" {unit}", unit_scale=True, leave=False) as drawn:

        def update(done: int, total: int) -> None:
            drawn.total = total
            drawn.update(done - drawn.n)

        yield update


@contextmanager
def last_line(label: str) -> Iterator[None]:
    """Show the last line that is printed inside, over the line before: a fit that is verbose."""
    if not on_terminal():
        yield
        return
    from tqdm import tqdm

    drawn = tqdm(bar_format="{desc} [{elapsed}]", desc=label, leave=False)
    with drawn, redirect_stdout(_Describer(drawn, label)):
        yield


def print_above(text: str) -> None:
    """Print a line to standard error, above what is drawn there."""
    if not on_terminal():
        print(text, file=sys.stderr)
        return
    from tqdm import tqdm

    tqdm.write(text, file=sys.stderr)


def _lines(label: str, unit: str) -> Progress:
    """Log how much has been done, every so often."""
    pace = Pace()

    def update(done: int, total: int) -> None:
        if pace.due():
            known = f" of {total:,}" if total > done else ""
            PROGRESS.info("%s: %s%s %s", label, f"{done:,}", known, unit)

    return update


def _in_notebook() -> bool:
    """Whether cells of a notebook run this process."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and "IPKernelApp" in shell.config


def _tqdm() -> Any:
    """Return the kind of bar that suits the place."""
    if _in_notebook():
        from tqdm.auto import tqdm
    else:
        from tqdm import tqdm
    return tqdm


class _Describer(io.TextIOBase):
    """Makes each line written to it the description of a bar."""

    def __init__(self, drawn: Any, label: str) -> None:
        self._drawn = drawn
        self._label = label

    def write(self, text: str) -> int:
        if line := " ".join(text.split()):
            self._drawn.set_description_str(f"{self._label}: {line}")
        return len(text)
