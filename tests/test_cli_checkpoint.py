"""`gaussmix fit --checkpoint`."""

from pathlib import Path

import numpy as np
import pytest

from gaussmix import GaussianMixture, load
from gaussmix._core.types import FloatArray
from gaussmix.cli.main import main


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    path = tmp_path / "data.npy"
    np.save(path, rng.normal(size=(300, 2)) + 2 * rng.integers(3, size=(300, 1)))
    return path


def fit(data: Path, output: str, *options: object) -> int:
    """Run `gaussmix fit` without a seed: every start is another."""
    command = ["fit", data, "-k", 3, "--init", "kmeans", "-o", data.with_name(output), *options]
    return main([str(argument) for argument in command])


def means(data: Path, output: str) -> FloatArray:
    model = load(data.with_name(output))
    assert isinstance(model, GaussianMixture)
    assert (model.checkpoint, model.checkpoint_interval) == (None, 30.0)
    return model.means_


def test_a_fit_goes_on_from_its_checkpoint(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = data.with_name("run.ckpt")
    options = ("--checkpoint", path, "--checkpoint-interval", 0)
    assert fit(data, "first.npz", *options, "--max-iter", 3) == 0
    assert "did not converge after 3 iterations" in capsys.readouterr().out
    monkeypatch.delattr(
        "gaussmix.estimators.fitting.initial_parameters"
    )  # there is no start to be drawn
    assert fit(data, "more.npz", *options) == 0
    assert fit(data, "again.npz", *options) == 0
    np.testing.assert_array_equal(means(data, "again.npz"), means(data, "more.npz"))
    assert not np.array_equal(means(data, "more.npz"), means(data, "first.npz"))


def test_what_cannot_be_gone_on_from_is_one_line(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = data.with_name("run.ckpt")
    assert fit(data, "model.npz", "--checkpoint", path) == 0
    content = path.read_bytes()
    capsys.readouterr()
    for options, message in [
        ((path, "--tol", 1e-6), "tol=0.001, this one has tol=1e-06; delete the file"),
        ((data,), "data.npy: the output would replace the input"),
        ((data.with_name("model.npz"),), "--checkpoint must be another file than the model"),
        ((data.with_name("nowhere") / "run.ckpt",), "run.ckpt: there is no folder"),
        ((path, "--checkpoint-interval", -1), "checkpoint_interval must be a finite number of at"),
    ]:
        assert fit(data, "model.npz", "--checkpoint", *options) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    assert path.read_bytes() == content
