"""Progress on a terminal, by tqdm if it is installed; silence anywhere else."""

import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from importlib.util import find_spec
from typing import Any

Progress = Callable[[int, int], None]


def shown() -> bool:
    """Whether progress can be shown: standard error is a terminal, and tqdm is installed."""
    return sys.stderr is not None and sys.stderr.isatty() and find_spec("tqdm") is not None


@contextmanager
def bar(label: str, unit: str) -> Iterator[Progress]:
    """Draw a bar that is told what has been done, and of how much."""
    if not shown():
        yield lambda _done, _total: None
        return
    from tqdm import tqdm

    with tqdm(desc=label, unit=f" {unit}", unit_scale=True, leave=False) as drawn:

        def update(done: int, total: int) -> None:
            drawn.total = total
            drawn.update(done - drawn.n)

        yield update


@contextmanager
def last_line(label: str) -> Iterator[None]:
    """Show the last line that is printed inside, over the line before: a fit that is verbose."""
    if not shown():
        yield
        return
    from tqdm import tqdm

    drawn = tqdm(bar_format="{desc} [{elapsed}]", desc=label, leave=False)
    with drawn, redirect_stdout(_Describer(drawn, label)):
        yield


def print_above(text: str) -> None:
    """Print a line to standard error, above what is drawn there."""
    if not shown():
        print(text, file=sys.stderr)
        return
    from tqdm import tqdm

    tqdm.write(text, file=sys.stderr)


class _Describer(io.TextIOBase):
    """Makes each line written to it the description of a bar."""

    def __init__(self, drawn: Any, label: str) -> None:
        self._drawn = drawn
        self._label = label

    def write(self, text: str) -> int:
        if line := " ".join(text.split()):
            self._drawn.set_description_str(f"{self._label}: {line}")
        return len(text)
