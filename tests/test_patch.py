"""Our classes in scikit-learn's places: patched in, passing for theirs, saying what theirs say."""

import os
import pickle
import re
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("sklearn", minversion="1.6")

import sklearn.cluster
import sklearn.mixture

import gaussmix
from gaussmix import patch_sklearn, unpatch_sklearn
from gaussmix.patch.__main__ import main
from gaussmix.patch.classes import CLASSES

THEIRS = {
    "BayesianGaussianMixture": sklearn.mixture.BayesianGaussianMixture,
    "GaussianMixture": sklearn.mixture.GaussianMixture,
    "KMeans": sklearn.cluster.KMeans,
}
X = np.random.default_rng(0).normal(size=(50, 3))
STRUCTURES = ("full", "tied", "diag", "spherical")


@pytest.fixture(autouse=True)
def _scikit_learns_own_afterwards() -> Iterator[None]:
    yield
    unpatch_sklearn()
    assert sklearn.mixture.GaussianMixture is THEIRS["GaussianMixture"]
    assert sklearn.cluster.KMeans is THEIRS["KMeans"]


def printed_by(*arguments: str, cwd: Path | None = None) -> list[str]:
    """What a new interpreter prints, in words."""
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=120, cwd=cwd
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


# --- Patching -------------------------------------------------------------------------------------


def test_patching_and_back() -> None:
    patch_sklearn()
    patch_sklearn()
    from sklearn.mixture import GaussianMixture

    assert GaussianMixture is gaussmix.GaussianMixture
    assert sklearn.cluster.KMeans is gaussmix.KMeans
    unpatch_sklearn()
    assert sklearn.mixture.GaussianMixture is THEIRS["GaussianMixture"]
    unpatch_sklearn()
    assert sklearn.cluster.KMeans is THEIRS["KMeans"]


def test_a_block_puts_back_what_it_replaced_alone() -> None:
    with patch_sklearn():
        assert sklearn.mixture.GaussianMixture is gaussmix.GaussianMixture
        with patch_sklearn():
            pass
        assert sklearn.mixture.GaussianMixture is gaussmix.GaussianMixture
    assert sklearn.mixture.GaussianMixture is THEIRS["GaussianMixture"]


def test_a_block_that_fails_is_put_back() -> None:
    with pytest.raises(KeyError), patch_sklearn():
        raise KeyError
    assert sklearn.mixture.GaussianMixture is THEIRS["GaussianMixture"]


@pytest.mark.parametrize("ours", CLASSES)
def test_ours_are_instances_of_theirs_while_patched(ours: Any) -> None:
    with patch_sklearn():
        assert issubclass(ours, THEIRS[ours.__name__])
        assert isinstance(ours(), THEIRS[ours.__name__])


def test_scikit_learns_models_are_pickled_and_read_while_patched(blobs: NDArray[Any]) -> None:
    model = THEIRS["GaussianMixture"](2, random_state=0).fit(blobs)
    with patch_sklearn():
        again = pickle.loads(pickle.dumps(model))
    assert type(again) is THEIRS["GaussianMixture"]
    assert np.array_equal(again.means_, model.means_)


def test_patching_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.mixture", None)
    with pytest.raises(ImportError, match="needs scikit-learn: pip install scikit-learn"):
        patch_sklearn()


# --- The command ----------------------------------------------------------------------------------

SCRIPT = """
import sys
import beside
from sklearn.cluster import KMeans
from sklearn.mixture import GaussianMixture
print(GaussianMixture.__module__, KMeans.__module__, __name__, *sys.argv)
"""


def test_a_script_runs_patched(tmp_path: Path) -> None:
    (tmp_path / "beside.py").touch()
    script = tmp_path / "program.py"
    script.write_text(SCRIPT)
    printed = printed_by("-m", "gaussmix.patch", str(script), "--fast", "-m", "2")
    homes = ["gaussmix.estimators.mixture", "gaussmix.estimators.kmeans", "__main__"]
    assert printed == [*homes, str(script), "--fast", "-m", "2"]


def test_a_module_runs_patched(tmp_path: Path) -> None:
    (tmp_path / "beside.py").touch()
    (tmp_path / "program.py").write_text(SCRIPT)
    printed = printed_by("-m", "gaussmix.patch", "-m", "program", "-q", cwd=tmp_path)
    assert printed[0] == "gaussmix.estimators.mixture"
    assert printed[3:] == [str(tmp_path / "program.py"), "-q"]


def test_a_script_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["nowhere.py"])
    assert "there is no script 'nowhere.py'" in capsys.readouterr().err


# --- Instances of scikit-learn's classes ----------------------------------------------------------

QUESTIONS = """
print(isinstance(mixture, sklearn.mixture.GaussianMixture))
print(isinstance(kmeans, sklearn.cluster.KMeans))
print(isinstance(mixture, sklearn.cluster.KMeans))
print(isinstance(kmeans, sklearn.mixture.GaussianMixture))
print(isinstance(mixture, sklearn.mixture.BayesianGaussianMixture))
print(issubclass(gaussmix.GaussianMixture, sklearn.mixture.GaussianMixture))
"""
ANSWERS = ["True", "True", "False", "False", "False", "True"]


@pytest.mark.slow
@pytest.mark.parametrize("first", ["gaussmix", "sklearn.mixture, sklearn.cluster"])
def test_ours_pass_for_theirs_whichever_is_imported_first(first: str) -> None:
    code = f"""
import {first}
import gaussmix, sys
mixture, kmeans = gaussmix.GaussianMixture(), gaussmix.KMeans()
print('sklearn' in sys.modules)
import sklearn.mixture, sklearn.cluster
{QUESTIONS}
"""
    assert printed_by("-c", code) == [str(first != "gaussmix"), *ANSWERS]


@pytest.mark.slow
def test_models_from_pickles_and_files_pass_for_theirs(tmp_path: Path, blobs: NDArray[Any]) -> None:
    mixture = gaussmix.GaussianMixture(2, random_state=0).fit(blobs)
    (tmp_path / "model.pickle").write_bytes(pickle.dumps(mixture))
    gaussmix.save(mixture, tmp_path / "model.npz")
    code = """
    import pickle, gaussmix, sklearn.mixture
    pickled, saved = pickle.load(open("model.pickle", "rb")), gaussmix.load("model.npz")
    print(isinstance(pickled, sklearn.mixture.GaussianMixture))
    print(isinstance(saved, sklearn.mixture.GaussianMixture))
    """
    assert printed_by("-c", textwrap.dedent(code), cwd=tmp_path) == ["True", "True"]


class Derived(gaussmix.GaussianMixture):
    """A user's own."""


def test_classes_of_users_pass_for_theirs() -> None:
    model = Derived(2)
    assert isinstance(model, THEIRS["GaussianMixture"])
    assert model.__class__ is Derived
    model.__class__ = gaussmix.GaussianMixture
    assert type(model) is gaussmix.GaussianMixture


def test_scikit_learns_models_do_not_pass_for_ours() -> None:
    assert not isinstance(THEIRS["GaussianMixture"](), gaussmix.GaussianMixture)


def test_fisher_vectors_of_scikit_image() -> None:
    feature = pytest.importorskip("skimage.feature")
    theirs = THEIRS["GaussianMixture"](3, covariance_type="diag", random_state=0).fit(X)
    ours = gaussmix.GaussianMixture.from_parameters(
        theirs.weights_, theirs.means_, theirs.covariances_, "diag"
    )
    np.testing.assert_allclose(
        feature.fisher_vector(X, ours),
        feature.fisher_vector(X, theirs),
        rtol=1e-9,
        atol=1e-12,
    )


# --- Private methods ------------------------------------------------------------------------------


@pytest.mark.parametrize("covariance_type", STRUCTURES)
@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 1e-9), ("float32", 1e-4)])
def test_private_methods_give_what_scikit_learns_give(
    covariance_type: Any, dtype: str, rtol: float, blobs: NDArray[Any]
) -> None:
    theirs = THEIRS["GaussianMixture"](3, covariance_type=covariance_type, random_state=0)
    theirs.fit(blobs)
    ours = gaussmix.GaussianMixture.from_parameters(
        theirs.weights_, theirs.means_, theirs.covariances_, covariance_type
    )
    rows = blobs[:100].astype(dtype)
    for name in ("_estimate_log_prob", "_estimate_weighted_log_prob"):
        found = getattr(ours, name)(rows)
        assert found.dtype == dtype
        np.testing.assert_allclose(found, getattr(theirs, name)(rows), rtol=rtol)
    for name in ("_estimate_log_prob_resp", "_e_step"):
        expected = getattr(theirs, name)(rows)
        for value, wanted in zip(getattr(ours, name)(rows), expected, strict=True):
            np.testing.assert_allclose(value, wanted, rtol=rtol, atol=30 * rtol)
    np.testing.assert_allclose(ours._estimate_log_weights(), theirs._estimate_log_weights())
    assert ours._n_parameters() == theirs._n_parameters()


def test_components_without_weight_have_a_density_all_the_same() -> None:
    model = gaussmix.GaussianMixture.from_parameters([1, 0], [[0.0], [3.0]], [[[1]], [[1]]])
    rows = [[0.0], [3.0]]
    expected = -0.5 * np.array([[0, 9], [9, 0]]) - 0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(model._estimate_log_prob(rows), expected)
    assert (model._estimate_weighted_log_prob(rows)[:, 1] == -np.inf).all()
    np.testing.assert_allclose(model._estimate_log_prob_resp(rows)[0], expected[:, 0])


# --- Messages -------------------------------------------------------------------------------------

ONES: dict[str, NDArray[np.float64]] = {
    "full": np.ones((2, 3, 3)),
    "tied": np.ones((3, 3)),
    "diag": np.ones((2, 3)),
    "spherical": np.ones(2),
}
MIXTURES: dict[str, dict[str, Any]] = {
    "shape of weights": {"weights_init": [[0.5, 0.5]]},
    "sum of weights": {"weights_init": [0.5, 0.2]},
    "shape of means": {"means_init": X[:3]},
    "few rows": {"n_components": 51},
    **{
        f"shape of precisions, {name}": {"covariance_type": name, "precisions_init": np.ones((9,))}
        for name in STRUCTURES
    },
    **{
        f"negative precisions, {name}": {"covariance_type": name, "precisions_init": -precisions}
        for name, precisions in zip(
            STRUCTURES,
            (np.ones((2, 3, 3)), np.ones((3, 3)), np.ones((2, 3)), np.ones(2)),
            strict=True,
        )
    },
    "no convergence": {"max_iter": 1},
}
CENTERS: dict[str, dict[str, Any]] = {
    "clusters": {"init": X[:3]},
    "features": {"init": X[:2, :2]},
    "few rows": {"n_clusters": 51},
}


def told(action: Callable[[], object]) -> str:
    """What an error says, or what the only warning says."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            action()
        except ValueError as error:
            return str(error)
    (warning,) = warned
    return str(warning.message)


@pytest.mark.parametrize("parameters", MIXTURES.values(), ids=MIXTURES)
def test_a_mixture_says_what_scikit_learns_says_first(parameters: dict[str, Any]) -> None:
    given = {"n_components": 2, "random_state": 0, **parameters}
    ours, theirs = gaussmix.GaussianMixture(**given), THEIRS["GaussianMixture"](**given)
    assert told(lambda: ours.fit(X)).startswith(told(lambda: theirs.fit(X)))


@pytest.mark.parametrize("parameters", CENTERS.values(), ids=CENTERS)
def test_kmeans_says_what_scikit_learns_says_first(parameters: dict[str, Any]) -> None:
    given = {"n_clusters": 2, "n_init": 1, **parameters}
    ours, theirs = gaussmix.KMeans(**given), THEIRS["KMeans"](**given)
    assert told(lambda: ours.fit(X)).startswith(told(lambda: theirs.fit(X)))


@pytest.mark.parametrize("ours", CLASSES)
@pytest.mark.parametrize("rows", [X[:, :2], X[0], X[:0]], ids=["features", "one row", "no rows"])
def test_fitted_models_say_what_scikit_learns_say_first(ours: Any, rows: Any) -> None:
    kinds = ours, THEIRS[ours.__name__]
    models = [kind(random_state=0, tol=10).fit(X) for kind in kinds]
    said, expected = (told(partial(model.predict, rows)) for model in models)
    assert said.split(":")[0] == expected.split(":")[0]


def test_no_rows_to_sample() -> None:
    # scikit-learn's message has the number of components where ours has the number asked for.
    ours = gaussmix.GaussianMixture.from_parameters([1], [[0.0]], [[[1]]])
    theirs = THEIRS["GaussianMixture"](1).fit(X)
    said, expected = told(lambda: ours.sample(0)), told(lambda: theirs.sample(0))
    assert re.sub(r"\d", "", said) == re.sub(r"\d", "", expected)
    assert "'n_samples': 0 " in said


# --- scikit-learn's own tests ---------------------------------------------------------------------


class Expected(NamedTuple):
    """Tests of scikit-learn's that fail for our classes, and what their failures say."""

    tests: str  # matches their names
    error: str  # matches their errors
    reason: str  # as in docs/differences-from-scikit-learn.md


OF_MIXTURES = [
    Expected(
        "test_check_weights",
        r"'weights' should be in the range \[0, 1\], but got max value",
        "scikit-learn gives the least weight as the greatest, and the greatest as the least",
    ),
    Expected(
        "test_regularisation",
        "DID NOT RAISE",
        "components that collapse are regularised, with a warning",
    ),
    Expected(
        r"test_gaussian_mixture_precisions_init\[.*\]",
        "no attribute '_set_parameters'",
        "private methods that change a mixture do not exist",
    ),
    Expected(
        r"test_gaussian_mixture_all_init_does_not_estimate_gaussian_parameters\[.*\]",
        "call_count|assert 0 ==",
        "the M-step is not scikit-learn's private function, whose calls are counted",
    ),
    Expected(
        r"test_(?!gaussian_mixture_precisions_init\[).*\[.*float32.*\]",
        r"dtype\('float64'\) == <class 'numpy.float32'>",
        "parameters are float64, also of float32 rows",
    ),
]
OF_BAYESIAN_MIXTURES = [
    Expected(
        "test_compare_covar_type",
        "no attribute '_check_parameters'",
        "private methods that change a mixture do not exist",
    ),
]
OF_KMEANS = [
    Expected(
        r"test_(kmeans_init_auto_with_initial_centroids|n_init_auto)\[KMeans.*\]",
        "no attribute '_n_init'",
        "private attributes do not exist",
    ),
    Expected(
        r"test_sample_weight_(init|zero)\[.*\]",
        "no attribute '_init_centroids'",
        "private methods do not exist",
    ),
    Expected(
        r"test_float_precision\[.*KMeans-.*\]",
        r"dtype\('float64'\) == <class 'numpy.float32'>",
        "centers are float64, also of float32 rows",
    ),
    Expected(
        "test_warning_elkan_1_cluster",
        "DID NOT WARN",
        "'elkan' has one warning, whatever the number of clusters",
    ),
]


def failures(module: str, folder: Path, *, float32: bool, fewest: int) -> dict[str, str]:
    """Run tests that scikit-learn ships, patched; return the errors of those that fail, by name."""
    report = folder / "report.xml"
    pytest_of = [sys.executable, "-m", "gaussmix.patch", "-m", "pytest", "--pyargs", module]
    options = ["-q", "-p", "no:cacheprovider", f"--junitxml={report}", "-W", "ignore"]
    done = subprocess.run(
        [*pytest_of, *options],
        cwd=folder,
        env={**os.environ, "SKLEARN_RUN_FLOAT32_TESTS": str(int(float32))},
        capture_output=True,
        text=True,
    )
    cases = list(ElementTree.parse(report).iter("testcase"))
    assert sum(case.find("skipped") is None for case in cases) >= fewest, done.stdout
    assert not [case for case in cases if case.find("error") is not None], done.stdout
    found = ((case.get("name"), case.find("failure")) for case in cases)
    return {str(name): str(f.get("message")) for name, f in found if f is not None}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "expected", "float32", "fewest"),
    [
        ("sklearn.mixture.tests.test_gaussian_mixture", OF_MIXTURES, True, 41),
        ("sklearn.mixture.tests.test_bayesian_mixture", OF_BAYESIAN_MIXTURES, True, 17),
        ("sklearn.cluster.tests.test_k_means", OF_KMEANS, False, 41),
    ],
    ids=["mixture", "bayesian mixture", "kmeans"],
)
def test_scikit_learns_own_tests(
    module: str, expected: list[Expected], float32: bool, fewest: int, tmp_path: Path
) -> None:
    pytest.importorskip("sklearn", minversion="1.9", reason="the lists are for its tests")
    failed = failures(module, tmp_path, float32=float32, fewest=fewest)
    unexpected = {
        name: error
        for name, error in failed.items()
        if not any(re.fullmatch(e.tests, name) and re.search(e.error, error) for e in expected)
    }
    assert not unexpected
    for e in expected:
        assert any(re.fullmatch(e.tests, name) for name in failed), f"passes by now: {e}"
