"""The command `gaussmix select`."""

import sys
from pathlib import Path

import numpy as np
import pytest

import gaussmix
from gaussmix import GaussianMixture
from gaussmix._core.types import SelectionCriterion
from gaussmix.cli import parser
from gaussmix.cli.main import main
from gaussmix.io.scans import Scan, Table, read_all

OLD_FAITHFUL = Path(__file__).parent / "data" / "old_faithful.csv"


def error_of(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The error line of a `select` that must fail with status 2."""
    try:
        status: object = main(["select", *map(str, arguments)])
    except SystemExit as usage:
        status = usage.code
    captured = capsys.readouterr()
    assert (status, captured.out, captured.err.count("\n")) == (2, "", 1)
    assert captured.err.startswith("gaussmix: error: ")
    return captured.err


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    path = tmp_path / "data.npy"
    np.save(path, rng.normal(size=(60, 2)) + 9 * rng.integers(2, size=(60, 1)))
    return path


def test_the_best_is_printed_saved_and_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    best, picture = tmp_path / "best.npz", tmp_path / "picture.svg"
    options = ["-k", "1-3", "--covariance-types", "full,tied", "--seed", "0", "--threads", "1"]
    outputs = ["-o", str(best), "--plot", str(picture)]
    assert main(["select", str(OLD_FAITHFUL), *options, *outputs]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("BIC, lower is better\ncomponents          full            tied\n")
    assert shown.endswith(f"\n3 tied saved to {best}\npicture saved to {picture}\n")
    X = np.loadtxt(OLD_FAITHFUL, delimiter=",", skiprows=1)
    chosen = gaussmix.select(X, (1, 2, 3), ("full", "tied"), random_state=0)
    assert shown.split("\n\n")[0] == str(chosen).split("\n\n")[0]
    model = gaussmix.load(best)
    assert isinstance(model, GaussianMixture)
    assert (model.n_components, model.covariance_type, model.n_threads) == (3, "tied", None)
    assert model.feature_names_in_.tolist() == ["eruptions", "waiting"]
    np.testing.assert_array_equal(model.means_, chosen.best_model.means_)
    assert "<svg" in picture.read_text(encoding="utf-8")
    assert {path.name for path in tmp_path.iterdir()} == {"best.npz", "picture.svg"}


def test_options_reach_the_fits(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "w.npy", np.ones(60))
    options = ["-k", "1,2", "--criterion", "cv", "--splits", "3", "--init", "random", "--n-init"]
    options += ["2", "--tol", "1e-3", "--max-iter", "7", "--reg-covar", "0.5", "--seed", "4"]
    out = tmp_path / "m.npz"
    weights = ["--weights", str(tmp_path / "w.npy")]
    assert main(["select", str(data), *options, *weights, "-o", str(out)]) == 0
    assert "mean log-likelihood of held-out rows" in capsys.readouterr().out
    params = gaussmix.load(out).get_params()
    expected = {"init_params": "random", "tol": 1e-3, "max_iter": 7, "reg_covar": 0.5}
    assert {name: params[name] for name in expected} == expected


@pytest.mark.parametrize("criterion", ["bic", "cv"])
def test_a_large_file_is_read_block_by_block(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    criterion: SelectionCriterion,
) -> None:
    monkeypatch.setattr("gaussmix.data.streamed.HELD_BYTES", 0)
    text = OLD_FAITHFUL.read_text().replace("\n", ",1\n").replace(",1", ",w", 1)
    (tmp_path / "x.csv").write_text(text + "3.0,,1\n,80,1\n")
    whole: list[Scan] = []

    def seen(source: Scan) -> Table:
        whole.append(source)
        return read_all(source)

    monkeypatch.setattr("gaussmix.io.scans.read_all", seen)
    options = ["-k", "1-3", "--covariance-types", "full,diag", "--seed", "0", "--missing", "drop"]
    options += ["--weights", "w", "--criterion", criterion, "--init", "kmeans", "--n-init", "1"]
    assert main(["select", str(tmp_path / "x.csv"), *options]) == 0
    captured = capsys.readouterr()
    assert captured.err == "gaussmix: left out 2 rows that lack a value\n"
    assert len(whole) == (criterion == "cv")
    X = np.loadtxt(OLD_FAITHFUL, delimiter=",", skiprows=1)
    chosen = gaussmix.select(
        X,
        (1, 2, 3),
        ("full", "diag"),
        criterion=criterion,
        random_state=0,
        init_params="kmeans",
        n_init=1,
    )
    assert captured.out.split("\n\n")[0] == str(chosen).split("\n\n")[0]


@pytest.mark.parametrize(
    ("text", "counts"),
    [("3", [3]), ("1-4", [1, 2, 3, 4]), ("2,4,8", [2, 4, 8]), ("5, 1-2,2", [1, 2, 5])],
)
def test_numbers_of_components(text: str, counts: list[int]) -> None:
    assert parser._counts(text) == counts


@pytest.mark.parametrize("text", ["", "0", "0-3", "4-2", "-3", "a", "1.5", "1-", "1,,2", "1-5000"])
def test_bad_numbers_of_components(
    capsys: pytest.CaptureFixture[str], data: Path, text: str
) -> None:
    message = f"numbers such as 1-10 or 2,4,8 are wanted, at most 1000, got '{text}'"
    assert message in error_of(capsys, data, f"-k={text}")


def test_errors_are_sentences(
    capsys: pytest.CaptureFixture[str], data: Path, tmp_path: Path
) -> None:
    message = error_of(capsys, data, "--covariance-types", "full,")
    assert "some of all, full, tied, diag, spherical, EII, " in message
    assert "are wanted, with commas between, got 'full,'" in message
    assert "invalid choice: 'best'" in error_of(capsys, data, "--criterion", "best")
    assert "No such file" in error_of(capsys, tmp_path / "no.npy")
    cv = ["--criterion", "cv", "--splits", "61"]
    assert "n_splits must be at most the 60 rows of X, got 61" in error_of(capsys, data, *cv)


def test_the_table_is_printed_if_nothing_could_be_fitted(
    capsys: pytest.CaptureFixture[str], data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "best.npz"
    options = ["-k", "70,71", "--covariance-types", "full,tied", "-o", str(out)]
    assert main(["select", str(data), *options]) == 2
    captured = capsys.readouterr()
    assert captured.out.startswith("BIC, lower is better\ncomponents          full            tied")
    assert "failed, fewer rows (60) than components: all full, all tied" in captured.out
    wanted = "gaussmix: error: none of the 4 mixtures could be fitted; n_components=70"
    assert captured.err.startswith(wanted)
    assert captured.err.count("\n") == 1
    assert not out.exists()


def test_wrong_outputs_are_found_before_the_work(
    capsys: pytest.CaptureFixture[str], data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.delattr("gaussmix.io.scans.scan")
    assert "got '.npy'" in error_of(capsys, data, "-o", data)
    assert "there is no folder" in error_of(capsys, data, "-o", data.parent / "no" / "m.npz")
    assert "got '.pdx'" in error_of(capsys, data, "--plot", data.parent / "a.pdx")
    assert "there is no folder" in error_of(capsys, data, "--plot", data.parent / "no" / "a.png")


def test_a_picture_needs_matplotlib(
    capsys: pytest.CaptureFixture[str], data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    message = '--plot needs matplotlib: pip install "gaussmix[cli]"'
    assert message in error_of(capsys, data, "--plot", data.parent / "a.png")
