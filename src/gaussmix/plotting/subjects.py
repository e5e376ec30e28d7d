"""What a picture of a model shows, as numbers: its components, and rows with their shares."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from gaussmix._core.types import FloatArray, Rows
from gaussmix.model.parameters import Parameters
from gaussmix.plotting.colors import COLORS, component_colors
from gaussmix.plotting.views import View, percent

MOST_LISTED = len(COLORS)  # components that a legend lists: one for each colour

Levels = Callable[[Parameters, FloatArray], FloatArray]
"""Mixture and probabilities (P,) -> the log-densities (P,) that bound the densest regions."""


@dataclass(frozen=True)
class Points:
    """Rows that are drawn, which may be a sample."""

    rows: Any  # (n, D), may be sparse
    resp: Rows  # (n, K)
    n_samples: int  # of which they are drawn

    def note(self) -> str | None:
        """Say that they are a sample, if they are one."""
        n_drawn = len(self.resp)
        return f"{n_drawn:,} of {self.n_samples:,} rows" if n_drawn < self.n_samples else None

    @property
    def uncertainty(self) -> FloatArray:
        """How unsure each row's component is: 1 minus its largest share, (n,)."""
        largest = self.resp.max(axis=1).astype(np.float64)
        return np.asarray(np.maximum(1.0 - largest, 0.0))

    def in_any_order(self) -> "Points":
        """Return the rows shuffled, so that no component's lie on top of all others'."""
        order = np.random.RandomState(0).permutation(len(self.resp))
        return Points(self.rows[order], self.resp[order], self.n_samples)


@dataclass(frozen=True)
class Subject:
    """A model as pictures need it. `hard` is for K-means, which has cells and no spread."""

    parameters: Parameters
    names: tuple[str, ...]  # of the features
    level: float = 0.9  # of the ellipses
    points: Points | None = None
    levels: Levels | None = None
    hard: bool = False

    @cached_property
    def colors(self) -> FloatArray:
        """An sRGB colour for each component, (K, 3)."""
        means = self.parameters.means
        scale = means.std(axis=0)
        return component_colors((means - means[0]) / np.where(scale > 0, scale, 1.0))

    def seen_from(self, view: View) -> Parameters:
        """Return the marginal mixture of a view."""
        return view.mixture(self.parameters)

    def component_labels(self) -> list[str]:
        """Return what a legend says of each component."""
        if self.hard:
            return [f"cluster {k}" for k in range(self.parameters.n_components)]
        return [
            f"component {k}, {percent(weight)}"
            for k, weight in enumerate(self.parameters.weights.tolist())
        ]
