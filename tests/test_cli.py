"""The command line and the files it reads and writes."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gaussmix import GaussianMixture, KMeans, Prior, load, save
from gaussmix._core.types import FloatArray
from gaussmix.cli import demo
from gaussmix.cli.main import main
from gaussmix.display import progress
from gaussmix.io.readers import DataError
from gaussmix.io.scans import Table, read_all, scan
from gaussmix.io.sinks import write


def run(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gaussmix", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        **options,
    )


def error_of(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The error line of a command that must fail with status 2."""
    try:
        status: object = main([str(argument) for argument in arguments])
    except SystemExit as usage:
        status = usage.code
    assert status == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("gaussmix: error: ")
    return captured.err


@pytest.fixture(scope="module")
def X() -> FloatArray:
    rng = np.random.default_rng(0)
    return rng.normal(size=(400, 2)) + 8 * rng.integers(2, size=(400, 1))


@pytest.fixture
def data(X: FloatArray, tmp_path: Path) -> Path:
    path = tmp_path / "data.npy"
    np.save(path, X)
    return path


@pytest.fixture
def model(X: FloatArray, tmp_path: Path) -> Path:
    path = tmp_path / "model.npz"
    save(GaussianMixture(2, random_state=0).fit(X), path)
    return path


def text(tmp_path: Path, content: str | bytes, name: str = "data.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


# reading


def read_table(path: Path) -> Table:
    return read_all(scan(path))


@pytest.mark.parametrize(
    ("content", "rows", "names"),
    [
        ("x,y\n1,2\n3,4\n", [[1, 2], [3, 4]], ("x", "y")),
        ("1,2\n3,4", [[1, 2], [3, 4]], None),
        ("\ufeff1,2\r\n3,4\r\n", [[1, 2], [3, 4]], None),
        ("\n \nx,y\n\n1,2\n \n3,4\n\n", [[1, 2], [3, 4]], ("x", "y")),
        ('"x, y","z"\n"1",2e3\n', [[1, 2000]], ("x, y", "z")),
        ("1\n-2\n", [[1], [-2]], None),
        ("7\n", [[7]], None),
        (" 1 , 2 \n", [[1, 2]], None),
    ],
)
def test_text_files(
    tmp_path: Path, content: str, rows: list[list[int]], names: tuple[str, ...] | None
) -> None:
    table = read_table(text(tmp_path, content))
    np.testing.assert_array_equal(table.rows, rows)
    assert table.rows.dtype == np.float64
    assert table.columns == names


def test_tabs(tmp_path: Path) -> None:
    table = read_table(text(tmp_path, "a\tb\n1\t2\n", "data.TSV"))
    np.testing.assert_array_equal(table.rows, [[1, 2]])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("x,y\n", "no rows below the header"),
        ("1,2\n3,4\n5,abc\n", "line 3, column 2: a finite number is wanted, got 'abc'"),
        ("x,y\n1,2\n\n3,4,5\n", "line 4: 3 comma-separated fields, where 2 are wanted"),
        ("1,2\n3\n", "line 2: 1 comma-separated fields, where 2 are wanted"),
        ("x y\n1 2\n", "got '1 2'; comma-separated fields are wanted"),
        ("1" * 200_000 + ",2\n", "line 1, column 1: a finite number .*111'... .200000 charac"),
        ("1,2\n" + "a" * 200_000 + ",2\n", "line 2, column 1: a finite number is wanted, got 'aa"),
        ('1,2\n"3,4\n', "line 2: a quote is opened and not closed again in the file"),
        ("a,1\n2,3\n", "line 1, column 1: a finite number is wanted, got 'a'"),
        ("1,2\n3,-inf\n", "line 2, column 2: a finite number is wanted, got '-inf'"),
        ("1_000,2\n3,4\n", "line 1, column 1: a finite number is wanted, got '1_000'"),
        (",x\n0,1\n", "line 1, column 1: the column has no name"),
        ("x,x\n0,1\n", "line 1, column 2: the name 'x' occurs twice"),
        (b"\xff\xfe\x00", r"not UTF-8 text \(byte 0\)"),
    ],
)
def test_bad_text_files(tmp_path: Path, content: str | bytes, message: str) -> None:
    path = text(tmp_path, content)
    with pytest.raises(DataError, match=message) as caught:
        read_table(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ("x,y\n1,2\n3,\n", r"line 3, column 2 \(y\)"),
        ("x,y\n1,2\n3,NA\n", r"line 3, column 2 \(y\)"),
        ('x,y\n"1\n",2\n3,"NA"\n', r"line 4, column 2 \(y\)"),
        ("1,2\n\t\n3,4\n,\n", "line 4, column 1"),
        ("1,,3\n1,2,3\n", "line 1, column 2"),
        ("x,y\n1,nan\n", r"line 2, column 2 \(y\)"),
    ],
)
def test_missing_numbers_are_refused_with_their_line(
    tmp_path: Path, content: str, place: str
) -> None:
    with pytest.raises(ValueError, match=f"Input .*data.csv contains NaN, first at {place}"):
        GaussianMixture(1).fit(text(tmp_path, content))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("1\t2\n?\t\n3\t4\n", r"line 2, column 1: a finite number is wanted, got '\?'"),
        ("x,y\n1,2\n", "got '1,2'; tab-separated fields are wanted"),
    ],
)
def test_bad_text_files_with_tabs(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_table(text(tmp_path, content, "data.tsv"))


@pytest.mark.skipif(os.name == "nt", reason="pipes of POSIX")
@pytest.mark.parametrize("ending", [".csv", ".npy"])
def test_pipes_and_folders_are_refused(tmp_path: Path, ending: str) -> None:
    os.mkfifo(tmp_path / f"pipe{ending}")
    (tmp_path / f"folder{ending}").mkdir()
    for name, message in (("pipe", "a file is wanted, not a pipe"), ("folder", "a folder without")):
        with pytest.raises(DataError, match=message):
            read_table(tmp_path / f"{name}{ending}")


def test_npy_of_one_dimension_is_one_column(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(3.0))
    assert read_table(tmp_path / "a.npy").rows.shape == (3, 1)
    np.testing.assert_array_equal(read_table(tmp_path / "a.npy").rows[:, 0], [0, 1, 2])


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([1, "a", None], dtype=object), "Python objects"),
        (np.zeros(3, dtype=[("a", "f8"), ("b", "i4")]), "structured array with fields a, b"),
        (np.zeros((2, 2, 2)), r"got shape \(2, 2, 2\)"),
        (np.zeros((0, 2)), r"got shape \(0, 2\)"),
        (np.zeros(2, dtype=complex), "got dtype complex128"),
        (np.array(["a", "b"]), "got dtype <U1"),
    ],
)
def test_bad_arrays(tmp_path: Path, array: NDArray[Any], message: str) -> None:
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(DataError, match=message):
        read_table(tmp_path / "a.npy")


def test_damaged_arrays(data: Path) -> None:
    whole = data.read_bytes()
    data.write_bytes(whole[:-8])
    with pytest.raises(DataError, match=r"not a \.npy array of numbers"):
        read_table(data)
    for damage in (b"(2, {", b"(10000000000000, 9)", b"(" + b"9" * 30 + b", 2)"):
        data.write_bytes(whole.replace(b"(400, 2), }".ljust(len(damage)), damage))
        with pytest.raises(DataError, match=r"not a \.npy array of numbers"):
            read_table(data)
    data.write_bytes(b"PK\x03\x04" + whole)
    with pytest.raises(DataError, match=r"not a \.npy file"):
        read_table(data)


def test_unknown_ending(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"one of \.npy, \.csv, \.tsv, .*, got '\.xlsx'"):
        read_table(text(tmp_path, "1\n", "data.xlsx"))
    with pytest.raises(DataError, match="got no ending"):
        read_table(text(tmp_path, "1\n", "data"))


# writing


@pytest.mark.parametrize("ending", [".npy", ".csv", ".tsv"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
def test_blocks_read_back_the_same(tmp_path: Path, ending: str, dtype: type[np.number]) -> None:
    rows = (np.random.default_rng(0).normal(size=(50, 3)) * 1e3).astype(dtype)
    path = tmp_path / f"out{ending}"
    write(path, (rows[i : i + 7] for i in range(0, 50, 7)), ["a", "b,\tb", 'c"'])
    table = read_table(path)
    np.testing.assert_array_equal(table.rows.astype(dtype), rows)
    if ending != ".npy":
        assert table.columns == ("a", "b,\tb", 'c"')
    else:
        assert np.load(path).dtype == dtype


@pytest.mark.parametrize(
    "names",
    [("0", "1"), ("a", "1"), ("a", "nan"), ("a", "a"), ("a", ""), ("a ", "b"), ("a\n", "b")],
)
def test_names_that_would_not_read_back_are_not_written(
    tmp_path: Path, names: tuple[str, str]
) -> None:
    path = tmp_path / "out.csv"
    write(path, [np.eye(2)], names)
    table = read_table(path)
    np.testing.assert_array_equal(table.rows, np.eye(2))
    assert table.columns is None


@pytest.mark.parametrize("ending", [".npy", ".csv"])
def test_interrupted_output_is_not_there(tmp_path: Path, ending: str) -> None:
    def parts() -> Iterator[FloatArray]:
        yield np.zeros((2, 2))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / f"out{ending}", parts())
    assert list(tmp_path.iterdir()) == []


# commands


@pytest.mark.slow
def test_fit_predict_score_sample_by_subprocess(X: FloatArray, data: Path, tmp_path: Path) -> None:
    model, out = tmp_path / "m.npz", tmp_path / "p.npy"
    done = run("fit", data, "-k", 2, "--seed", 0, "-o", model)
    assert (done.returncode, done.stderr) == (0, "")
    assert "converged after" in done.stdout
    expected = GaussianMixture(2, random_state=0).fit(X)
    assert run("predict", model, data, "-o", out, "--proba").returncode == 0
    np.testing.assert_array_equal(np.load(out), expected.predict_proba(X))
    scored = run("score", model, data).stdout.split()
    assert float(scored[scored.index("log-likelihood") + 1]) == pytest.approx(expected.score(X))
    assert float(scored[scored.index("BIC") + 1]) == pytest.approx(expected.bic(X))
    assert float(scored[scored.index("AIC") + 1]) == pytest.approx(expected.aic(X))


def test_fit_passes_every_setting(data: Path, X: FloatArray, tmp_path: Path) -> None:
    np.save(tmp_path / "w.npy", np.arange(len(X)))
    path = tmp_path / "m.npz"
    options = "--covariance diag --init random --n-init 2 --tol 0.01 --max-iter 50 --reg-covar 0.1"
    arguments = ["fit", data, "-k", 3, *options.split(), "--seed", 5, "--threads", 1]
    arguments += ["--weights", tmp_path / "w.npy", "--mixed-precision", "-o", path]
    assert main([str(argument) for argument in arguments]) == 0
    settings: dict[str, Any] = {
        "covariance_type": "diag",
        "init_params": "random",
        "n_init": 2,
        "tol": 0.01,
        "max_iter": 50,
        "reg_covar": 0.1,
        "random_state": 5,
        "mixed_precision": True,
    }
    model = load(path)
    assert isinstance(model, GaussianMixture)
    assert model.get_params() == GaussianMixture(3, **settings).get_params()
    expected = GaussianMixture(3, **settings).fit(X, sample_weight=np.arange(len(X)))
    np.testing.assert_array_equal(model.covariances_, expected.covariances_)


def test_regularisation(data: Path, X: FloatArray, tmp_path: Path) -> None:
    path = tmp_path / "m.npz"
    options = ["--prior", "--eigenvalue-ratio", "4", "--reg-covar", "relative", "--seed", "0"]
    assert main(["fit", str(data), "-k", "2", *options, "-o", str(path)]) == 0
    model = load(path, GaussianMixture)
    assert (model.reg_covar, model.eigenvalue_ratio) == ("relative", 4)
    assert isinstance(model.prior, Prior)
    expected = GaussianMixture(2, reg_covar="relative", eigenvalue_ratio=4, random_state=0)
    expected.set_params(prior=Prior()).fit(X)
    np.testing.assert_array_equal(model.covariances_, expected.covariances_)
    assert main(["select", str(data), "-k", "1-2", *options, "-o", str(path)]) == 0
    assert load(path, GaussianMixture).eigenvalue_ratio == 4


def test_fit_that_does_not_converge_says_so_and_succeeds(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "m.npz"
    assert main(["fit", str(data), "-k", "5", "--max-iter", "1", "-o", str(path)]) == 0
    captured = capsys.readouterr()
    assert "did not converge after 1 iterations" in captured.out
    assert captured.err.startswith("gaussmix: warning: ")
    assert "max_iter=1" in captured.err
    assert load(path, GaussianMixture).n_iter_ == 1


def test_labels_in_text_have_a_header(
    X: FloatArray, data: Path, model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "labels.csv"
    assert main(["predict", str(model), str(data), "-o", str(out)]) == 0
    assert out.read_text().startswith("component\n")
    np.testing.assert_array_equal(read_table(out).rows[:, 0], load(model).predict(X))


def test_predictions_in_many_blocks(
    X: FloatArray, data: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gaussmix.io.readers.BLOCK_BYTES", 1)  # blocks of one group
    out, rows = tmp_path / "labels.npy", np.tile(X, (9, 1))
    np.save(data, rows)
    assert main(["predict", str(model), str(data), "-o", str(out)]) == 0
    np.testing.assert_array_equal(np.load(out), load(model).predict(rows))


def test_column_names_are_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = text(tmp_path, "a,b\n1,2\n3,5\n4,4\n", "first.csv")
    second = text(tmp_path, "b,c\n1,2\n3,5\n", "second.csv")
    model, out = tmp_path / "m.npz", tmp_path / "s.csv"
    assert main(["fit", str(first), "-k", "1", "-o", str(model)]) == 0
    capsys.readouterr()
    assert "Feature names unseen at fit time" in error_of(capsys, "score", model, second)
    assert main(["sample", str(model), "-n", "4", "-o", str(out)]) == 0
    assert read_table(out).columns == ("a", "b")


def test_sample_repeats_with_a_seed(model: Path, tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.npy" for name in "abc"]
    for path, seed in zip(paths, "778", strict=True):
        assert main(["sample", str(model), "-n", "9", "-o", str(path), "--seed", seed]) == 0
    a, b, c = map(np.load, paths)
    assert a.shape == (9, 2)
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


def test_kmeans_predicts_but_has_no_probabilities(
    X: FloatArray, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "k.npz", tmp_path / "out.npy"
    kmeans = KMeans(2, random_state=0).fit(X)
    save(kmeans, path)
    assert main(["predict", str(path), str(data), "-o", str(out)]) == 0
    np.testing.assert_array_equal(np.load(out), kmeans.labels_)
    assert "--proba needs a GaussianMixture" in error_of(
        capsys, "predict", path, data, "-o", out, "--proba"
    )


def test_errors_are_one_line_and_leave_nothing_behind(
    data: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing, out = tmp_path / "missing.npy", tmp_path / "out.npz"
    before = set(tmp_path.iterdir())
    assert "missing.npy: No such file" in error_of(capsys, "fit", missing, "-k", 2, "-o", out)
    assert "n_components = 9999" in error_of(capsys, "fit", data, "-k", 9999, "-o", out)
    assert "got -1" in error_of(capsys, "fit", data, "-k", 2, "--tol", -1, "-o", out)
    assert "got '.pdf'" in error_of(capsys, "predict", model, data, "-o", tmp_path / "a.pdf")
    assert "not a gaussmix model" in error_of(capsys, "score", data, data)
    assert set(tmp_path.iterdir()) == before


def test_a_wrong_output_is_found_before_the_work(
    data: Path,
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("matplotlib")
    for work in ("io.scans.scan", "storage.load", "cli.demo.generate"):
        monkeypatch.delattr(f"gaussmix.{work}")
    commands: list[tuple[list[object], str]] = [
        (["fit", data, "-k", 2], ".npz"),
        (["predict", model, data], ".npy"),
        (["sample", model, "-n", 2], ".csv"),
        (["demo"], ".png"),
    ]
    for command, ending in commands:
        (tmp_path / f"folder{ending}").mkdir()
        for name, message in [
            ("m", "got no ending"),
            ("m.pdx", "got '.pdx'"),
            (f"missing/m{ending}", f"m{ending}: there is no folder"),
            (f"folder{ending}", f"folder{ending}: is a folder"),
        ]:
            assert message in error_of(capsys, *command, "-o", tmp_path / name)
        for name in ("", f"m{ending}/"):
            assert f"a file is wanted, got '{name}'" in error_of(capsys, *command, "-o", name)


def test_an_input_is_never_replaced(
    data: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = data.read_bytes()
    (tmp_path / "link.npy").symlink_to(data)
    for output in (data, tmp_path / "link.npy"):
        error = error_of(capsys, "predict", model, data, "-o", output)
        assert f"{output}: the output would replace the input {data}" in error
    assert data.read_bytes() == before


@pytest.mark.skipif(os.name == "nt", reason="closed streams of POSIX")
def test_closed_standard_streams(data: Path, tmp_path: Path) -> None:
    command = f"{sys.executable} -m gaussmix"
    done = subprocess.run(
        ["sh", "-c", f"{command} info >&-"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert done.stderr.startswith("gaussmix: error: standard output is closed")
    arguments = f"fit {data} -k 2 -o {tmp_path / 'm.npz'}"
    done = subprocess.run(
        ["sh", "-c", f"{command} {arguments} 2>&-"], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, "saved to" in done.stdout) == (0, True)


def test_a_name_that_cannot_be_printed_is_escaped(data: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = run("fit", data, "-k", 2, "-o", tmp_path / "m\u00fc.npz", env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert "m\\xfc.npz" in done.stdout


def test_numbers_that_are_too_large_are_an_error(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "n_samples must be at most" in error_of(
        capsys, "sample", model, "-n", 10**30, "-o", tmp_path / "rows.npy"
    )


@pytest.mark.parametrize("drawn", [True, False])
def test_warnings_stand_on_lines_of_their_own(
    drawn: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tqdm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: drawn)
    with progress.last_line("fitting"):
        progress.print_above("careful")
    before, after = capsys.readouterr().err.split("careful\n")
    assert before.endswith("\r") == drawn
    assert ("fitting" in after) == drawn


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "COMMAND"),
        (["fit", "a.npy"], "-k/--components, -o/--output"),
        (
            ["fit", "a.npy", "-k", "two", "-o", "m.npz"],
            "-k/--components: invalid integer value: 'two'",
        ),
        (["fit", "a.npy", "-k", "2", "-o", "m.npz", "--covariance", "round"], "'round'"),
        (["fit", "a.npy", "-k", "0", "-o", "m.npz"], "-k/--components: an integer of at least 1"),
        (["score", "m.npz", "a.npy", "--threads", "0"], "is wanted, got '0'"),
        (["sample", "m.npz", "-n", "2", "-o", "a.npy", "--threads", "2"], "--threads"),
        (
            ["sample", "m.npz", "-n", "2", "-o", "a.npy", "--seed", "-1"],
            "--seed: an integer from 0 to 4294967295 is wanted, got '-1'",
        ),
        (["demo", "--seed", "4294967296"], "--seed: an integer from 0"),
        (["verify", "--isa", "v9"], "'v9'"),
        (["juggle"], "'juggle'"),
    ],
)
def test_usage_errors(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("gaussmix: error: ")
    assert error.count("\n") == 1
    assert message in error


def test_info_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info"]) == 0
    shown = capsys.readouterr().out
    assert "ISA chosen" in shown
    assert "threads" in shown
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("gaussmix ")


@pytest.mark.skipif(os.name == "nt", reason="pipes of POSIX")
def test_closed_pipe_is_no_error() -> None:
    command = f"{sys.executable} -m gaussmix info | true"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60)
    assert done.stderr == ""


# the demonstration


def test_demo_prints_a_table_and_draws_a_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    picture = tmp_path / "picture.png"
    assert main(["demo", "--rows", "20000", "--threads", "1", "-o", str(picture)]) == 0
    shown = capsys.readouterr().out
    assert "20,000 x 8" in shown
    assert "agreement" in shown
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_demo_without_matplotlib_names_the_extra(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["demo", "--rows", "2000", "--threads", "1", "-o", str(tmp_path / "a.png")]) == 0
    captured = capsys.readouterr()
    assert "log-likelihood" in captured.out
    assert 'pip install "gaussmix[cli]"' in captured.err


def test_demo_refuses_too_few_rows(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--rows: an integer of at least 1000 is wanted, got '10'" in error_of(
        capsys, "demo", "--rows", 10
    )


def test_generated_rows_follow_the_truth() -> None:
    truth = demo.flower()
    X, labels = demo.generate(truth, 50_000, 3)
    again, _ = demo.generate(truth, 50_000, 3)
    np.testing.assert_array_equal(X, again)
    counts = np.bincount(labels, minlength=16)
    np.testing.assert_allclose(counts / len(X), truth.weights, atol=0.006)
    for k in range(16):
        members = X[labels == k]
        distance = (members.mean(axis=0) - truth.means[k]) @ truth.precisions_cholesky[k]
        assert np.abs(distance).max() < 5 / np.sqrt(len(members))
        white = truth.precisions_cholesky[k].T @ np.cov(members.T) @ truth.precisions_cholesky[k]
        np.testing.assert_allclose(white, np.eye(8), atol=0.12)


def test_matching_undoes_a_permutation() -> None:
    rng = np.random.default_rng(0)
    labels, permutation = rng.integers(16, size=1000), rng.permutation(16)
    matched = demo.match(labels, permutation[labels])
    np.testing.assert_array_equal(matched.order, permutation)
    assert matched.agreement == 1
    half = permutation[labels]
    half[:500] = (half[:500] + 1) % 16
    assert demo.match(labels, half).agreement == pytest.approx(0.5, abs=0.1)


def test_parameter_errors_are_those_put_in() -> None:
    truth = demo.flower()
    factors = np.linalg.cholesky(truth.covariances)
    means = truth.means.copy()
    means[4] += factors[4] @ np.array([0.3, 0, 0, 0.4, 0, 0, 0, 0])
    covariances = truth.covariances.copy()
    covariances[2] *= 1.25
    model = GaussianMixture.from_parameters(truth.weights, means, covariances)
    errors = demo.parameter_errors(truth, model, np.arange(16))
    assert errors == pytest.approx((0.5, 0.25))


@pytest.mark.parametrize(
    ("command", "defaults"),
    [
        ("fit", ["full if not given", "0.001 if not given", "error if not given"]),
        ("select", ["bic if not given", "1-10 if not given", "1e-06 if not given"]),
        ("outliers", ["0.99 if not given"]),
    ],
)
def test_help_says_what_is_not_given(
    capsys: pytest.CaptureFixture[str], command: str, defaults: list[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    for default in defaults:
        assert default in shown
    assert not any(f"{word} if not given" in shown for word in ("None", "False", "SUPPRESS=="))
