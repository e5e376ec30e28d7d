"""Warnings and errors: where they point, what catches them, that they travel between processes."""

import pickle
import subprocess
import sys
import warnings

import pytest

from gaussmix import errors

WITHOUT_SCIKIT_LEARN = """
import sys, warnings
from gaussmix import errors

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    errors.warn_convergence("slow")
assert [record.category for record in caught] == [errors.ConvergenceWarning], caught
assert type(errors.not_fitted(object())) is errors.NotFittedError
assert "sklearn" not in sys.modules
"""


def test_raised_as_our_own_classes_where_scikit_learn_is_not_in_use() -> None:
    subprocess.run([sys.executable, "-c", WITHOUT_SCIKIT_LEARN], check=True, timeout=120)


def test_a_warning_points_at_the_caller_and_not_into_the_library() -> None:
    with pytest.warns(errors.ConvergenceWarning, match="slow") as caught:
        errors.warn_convergence("slow")
    with pytest.warns(errors.CollapseWarning, match="thin") as also:
        errors.warn("thin", errors.CollapseWarning)
    assert [record.filename for record in (*caught, *also)] == [__file__, __file__]


def test_not_fitted_names_the_estimator_and_what_to_do() -> None:
    error = errors.not_fitted(object())
    assert isinstance(error, errors.NotFittedError)
    assert isinstance(error, ValueError)
    assert isinstance(error, AttributeError)
    assert "This object instance is not fitted yet. Call 'fit'" in str(error)


def test_a_wrong_argument_is_both_a_value_and_a_type_error() -> None:
    assert issubclass(errors.ParameterError, ValueError)
    assert issubclass(errors.ParameterError, TypeError)


def test_code_that_catches_scikit_learns_classes_catches_ours() -> None:
    exceptions = pytest.importorskip("sklearn.exceptions")
    error = errors.not_fitted(object())
    assert isinstance(error, exceptions.NotFittedError)
    assert isinstance(error, errors.NotFittedError)
    with warnings.catch_warnings():
        warnings.simplefilter("error", exceptions.ConvergenceWarning)
        with pytest.raises(errors.ConvergenceWarning):
            errors.warn_convergence("slow")


def test_a_joined_error_survives_pickling() -> None:
    exceptions = pytest.importorskip("sklearn.exceptions")
    error = errors.not_fitted(object())
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error)
    assert isinstance(again, errors.NotFittedError)
    assert isinstance(again, exceptions.NotFittedError)
