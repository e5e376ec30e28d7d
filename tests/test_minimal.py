"""One second: what every wheel is tested with."""

import numpy as np
import pytest

import gaussmix


def test_config_names_version_and_build(capsys: pytest.CaptureFixture[str]) -> None:
    gaussmix.show_config()
    printed = capsys.readouterr().out
    assert gaussmix.__version__ in printed
    assert "baseline" in printed


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_two_groups_are_told_apart(dtype: type[np.floating]) -> None:
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1], 200)
    X = (rng.normal(size=(400, 2)) + 10 * truth[:, None]).astype(dtype)
    model = gaussmix.GaussianMixture(2, random_state=0).fit(X)
    assert model.converged_
    assert np.allclose(np.sort(model.means_[:, 0]), [0, 10], atol=0.5)
    labels = model.predict(X)
    assert np.array_equal(labels == labels[0], truth == 0)
    assert np.allclose(model.predict_proba(X).sum(axis=1), 1)


def test_kmeans_finds_the_centres() -> None:
    X = np.array([[0.0], [2.0], [10.0], [12.0]])
    model = gaussmix.KMeans(2, random_state=0).fit(X)
    assert np.array_equal(np.sort(model.cluster_centers_.ravel()), [1, 11])
    assert model.inertia_ == pytest.approx(4)
