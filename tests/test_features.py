"""Features by index and by name."""

from typing import Any

import numpy as np
import pytest

from gaussmix.errors import ParameterError
from gaussmix.queries.features import check_features, check_some_features, check_targets

NAMES = ["age", "height", "weight"]


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        (1, [1]),
        (-1, [2]),
        ("height", [1]),
        ([2, 0], [2, 0]),
        (["weight", "age"], [2, 0]),
        (["weight", 0], [2, 0]),
        (np.array([0, -2]), [0, 1]),
        (range(2), [0, 1]),
    ],
)
def test_features_are_found(features: Any, expected: list[int]) -> None:
    assert check_features("features", features, 3, NAMES).tolist() == expected


@pytest.mark.parametrize(
    ("features", "names", "message"),
    [
        ([], NAMES, r"features must have at least one feature, got \[\]"),
        (3, NAMES, "features must be indices below the number of features, 3, got 3"),
        (-4, None, "features must be indices below the number of features, 3, got -4"),
        (1.0, NAMES, r"features must be indices or names of features, got 1\.0"),
        (None, NAMES, "features must be indices or names of features, got None"),
        ([True, False, True], NAMES, "features must be indices or names of features, got True"),
        ("size", NAMES, r"got 'size'; there are \['age', 'height', 'weight'\]"),
        ("age", None, "got 'age'; the model has no feature names"),
        ([0, 1, "age"], NAMES, "features must be different features, but 0 is there twice"),
        ([1, -2], None, "features must be different features, but 1 is there twice"),
    ],
)
def test_wrong_features(features: Any, names: list[str] | None, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        check_features("features", features, 3, names)


def test_some_features_leave_others() -> None:
    given, others = check_some_features("features", [2], 3, None)
    assert given.tolist() == [2]
    assert others.tolist() == [0, 1]
    with pytest.raises(ParameterError, match="must leave at least one feature unknown, got all 3"):
        check_some_features("features", [2, 1, 0], 3, None)


@pytest.mark.parametrize(("names", "shown"), [(None, "2"), (NAMES, "'weight'")])
def test_targets_are_not_known(names: list[str] | None, shown: str) -> None:
    given = np.array([2, 0])
    assert check_targets([1], given, 3, names).tolist() == [1]
    with pytest.raises(ParameterError, match=f"targets must be unknown features, but {shown} is a"):
        check_targets([1, -1], given, 3, names)
