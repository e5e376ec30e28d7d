"""What a case takes at least: operations, exponentials and numbers over the machine's rates."""

import numpy as np
import pytest

from benchmarks.bounds import Bound, bound, milliseconds
from gaussmix._core.density import STRUCTURES
from gaussmix._core.types import Structure
from gaussmix.bench.cases import EM, FIT, KMEANS, PREDICT, PREDICT_PROBA, Case, make_problem
from gaussmix.bench.machine import Ceilings
from gaussmix.model.covariance import structure_of
from gaussmix.model.statistics import n_terms, pass_flops

TWO = Ceilings(2, {"float64": 80.0, "float32": 160.0}, 10.0, 0.25)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_terms_are_those_that_rates_are_told_in(structure: Structure) -> None:
    problem = make_problem(Case(EM, 100, 5, 3, structure))
    assert 4 * 100 * 3 * n_terms(structure_of(structure), 5) == pass_flops(problem.X, problem.start)


def test_an_iteration_is_bound_by_products_exponentials_and_memory() -> None:
    n, d, k = 1_000_000, 8, 16
    found = bound(Case(EM, n, d, k), TWO, 0.5)
    assert found is not None
    assert found.products == pytest.approx(4 * n * k * 45 / 80e9)
    assert found.exponentials == pytest.approx(n * k / (2 * 0.5e9))
    assert found.memory == pytest.approx(8 * n * d / 10e9)
    assert found.total == pytest.approx(sum(found))
    assert found.binding == "products"


def test_single_precision_takes_half_of_everything() -> None:
    double = bound(Case(EM, 1000, 8, 16), TWO, 0.5)
    single = bound(Case(EM, 1000, 8, 16, dtype="float32"), TWO, 0.5)
    assert double is not None
    assert single is not None
    assert np.allclose(single, np.array(double) / 2)


def test_predictions_are_an_e_step_and_what_they_write() -> None:
    n, d, k = 1000, 8, 16
    labels, probabilities = (
        bound(Case(task, n, d, k), TWO, 0.5) for task in (PREDICT, PREDICT_PROBA)
    )
    assert labels is not None
    assert probabilities is not None
    assert labels.products == probabilities.products == pytest.approx(2 * n * k * 45 / 80e9)
    assert labels.exponentials == 0
    assert probabilities.exponentials == pytest.approx(n * k / 1e9)
    assert labels.memory == pytest.approx(8 * n * (d + 1) / 10e9)
    assert probabilities.memory == pytest.approx(8 * n * (d + k) / 10e9)


def test_what_binds_depends_on_the_shape() -> None:
    small, flat = bound(Case(EM, 1000, 1, 2), TWO, 0.5), bound(Case(KMEANS, 1000, 8, 1), TWO, 0.5)
    assert small is not None
    assert flat is not None
    assert (small.binding, flat.binding) == ("exponentials", "memory")


def test_a_fit_with_its_start_has_no_bound() -> None:
    assert bound(Case(FIT, 1000, 1, 2), TWO, 0.5) is None


def test_bounds_are_put_into_words() -> None:
    assert str(Bound(0.001, 0.0, 0.25)) == "products 1 ms + memory 250 ms"
    assert milliseconds(1.2345) == "1.23 s"
