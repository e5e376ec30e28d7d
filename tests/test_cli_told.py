"""The command line's labels, priors of rows, noise and equal weights."""

import csv
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from gaussmix import GaussianMixture, load
from gaussmix.cli.main import main

CENTERS = np.array([[0.0, 0.0], [6.0, 6.0], [6.0, 0.0]])
NAMES = np.array(["cat", "dog, wild", "eel"])


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def column(path: Path, place: int = 0) -> list[str]:
    with path.open(newline="") as file:
        return [row[place] for row in csv.reader(file)]


@pytest.fixture
def group() -> NDArray[np.int64]:
    return np.random.default_rng(0).integers(3, size=300)


@pytest.fixture
def table(group: NDArray[np.int64], tmp_path: Path) -> Path:
    """Rows with numbers of components and names of classes where they are known, and priors."""
    rng = np.random.default_rng(1)
    rows = [["x", "k", "y", "kind", "p0", "p1", "p2"]]
    for i, g in enumerate(group):
        x, y = CENTERS[g] + rng.normal(size=2)
        known = i % 6 == 0
        priors = ["1" if j == g or not known else "0" for j in range(3)]
        kind = NAMES[g] if known else ""
        rows.append([repr(float(x)), str(g if known else -1), repr(float(y)), kind, *priors])
    with (tmp_path / "rows.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return tmp_path / "rows.csv"


def arrays(table: Path) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    x, k, y = (np.array(column(table, place)[1:], dtype=float) for place in (0, 1, 2))
    return np.column_stack([x, y]), k.astype(int)


@pytest.mark.parametrize("told", [("--labels", "k"), ("--row-priors", "p0,p1,p2")])
def test_labels_and_priors_are_columns(
    table: Path, tmp_path: Path, group: NDArray[np.int64], told: tuple[str, str]
) -> None:
    out = tmp_path / "m.npz"
    assert run("fit", table, "--columns", "x,y", "-k", 3, *told, "--seed", 0, "-o", out) == 0
    X, labels = arrays(table)
    wanted = GaussianMixture(3, random_state=0).fit(X, labels=labels)
    np.testing.assert_allclose(load(out, GaussianMixture).means_, wanted.means_, rtol=1e-6)
    assert run("predict", out, table, "-o", tmp_path / "p.csv") == 0
    found = np.array(column(tmp_path / "p.csv")[1:], dtype=int)
    assert (found == group).mean() > 0.98


@pytest.mark.parametrize("ending", [".csv", ".tsv.gz", ".parquet"])
def test_names_of_classes_are_written(
    table: Path, tmp_path: Path, group: NDArray[np.int64], ending: str
) -> None:
    out, columns = tmp_path / "m.npz", ("--columns", "x,y")
    assert run("fit", table, *columns, "-k", 3, "--labels", "kind", "--seed", 0, "-o", out) == 0
    path = tmp_path / f"p{ending}"
    assert run("predict", out, table, "-o", path) == 0
    if ending == ".parquet":
        parquet = pytest.importorskip("pyarrow.parquet").read_table(path)
        found = parquet["class"].to_pylist()
    else:
        frame = pytest.importorskip("pandas").read_csv(path, sep="," if ending == ".csv" else "\t")
        found = frame["class"].tolist()
    assert (np.array(found) == NAMES[group]).mean() > 0.98


def test_names_go_beside_kept_columns_and_to_standard_output(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, columns = tmp_path / "m.npz", ("--columns", "x,y")
    assert run("fit", table, *columns, "-k", 3, "--labels", "kind", "--seed", 0, "-o", out) == 0
    assert run("predict", out, table, "--keep", "x", "-o", tmp_path / "p.csv") == 0
    assert column(tmp_path / "p.csv", 1)[0] == "class"
    assert set(column(tmp_path / "p.csv", 1)[1:]) == set(NAMES)
    assert run("predict", out, table, "--proba", "-o", tmp_path / "q.csv") == 0
    with (tmp_path / "q.csv").open(newline="") as file:
        assert next(csv.reader(file)) == NAMES.tolist()
    capsys.readouterr()
    assert run("predict", out, table, "-o", tmp_path / "p.npy") == 2
    assert "names of classes are text" in capsys.readouterr().err


def test_classes_of_several_components(table: Path, tmp_path: Path) -> None:
    out, classes = tmp_path / "m.npz", ("--component-labels", "cat,cat,eel")
    rows = [row for row in table.read_text().splitlines() if "dog" not in row]
    (tmp_path / "two.csv").write_text("\n".join(rows))
    options = "--columns", "x,y", "-k", 3, "--labels", "kind", *classes, "--seed", 0
    assert run("fit", tmp_path / "two.csv", *options, "-o", out) == 0
    model = load(out, GaussianMixture)
    assert model.component_labels_.tolist() == ["cat", "cat", "eel"]


@pytest.mark.parametrize("named", [False, True])
def test_noise_is_minus_one(table: Path, tmp_path: Path, named: bool) -> None:
    with table.open("a") as file:
        rng = np.random.default_rng(2)
        file.writelines(
            f"{x!r},-1,{y!r},,1,1,1\n" for x, y in rng.uniform(-40, 40, (60, 2)).tolist()
        )
    out = tmp_path / "m.npz"
    labels = ("--labels", "kind") if named else ()
    options = "--columns", "x,y", "-k", 3, "--noise", "--equal-weights", *labels, "--seed", 0
    assert run("fit", table, *options, "-o", out) == 0
    model = load(out, GaussianMixture)
    assert 0.1 < model.noise_weight_ < 0.25
    assert np.ptp(model.weights_) == 0
    assert run("predict", out, table, "-o", tmp_path / "p.csv") == 0
    found = column(tmp_path / "p.csv")[1:]
    assert 40 < found.count("-1") < 75
    assert set(found) == {"-1", *(NAMES if named else "012")}
    assert run("predict", out, table, "--proba", "-o", tmp_path / "q.csv") == 0
    with (tmp_path / "q.csv").open(newline="") as file:
        assert next(csv.reader(file))[-1] == "noise"
    assert run("sample", out, "-n", 50, "--seed", 0, "-o", tmp_path / "s.csv") == 0
    assert run("outliers", out, table, "-o", tmp_path / "o.csv") == 0
    assert 40 < column(tmp_path / "o.csv").count("1") < 75
    gone = tmp_path / "h.csv"
    assert run("hierarchy", out, table, "--clusters", 2, "--proba", "-o", gone) == 0
    with gone.open(newline="") as file:
        assert next(csv.reader(file)) == ["cluster 0", "cluster 1", "noise"]


def test_gaps_among_names_are_empty(table: Path, tmp_path: Path) -> None:
    out, columns = tmp_path / "m.npz", ("--columns", "x,y")
    assert run("fit", table, *columns, "-k", 3, "--labels", "kind", "--seed", 0, "-o", out) == 0
    with table.open("a") as file:
        file.write(",0,1.0,,1,1,1\n")
    assert run("predict", out, table, "--missing", "drop", "-o", tmp_path / "p.csv") == 0
    assert column(tmp_path / "p.csv")[-1] in ("", '""')


def test_selections_take_noise(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.npz"
    options = (
        "--columns",
        "x,y",
        "-k",
        "2-3",
        "--covariance-types",
        "EII,VVV",
        "--noise",
        "--n-init",
        1,
    )
    assert run("select", table, *options, "--equal-weights", "--seed", 0, "-o", out) == 0
    model = load(out, GaussianMixture)
    assert model.n_components == 3
    assert np.ptp(model.weights_) == 0
    assert hasattr(model, "noise_box_")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--labels", "k", "--partial"), "--labels does not go with --partial"),
        (
            ("--row-priors", "p0", "--missing", "drop"),
            "--row-priors does not go with --missing drop",
        ),
        (("--labels", "k", "--scheduler", "tcp://x"), "--labels does not go with --scheduler"),
        (("--component-labels", "a,b,c", "--partial"), "--component-labels does not go with"),
        (("--labels", "x"), "labels must be a column of its own"),
        (("--labels", "nobody"), "no column 'nobody'"),
        (("--row-priors", "p0,p1"), "a column for each of 3"),
    ],
)
def test_what_does_not_go_together_is_said(
    table: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    message: str,
) -> None:
    out = tmp_path / "m.npz"
    assert run("fit", table, "--columns", "x,y", "-k", 3, *options, "-o", out) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()
