"""The full benchmark: its plan, its targets, its report and its command. No time is judged."""

import json
import subprocess
import sys
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import __main__, charts, efficiency, plan, report, suite, targets
from benchmarks.efficiency import Grid
from benchmarks.from_files import MAPPED, NPY, PARQUET, READING
from benchmarks.libraries import contenders
from benchmarks.plan import EVERY_BUILD, all_of_it
from benchmarks.report import Report
from benchmarks.targets import Results, Target, judge
from gaussmix._core.density import STRUCTURES
from gaussmix._core.interface import KERNELS
from gaussmix.bench import machine, run, table
from gaussmix.bench.cases import (
    EM,
    FIT,
    FIT_FROM_START,
    FROM_FILES,
    KMEANS,
    PREDICTIONS,
    SHAPES,
    Case,
)
from gaussmix.bench.contenders import gaussmix
from gaussmix.bench.machine import Ceilings
from gaussmix.bench.race import Row, run_case
from gaussmix.bench.run import SHORT

pytestmark = pytest.mark.usefixtures("quick_machine")

ROOT = Path(__file__).parents[1]
TASKS = (EM, FIT_FROM_START, FIT, *PREDICTIONS, KMEANS)
ONE, TWO = (
    Ceilings(count, {"float64": 40.0 * count, "float32": 80.0 * count}, 10.0, 0.5)
    for count in (1, 2)
)


def row_of(case: Case, library: str, n_threads: int, seconds: float, **fields: Any) -> Row:
    gflops = 1.0 / seconds if case.task == EM else None
    row = Row(case, library, "1", "", n_threads, seconds, 0.0, 1.0, gflops, 2.0, 0, -1.0, 0.0, True)
    return row._replace(**fields)


# Shapes side by side


def test_neighbours_are_the_nearest_regular_numbers() -> None:
    rates = {(d, k): 10.0 for d in efficiency.FEATURES for k in efficiency.COMPONENTS}
    found = efficiency.pairs(Grid(2, rates))
    features = {odd[0]: near[0] for odd, near, _ in found if odd[0] != near[0]}
    components = {odd[1]: near[1] for odd, near, _ in found if odd[1] != near[1]}
    assert features == {3: 4, 5: 4, 7: 8, 12: 16, 17: 16, 33: 32, 100: 128}
    assert components == {1: 2, 3: 2, 7: 8, 100: 64}
    n_components, n_features = len(efficiency.COMPONENTS), len(efficiency.FEATURES)
    assert len(found) == 7 * n_components + 4 * n_features
    assert {pair.ratio for pair in found} == {1.0}


def test_shapes_are_measured_and_those_that_fall_short_once_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rates = {(2, 2): iter([8.0]), (4, 2): iter([10.0, 12.0]), (5, 2): iter([5.0, 9.0])}
    monkeypatch.setattr(efficiency, "_rate", lambda d, k, n_threads: next(rates[d, k]))
    told: list[tuple[int, int]] = []
    grid = efficiency.measure(1, (2, 4, 5), (2,), lambda *done: told.append(done))
    assert grid == Grid(1, {(2, 2): 8.0, (4, 2): 12.0, (5, 2): 9.0})
    assert efficiency.pairs(grid) == [((5, 2), (4, 2), 0.75)]
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_a_shape_has_as_many_rows_as_make_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(efficiency, "perf_counter", count().__next__)
    monkeypatch.setattr(efficiency, "FLOPS", 4e5)
    monkeypatch.setattr(efficiency, "FEWEST_ROWS", 100)
    monkeypatch.setattr(efficiency, "MOST_ROWS", 10_000)
    assert efficiency._rate(3, 10, 1) == pytest.approx(4e-9 * 1000 * 10 * (1 + 3 + 6))
    assert efficiency._rate(1, 1, 1) == pytest.approx(4e-9 * 10_000 * 3)
    assert efficiency._rate(16, 64, 1) == pytest.approx(4e-9 * 100 * 64 * (1 + 16 + 136))


# The plan


def test_the_lists_hold_what_gaussmix_can_do_once_each() -> None:
    entries = [(entry.case, entry.threads) for entry in all_of_it()]
    full = {case for case, _ in entries}
    assert len(set(entries)) == len(entries)
    for cases in (SHORT, full, EVERY_BUILD):
        assert len(set(cases)) == len(cases)
        assert all(gaussmix().enters(case) for case in cases)
    assert {case.task for case in full} >= set(TASKS)
    assert {case.structure for case in full} == set(STRUCTURES)


@pytest.mark.parametrize("n_threads", [1, 2])
def test_the_full_form_measures_every_target(
    monkeypatch: pytest.MonkeyPatch, n_threads: int
) -> None:
    libraries = [gaussmix()._replace(library=name) for name in ("scikit-learn", "oneDAL")]
    monkeypatch.setattr(plan, "contenders", lambda: [gaussmix(), *libraries])
    monkeypatch.setenv("OMP_NUM_THREADS", str(n_threads))
    rows = [
        row_of(entry.case, entrant.library, entry.threads, 0.1 + (entry.case.task == KERNELS[1]))
        for entry in all_of_it()
        for entrant in entry.entrants
    ]
    grid = Grid(n_threads, {(2, 2): 10.0, (3, 2): 5.0, (4, 2): 10.0})
    limits = {1: ONE, 2: TWO} if n_threads == 2 else {1: ONE}
    found = judge(Results(rows, limits, grid))
    assert [target for target in found if target.measured is None] == []
    assert len({(target.shape, target.what) for target in found}) == len(found)


def test_contenders_that_take_all_threads_stay_away_from_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("threadpoolctl")
    greedy = gaussmix()._replace(library="greedy", held=False)
    monkeypatch.setattr(plan, "contenders", lambda: [gaussmix(), greedy])
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    names: dict[int, set[str]] = {1: set(), 2: set()}
    for entry in all_of_it():
        if entry.case.task != FROM_FILES:
            names[entry.threads] |= {entrant.library for entrant in entry.entrants}
    assert names == {1: {"gaussmix"}, 2: {"gaussmix", "greedy"}}


# The targets


def found_in(rows: list[Row], grid: Grid | None = None) -> dict[str, Target]:
    found = judge(Results(rows, {1: ONE, 2: TWO}, grid))
    return {f"{target.shape} {target.what}": target for target in found}


def test_targets_are_met_or_missed() -> None:
    case = Case(EM, *SHAPES["S2"])
    ours = row_of(case, "gaussmix", 2, 0.1, gflops=13.0, gemm_gflops=20.0)
    rivals_rows = [row_of(case, "oneDAL", 2, 0.4), row_of(case, "scikit-learn", 2, 7.0)]
    found = found_in([ours, *rivals_rows])
    assert found["S2 EM of gemm"].measured == pytest.approx(0.65)
    assert found["S2 EM of gemm"].met is True
    assert found["S2 EM against oneDAL"].measured == pytest.approx(4.0)
    assert found["S2 EM against oneDAL"].met is False
    assert found["S2 EM against scikit-learn"].met is True
    assert found["S3 EM of gemm"].met is None


def test_a_wrong_answer_meets_nothing_and_a_rivals_is_noted() -> None:
    case = Case(EM, *SHAPES["S2"])
    ours = row_of(case, "gaussmix", 2, 0.1)
    rival = row_of(case, "oneDAL", 2, 9.0, correct=False)
    found = found_in([ours, rival])["S2 EM against oneDAL"]
    assert (found.met, found.note) == (True, "their answer differs")
    assert found_in([ours._replace(correct=False), rival])["S2 EM against oneDAL"].met is False


def test_a_figure_near_what_is_wanted_is_told_from_a_sure_one() -> None:
    case = Case(EM, *SHAPES["S2"])
    rows = [
        row_of(case, "gaussmix", 2, 0.1, uncertainty=0.02),
        row_of(case, "oneDAL", 2, 0.44, uncertainty=0.01),
    ]
    found = found_in(rows)["S2 EM against oneDAL"]
    assert (found.met, found.note) == (False, "the times are not sure enough to tell")
    surer = [row._replace(uncertainty=0.001) for row in rows]
    assert found_in(surer)["S2 EM against oneDAL"].note == ""


def test_a_fit_must_end_as_well_as_the_others() -> None:
    case = Case(FIT, *SHAPES["S2"])
    theirs = row_of(case, "scikit-learn", 2, 60.0, value=-13.0)
    for value, met in ((-13.0005, True), (-13.01, False)):
        rows = [row_of(case, "gaussmix", 2, 1.0, value=value), theirs]
        found = found_in([*rows, row_of(Case(EM, *SHAPES["S2"]), "gaussmix", 2, 0.1)])
        target = found["S2 default fit against scikit-learn"]
        assert (target.measured, target.met) == (60.0, met)
        assert target.note == f"log-likelihood {value:.6f}, scikit-learn's -13.000000"
        assert target.bound == "passes: as long as 10 EM iterations"


def test_rows_from_files_are_held_against_rows_in_memory_and_mere_reading() -> None:
    case = Case(FROM_FILES, *SHAPES["S2"])
    seconds = {"gaussmix": 0.1, MAPPED: 0.125, NPY: 0.1, PARQUET: 0.5, READING: 0.2}
    found = found_in([row_of(case, library, 2, time) for library, time in seconds.items()])
    memmap, npy, parquet = (
        next(target for name, target in found.items() if word in name)
        for word in ("memmap", ".npy", "Parquet")
    )
    measured = [target.measured for target in (memmap, npy, parquet)]
    assert measured == pytest.approx([0.8, 1.0, 0.4])
    assert [target.met for target in (memmap, npy, parquet)] == [False, True, False]
    assert parquet.note == "memory 100 ms, reading 200 ms, file 500 ms"
    assert parquet.bound == "reading: it and a pass, one after the other, 300 ms"


def test_a_target_says_what_binds_it() -> None:
    case = Case(EM, *SHAPES["S1"])
    rows = [row_of(case, "gaussmix", 2, 0.024), row_of(case, "oneDAL", 2, 0.048)]
    assert found_in(rows)["S1 EM against oneDAL"].bound == (
        "exponentials: products 2.4 ms + exponentials 8 ms + memory 1.6 ms = 12 ms of 24 ms; "
        "without the rest 4.00"
    )


def test_a_time_lost_in_noise_tells_nothing() -> None:
    case = Case(EM, *SHAPES["S2"])
    rows = [row_of(case, "gaussmix", 2, np.nan), row_of(case, "oneDAL", 2, 1.0)]
    found = found_in(rows)
    assert found["S2 EM of gemm"].met is None
    assert found["S2 EM against oneDAL"].measured is None


def test_the_log_sum_exp_is_what_likelihoods_take_longer_than_labels() -> None:
    whole, labels = (
        row_of(Case(task, *SHAPES["S1"]), "gaussmix", 1, seconds)
        for task, seconds in (("log_likelihood", 0.05), ("assign", 0.03))
    )
    found = found_in([whole, labels])["S1 log-sum-exp, of numpy's exp"]
    assert found.measured == pytest.approx(8e6 / 0.02 / 0.5e9)
    assert "0.32 with the log-densities" in found.note


def test_the_smallest_shape_is_held_against_what_binds_it() -> None:
    ours = row_of(Case(EM, *SHAPES["S6"]), "gaussmix", 2, 0.004)
    found = found_in([ours])["S6 EM, of its bound"]
    assert found.measured == pytest.approx(0.5)  # 2e6 exponentials at 1e9/s
    parts = "products 0.3 ms + exponentials 2 ms + memory 0.8 ms"
    assert found.note == f"bound by exponentials: {parts}, measured 4 ms"
    assert found.met is None


def test_threads_are_held_against_a_matrix_products() -> None:
    case = Case(EM, *SHAPES["S4"])
    rows = [
        row_of(case, "gaussmix", 1, 1.9, gemm_gflops=10.0),
        row_of(case, "gaussmix", 2, 1.0, gemm_gflops=20.0),
    ]
    found = found_in(rows)["S4 gain of 2 threads, of gemm's"]
    assert found.measured == pytest.approx(0.95)
    assert found.note == "1.90 against 2.00"


def test_single_precision_is_held_against_double() -> None:
    case = Case(EM, *SHAPES["S3"])
    rows = [
        row_of(case, "gaussmix", 2, 1.0),
        row_of(case._replace(dtype="float32"), "gaussmix", 2, 0.5),
    ]
    assert found_in(rows)["S3 EM float32 against float64"].measured == pytest.approx(2.0)


def test_odd_shapes_are_held_against_the_worst_of_their_neighbours() -> None:
    grid = Grid(2, {(4, 2): 10.0, (5, 2): 5.0, (3, 2): 8.0})
    found = found_in([], grid)["D x K rate of odd shapes, of their neighbours'"]
    assert (found.measured, found.met) == (0.5, False)
    assert found.note == "worst: D=5 K=2 beside D=4 K=2; 1 of 2 fall short"
    rates = [flops / (flops / 80 + 2 / (2 * 0.5) + 8 * d / 10) for d, flops in ((5, 168), (4, 120))]
    allowed = rates[0] / rates[1]
    assert found.bound == f"memory: by what cannot be left out {allowed:.2f}"


# The report


def a_report() -> Report:
    case = Case(EM, *SHAPES["S2"])
    rows = [row_of(case, "gaussmix", 2, 0.1), row_of(case, "oneDAL", 2, 0.5, correct=False)]
    grid = Grid(2, {(3, 2): 3.0, (4, 2): 10.0})
    found = judge(Results(rows, {1: ONE, 2: TWO}, grid))
    return Report({"CPU": "some"}, [ONE, TWO], rows, found, grid)


def test_markdown_has_targets_times_and_rates() -> None:
    text = report.markdown(a_report(), ["roofline.png"])
    assert text.startswith("- CPU: some\n\n## Targets\n\n2 targets met, 1 missed, ")
    assert "| S2 | EM against oneDAL | 4.5 | 5.00 | yes | their answer differs |  |" in text
    assert "| S3 | EM of gemm | 0.72 | not measured |  |  |  |" in text
    assert "| D=3 | 3.0 |" in text
    assert text.endswith("![roofline](roofline.png)\n")
    blocks = [block for block in text.split("\n\n") if block.startswith("|")]
    for block in blocks:
        assert len({line.count("|") for line in block.splitlines()}) == 1


def test_json_has_the_same(tmp_path: Path) -> None:
    made = a_report()
    report.save(made, tmp_path)
    saved = json.loads((tmp_path / "benchmark.json").read_text())
    assert [row["case"] for row in saved["rows"]] == [str(row.case) for row in made.rows]
    assert saved["rows"][0]["n_features"] == 8
    assert [target["met"] for target in saved["targets"]] == [t.met for t in made.targets]
    assert saved["ceilings"][1]["gemm"] == TWO.gemm
    assert saved["efficiency"]["shapes"][0] == {"n_features": 3, "n_components": 2, "gflops": 3.0}
    assert saved["efficiency"]["pairs"] == [
        {"odd": [3, 2], "neighbour": [4, 2], "ratio": pytest.approx(0.3)}
    ]


def test_what_is_saved_can_be_read(tmp_path: Path) -> None:
    made = a_report()
    lost = row_of(Case(KMEANS, 10, 2, 3), "gaussmix", 1, np.nan, uncertainty=np.inf, ratio=np.nan)
    report.save(made._replace(rows=[*made.rows, lost]), tmp_path)
    found = report.read(tmp_path)
    assert found.rows[:-1] == made.rows
    assert np.isnan([found.rows[-1].seconds, found.rows[-1].uncertainty]).all()
    assert (found.about, found.ceilings, found.grid) == (made.about, made.ceilings, made.grid)


@pytest.mark.parametrize("text", ["{}", "[", '{"ceilings": [{}]}'])
def test_what_is_no_report_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "benchmark.json").write_text(text)
    with pytest.raises(ValueError, match="not from this version of the benchmark"):
        report.read(tmp_path)


def test_intensity_is_operations_per_byte() -> None:
    row = row_of(Case(EM, *SHAPES["S2"]), "gaussmix", 2, 0.1, gflops=28.8)
    assert charts.intensity(row) == pytest.approx(4 * 16 * 45 / (8 * 8))


def test_pictures_are_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    made = a_report()
    rows = [row_of(Case(EM, *shape), "gaussmix", 2, 0.1, gflops=30.0) for shape in SHAPES.values()]
    charts.save_roofline(tmp_path / "a.png", [*rows, *made.rows], TWO, 0.5, "some")
    assert made.grid is not None
    charts.save_efficiency(tmp_path / "b.png", made.grid, TWO, "some")
    for name in ("a.png", "b.png"):
        picture = (tmp_path / name).read_bytes()
        assert picture.startswith(b"\x89PNG")
        assert len(picture) > 10_000


def test_a_roofline_shows_dense_double_em_on_all_threads() -> None:
    case = Case(EM, *SHAPES["S2"])
    shown = [row_of(case, library, 2, 0.1) for library in ("gaussmix", "oneDAL")]
    others = [
        row_of(case, "gaussmix", 1, 0.1),
        row_of(case._replace(structure="diag"), "gaussmix", 2, 0.1),
        row_of(case._replace(dtype="float32"), "gaussmix", 2, 0.1),
        row_of(case._replace(task=FIT), "gaussmix", 2, 0.1),
        row_of(case, "gaussmix", 2, np.nan),
    ]
    assert charts.on_roofline([*shown, *others], 2) == shown


def test_terminal_lines_stand_in_columns() -> None:
    made = a_report()
    heads, *lines = (table.line(texts) for texts in (table.COLUMNS, *map(table.cells, made.rows)))
    assert [len(line) for line in lines] == [len(heads)] * 2
    assert lines[1].endswith("NO")
    *_, blank, last = report.target_lines(made.targets)
    assert (blank, last) == ("", targets.summary(made.targets))


def test_a_time_that_is_not_resolved_is_said_to_be(tmp_path: Path) -> None:
    row = row_of(Case(EM, 50, 1, 1), "gaussmix", 1, np.nan, uncertainty=np.inf, ratio=np.nan)
    assert table.cells(row)[4:7] == ["not resolved", "", ""]
    report.save(Report({}, [], [row], []), tmp_path)
    (saved,) = json.loads((tmp_path / "benchmark.json").read_text())["rows"]
    assert (saved["seconds"], saved["uncertainty"]) == (None, None)


# The command


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run, "SHORT", (Case(EM, 500, 2, 2, repeats=1),))
    cases = [Case(EM, 500, 2, 2, repeats=1), Case(KMEANS, 500, 2, 2, repeats=1)]
    monkeypatch.setattr(
        suite, "all_of_it", lambda: [run.Entry(case, contenders(), 1) for case in cases]
    )
    small = Grid(1, {(2, 2): 1.0, (3, 2): 0.9})
    monkeypatch.setattr(efficiency, "measure", lambda n_threads, progress: small)


@pytest.mark.usefixtures("tiny")
def test_main_prints_a_row_each_and_writes_only_if_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert suite.main() == 0
    printed = capsys.readouterr().out.split("library", 1)[1].strip().splitlines()[1:]
    able = [entrant for entrant in contenders() if entrant.enters(run.SHORT[0])]
    assert [line.split()[-1] for line in printed] == ["yes"] * len(able)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("tiny")
def test_main_fails_when_gaussmix_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def wrong(*arguments: Any) -> list[Row]:
        return [row._replace(correct=False) for row in run_case(*arguments)]

    monkeypatch.setattr(suite, "contenders", lambda: [gaussmix()])
    monkeypatch.setattr(run, "run_case", wrong)
    assert suite.main() == 1
    assert capsys.readouterr().out.split()[-1] == "NO"


@pytest.mark.usefixtures("tiny")
def test_full_form_writes_all_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    assert suite.main(full=True, output="found/here") == 0
    folder = tmp_path / "found/here"
    names = {"benchmark.json", "benchmark.md", "efficiency.png"}
    assert names <= {path.name for path in folder.iterdir()}
    saved = json.loads((folder / "benchmark.json").read_text())
    markdown = (folder / "benchmark.md").read_text()
    assert {row["correct"] for row in saved["rows"]} == {True}
    assert {row["task"] for row in saved["rows"]} == {EM, KMEANS}
    assert saved["targets"]
    assert "time taken" in saved["machine"]
    assert all(f"- {name}: {text}\n" in markdown for name, text in saved["machine"].items())
    assert capsys.readouterr().out.strip().endswith("not measured")


@pytest.mark.usefixtures("tiny")
def test_parts_can_be_chosen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(["--full", "--only", "KMeans|nothing"]) == 0
    saved = json.loads((tmp_path / "benchmark.json").read_text())
    assert {row["task"] for row in saved["rows"]} == {KMEANS}
    assert saved["efficiency"] is None
    assert saved["targets"] == []  # such as were not measured are not listed
    assert __main__.main(["--full", "--only", "efficiency"]) == 0
    saved = json.loads((tmp_path / "benchmark.json").read_text())
    assert saved["rows"] == []
    assert [target["shape"] for target in saved["targets"]] == ["D x K"]


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(
    ("only", "reason"),
    [("(", "only must be a regular expression, got '('"), ("none such", "found in the name of")],
)
def test_what_cannot_be_chosen(
    only: str, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert __main__.main(["--only", only]) == 2
    assert reason in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("tiny")
def test_an_interrupted_run_keeps_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(case: Case, *others: Any) -> list[Row]:
        if case.task == KMEANS:
            raise KeyboardInterrupt
        return run_case(case, *others)

    monkeypatch.setattr(run, "run_case", interrupted)
    assert __main__.main(["--full", "-o", str(tmp_path)]) == 130
    assert capsys.readouterr().err.endswith("benchmarks: interrupted\n")
    saved = json.loads((tmp_path / "benchmark.json").read_text())
    assert {row["task"] for row in saved["rows"]} == {EM}


@pytest.mark.usefixtures("tiny")
def test_every_case_is_saved_when_it_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[set[str]] = []
    monkeypatch.setattr(
        suite, "save", lambda made, *_: saved.append({row.case.task for row in made.rows})
    )
    suite.main(full=True, output=tmp_path)
    assert saved == [{EM}, {EM, KMEANS}, {EM, KMEANS}]


@pytest.mark.usefixtures("tiny")
def test_a_run_is_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert __main__.main(["--full", "--only", "EM", "-o", str(tmp_path)]) == 0
    first = report.read(tmp_path)
    ran: list[str] = []

    def noted(case: Case, *others: Any) -> list[Row]:
        ran.append(case.task)
        return run_case(case, *others)

    monkeypatch.setattr(run, "run_case", noted)
    assert __main__.main(["--full", "--resume", "-o", str(tmp_path)]) == 0
    found = report.read(tmp_path)
    assert ran == [KMEANS]
    kept = [(row.case, row.library, row.value) for row in first.rows]
    assert [(row.case, row.library, row.value) for row in found.rows][: len(kept)] == kept
    assert {row.case.task for row in found.rows} == {EM, KMEANS}
    assert found.grid is not None
    assert found.about["time taken"].startswith(first.about["time taken"] + " + ")


@pytest.mark.usefixtures("tiny")
def test_what_was_not_resolved_is_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide = True

    def noted(case: Case, *others: Any) -> list[Row]:
        ran.append(case.task)
        *rows, last = run_case(case, *others)
        return [*rows, last._replace(seconds=np.nan) if hide and case.task == EM else last]

    monkeypatch.setattr(run, "run_case", noted)
    ran: list[str] = []
    __main__.main(["--full", "-o", str(tmp_path)])
    ran, hide = [], False
    assert __main__.main(["--full", "--resume", "-o", str(tmp_path)]) == 0
    assert ran == [EM]
    assert all(row.seconds > 0 for row in report.read(tmp_path).rows)
    ran = []
    assert __main__.main(["--full", "--resume", "-o", str(tmp_path)]) == 0
    assert ran == []


@pytest.mark.usefixtures("tiny")
def test_a_run_elsewhere_is_not_resumed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert __main__.main(["--resume"]) == 2
    assert "there is no run to resume" in capsys.readouterr().err
    assert __main__.main(["-o", "."]) == 0
    monkeypatch.setattr(machine, "_cpu_name", lambda: "another")
    assert __main__.main(["--resume"]) == 2
    assert "the run to be resumed had CPU" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"benchmark.json", "benchmark.md"}


def python_m_benchmarks(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )


def test_the_command_says_what_it_takes() -> None:
    told = python_m_benchmarks("--help").stdout
    assert told.startswith("usage: python -m benchmarks")
    assert all(option in told for option in ("--full", "--only", "--output", "--resume"))


@pytest.mark.slow
def test_one_part_runs_as_a_command(tmp_path: Path) -> None:
    small = next(case for case in SHORT if case.task == FIT_FROM_START)
    told = python_m_benchmarks("--only", FIT_FROM_START, "--output", str(tmp_path)).stdout
    assert str(small) in told
    saved = json.loads((tmp_path / "benchmark.json").read_text())
    assert {row["case"] for row in saved["rows"]} == {str(small)}
    assert {row["correct"] for row in saved["rows"]} == {True}
