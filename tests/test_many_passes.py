"""Kernels that make many passes in one call: what they take, and what they refuse."""

import inspect
from typing import Any

import numpy as np
import pytest

from gaussmix._core import dispatch, reference, reference_estimates
from gaussmix._core.density import STRUCTURES, Density
from gaussmix._core.types import Structure

OUTPUTS = {
    "em": ["weights", "means", "covariances", "factors", "bounds"],
    "em_from_kmeans": ["weights", "means", "covariances", "factors", "bounds", "labels"],
    "lloyd": ["centers", "labels", "n_k", "totals"],
    "plus_plus": ["chosen"],
}
INPUTS = {"em": ["sample_weight"], "lloyd": ["sample_weight"]}
INPUTS["plus_plus"] = ["sample_weight", "uniforms"]
INPUTS["em_from_kmeans"] = INPUTS["plus_plus"]

each_kernel = pytest.mark.parametrize("kernel", OUTPUTS)


def arguments(kernel: str) -> dict[str, Any]:
    """Arguments of float64 that a kernel accepts."""
    X = np.random.default_rng(3).normal(size=(6, 2))
    rows = {"X": X, "sample_weight": np.ones(6)}
    match kernel:
        case "em" | "em_from_kmeans":
            eyes = np.tile(np.eye(2), (3, 1, 1))
            own: dict[str, Any] = {"structure": "full", "weights": np.ones(3) / 3}
            own |= {"means": X[:3].copy(), "covariances": eyes, "factors": eyes.copy()}
            own |= {"bounds": np.zeros(2), "reg_covar": 1e-6, "tol": 0.0}
            if kernel == "em":
                own["previous"] = -np.inf
            else:
                own |= {"view": X[:, :1] + X[:, 1:], "uniforms": np.full(5, 0.5), "n_trials": 2}
                own |= {"max_passes": 30, "threshold": 0.0, "labels": np.zeros(6, np.int32)}
        case "lloyd":
            own = {"centers": X[:3].copy()}
            own |= {"labels": np.zeros(6, np.int32), "n_k": np.zeros(3), "totals": np.zeros(2)}
            own |= {"max_iter": 1, "threshold": 0.0}
        case _:
            own = {"uniforms": np.full(5, 0.5), "chosen": np.zeros(3, np.int64), "n_trials": 2}
    return {**rows, **own}


def run(kernel: str, isa: str, given: dict[str, Any]) -> object:
    """Call a kernel, and make first what `em` climbs."""
    if kernel.startswith("em"):
        point = "structure", "weights", "means", "covariances", "factors", "reg_covar"
        with dispatch.using(isa):
            ascent = dispatch.estimates().LikelihoodAscent(**{name: given[name] for name in point})
        given = {name: value for name, value in given.items() if name not in point}
        given["ascent"] = ascent
    return getattr(dispatch.load(isa).float64, kernel)(**given)


def call(kernel: str, isa: str, **changes: object) -> object:
    return run(kernel, isa, {**arguments(kernel), **changes})


@pytest.mark.parametrize(
    ("kernel", "name"),
    [(kernel, name) for kernel in OUTPUTS for name in OUTPUTS[kernel]]
    + [(kernel, name) for kernel in INPUTS for name in INPUTS[kernel]],
)
def test_bad_arrays_are_named(kernel: str, name: str, isa: str) -> None:
    array = arguments(kernel)[name]
    call(kernel, isa)
    other = np.int16 if array.dtype.kind == "i" else np.float32
    with pytest.raises(TypeError, match=f"{name} must have dtype {array.dtype}, got"):
        call(kernel, isa, **{name: array.astype(other)})
    with pytest.raises(ValueError, match=f"{name} must have shape "):
        call(kernel, isa, **{name: np.zeros((7, *array.shape), array.dtype)})
    strided = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)[..., ::2]
    with pytest.raises(ValueError, match=f"{name} must be C-contiguous"):
        call(kernel, isa, **{name: strided})


@each_kernel
def test_bad_rows_and_threads_are_named(kernel: str, isa: str) -> None:
    with pytest.raises(TypeError, match="X must be a 2-dimensional numpy array, got list"):
        call(kernel, isa, X=[[0.0]])
    with pytest.raises(ValueError, match="n_threads must be at least 1, got 0"):
        call(kernel, isa, n_threads=0)


def test_other_coordinates_are_of_the_same_rows(isa: str) -> None:
    kernel, view = "em_from_kmeans", arguments("em_from_kmeans")["view"]
    with pytest.raises(ValueError, match=r"view must have shape \(6, 1\), got \(5, 1\)"):
        call(kernel, isa, view=view[:5], sample_weight=None)
    with pytest.raises(TypeError, match="view must have dtype float64, got float32"):
        call(kernel, isa, view=view.astype(np.float32))
    with pytest.raises(TypeError, match="view must be a 2-dimensional numpy array, got list"):
        call(kernel, isa, view=[[0.0]])


def test_what_cannot_be_done_is_refused(isa: str) -> None:
    with pytest.raises(ValueError, match=r"structure must be one of .* got 'banded'"):
        call("em", isa, structure="banded")
    with pytest.raises(ValueError, match="em needs at least one row, got none"):
        call("em", isa, X=np.empty((0, 2)), sample_weight=None)
    with pytest.raises(ValueError, match="X must have 2 features, as the means have, got 3"):
        call("em", isa, X=np.empty((6, 3)))
    with pytest.raises(ValueError, match=r"means must have shape \(K, D\), .* got \(0, 2\)"):
        call("em", isa, means=np.empty((0, 2)))
    with pytest.raises(ValueError, match="one trial, got 6, 3 and 0"):
        call("plus_plus", isa, n_trials=0)
    with pytest.raises(ValueError, match="one trial, got 0, 3 and 2"):
        call("plus_plus", isa, X=np.empty((0, 2)), sample_weight=None)


@pytest.mark.parametrize(
    ("kernel", "name"), [(kernel, name) for kernel in OUTPUTS for name in OUTPUTS[kernel]]
)
def test_outputs_that_cannot_be_written_are_an_error(kernel: str, name: str, isa: str) -> None:
    frozen = arguments(kernel)[name]
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        call(kernel, isa, **{name: frozen})


@each_kernel
def test_any_number_of_threads_gives_the_same_bits(kernel: str, compiled_isa: str) -> None:
    X = np.random.default_rng(0).normal(size=(5000, 2))
    found = []
    for n_threads in (1, 2, 5):
        given = {**arguments(kernel), "X": X, "sample_weight": None, "n_threads": n_threads}
        given |= {"labels": np.zeros(5000, np.int32)} if "labels" in given else {}
        given |= {"view": X[:, :1] + X[:, 1:]} if "view" in given else {}
        run(kernel, compiled_isa, given)
        found.append([given[name].tobytes() for name in OUTPUTS[kernel]])
    assert found[0] == found[1] == found[2]


@each_kernel
def test_builds_have_the_signature_of_the_reference(kernel: str, compiled: tuple[str, ...]) -> None:
    want = list(inspect.signature(getattr(reference, kernel)).parameters)
    for isa in compiled:
        found = getattr(dispatch.load(isa).float64, kernel)
        assert list(inspect.signature(found).parameters) == want


def grouped(dtype: type = np.float64) -> tuple[Any, Any]:
    """Rows of three groups, and which group each belongs to."""
    rng = np.random.default_rng(7)
    labels = rng.integers(3, size=700).astype(np.int32)
    X = rng.normal(size=(700, 2)) + np.array([[0.0, 0.0], [6.0, 0.0], [0.0, 6.0]])[labels]
    return X.astype(dtype), labels


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("structure", STRUCTURES)
def test_em_may_begin_with_groups(structure: Structure, weighted: bool, isa: str) -> None:
    """It is an M-step of the groups, and EM from there. The reference agrees."""
    X, labels = grouped()
    weight = np.random.default_rng(8).random(700) if weighted else None
    middle = np.tile(X.mean(axis=0), (3, 1))
    point = reference_point(structure)
    density = Density(structure, middle[0], middle * 0, np.ones_like(point[3]), np.zeros(3))
    n_k, first, second, totals = np.zeros(3), np.zeros((3, 2)), np.zeros_like(point[3]), np.zeros(2)
    reference.accumulate(X, weight, density, n_k, first, second, totals, labels=labels)
    moments = middle, n_k, first, second
    reference_estimates.maximise(structure, *moments, totals[1] / 700, 1e-6, *point)
    begin = dict(zip(OUTPUTS["em"], point, strict=False))

    def ends(groups: Any, **start: Any) -> dict[str, Any]:
        given = {**arguments("em"), "structure": structure, "X": X, "sample_weight": weight}
        given |= {"bounds": np.zeros(4), "labels": groups, **begin, **start}
        assert run("em", isa, given) == (4, False)
        return {name: given[name] for name in OUTPUTS["em"]}

    apart = ends(None, **{name: array.copy() for name, array in begin.items()})
    together = ends(labels, means=middle.copy())
    for name in OUTPUTS["em"]:
        np.testing.assert_allclose(together[name], apart[name], 1e-9, 1e-12)


def reference_point(structure: Structure) -> list[Any]:
    """Weights, means, covariances and factors of three components in the plane, all ones."""
    spread = {"full": (3, 2, 2), "tied": (2, 2), "diag": (3, 2), "spherical": (3,)}[structure]
    return [np.ones(3), np.ones((3, 2)), np.ones(spread), np.ones(spread)]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("structure", STRUCTURES)
def test_em_from_kmeans_is_all_three(
    structure: Structure, weighted: bool, dtype: type, isa: str
) -> None:
    """Seeding, Lloyd's passes, and EM from the clusters, one kernel after the other."""
    X, groups = grouped(dtype)
    weight = np.random.default_rng(8).random(700) if weighted else None
    view = np.ascontiguousarray(X[:, ::-1] * np.array([1, 2], dtype))
    kernels = getattr(dispatch.load(isa), np.dtype(dtype).name)
    uniforms, chosen = np.random.default_rng(9).random(7), np.empty(3, np.int64)
    kernels.plus_plus(view, weight, uniforms, chosen, 3)
    centers, labels = view[chosen].astype(np.float64), np.full(700, -1, np.int32)
    sums = np.zeros(3), np.zeros(2)
    n_passes, _ = kernels.lloyd(view, weight, centers, labels, *sums, 30, 1e-4)
    found = []
    for together in (False, True):
        point, bounds, own = reference_point(structure), np.zeros(5), np.empty(700, np.int32)
        with dispatch.using(isa):
            make = dispatch.estimates().LikelihoodAscent
            ascent = make(structure, point[0], point[1], point[2], point[3], reg_covar=1e-6)
        if together:
            how = uniforms, 3, 30, 1e-4, own
            ended = kernels.em_from_kmeans(view, X, weight, *how, ascent, bounds, 0.0)
            assert ended == (n_passes, 5, False)
            np.testing.assert_array_equal(own, labels)
        else:
            kernels.em(X, weight, ascent, bounds, 0.0, -np.inf, 1, labels)
        found.append([*point, bounds])
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len({(int(a), int(b)) for a, b in zip(groups, labels, strict=True)}) < 9
    agree = np.bincount(3 * groups + labels, minlength=9).reshape(3, 3).max(axis=1).sum()
    assert agree > 690


def test_clusters_without_rows_leave_em_where_it_was(isa: str) -> None:
    """As where all rows are alike: the caller has the labels, and does what is to be done."""
    X, labels = np.ones((6, 2)), np.zeros(6, np.int32)
    given = {**arguments("em_from_kmeans"), "X": X, "view": X, "labels": labels}
    assert run("em_from_kmeans", isa, given) == (0, 0, False)
    assert (labels == labels[0]).all()
    assert 0 <= labels[0] < 3


@pytest.mark.parametrize("wrong", [np.zeros(6, np.int64), np.zeros(5, np.int32)])
def test_groups_are_one_number_a_row(isa: str, wrong: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="labels must have"):
        call("em", isa, labels=wrong)
