"""Variances of tens of thousands of features: nothing is quadratic in them, in time or memory."""

import subprocess
import sys

import numpy as np
import pytest

from gaussmix import GaussianMixture
from gaussmix._core.types import CovarianceType, FloatArray, InitMethod
from gaussmix.starts.methods import METHOD_NAMES

N_FEATURES = 30_000  # a matrix of them takes 7 GB

SCRIPT = """
import resource, sys, tempfile, warnings
from pathlib import Path
import numpy as np
import scipy.cluster.hierarchy
import gaussmix
from gaussmix import GaussianMixture

resource.setrlimit(resource.RLIMIT_AS, (4 << 30,) * 2)
warnings.simplefilter("ignore")
structure, D = sys.argv[1], int(sys.argv[2])
half = D // 2
X = np.random.default_rng(0).normal(size=(24, D)) + np.repeat([[0.0], [1.0]], 12, axis=0)


def mixture(n_components=2, **params):
    return GaussianMixture(
        n_components, covariance_type=structure, n_threads=1, random_state=0, max_iter=5, **params
    )


model = mixture(accelerate="squarem").fit(X)
mixture(1).fit(X)
mixture(algorithm="incremental").partial_fit(X).partial_fit(X)
mixture(precisions_init=model.precisions_, accelerate="anderson").fit(X)
assert len(set(model.predict(X)[:12])) == 1 and model.predict_proba(X).shape == (24, 2)
model.sample(3), model.bic(X), model.icl(X), model.hdr_level(0.5, n_samples=20)
for kind in ("kl", "bhattacharyya", "hellinger"):
    model.component_distances(kind)
model.hierarchy(X)
known = list(range(half))
assert model.marginal(known).means_.shape == (2, half)
assert model.conditional(known, X[0, :half]).means_.shape == (2, D - half)
mean, std = model.regress(known, X[:, :half], return_std=True)
model.regress(known, X[:, :half], targets=[half, half + 1], return_cov=True)
lacking = X.copy()
lacking[0, :half] = lacking[1] = np.nan
filled, spread = model.predict_missing(lacking, return_std=True)
assert np.isfinite(filled).all() and (spread[:2, :half] > 0).all()
with tempfile.TemporaryDirectory() as folder:
    gaussmix.save(model, Path(folder) / "m.npz")
    gaussmix.load(Path(folder) / "m.npz").predict(X)
chosen = gaussmix.select(X, (1, 2), (structure, "full"), random_state=0, n_init=1, max_iter=5)
assert chosen.table[-1].problem or chosen.table[0].problem
"""


@pytest.mark.parametrize("structure", ["diag", "spherical"])
@pytest.mark.slow
def test_no_matrix_is_made(structure: CovarianceType) -> None:
    pytest.importorskip("resource")
    command = [sys.executable, "-c", SCRIPT, structure, str(N_FEATURES)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


STARTS = """
import resource, sys
import numpy as np
import scipy.cluster.hierarchy
from gaussmix import GaussianMixture

resource.setrlimit(resource.RLIMIT_AS, (4 << 30,) * 2)
X = np.random.default_rng(0).normal(size=(8, int(sys.argv[2])))
X[:4] += 1
settings = {"init_params": sys.argv[1], "random_state": 0, "n_threads": 1, "max_iter": 0}
for structure in ("diag", "spherical"):
    GaussianMixture(2, covariance_type=structure, **settings).fit(X)
"""


@pytest.mark.parametrize("method", METHOD_NAMES)
@pytest.mark.slow
def test_no_start_makes_a_matrix(method: InitMethod) -> None:
    pytest.importorskip("resource")
    command = [sys.executable, "-W", "ignore", "-c", STARTS, method, str(N_FEATURES)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("structure", ["diag", "spherical"])
@pytest.mark.parametrize("method", ["kmeans", "hierarchical", "emem"])
def test_groups_of_few_rows_of_many_features_are_found(
    structure: CovarianceType, method: InitMethod
) -> None:
    rng = np.random.default_rng(1)
    centers = 1.5 * rng.normal(size=(3, 2000))
    labels = np.arange(36) % 3
    X: FloatArray = centers[labels] + rng.normal(size=(36, 2000))
    model = GaussianMixture(3, covariance_type=structure, init_params=method, random_state=0)
    found = model.fit_predict(X * np.exp(rng.normal(size=2000)) if structure == "diag" else X)
    assert len({*zip(labels.tolist(), found.tolist(), strict=True)}) == 3
