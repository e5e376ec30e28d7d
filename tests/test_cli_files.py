"""The command line on files of many columns, in batches, and on a cluster."""

import subprocess
import sys
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gaussmix import GaussianMixture, load, save
from gaussmix._core.types import FloatArray
from gaussmix.cli.main import main

pd = pytest.importorskip("pandas")
pytest.importorskip("pyarrow")


@pytest.fixture
def frame() -> Any:
    rng = np.random.default_rng(0)
    groups = rng.integers(3, size=5000)
    rows = rng.normal(size=(5000, 2)) + 6.0 * groups[:, None]
    return pd.DataFrame({"id": np.arange(5000), "a": rows[:, 0], "b": rows[:, 1], "w": groups + 1})


@pytest.fixture
def parquet(frame: Any, tmp_path: Path) -> Path:
    path = tmp_path / "data.parquet"
    frame.to_parquet(path, row_group_size=700)
    return path


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def fitted(parquet: Path, *options: object) -> GaussianMixture:
    output = parquet.with_name("model.npz")
    assert run("fit", parquet, "-k", 3, "--seed", 0, "-o", output, *options) == 0
    model = load(output)
    assert isinstance(model, GaussianMixture)
    return model


def same(one: GaussianMixture, other: GaussianMixture) -> bool:
    return np.array_equal(one.means_, other.means_) and np.array_equal(
        one.covariances_, other.covariances_
    )


def error_of(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    capsys.readouterr()
    assert run(*arguments) == 2
    return capsys.readouterr().err


def test_columns_and_weights_of_a_parquet_file(frame: Any, parquet: Path) -> None:
    model = fitted(parquet, "--columns", "b,a", "--weights", "w")
    rows, weight = frame[["b", "a"]], frame["w"].to_numpy()
    assert model.feature_names_in_.tolist() == ["b", "a"]
    score = model.score(rows, sample_weight=weight)
    assert score == pytest.approx(model.lower_bound_, rel=1e-12)
    again = GaussianMixture(3, random_state=0).fit(rows, sample_weight=weight)
    order, other = np.argsort(model.means_[:, 0]), np.argsort(again.means_[:, 0])
    np.testing.assert_allclose(model.means_[order], again.means_[other], atol=1e-3)


def test_without_weights_the_fit_is_that_of_the_array(frame: Any, parquet: Path) -> None:
    model = fitted(parquet, "--columns", "a,b")
    assert same(model, GaussianMixture(3, random_state=0).fit(frame[["a", "b"]].to_numpy()))


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".npy"])
def test_predictions_find_the_models_columns(frame: Any, parquet: Path, ending: str) -> None:
    model = fitted(parquet, "--columns", "a,b")
    path = parquet.with_name("model.npz")
    output = parquet.with_name(f"out{ending}")
    assert run("predict", path, parquet, "-o", output) == 0
    read: FloatArray
    if ending == ".npy":
        read = np.load(output)
    else:
        table = pd.read_parquet(output) if ending == ".parquet" else pd.read_csv(output)
        assert list(table.columns) == ["component"]
        read = table["component"].to_numpy()
    np.testing.assert_array_equal(read, model.predict(frame[["a", "b"]]))


def test_probabilities_in_a_parquet_file(frame: Any, parquet: Path) -> None:
    model = fitted(parquet, "--columns", "a,b")
    output = parquet.with_name("out.parquet")
    assert run("predict", parquet.with_name("model.npz"), parquet, "--proba", "-o", output) == 0
    table = pd.read_parquet(output)
    assert list(table.columns) == ["component 0", "component 1", "component 2"]
    np.testing.assert_array_equal(table.to_numpy(), model.predict_proba(frame[["a", "b"]]))


def test_score_of_a_parquet_file(
    frame: Any, parquet: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, rows = fitted(parquet, "--columns", "a,b"), frame[["a", "b"]]
    capsys.readouterr()
    assert run("score", parquet.with_name("model.npz"), parquet) == 0
    printed = dict(line.rsplit(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert printed["rows"] == "5000"
    assert float(printed["mean log-likelihood"]) == pytest.approx(model.score(rows), rel=1e-9)
    assert float(printed["BIC"]) == pytest.approx(model.bic(rows), rel=1e-9)
    assert float(printed["AIC"]) == pytest.approx(model.aic(rows), rel=1e-9)


def test_batches(
    frame: Any,
    parquet: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gaussmix.io.readers.BLOCK_BYTES", 1)  # blocks of one group
    model = fitted(parquet, "--columns", "a,b", "--partial")
    assert capsys.readouterr().out.startswith("5000 rows in 5 batches, mean log-likelihood")
    assert model.n_samples_seen_ == 5000
    full = GaussianMixture(3, random_state=0).fit(frame[["a", "b"]])
    np.testing.assert_allclose(
        np.sort(model.means_, axis=0), np.sort(full.means_, axis=0), atol=0.1
    )


def test_batches_of_weight_zero_are_passed_over(
    frame: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("gaussmix.io.readers.BLOCK_BYTES", 1)  # blocks of one group
    frame.loc[:2999, "w"] = 0
    path = tmp_path / "data.csv"
    frame.to_csv(path, index=False)
    model = fitted(path, "--columns", "1,2", "--weights", "3", "--partial")
    assert capsys.readouterr().out.startswith("5000 rows in 3 batches")
    assert model.weight_seen_ == frame["w"].sum()
    frame["w"] = 0
    frame.to_csv(path, index=False)
    fit = ("fit", path, "-k", 2, "-o", tmp_path / "m.npz")
    assert "must not be all zero" in error_of(capsys, *fit, "--weights", "w", "--partial")


@pytest.mark.parametrize(
    "options",
    [
        ("--checkpoint", "run.ckpt"),
        ("--n-init", 3),
        ("--accelerate", "squarem"),
        ("--mixed-precision",),
    ],
)
def test_batches_have_no_use_for_what_needs_many_passes(
    parquet: Path, capsys: pytest.CaptureFixture[str], options: tuple[object, ...]
) -> None:
    fit = ("fit", parquet, "-k", 2, "-o", parquet.with_name("m.npz"), "--partial")
    assert f"{options[0]} is for fits in many passes" in error_of(capsys, *fit, *options)


def test_wrong_columns_and_weights(parquet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit = ("fit", parquet, "-k", 2, "-o", parquet.with_name("m.npz"))
    assert "has no column 'z'" in error_of(capsys, *fit, "--columns", "a,z")
    assert "the weights too" in error_of(capsys, *fit, "--columns", "a,w", "--weights", "w")
    assert "has no column 'v'" in error_of(capsys, *fit, "--weights", "v")
    assert "got '.xlsx'" in error_of(
        capsys, "predict", parquet, parquet, "-o", parquet.with_name("out.xlsx")
    )


# on a cluster


@pytest.fixture(scope="module")
def scheduler() -> Any:
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, protocol="tcp", dashboard_address=":0"
    ) as cluster:
        yield cluster.scheduler_address


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("ending", [".parquet", ".csv"])
def test_a_fit_on_a_cluster(frame: Any, parquet: Path, scheduler: str, ending: str) -> None:
    path = parquet.with_suffix(ending)
    if ending == ".csv":
        frame.to_csv(path, index=False)
    options = ("--columns", "a,b", "--weights", "w")
    here, there = fitted(path, *options), fitted(path, *options, "--scheduler", scheduler)
    np.testing.assert_allclose(
        np.sort(here.means_, axis=0), np.sort(there.means_, axis=0), atol=1e-2
    )


def test_an_array_in_parts_on_a_cluster(
    frame: Any, parquet: Path, scheduler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gaussmix.data.dask_files.PART_BLOCKS", 1)
    monkeypatch.setattr("gaussmix.io.readers.BLOCK_BYTES", 1)
    path = parquet.with_name("data.npy")
    np.save(path, frame.to_numpy())
    here = fitted(path, "--columns", "1,2")
    there = fitted(path, "--columns", "1,2", "--scheduler", scheduler)
    np.testing.assert_allclose(
        np.sort(here.means_, axis=0), np.sort(there.means_, axis=0), atol=1e-2
    )


def test_what_a_cluster_cannot_read(
    parquet: Path, scheduler: str, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(parquet.with_name("data.npy"), np.zeros((10, 2)))
    np.save(parquet.with_name("weights.npy"), np.ones(10))
    message = error_of(
        capsys,
        *("fit", parquet.with_name("data.npy"), "-k", 1, "-o", parquet.with_name("m.npz")),
        *("--weights", parquet.with_name("weights.npy"), "--scheduler", scheduler),
    )
    assert "is wanted where a cluster reads the rows" in message


def test_no_scheduler(parquet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = error_of(
        capsys,
        *("fit", parquet, "-k", 1, "-o", parquet.with_name("m.npz")),
        *("--scheduler", "nonsense://x"),
    )
    assert "no Dask scheduler answers at 'nonsense://x'" in message


# text as it comes


def test_semicolons_and_decimal_commas(frame: Any, tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    frame.to_csv(path, sep=";", decimal=",")  # an index without a name, too
    output = tmp_path / "model.npz"
    options = ["--columns", "a,b", "--decimal", ",", "--seed", 0, "-k", 3]
    for delimiter in ([], ["--delimiter", ";"]):
        assert run("fit", path, *options, *delimiter, "-o", output) == 0
        model = load(output)
        assert isinstance(model, GaussianMixture)
        assert same(model, GaussianMixture(3, random_state=0).fit(frame[["a", "b"]].to_numpy()))
    assert run("predict", output, path, "--decimal", ",", "-o", tmp_path / "out.npy") == 0
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), model.predict(frame[["a", "b"]]))


def test_an_index_without_a_name_is_named_with_the_remedy(
    frame: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame[["a", "b"]].to_csv(tmp_path / "data.csv")
    options = ["fit", tmp_path / "data.csv", "-k", 3, "-o", tmp_path / "m.npz"]
    assert "line 1, column 1: the column has no name; " in error_of(capsys, *options)
    assert "--columns a,b" in error_of(capsys, *options)
    assert run(*options, "--columns", "a,b") == 0


def test_standard_input_and_output(frame: Any, tmp_path: Path) -> None:
    path, model = tmp_path / "data.csv", tmp_path / "model.npz"
    frame.to_csv(path, index=False)

    def piped(*arguments: object) -> str:
        with path.open() as stdin:
            done = subprocess.run(
                [sys.executable, "-m", "gaussmix", *map(str, arguments)],
                stdin=stdin,
                capture_output=True,
                text=True,
                timeout=120,
            )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    piped("fit", "-", "--columns", "a,b", "-k", 3, "--seed", 0, "-o", model)
    fitted = load(model)
    header, *labels = piped("predict", model, "-", "-o", "-").splitlines()
    assert header == "component"
    np.testing.assert_array_equal(list(map(int, labels)), fitted.predict(frame[["a", "b"]]))
    rows = piped("sample", model, "-n", 9, "--seed", 0, "-o", "-").splitlines()
    assert rows[0] == "a,b"
    assert len(rows) == 10


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", [], "standard input: the file is empty; rows of numbers are wanted"),
        ("a,b\n1,2\n1,x\n", [], "standard input, line 3, column 2 (b): a finite number is wanted"),
        ("a,b\n1,2\n1,\n", [], "Input standard input contains NaN, first at line 3, column 2 (b)"),
        ("a,b\n1,2\n", ["--columns", "c"], "standard input has no column 'c'"),
        ("a;b\n1,5;2\n", ["--delimiter", ";"], "standard input, line 2, column 1 (a): a finite"),
    ],
)
def test_errors_say_standard_input(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    options: list[str],
    message: str,
) -> None:
    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(text.encode())))
    found = error_of(capsys, "fit", "-", "-k", 1, "-o", tmp_path / "m.npz", *options)
    assert message in found
    assert "gaussmix-" not in found


@pytest.mark.parametrize("command", ["predict", "fit --partial", "score", "fit"])
@pytest.mark.parametrize("ending", [".npy", ".parquet", ".csv"])
def test_places_are_those_in_the_file(
    frame: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    ending: str,
) -> None:
    monkeypatch.setattr("gaussmix.io.readers.BLOCK_BYTES", 1)  # blocks of one group
    rows, path, model = frame[["a", "b"]].copy(), tmp_path / f"rows{ending}", tmp_path / "m.npz"
    save(GaussianMixture(2, random_state=0).fit(rows), model)
    rows.loc[4567, "b"] = np.nan
    if ending == ".npy":
        np.save(path, rows.to_numpy())
    else:
        rows.to_parquet(path) if ending == ".parquet" else rows.to_csv(path, index=False)
    name, *options = command.split()
    rest = ["-k", 2, "-o", tmp_path / "new.npz"] if name == "fit" else []
    rest = ["-o", tmp_path / "out.npy"] if name == "predict" else rest
    found = error_of(capsys, name, *([] if name == "fit" else [model]), path, *options, *rest)
    place = {".npy": "row 4567, column 1", ".parquet": "row 4567, column 'b'"}
    where = place.get(ending, "line 4569, column 2 (b)")
    assert f"Input {path} contains NaN, first at {where}. " in found
