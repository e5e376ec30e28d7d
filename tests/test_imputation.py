"""Missing values, in every pattern, against the conditional of each row."""

from typing import Any

import numpy as np
import pytest

from gaussmix._core.density import STRUCTURES
from gaussmix._core.types import Structure
from gaussmix.model.parameters import Parameters
from gaussmix.queries import imputation
from gaussmix.queries.conditioning import conditional
from gaussmix.queries.imputation import fill, moments


def mixture(structure: Structure, n_features: int) -> Parameters:
    rng = np.random.default_rng(3)
    root = rng.normal(size=(2, n_features, n_features)) / n_features
    matrices = root @ np.swapaxes(root, 1, 2) + np.eye(n_features) / 4
    covariances = {
        "full": matrices,
        "tied": matrices[0],
        "diag": np.array([[0.5], [2.0]]) * np.arange(1, n_features + 1),
        "spherical": np.array([0.5, 2.0]),
    }
    means = rng.normal(size=(2, n_features))
    return Parameters.from_covariances(
        structure, np.array([0.4, 0.6]), means, covariances[structure]
    )


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_every_row_gets_its_conditional_mean(
    structure: Structure, dtype: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imputation, "CHUNK_ROWS", 7)
    rng, joint = np.random.default_rng(0), mixture(structure, 3)
    X = rng.normal(size=(200, 3)).astype(dtype)
    missing = rng.uniform(size=X.shape) < 0.4
    assert len(np.unique(missing, axis=0)) == 8  # all patterns, nothing and everything too
    filled, std = np.where(missing, 99, X).astype(dtype), np.zeros_like(X)
    fill(filled, missing, joint, std, 1)
    assert np.array_equal(filled[~missing], X[~missing])
    assert not std[~missing].any()
    for row, gone, got, deviation in zip(X, missing, filled, std, strict=True):
        given, others = np.flatnonzero(~gone), np.flatnonzero(gone)
        if not len(others):
            continue
        rest = conditional(joint, given, others, row[given]) if len(given) else joint
        mean, expected = moments(rest)
        np.testing.assert_allclose(got[others], mean, rtol=1e-11 if dtype is np.float64 else 2e-5)
        np.testing.assert_allclose(deviation[others], expected, rtol=2e-5)


def test_more_features_than_bits_of_a_word() -> None:
    rng, joint = np.random.default_rng(0), mixture("diag", 70)
    X = rng.normal(size=(30, 70))
    missing = np.zeros(X.shape, dtype=bool)
    missing[::3, 0] = missing[::2, 69] = missing[::5, 64] = True
    filled = np.where(missing, 0, X)
    fill(filled, missing, joint, None, 1)
    for i in range(30):
        one = np.where(missing[i], 0, X[i])[None]
        fill(one, missing[i : i + 1], joint, None, 1)
        np.testing.assert_allclose(filled[i], one[0], rtol=1e-13)
        assert (filled[i][missing[i]] != 0).all()


def test_moments_are_those_of_many_rows() -> None:
    joint = mixture("full", 2)
    rng = np.random.default_rng(1)
    parts = [
        rng.multivariate_normal(mean, cov, size=int(1e6 * weight))
        for weight, mean, cov in zip(joint.weights, joint.means, joint.covariances, strict=True)
    ]
    X = np.concatenate(parts)
    mean, std = moments(joint)
    np.testing.assert_allclose(mean, X.mean(axis=0), atol=5 * 1e-3 * std.max())
    np.testing.assert_allclose(std, X.std(axis=0), rtol=5e-3)
