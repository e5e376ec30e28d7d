"""Passes over cells of rows, under the components that each cell lists, against SciPy."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from gaussmix._core import dispatch
from gaussmix._core.cells import Cells
from gaussmix._core.density import STRUCTURES, Density, factors_shape
from gaussmix._core.types import FloatArray, Rows, Structure
from gaussmix.model.parameters import Parameters
from gaussmix.model.statistics import Statistics

N, TOLERANCES = 2500, {"float32": 2e-4, "float64": 1e-11}
each_structure = pytest.mark.parametrize("structure", STRUCTURES)


def mixture(structure: Structure, n_components: int, d: int) -> Parameters:
    rng = np.random.default_rng(n_components + d)
    spread = rng.normal(size=(n_components, d, 2 * d)) / np.sqrt(d)
    full = spread @ spread.transpose(0, 2, 1)
    covariances: dict[str, FloatArray] = {
        "full": full,
        "tied": full[0],
        "diag": full.diagonal(axis1=1, axis2=2),
        "spherical": full[:, 0, 0],
    }
    return Parameters.from_covariances(
        structure,
        rng.dirichlet(np.full(n_components, 5.0)),
        3 * rng.normal(size=(n_components, d)),
        np.array(covariances[structure], order="C"),
    )


def rows(d: int, dtype: str = "float64") -> Rows:
    return (3 * np.random.default_rng(d).normal(size=(N, d))).astype(dtype)


def weights() -> FloatArray:
    found = np.random.default_rng(0).uniform(0.0, 3.0, size=N)
    found[::7] = 0.0
    return found


def random_cells(n_components: int, n_samples: int = N) -> Cells:
    """Cells of 1 to 400 rows, of which the first lists all components and the second one."""
    rng = np.random.default_rng(n_components)
    edges = np.concatenate([[0, 1], np.sort(rng.choice(np.arange(2, n_samples), 12)), [n_samples]])
    listed = rng.random((len(edges) - 1, n_components)) < rng.uniform(0.1, 1, size=(14, 1))
    listed[0] = True
    listed[1] = np.arange(n_components) == n_components - 1
    listed[~listed.any(axis=1), 0] = True
    lists = np.append(0, listed.sum(axis=1).cumsum())
    order = rng.permutation(n_samples).astype(np.int32)
    return Cells(order, edges.astype(np.int64), lists, listed.nonzero()[1].astype(np.int32))


def accumulated(
    X: Rows, weight: FloatArray | None, density: Density, cells: Cells, n_threads: int = 1
) -> dict[str, NDArray[Any]]:
    n_components, d = density.means.shape
    out: dict[str, NDArray[Any]] = {
        "n_k": np.zeros(n_components),
        "first": np.zeros((n_components, d)),
        "second": np.zeros(factors_shape(density.structure, n_components, d)),
        "totals": np.zeros(2),
        "masses": np.full(len(cells.components), np.nan),
        "labels": np.full(len(X), -1, np.int32),
    }
    go_over(X, weight, density, cells, out, n_threads)
    return out


def go_over(
    X: Rows,
    weight: FloatArray | None,
    density: Density,
    cells: Cells,
    out: dict[str, NDArray[Any]],
    n_threads: int,
) -> None:
    """Add to the sums of `out`, and write its masses and labels."""
    n_k, first, second, totals, masses, labels = out.values()
    dispatch.kernels(X).accumulate_cells(
        X, weight, density, cells, n_k, first, second, totals, masses, labels, n_threads
    )


def truth(X: Rows, weight: FloatArray | None, p: Parameters, cells: Cells) -> dict[str, Any]:
    """The same from SciPy's densities, for moments about the means."""
    x, w = X.astype(np.float64), np.ones(N) if weight is None else weight
    full = p.full_covariances()
    log_prob = np.column_stack(
        [
            np.log(weight_k) + multivariate_normal(mean, cov).logpdf(x)
            for weight_k, mean, cov in zip(p.weights, p.means, full, strict=True)
        ]
    )
    listed = np.zeros_like(log_prob, dtype=bool)
    cell = np.empty(N, dtype=int)
    for c in range(cells.n_cells):
        in_cell = cells.order[cells.rows[c] : cells.rows[c + 1]]
        cell[in_cell] = c
        listed[in_cell[:, None], cells.components[cells.lists[c] : cells.lists[c + 1]]] = True
    log_prob[~listed] = -np.inf
    bound = logsumexp(log_prob, axis=1)
    resp = np.exp(log_prob - bound[:, None]) * w[:, None]
    masses = np.zeros((cells.n_cells, p.n_components))
    np.add.at(masses, cell, resp)
    of_list = np.repeat(np.arange(cells.n_cells), np.diff(cells.lists)), cells.components
    deviations = x[:, None, :] - p.means
    second = np.einsum("nk,nki,nkj->kij", resp, deviations, deviations)
    return {
        "n_k": resp.sum(axis=0),
        "first": np.einsum("nk,nki->ki", resp, deviations),
        "second": {
            "full": second,
            "tied": second.sum(axis=0),
            "diag": second.diagonal(axis1=1, axis2=2),
            "spherical": second.trace(axis1=1, axis2=2),
        }[p.structure.form],
        "totals": np.array([w @ bound, w.sum()]),
        "masses": masses[of_list],
        "labels": log_prob.argmax(axis=1),
    }


@each_structure
@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize(("n_components", "d"), [(3, 1), (40, 2), (17, 5)])
def test_sums_masses_and_labels_are_those_of_scipy(
    structure: Structure, dtype: str, n_components: int, d: int, isa: str
) -> None:
    p, X, cells = mixture(structure, n_components, d), rows(d, dtype), random_cells(n_components)
    weight = weights() if d == 2 else None
    got = accumulated(X, weight, p.density(dtype), cells)
    want = truth(X, weight, p, cells)
    for name in ("n_k", "first", "second", "totals", "masses"):
        scale = np.abs(want[name]).max()
        np.testing.assert_allclose(got[name], want[name], atol=TOLERANCES[dtype] * scale, rtol=0)
    assert (got["labels"] == want["labels"]).mean() > (0.999 if dtype == "float32" else 0.99999)


@each_structure
def test_all_components_on_every_list_are_a_pass_over_all(structure: Structure, isa: str) -> None:
    p, X = mixture(structure, 9, 3), rows(3)
    n_cells = 5
    cells = Cells(
        np.random.default_rng(0).permutation(N).astype(np.int32),
        np.arange(n_cells + 1) * (N // n_cells),
        np.arange(n_cells + 1) * 9,
        np.tile(np.arange(9, dtype=np.int32), n_cells),
    )
    got = accumulated(X, None, p.density(), cells)
    want = Statistics.zeros(p.structure, p.means)
    totals = np.zeros(2)
    sums = want.n_k, want.first, want.second
    dispatch.kernels(X).accumulate(X, None, p.density(), *sums, totals)
    for name, sum_ in zip(("n_k", "first", "second", "totals"), (*sums, totals), strict=True):
        np.testing.assert_allclose(got[name], sum_, rtol=1e-11, atol=1e-9)


@each_structure
@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize(("n_components", "n_threads"), [(17, 3), (2, 5)])
def test_the_bits_do_not_depend_on_threads_and_sums_are_added(
    structure: Structure, dtype: str, n_components: int, n_threads: int, compiled_isa: str
) -> None:
    p, X, cells = mixture(structure, n_components, 4), rows(4, dtype), random_cells(n_components)
    one, more = (accumulated(X, weights(), p.density(dtype), cells, n) for n in (1, n_threads))
    for name, array in one.items():
        np.testing.assert_array_equal(array, more[name])
    again = {name: array.copy() for name, array in one.items()}
    go_over(X, weights(), p.density(dtype), cells, again, 2)
    for name in ("n_k", "first", "second", "totals"):
        np.testing.assert_allclose(again[name], 2 * one[name], rtol=1e-12, atol=1e-9)


def test_weighing_finds_the_same_masses_totals_and_labels(isa: str) -> None:
    p, X, cells = mixture("full", 17, 3), rows(3), random_cells(17)
    want = accumulated(X, weights(), p.density(), cells)
    for n_threads in (1, 2):
        totals, masses = np.zeros(2), np.full(len(cells.components), np.nan)
        labels = np.full(N, -1, np.int32)
        dispatch.kernels(X).weigh_cells(
            X, weights(), p.density(), cells, totals, masses, labels, n_threads
        )
        np.testing.assert_array_equal(labels, want["labels"])
        np.testing.assert_allclose(masses, want["masses"], rtol=1e-12, atol=1e-300)
        np.testing.assert_allclose(totals, want["totals"], rtol=1e-13)


@each_structure
@pytest.mark.parametrize("weight", [None, weights()], ids=["", "weights"])
def test_rows_of_float64_go_through_the_build_for_float32(
    compiled_isa: str, structure: Structure, weight: FloatArray | None
) -> None:
    """To the bit, where rows and centre are such that subtracting them rounds nothing."""
    p, d = mixture(structure, 17, 5), 5
    wide = np.round(8 * rows(d)) / 8
    density = p.density(np.float32)._replace(center=np.full(d, 0.25))
    cells, kernels = random_cells(17), dispatch.active().float32
    found = []
    for X in (wide, wide.astype(np.float32)):
        n_k, first, second, totals, *_ = accumulated(X[:0], None, density, no_cells()).values()
        masses, labels = np.empty((2, len(cells.components))), np.full((3, N), -1, np.int32)
        kernels.accumulate_cells(
            X, weight, density, cells, n_k, first, second, totals, masses[0], labels[0]
        )
        kernels.weigh_cells(X, weight, density, cells, totals, masses[1], labels[1])
        kernels.assign(X, density, labels[2], None)
        found.append([n_k, first, second, totals, masses, labels])
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


@each_structure
def test_labels_are_left_alone_where_none_are_wanted(structure: Structure, isa: str) -> None:
    p, X, cells = mixture(structure, 17, 3), rows(3), random_cells(17)
    found = accumulated(X, None, p.density(), cells)
    n_k, first, second, totals, *_ = accumulated(X[:0], None, p.density(), no_cells()).values()
    masses = np.empty(len(cells.components))
    dispatch.kernels(X).accumulate_cells(
        X, None, p.density(), cells, n_k, first, second, totals, masses, None
    )
    for one, other in zip((n_k, first, second, totals, masses), found.values(), strict=False):
        np.testing.assert_array_equal(one, other)


def no_cells() -> Cells:
    return Cells(*(np.zeros(n, t) for n, t in ((0, "i4"), (1, "i8"), (1, "i8"), (0, "i4"))))


def test_no_rows_and_labels_that_nobody_wants(isa: str) -> None:
    p, X = mixture("full", 4, 2), rows(2)
    nothing = accumulated(X[:0], None, p.density(), no_cells())
    assert not nothing["n_k"].any()
    cells, masses = random_cells(4), np.empty(len(random_cells(4).components))
    dispatch.kernels(X).weigh_cells(X, None, p.density(), cells, np.zeros(2), masses, None)
    assert masses.sum() == pytest.approx(N)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"order": np.full(N, N, np.int32)}, f"order must hold numbers of {N} rows"),
        ({"order": np.zeros(N - 1, np.int32)}, r"order must have shape \(2500,\)"),
        ({"rows": "first"}, "rows of cells must rise from 0 to 2500 at most"),
        ({"lists": "first"}, "lists must begin at 0"),
        ({"components": "high"}, "components must be from 0 to before 4"),
        ({"components": "twice"}, "the components of a list must rise"),
    ],
)
def test_cells_that_are_none(change: dict[str, Any], message: str, isa: str) -> None:
    cells, X = random_cells(4), rows(2)
    ((name, new),) = change.items()
    if isinstance(new, str):
        array = getattr(cells, name).copy()
        array[0] = {"first": 1 if name == "lists" else -1, "high": 4, "twice": array[1]}[new]
        new = array
    with pytest.raises(ValueError, match=message):
        accumulated(X, None, mixture("full", 4, 2).density(), cells._replace(**{name: new}))


def test_noise_and_gaps_are_not_for_cells(isa: str) -> None:
    density = mixture("full", 4, 2).density()._replace(log_noise=-3.0)
    with pytest.raises(ValueError, match="without noise"):
        dispatch.kernels(rows(2)).weigh_cells(
            rows(2), None, density, random_cells(4), np.zeros(2), np.empty(1), None
        )
