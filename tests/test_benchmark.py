"""The benchmark of a user's machine: its judgement of answers, its table. No time is judged."""

import json
from itertools import cycle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks.from_files import MAPPED, NPY, PARQUET, READING, readers
from benchmarks.libraries import contenders
from gaussmix._core import reference
from gaussmix._core.density import STRUCTURES
from gaussmix._core.interface import KERNELS
from gaussmix.bench import machine, race, run, scikit_learn
from gaussmix.bench.cases import (
    EM,
    FIT,
    FIT_FROM_START,
    FROM_FILES,
    KMEANS,
    PREDICT_PROBA,
    PREDICTIONS,
    SHAPES,
    Answer,
    Case,
    Contender,
    make_problem,
)
from gaussmix.bench.contenders import builds, gaussmix, kernel_call, with_rivals
from gaussmix.bench.race import Race, Row, Truths, agrees, difference, run_case
from gaussmix.cli.main import main

pytestmark = pytest.mark.usefixtures("quick_machine")

TASKS = (EM, FIT_FROM_START, FIT, *PREDICTIONS, KMEANS)


def rows_of(case: Case, entrants: list[Contender]) -> list[Row]:
    return run_case(case, entrants, 1, {})


def spoiled(answer: Answer) -> Answer:
    """An answer 1 percent too small."""
    if isinstance(answer, tuple):
        return tuple(0.99 * array for array in answer)
    if isinstance(answer, float):
        return answer - 0.01 * abs(answer)
    assert answer is not None
    return {n: 0.99 * value for n, value in answer.items()}


def wrong(contender: Contender) -> Contender:
    """The same library, but its answers are spoiled."""

    def task(name: str):  # type: ignore[no-untyped-def]
        prepare = contender.tasks[name]
        return lambda problem, count: lambda n: spoiled(prepare(problem, count)(n))

    return contender._replace(tasks={name: task(name) for name in contender.tasks})


def failing(library: str) -> Contender:
    def fail(problem: object, n_threads: int) -> None:
        raise RuntimeError("out of order")

    return Contender(library, "1", "", dict.fromkeys(TASKS, fail))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("answer", "truth", "right"),
    [
        ({2: -3.0}, {2: -3.0 * (1 + 1e-9)}, True),
        ({2: -3.0}, {2: -3.0 * (1 + 1e-7)}, False),
        ({2: np.nan}, {2: -3.0}, False),
        ({3: -3.0}, {2: -3.0}, False),
        ({1: -3.0}, {1: -3.0}, False),  # says nothing of the M-step
        ({}, {2: -3.0}, False),
        (-3.0, -3.001, True),
        (-3.0, -4.0, True),
        (-3.01, -3.0, False),
        (np.nan, -3.0, False),
        ((np.array([1.0, 1e-9]),), (np.array([1.0, 0.0]),), True),
        ((np.array([1.0, 1e-7]),), (np.array([1.0, 0.0]),), False),
        ((np.array([1.0, np.nan]),), (np.array([1.0, 0.0]),), False),
        ((np.zeros(2),), (np.zeros(2),), True),
        ((np.ones(2),), (np.ones(1),), False),
        ((np.ones(2),), (np.ones(2), np.ones(2)), False),
    ],
)
def test_an_answer_is_right_or_wrong(answer: Answer, truth: Answer, right: bool) -> None:
    assert agrees(answer, truth, 1e-8) is right


def test_answers_of_different_kinds_are_not_compared() -> None:
    with pytest.raises(TypeError, match="cannot compare float with dict"):
        agrees(1.0, {2: 1.0}, 1e-8)


def test_differences_are_relative() -> None:
    assert difference({2: -3.3}, {2: -3.0}) == pytest.approx(0.1)
    assert difference((np.array([1.0, 4.4]),), (np.array([1.0, 4.0]),)) == pytest.approx(0.1)
    assert difference(-4.4, -4.0) == pytest.approx(0.1)
    assert difference(-3.0, -4.0) == 0


@pytest.mark.parametrize("task", [*TASKS, *KERNELS])
def test_every_contender_is_right_and_a_wrong_one_is_seen(task: str) -> None:
    case = Case(task, 600, 3, 2, repeats=1)
    entrants = contenders()
    rows = rows_of(case, [*entrants, wrong(entrants[0])])
    assert [row.correct for row in rows] == [True] * (len(rows) - 1) + [False]
    assert {row.case for row in rows} == {case}
    assert [row.library for row in rows[:-1]] == [e.library for e in entrants if e.enters(case)]
    assert rows[0].ratio == 1


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_every_contender_is_right_in_every_structure(structure: str, dtype: str) -> None:
    case = Case(EM, 600, 3, 2, structure, dtype, repeats=1)  # type: ignore[arg-type]
    rows = rows_of(case, contenders())
    assert all(row.correct for row in rows)
    assert {row.case.structure for row in rows} == {structure}


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_reference_is_the_truth_where_scikit_learn_is_not(structure: str, dtype: str) -> None:
    case = Case(EM, 600, 3, 2, structure, dtype, repeats=1)  # type: ignore[arg-type]
    right, false = rows_of(case, [gaussmix(), wrong(gaussmix())])
    assert right.correct
    assert not false.correct


def test_what_double_rows_reached_is_the_truth_of_single_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case = Case(EM, 600, 3, 2, repeats=1)
    truths: Truths = {}
    run_case(case, [gaussmix()], 1, truths)
    monkeypatch.delattr(race, "reference_answer")
    rows = run_case(case._replace(dtype="float32"), [gaussmix()], 1, truths)
    assert rows[0].correct
    assert 0 < rows[0].error < 1e-6


def test_a_rival_that_fails_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    case = Case(EM, 200, 2, 2, repeats=1)
    rows = rows_of(case, [gaussmix(), failing("rival")])
    assert [row.library for row in rows] == ["gaussmix"]
    assert capsys.readouterr().err == f"{case}: rival is left out: RuntimeError: out of order\n"


def test_gaussmix_must_not_fail() -> None:
    with pytest.raises(RuntimeError, match="out of order"):
        rows_of(Case(EM, 200, 2, 2, repeats=1), [failing("gaussmix")])


def test_a_rival_that_cannot_be_imported_is_left_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def broken() -> Contender:
        raise ImportError("no such symbol")

    modules = ("json", "not_installed_anywhere")
    rivals = [SimpleNamespace(MODULE=module, contender=broken) for module in modules]
    assert [entrant.library for entrant in with_rivals(rivals)] == ["gaussmix"]
    assert capsys.readouterr().err == "json is left out: ImportError: no such symbol\n"


def test_contenders_enter_what_they_can() -> None:
    entrant = Contender("rival", "1", "", {EM: failing("rival").tasks[EM]}, ("full",), ("float32",))
    case = Case(EM, 10, 1, 1, dtype="float32")
    assert entrant.enters(case)
    assert not entrant.enters(case._replace(structure="diag"))
    assert not entrant.enters(case._replace(dtype="float64"))
    assert not entrant.enters(case._replace(task=KMEANS))


def test_a_contender_may_be_allowed_more() -> None:
    case = Case(EM, 300, 2, 2, repeats=1)
    entrant = wrong(gaussmix())
    assert [row.correct for row in rows_of(case, [entrant])] == [False]
    assert [row.correct for row in rows_of(case, [entrant._replace(tolerance=0.02)])] == [True]


def test_rows_carry_who_and_how_fast() -> None:
    (row,) = rows_of(Case(EM, 2_000, 3, 2, repeats=1), [gaussmix()])
    contender = gaussmix()
    assert (row.library, row.version, row.isa) == contender[:3]
    assert (row.threads, row.gemm_gflops) == (1, 10.0)
    assert row.gflops == pytest.approx(4 * 2_000 * 2 * (1 + 3 + 6) / row.seconds / 1e9)
    assert row.peak_bytes is None or row.peak_bytes >= 0
    (kmeans,) = rows_of(Case(KMEANS, 2_000, 3, 2, repeats=1), [gaussmix()])
    (proba,) = rows_of(Case(PREDICT_PROBA, 2_000, 3, 2, repeats=1), [gaussmix()])
    assert kmeans.gflops is None
    assert row.value is not None
    assert kmeans.value is not None
    assert row.value < 0 < kmeans.value
    assert proba.value is None


def test_an_iteration_is_the_difference_between_two_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    now = 0.0

    def fit(n_iter: int) -> Answer:
        nonlocal now
        now += 0.3 + 0.025 * n_iter
        return {n_iter: 0.0}

    monkeypatch.setattr(race, "perf_counter", lambda: now)
    for task, seconds in ((EM, 0.025), (KMEANS, 0.325)):
        runner = Race(gaussmix(), fit, Case(task, 10, 1, 1))
        runner.warm_up()
        while runner.lap():
            pass
        assert runner.timing.seconds == pytest.approx(seconds)


def test_the_best_of_a_turn_counts_and_short_calls_fill_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    now, costs = 0.0, cycle([0.02, 0.01, 0.04])

    def call(n_iter: int) -> Answer:
        nonlocal now
        now += next(costs)
        return 0.0

    monkeypatch.setattr(race, "perf_counter", lambda: now)
    runner = Race(gaussmix(), call, Case(PREDICT_PROBA, 10, 1, 1, repeats=4))
    runner.warm_up()
    while runner.lap():
        pass
    assert runner.timing.seconds == pytest.approx(0.01)
    assert now == pytest.approx(0.02 + 0.05 + 0.07 + 0.07)  # the first, and three turns


def test_builds_begin_with_the_active_one(compiled: tuple[str, ...], compiled_isa: str) -> None:
    names = [build.isa for build in builds()]
    assert names[0] == compiled_isa
    assert sorted(names) == sorted([*compiled, "reference"])


@pytest.mark.parametrize("name", KERNELS)
def test_a_kernels_second_call_does_not_add_to_the_first(name: str) -> None:
    problem = make_problem(Case(name, 200, 3, 2))
    call = kernel_call(name, reference, problem.X, problem.start.density(), 1)
    first = [array.copy() for array in call()]
    assert all(np.array_equal(a, b) for a, b in zip(first, call(), strict=True))


def test_either_precision_sees_the_same_rows() -> None:
    double = make_problem(Case(EM, 300, 3, 2)).X
    single = make_problem(Case(EM, 300, 3, 2, dtype="float32")).X
    assert (double.dtype.name, single.dtype.name) == ("float64", "float32")
    assert np.array_equal(double, single)


def test_rows_are_drawn_once_for_all_cases_of_a_shape() -> None:
    first = make_problem(Case(EM, 300, 3, 2)).X
    assert make_problem(Case(EM, 300, 3, 2, "diag")).X is first
    make_problem(Case(EM, 200, 3, 2))
    again = make_problem(Case(KMEANS, 300, 3, 2)).X
    assert again is not first
    assert np.array_equal(again, first)


@pytest.mark.parametrize("place", range(5))
def test_rows_from_files_are_those_in_memory(
    place: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyarrow")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    rows = rows_of(Case(FROM_FILES, 600, 3, 2, repeats=1), [readers()[place]])
    assert [row.library for row in rows] == [["gaussmix", MAPPED, NPY, PARQUET, READING][place]]
    assert rows[0].correct
    assert list(tmp_path.iterdir()) == []  # files go when they are not needed


# The machine


class Ticks:
    """A clock that moves by a second whenever it is read."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def test_rates_are_work_over_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(machine, "perf_counter", Ticks())
    assert machine.gemm_rate("float32", size=10) == pytest.approx(2e-9 * 10**3)
    assert machine.triad_rate(2, size=1000) == pytest.approx(3 * 8 * 1000 * 1e-9)
    assert machine.exp_rate(size=100, repeats=3) == pytest.approx(100e-9)


def test_ceilings_are_put_into_words() -> None:
    assert machine.reached(machine.ceilings(2)) == (
        "gemm float64 10, float32 10 GFLOP/s (numpy, 2048 x 2048), memory 10 GB/s (triad), "
        "exp 0.50e9/s a thread (numpy)"
    )


def test_a_triad_computes_what_it_says() -> None:
    a, b, c = (np.full(40_000, value) for value in (0.0, 1.0, 2.0))
    machine._triad((a, b, c))
    assert np.array_equal(a, b + 3 * c)


def test_cases_of_named_shapes_say_so() -> None:
    assert str(Case(EM, *SHAPES["S5"], dtype="float32")) == (
        "EM iteration full S5 N=100,000 D=128 K=16 float32"
    )
    assert str(Case(KMEANS, 10, 2, 3)) == "KMeans N=10 D=2 K=3"


def test_what_scikit_learn_reached_is_the_truth_of_a_resumed_run() -> None:
    case = Case(EM, 600, 3, 2, repeats=1)
    truths: Truths = {}
    rows = run_case(case, contenders(), 1, truths)
    if "scikit-learn" not in {row.library for row in rows}:
        pytest.skip("scikit-learn is not installed")
    assert race.truths_of(rows) == truths


# The command


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    cases = (Case(EM, 500, 2, 2, repeats=1), Case(KMEANS, 500, 2, 2, repeats=1))
    monkeypatch.setattr(run, "SHORT", cases)


@pytest.mark.usefixtures("tiny")
def test_a_row_each_is_printed_and_nothing_is_written_unless_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "--only", "EM"]) == 0
    printed = capsys.readouterr().out.split("library", 1)[1].strip().splitlines()[1:]
    able = [entrant for entrant in with_rivals([scikit_learn]) if entrant.enters(run.SHORT[0])]
    assert [line.split()[-1] for line in printed] == ["yes"] * len(able)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("tiny")
def test_both_files_are_written_if_asked(tmp_path: Path) -> None:
    assert main(["bench", "-o", "found/here"]) == 0
    folder = tmp_path / "found/here"
    assert {path.name for path in folder.iterdir()} == {"benchmark.json", "benchmark.md"}
    saved = json.loads((folder / "benchmark.json").read_text())
    markdown = (folder / "benchmark.md").read_text()
    assert {row["task"] for row in saved["rows"]} == {EM, KMEANS}
    assert {row["correct"] for row in saved["rows"]} == {True}
    assert [found["threads"] for found in saved["ceilings"]] == [saved["rows"][0]["threads"]]
    assert "time taken" in saved["machine"]
    assert all(f"- {name}: {text}\n" in markdown for name, text in saved["machine"].items())
    assert markdown.count("\n| ") == 2 + len(saved["rows"])


@pytest.mark.usefixtures("tiny")
def test_the_command_fails_when_gaussmix_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "with_rivals", lambda rivals: [wrong(gaussmix())])
    assert main(["bench", "--only", "EM"]) == 1
    assert capsys.readouterr().out.split()[-1] == "NO"


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(
    ("only", "reason"),
    [("(", "only must be a regular expression, got '('"), ("none such", "found in the name of")],
)
def test_what_cannot_be_chosen(
    only: str, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "--only", only, "-o", "found"]) == 2
    assert reason in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("tiny")
def test_an_interrupted_run_keeps_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(case: Case, *others: Any) -> list[Row]:
        if case.task == KMEANS:
            raise KeyboardInterrupt
        return run_case(case, *others)

    monkeypatch.setattr(run, "run_case", interrupted)
    assert main(["bench", "-o", "."]) == 130
    saved = json.loads((tmp_path / "benchmark.json").read_text())
    assert {row["task"] for row in saved["rows"]} == {EM}


def test_the_full_form_is_no_option_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["bench", "--full"])
    assert "unrecognized arguments: --full" in capsys.readouterr().err
