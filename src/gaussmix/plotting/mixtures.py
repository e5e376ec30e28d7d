"""Pictures of models by their kind, and the plane that they are seen in."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix.errors import ParameterError
from gaussmix.plotting import backend
from gaussmix.plotting.line import draw_histogram, draw_line_density, draw_line_uncertainty
from gaussmix.plotting.pairs import draw_pairs
from gaussmix.plotting.plane import (
    draw_classification,
    draw_components,
    draw_density,
    draw_uncertainty,
)
from gaussmix.plotting.subjects import Subject
from gaussmix.plotting.views import View, features_view, separating_view

Draw = Callable[[Any, Subject, View], None]

DRAWN: dict[str, tuple[Draw, Draw]] = {
    "classification": (draw_histogram, draw_classification),
    "uncertainty": (draw_line_uncertainty, draw_uncertainty),
    "density": (draw_line_density, draw_density),
    "components": (draw_histogram, draw_components),
}
"""How one and two features are drawn, by kind."""

SIZE = (7.8, 5.2)  # inches, with the legend beside the axes
MOST_PAIRS = 12
"""Features that a matrix has without being asked for more: 144 panels."""


def draw_mixture(subject: Subject, kind: str, features: NDArray[np.intp] | None, ax: Any) -> Any:
    """Draw a model on axes, or on a new figure, and return the axes: an array of them for pairs."""
    n_features = subject.parameters.n_features
    if kind == "pairs":
        if ax is not None:
            raise ParameterError("ax must be None for kind='pairs', which has a figure of its own")
        if features is None and n_features > MOST_PAIRS:
            raise ParameterError(
                f"features must be given for kind='pairs' of more than {MOST_PAIRS} features, of "
                f"which this model has {n_features}"
            )
        return draw_pairs(subject, np.arange(n_features) if features is None else features)
    if features is not None and len(features) > 2:
        raise ParameterError(
            f"features must be one or two for kind={kind!r}, got {len(features)}: kind='pairs' "
            "draws more"
        )
    axes = backend.axes_on(ax, SIZE)
    view = _view(subject, features)
    DRAWN[kind][len(view.labels) - 1](axes, subject, view)
    if ax is None:
        backend.move_legend_out(axes)
    return axes


def _view(subject: Subject, features: NDArray[np.intp] | None) -> View:
    if features is None and subject.parameters.n_features > 2:
        return separating_view(subject.parameters)
    if features is None:
        features = np.arange(subject.parameters.n_features)
    return features_view(features, subject.names)
