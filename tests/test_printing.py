"""What a fit prints of its progress."""

from itertools import count

import pytest

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
        ["1.5e+03 rows/s", "4 min left"],  # 99 iterations: nothing is known yet
        ["1.5e+03 rows/s", "4 min left"],
        ["1.5e+03 rows/s", "18 s left"],  # 0.4 is halved 8.6 times until it is below 1e-3
        ["1.5e+03 rows/s", "16 s left"],
        ["1.5e+03 rows/s", "4 min left"],  # it grew: at most 95 iterations
    ]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.2, "1 s"), (60.5, "2 min"), (3600, "1 h 0 min"), (4801, "1 h 21 min")],
)
def test_durations(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown
