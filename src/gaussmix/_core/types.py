"""Types that the whole library names: arrays, seeds, paths and covariance structures."""

import os
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float64]

Rows: TypeAlias = NDArray[np.floating]
"""Rows of data, (N, D), or what has a value per row: float32 or float64."""

Labels: TypeAlias = NDArray[np.int32]
"""The component or cluster of each row, (N,)."""

Seed: TypeAlias = int | np.random.RandomState | np.random.Generator | None
"""What `random_state` may be."""

PathLike: TypeAlias = str | os.PathLike[str]

Structure: TypeAlias = Literal["full", "tied", "diag", "spherical"]
"""A form of covariances that the kernels know."""
