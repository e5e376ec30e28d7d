"""What `gaussmix` says of saved models, and what they say of rows: show, predict, score, ..."""

import csv
import gzip
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gaussmix import BayesianGaussianMixture, GaussianMixture, KMeans, load, save
from gaussmix._core.types import FloatArray, MergeCriterion
from gaussmix.cli.main import main
from gaussmix.display import progress
from gaussmix.storage import Model

GAPS = [3, 17, 399]  # rows of `gaps` that lack a value


@pytest.fixture(scope="module")
def X() -> FloatArray:
    rng = np.random.default_rng(0)
    return rng.normal(size=(400, 2)) + 8 * rng.integers(2, size=(400, 1))


def frame(X: FloatArray) -> Any:
    """The features by name."""
    return pytest.importorskip("pandas").DataFrame(X, columns=["x", "y"])


@pytest.fixture
def fitted(X: FloatArray) -> GaussianMixture:
    return GaussianMixture(2, random_state=0).fit(frame(X))


@pytest.fixture
def model(fitted: GaussianMixture, tmp_path: Path) -> Path:
    save(fitted, tmp_path / "m.npz")
    return tmp_path / "m.npz"


def write(path: Path, X: FloatArray, gaps: list[int]) -> Path:
    """The features in another order, among other columns."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "y", "name", "x"])
        for i, (x, y) in enumerate(X.tolist()):
            writer.writerow([f"r{i}", repr(y), f"n, {i}", "" if i in gaps else repr(x)])
    return path


@pytest.fixture
def data(X: FloatArray, tmp_path: Path) -> Path:
    return write(tmp_path / "data.csv", X, [])


@pytest.fixture
def gaps(X: FloatArray, tmp_path: Path) -> Path:
    return write(tmp_path / "gaps.csv", X, GAPS)


def run(*arguments: object) -> None:
    assert main([str(argument) for argument in arguments]) == 0


def read(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


def complete(X: FloatArray) -> FloatArray:
    return np.delete(X, GAPS, axis=0)


@pytest.mark.parametrize(
    "made",
    [
        GaussianMixture(2, random_state=0),
        GaussianMixture(2, noise=True, random_state=0),
        BayesianGaussianMixture(n_components=3, random_state=0),
        KMeans(2, random_state=0),
    ],
    ids=["mixture", "noise", "bayesian", "k-means"],
)
def test_show_prints_the_summary(
    made: Model, X: FloatArray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(made.fit(frame(X)), tmp_path / "m.npz")
    run("show", tmp_path / "m.npz")
    assert capsys.readouterr().out == f"{load(tmp_path / 'm.npz').summary()}\n"


def test_columns_are_found_by_name_in_any_order(
    X: FloatArray, fitted: GaussianMixture, model: Path, data: Path, tmp_path: Path
) -> None:
    run("predict", model, data, "-o", tmp_path / "p.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "p.npy"), fitted.predict(frame(X)))
    (tmp_path / "two.csv").write_text("y,x\n" + "".join(f"{y!r},{x!r}\n" for x, y in X.tolist()))
    run("predict", model, tmp_path / "two.csv", "-o", tmp_path / "q.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "q.npy"), np.load(tmp_path / "p.npy"))


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".tsv.gz", ".parquet"])
def test_kept_columns_stand_before_the_answers(
    ending: str, fitted: GaussianMixture, X: FloatArray, model: Path, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / f"p{ending}"
    run("predict", model, data, "--keep", "name,id", "--proba", "-o", out)
    names = ["name", "id", "component 0", "component 1"]
    if ending == ".parquet":
        pd = pytest.importorskip("pandas")
        table = pd.read_parquet(out)
        header, rows = list(table.columns), table.to_numpy().tolist()
    else:
        opened = gzip.open if ending.endswith(".gz") else open
        with opened(out, "rt", newline="") as file:
            header, *rows = csv.reader(file, delimiter="," if ending == ".csv" else "\t")
    assert header == names
    assert [row[:2] for row in rows] == [[f"n, {i}", f"r{i}"] for i in range(400)]
    proba = np.array([row[2:] for row in rows], np.float64)
    np.testing.assert_array_equal(proba, fitted.predict_proba(frame(X)))


def test_columns_are_kept_from_every_kind_of_file(
    X: FloatArray, model: Path, tmp_path: Path
) -> None:
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    table = pd.DataFrame(
        {"id": np.arange(400), "x": X[:, 0], "who": ["a", None] * 200, "y": X[:, 1]}
    )
    table.to_parquet(tmp_path / "data.parquet")
    run(
        "predict",
        model,
        tmp_path / "data.parquet",
        "--keep",
        "who,id",
        "-o",
        tmp_path / "p.parquet",
    )
    found = pd.read_parquet(tmp_path / "p.parquet")
    assert list(found.columns) == ["who", "id", "component"]
    assert found["id"].tolist() == list(range(400))
    assert found["who"].fillna("-").tolist() == ["a", "-"] * 200
    np.save(tmp_path / "data.npy", np.column_stack([X, np.arange(400)]))
    save(GaussianMixture(2, random_state=0).fit(X), model)
    arguments = ["--columns", "0,1", "--keep", "2", "-o", tmp_path / "p.csv"]
    run("predict", model, tmp_path / "data.npy", *arguments)
    header, *rows = read(tmp_path / "p.csv")
    assert header == ["column 2", "component"]
    assert [float(row[0]) for row in rows] == list(range(400))


def test_kept_columns_go_to_standard_output(
    model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("predict", model, data, "--keep", "name,id", "--proba", "-o", tmp_path / "p.csv")
    command = [sys.executable, "-m", "gaussmix", "predict", str(model), "-", "--proba", "--keep"]
    done = subprocess.run(
        [*command, "name,id", "-o", "-"], input=data.read_bytes(), capture_output=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == (tmp_path / "p.csv").read_bytes()
    assert main(["predict", str(model), str(data), "--keep", "id,id", "-o", "-"]) == 2
    message = "columns of the output must have different names, got ['id', 'id', 'component']"
    assert message in capsys.readouterr().err


def test_a_reader_of_kept_columns_may_have_seen_enough(model: Path, data: Path) -> None:
    command = [sys.executable, "-m", "gaussmix", "predict", str(model), str(data), "--keep", "id"]
    done = subprocess.Popen(
        [*command, "-o", "-"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert done.stdout is not None
    done.stdout.close()
    _, error = done.communicate(timeout=60)
    assert (done.returncode, error) == (0, "")


def test_what_cannot_be_kept_is_said(
    model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for keep, name, message in [
        ("id", "p.npy", "p.npy: a .npy file has no place for columns that are kept"),
        ("id,id", "p.csv", "must have different names, got ['id', 'id', 'component']"),
        ("who", "p.csv", "has no column 'who'"),
    ]:
        out = tmp_path / name
        assert main(["predict", str(model), str(data), "--keep", keep, "-o", str(out)]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
        assert not out.exists()


def test_rows_with_gaps_keep_their_places(
    X: FloatArray, fitted: GaussianMixture, model: Path, gaps: Path, tmp_path: Path
) -> None:
    run("predict", model, gaps, "--missing", "drop", "--keep", "id", "-o", tmp_path / "p.csv")
    header, *rows = read(tmp_path / "p.csv")
    assert header == ["id", "component"]
    assert [row[0] for row in rows] == [f"r{i}" for i in range(400)]
    labels = np.array([int(row[1]) for row in rows])
    assert np.flatnonzero(labels == -1).tolist() == GAPS
    np.testing.assert_array_equal(complete(labels), fitted.predict(frame(complete(X))))
    run("predict", model, gaps, "--missing", "drop", "--proba", "-o", tmp_path / "p.npy")
    proba = np.load(tmp_path / "p.npy")
    assert np.isnan(proba[GAPS]).all()
    np.testing.assert_array_equal(complete(proba), fitted.predict_proba(frame(complete(X))))


def test_a_block_of_gaps_alone(model: Path, tmp_path: Path) -> None:
    write(tmp_path / "gaps.csv", np.ones((5, 2)), [*range(5)])
    run("predict", model, tmp_path / "gaps.csv", "--missing", "drop", "-o", tmp_path / "p.npy")
    assert np.load(tmp_path / "p.npy").tolist() == [-1] * 5


def test_gaps_are_an_error_by_default(
    model: Path, gaps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ("predict", "score", "outliers", "hierarchy"):
        out = ["-o", str(tmp_path / "p.csv")]
        assert main([command, str(model), str(gaps), *out]) == 2
        error = capsys.readouterr().err
        assert "NaN" in error
        assert error.count("\n") == 1
        assert not (tmp_path / "p.csv").exists()


def test_score_writes_a_value_for_each_row(
    X: FloatArray,
    fitted: GaussianMixture,
    model: Path,
    gaps: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run("score", model, gaps, "--missing", "drop", "-o", tmp_path / "s.csv")
    captured = capsys.readouterr()
    assert captured.err == "gaussmix: left out 3 rows that lack a value\n"
    assert captured.out.startswith("rows                 397\n")
    values = np.array([float(value) for (value,) in read(tmp_path / "s.csv")[1:]])
    assert np.flatnonzero(np.isnan(values)).tolist() == GAPS
    np.testing.assert_array_equal(complete(values), fitted.score_samples(frame(complete(X))))


def test_values_go_to_standard_output_and_the_report_beside_it(
    fitted: GaussianMixture, X: FloatArray, model: Path, data: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gaussmix", "score", str(model), "-", "-o", "-"],
        input=data.read_text(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr.startswith("rows                 400\n")
    header, *values = done.stdout.splitlines()
    assert header == "log-likelihood"
    np.testing.assert_array_equal([*map(float, values)], fitted.score_samples(frame(X)))


def test_outliers_are_counted_and_marked(
    X: FloatArray,
    fitted: GaussianMixture,
    model: Path,
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run("outliers", model, data, "-p", 0.9, "-o", tmp_path / "o.npy")
    wanted = fitted.is_outlier(frame(X), 0.9)
    np.testing.assert_array_equal(np.load(tmp_path / "o.npy"), wanted)
    shown = capsys.readouterr().out
    assert f"outliers  {wanted.sum()} ({wanted.mean():.2%}), where 10.00% are expected" in shown
    run("outliers", model, data, "-p", 0.9)
    assert capsys.readouterr().out == shown
    for wrong in ("0", "1", "nan"):
        with pytest.raises(SystemExit):
            main(["outliers", str(model), str(data), "-p", wrong])
        assert f"a number between 0 and 1 is wanted, got '{wrong}'" in capsys.readouterr().err


def test_hierarchy_prints_levels_and_writes_clusters(
    X: FloatArray, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fitted = GaussianMixture(4, random_state=0).fit(frame(X))
    save(fitted, tmp_path / "m.npz")
    nested = fitted.hierarchy(frame(X))
    run("hierarchy", tmp_path / "m.npz", data, "--clusters", 2, "-o", tmp_path / "c.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "c.npy"), nested.predict(frame(X), 2))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["clusters", "entropy", "height"]
    assert [line.split()[0] for line in lines[1:5]] == ["1", "2", "3", "4"]
    assert float(lines[1].split()[2]) == pytest.approx(nested.linkage[-1, 2], rel=1e-5)
    assert lines[5] == f"{nested.n_clusters} clusters are suggested"
    members = np.flatnonzero(nested.labels(2) == 0)
    assert lines[6] == f"cluster 0: components {', '.join(map(str, members))}"
    run("hierarchy", tmp_path / "m.npz", data, "--proba", "-o", tmp_path / "p.csv")
    assert len(read(tmp_path / "p.csv")[0]) == nested.n_clusters


@pytest.mark.parametrize("criterion", ["entropy", "bhattacharyya"])
def test_hierarchy_draws_its_tree(
    X: FloatArray,
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    criterion: MergeCriterion,
) -> None:
    pytest.importorskip("matplotlib")
    fitted, path = GaussianMixture(4, random_state=0).fit(frame(X)), tmp_path / "tree.svg"
    save(fitted, tmp_path / "m.npz")
    run("hierarchy", tmp_path / "m.npz", data, "--criterion", criterion, "--plot", path)
    assert capsys.readouterr().out.endswith(f"\npicture saved to {path}\n")
    drawn = path.read_text(encoding="utf-8")
    shown = fitted.hierarchy(frame(X), criterion=criterion)
    assert f"{shown.n_clusters} suggested" in drawn  # beside the entropies
    assert {path.name for path in tmp_path.iterdir()} >= {"tree.svg", "m.npz"}


def test_wrong_pictures_of_a_hierarchy_are_found_before_the_work(
    model: Path,
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.delattr("gaussmix.storage.load")
    for path, message in [
        (tmp_path / "tree.pdx", "got '.pdx'"),
        (tmp_path / "no" / "tree.png", "there is no folder"),
    ]:
        assert main(["hierarchy", str(model), str(data), "--plot", str(path)]) == 2
        assert message in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["hierarchy", str(model), str(data), "--plot", "tree.png"]) == 2
    assert "--plot needs matplotlib" in capsys.readouterr().err


def test_a_fit_leaves_out_rows_with_gaps(
    X: FloatArray, gaps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--columns", "x,y", "--seed", 0, "-o", tmp_path / "m.npz", "--missing", "drop"]
    run("fit", gaps, "-k", 2, *options)
    assert capsys.readouterr().err == "gaussmix: left out 3 rows that lack a value\n"
    found, wanted = load(tmp_path / "m.npz"), GaussianMixture(2, random_state=0)
    assert isinstance(found, GaussianMixture)
    np.testing.assert_array_equal(found.means_, wanted.fit(complete(X)).means_)
    run("select", gaps, "-k", "1-2", *options)
    assert "left out 3 rows" in capsys.readouterr().err
    np.save(tmp_path / "nothing.npy", np.full((5, 2), np.nan))
    command = ["fit", tmp_path / "nothing.npy", "-k", 1, "--missing", "drop"]
    assert main([*map(str, command), "-o", str(tmp_path / "n.npz")]) == 2
    assert "every row lacks a value" in capsys.readouterr().err


def test_verbose_says_every_so_often_how_far_it_is(
    model: Path,
    data: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(progress, "SECONDS", 0.0)
    run("score", model, data, "--verbose")
    assert capsys.readouterr().err.startswith("gaussmix: scoring: 400 rows\n")
    run("fit", data, "--columns", "x,y", "-k", 2, "-o", model, "--verbose")
    error = capsys.readouterr().err
    assert error.startswith("gaussmix: iteration 1 of at most 100, mean log-likelihood ")
    run("select", data, "--columns", "x,y", "-k", "1-2", "-v")
    assert "gaussmix: selecting: 1 of 7 fits\n" in capsys.readouterr().err
    run("score", model, data)
    assert capsys.readouterr().err == ""
