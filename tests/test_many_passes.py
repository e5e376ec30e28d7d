"""Kernels that make many passes in one call: what they take, and what they refuse."""

import inspect
from typing import Any

import numpy as np
import pytest

from gaussmix._core import dispatch, reference

OUTPUTS = {
    "em": ["weights", "means", "covariances", "factors", "bounds"],
    "lloyd": ["centers", "labels", "n_k", "totals"],
    "plus_plus": ["chosen"],
}
INPUTS = {"em": ["sample_weight"], "lloyd": ["sample_weight"]}
INPUTS["plus_plus"] = ["sample_weight", "uniforms"]

each_kernel = pytest.mark.parametrize("kernel", OUTPUTS)


def arguments(kernel: str) -> dict[str, Any]:
    """Arguments of float64 that a kernel accepts."""
    X = np.random.default_rng(3).normal(size=(6, 2))
    rows = {"X": X, "sample_weight": np.ones(6)}
    match kernel:
        case "em":
            eyes = np.tile(np.eye(2), (3, 1, 1))
            own: dict[str, Any] = {"structure": "full", "weights": np.ones(3) / 3}
            own |= {"means": X[:3].copy(), "covariances": eyes, "factors": eyes.copy()}
            own |= {"bounds": np.zeros(2), "reg_covar": 1e-6, "tol": 0.0, "previous": -np.inf}
        case "lloyd":
            own = {"centers": X[:3].copy()}
            own |= {"labels": np.zeros(6, np.int32), "n_k": np.zeros(3), "totals": np.zeros(2)}
            own |= {"max_iter": 1, "threshold": 0.0}
        case _:
            own = {"uniforms": np.full(5, 0.5), "chosen": np.zeros(3, np.int64), "n_trials": 2}
    return {**rows, **own}


def run(kernel: str, isa: str, given: dict[str, Any]) -> object:
    """Call a kernel, and make first what `em` climbs."""
    if kernel == "em":
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
        if kernel == "lloyd":
            given["labels"] = np.zeros(5000, np.int32)
        run(kernel, compiled_isa, given)
        found.append([given[name].tobytes() for name in OUTPUTS[kernel]])
    assert found[0] == found[1] == found[2]


@each_kernel
def test_builds_have_the_signature_of_the_reference(kernel: str, compiled: tuple[str, ...]) -> None:
    want = list(inspect.signature(getattr(reference, kernel)).parameters)
    for isa in compiled:
        found = getattr(dispatch.load(isa).float64, kernel)
        assert list(inspect.signature(found).parameters) == want
