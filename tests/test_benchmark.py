"""The benchmark's tables and its judgement of answers. No time is looked at."""

import json
from pathlib import Path

import numpy as np
import pytest

from gaussmix import benchmark
from gaussmix._core import reference
from gaussmix._core.constants import STRUCTURES
from gaussmix._core.interface import KERNELS
from gaussmix.benchmark import EVERY_BUILD, FULL, SHORT, Race, agrees
from gaussmix.contenders import (
    EM,
    FIT,
    FIT_FROM_START,
    KMEANS,
    PREDICT_PROBA,
    SCORE_SAMPLES,
    Answer,
    Case,
    Contender,
    builds,
    contenders,
    gaussmix,
    kernel_call,
    make_problem,
)

TASKS = (EM, FIT_FROM_START, FIT, PREDICT_PROBA, SCORE_SAMPLES, KMEANS)


@pytest.fixture(autouse=True)
def quick_gemm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "gemm_rate", lambda dtype="float64": 10.0)


def rows_of(case: Case, entrants: list[Contender]) -> list[benchmark.Row]:
    (rows,) = benchmark.run([case], entrants, 1)
    return rows


def wrong(contender: Contender) -> Contender:
    """The same library, but what it gives is 1 percent too small."""

    def spoiled(answer: Answer) -> Answer:
        if isinstance(answer, tuple):
            return tuple(0.99 * array for array in answer)
        if isinstance(answer, float):
            return answer - 0.01 * abs(answer)
        return {n: 0.99 * value for n, value in answer.items()}

    def task(name: str):  # type: ignore[no-untyped-def]
        prepare = contender.tasks[name]
        return lambda problem, count: lambda n: spoiled(prepare(problem, count)(n))

    return contender._replace(tasks={name: task(name) for name in contender.tasks})


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
        ((np.ones(2),), (np.ones(1),), False),
        ((np.ones(2),), (np.ones(2), np.ones(2)), False),
    ],
)
def test_an_answer_is_right_or_wrong(answer: Answer, truth: Answer, right: bool) -> None:
    assert agrees(answer, truth, 1e-8) is right


def test_answers_of_different_kinds_are_not_compared() -> None:
    with pytest.raises(TypeError, match="cannot compare float with dict"):
        agrees(1.0, {2: 1.0}, 1e-8)


@pytest.mark.parametrize("task", [*TASKS, *KERNELS])
def test_every_contender_is_right_and_a_wrong_one_is_seen(task: str) -> None:
    case = Case(task, 600, 3, 2, repeats=1)
    entrants = contenders()
    rows = rows_of(case, [*entrants, wrong(entrants[0])])
    assert [row.correct for row in rows] == [True] * (len(rows) - 1) + [False]
    assert {row.case for row in rows} == {str(case)}
    assert [row.library for row in rows[:-1]] == [e.library for e in entrants if e.enters(case)]
    assert rows[0].ratio == 1


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_reference_is_the_truth_where_scikit_learn_is_not(structure: str, dtype: str) -> None:
    case = Case(EM, 600, 3, 2, structure, dtype, repeats=1)  # type: ignore[arg-type]
    right, spoiled = rows_of(case, [gaussmix(), wrong(gaussmix())])
    assert right.correct
    assert not spoiled.correct


def test_rows_carry_who_and_how_fast() -> None:
    (row,) = rows_of(Case(EM, 2_000, 3, 2, repeats=1), [gaussmix()])
    contender = gaussmix()
    assert (row.library, row.version, row.isa) == contender[:3]
    assert (row.dtype, row.threads, row.gemm_gflops) == ("float64", 1, 10.0)
    assert row.gflops == pytest.approx(4 * 2_000 * 2 * (1 + 3 + 6) / row.seconds / 1e9)
    assert row.peak_bytes is None or row.peak_bytes >= 0
    (row,) = rows_of(Case(KMEANS, 2_000, 3, 2, repeats=1), [gaussmix()])
    assert row.gflops is None


def test_an_iteration_is_the_difference_between_two_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    def fit(n_iter: int) -> Answer:
        nonlocal now
        now += 3.0 + 0.25 * n_iter
        return {n_iter: 0.0}

    monkeypatch.setattr(benchmark, "perf_counter", lambda: now)
    for task, seconds in ((EM, 0.25), (KMEANS, 3.25)):
        race = Race(gaussmix(), fit, Case(task, 10, 1, 1))
        race.warm_up()
        race.lap()
        race.lap()
        assert race.seconds == pytest.approx(seconds)


def test_an_iteration_lost_in_noise_has_no_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    now, costs = 0.0, iter([0.9, 0.8, 0.7])  # the warm-up, then one iteration, then several

    def fit(n_iter: int) -> Answer:
        nonlocal now
        now += next(costs)
        return {n_iter: -1.0}

    monkeypatch.setattr(benchmark, "perf_counter", lambda: now)
    entrant = gaussmix()._replace(tasks={EM: lambda problem, n_threads: fit})
    (row,) = rows_of(Case(EM, 50, 1, 1, repeats=1), [entrant])
    assert np.isnan(row.seconds)
    assert np.isnan(row.ratio)
    benchmark.save([row], {}, tmp_path)
    (saved,) = json.loads((tmp_path / "benchmark.json").read_text())["rows"]
    assert saved["seconds"] is None


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


def test_the_lists_hold_what_gaussmix_can_do_once_each() -> None:
    for cases in (SHORT, FULL, EVERY_BUILD):
        assert len(set(cases)) == len(cases)
        assert all(gaussmix().enters(case) for case in cases)
    assert {case.task for case in SHORT} == {case.task for case in FULL} == set(TASKS)
    assert {case.structure for case in FULL} == set(STRUCTURES)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "SHORT", (Case(EM, 500, 2, 2, repeats=1),))
    monkeypatch.setattr(benchmark, "FULL", (Case(KMEANS, 500, 2, 2, repeats=1),))
    monkeypatch.setattr(benchmark, "EVERY_BUILD", ())


@pytest.mark.usefixtures("tiny")
def test_main_prints_a_row_each_and_writes_only_if_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert benchmark.main() == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in printed[-len(contenders()) :]] == ["yes"] * len(
        contenders()
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("tiny")
def test_main_fails_when_gaussmix_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(benchmark, "contenders", lambda: [wrong(gaussmix())])
    assert benchmark.main() == 1
    assert capsys.readouterr().out.split()[-1] == "NO"


@pytest.mark.usefixtures("tiny")
def test_full_form_writes_both_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiled: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert benchmark.main(full=True, output="found/here") == 0
    report = json.loads((tmp_path / "found/here/benchmark.json").read_text())
    lines = (tmp_path / "found/here/benchmark.md").read_text().splitlines()
    table = [line.strip("| ").split(" | ") for line in lines if line.startswith("|")]
    rows = report["rows"]
    assert table[0] == list(benchmark.COLUMNS)
    assert [line[0] for line in table[2:]] == [row["case"] for row in rows]
    assert [line[1] for line in table[2:]] == [row["library"] for row in rows]
    assert {row["correct"] for row in rows} == {True}
    assert [line.split(": ")[0] for line in lines[:4]] == [
        f"- {name}" for name in report["machine"]
    ]
