"""What a fit prints of its progress."""

import logging
import sys
from itertools import count
from types import SimpleNamespace

import pytest

from gaussmix.display import progress
from gaussmix.em.verbose import Extent, Printer, duration

EXTENT = Extent(n_samples=3000, max_iter=100, tol=1e-3)


def run(printer: Printer) -> None:
    printer.start(0)
    for n_iter in range(1, 5):
        printer.step(n_iter, -2.0, 0.25)
    printer.end(-2.0, True)


def test_silence(capsys: pytest.CaptureFixture[str]) -> None:
    run(Printer(0, 1, EXTENT))
    assert capsys.readouterr().out == ""


def test_progress(capsys: pytest.CaptureFixture[str]) -> None:
    run(Printer(1, 2, EXTENT))
    assert capsys.readouterr().out.splitlines() == [
        "Initialization 0",
        "  Iteration 2",
        "  Iteration 4",
        "Initialization converged.",
    ]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look at the clock takes a quarter of a second."""
    now = count(step=0.25)
    monkeypatch.setattr("gaussmix.em.verbose.perf_counter", lambda: next(now))


@pytest.mark.usefixtures("clock")
def test_progress_in_detail(capsys: pytest.CaptureFixture[str]) -> None:
    printer = Printer(2, 4, EXTENT)
    run(printer)
    printer.end(-2.0, False)
    start, step, end, failed = capsys.readouterr().out.splitlines()
    assert start == "Initialization 0"
    assert step.startswith("  Iteration 4\t time lapse 0.")
    assert step.endswith("s\t ll change 0.25000")
    assert end.startswith("Initialization converged. time lapse 0.")
    assert end.endswith("lower bound -2.00000.")
    assert failed.startswith("Initialization did not converge. time lapse")


def test_rows_per_second_and_the_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = count(step=2)  # two seconds an iteration
    monkeypatch.setattr("gaussmix.em.verbose.perf_counter", lambda: float(next(clock)))
    printer = Printer(3, 1, EXTENT)
    printer.start(0)
    for n_iter, change in enumerate((float("inf"), 0.8, 0.4, 0.2, 0.3), 1):
        printer.step(n_iter, -2.0, change)
    details = [line.split("\t ")[3:] for line in capsys.readouterr().out.splitlines()[1:]]
    assert details == [
        ["1.5e+03 rows/s", "at most 4 min left"],  # 99 iterations: nothing is known yet
        ["1.5e+03 rows/s", "at most 4 min left"],
        ["1.5e+03 rows/s", "at most 4 min left"],
        ["1.5e+03 rows/s", "16 s left"],  # 0.2 is halved 7.6 times until it is below 1e-3
        ["1.5e+03 rows/s", "at most 4 min left"],  # it grew: at most 95 iterations
    ]


def test_the_time_left_follows_the_slowest_of_the_last_changes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Changes shrink fast at first."""
    clock = count(step=2)
    monkeypatch.setattr("gaussmix.em.verbose.perf_counter", lambda: float(next(clock)))
    printer = Printer(3, 1, EXTENT)
    printer.start(0)
    for n_iter, change in enumerate((1.0, 0.05, 0.04, 0.032), 1):
        printer.step(n_iter, -2.0, change)
    left = [line.split("\t ")[4] for line in capsys.readouterr().out.splitlines()[1:]]
    assert left == ["at most 4 min left", "at most 4 min left", "34 s left", "32 s left"]


def test_all_iterations_are_left_without_a_tolerance(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = count(step=2)
    monkeypatch.setattr("gaussmix.em.verbose.perf_counter", lambda: float(next(clock)))
    printer = Printer(3, 1, EXTENT._replace(tol=0.0))
    printer.start(0)
    printer.step(1, -2.0, float("inf"))
    assert capsys.readouterr().out.splitlines()[1].endswith("\t 4 min left")


@pytest.mark.usefixtures("clock")
def test_starts_are_timed(capsys: pytest.CaptureFixture[str]) -> None:
    with Printer(1, 1, EXTENT).starting("kmeans"):
        pass
    assert capsys.readouterr().out.startswith("Start by kmeans\t time lapse 0.")
    with Printer(0, 1, EXTENT).starting("kmeans"):
        pass
    assert capsys.readouterr().out == ""


def test_a_line_is_logged_every_so_often(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = count(step=3)  # three seconds between looks at the clock
    monkeypatch.setattr("gaussmix.display.progress.monotonic", lambda: float(next(clock)))
    printer = Printer(0, 1, EXTENT)
    assert not printer.watches
    with caplog.at_level(logging.INFO, "gaussmix"):
        assert printer.watches
        for n_iter in range(1, 10):
            printer.step(n_iter, -2.0, 0.25)
        with progress.bar("scoring", "rows") as tell:
            for done in range(1000, 6000, 1000):
                tell(done, 5000)
    assert caplog.messages == [
        "iteration 4 of at most 100, mean log-likelihood -2",
        "iteration 8 of at most 100, mean log-likelihood -2",
        "scoring: 4,000 of 5,000 rows",
    ]


@pytest.mark.parametrize("kernel", [True, False])
def test_notebooks_have_bars_of_their_own(kernel: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tqdm")
    from tqdm.auto import tqdm

    shell = SimpleNamespace(config={"IPKernelApp": {}} if kernel else {})
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    assert progress.shown() == kernel
    assert (progress._tqdm() is tqdm) == kernel


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.2, "1 s"), (60.5, "2 min"), (3600, "1 h 0 min"), (4801, "1 h 21 min")],
)
def test_durations(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown
