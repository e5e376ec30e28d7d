"""What a fit warns of: that it did not converge, components that collapsed or lost digits."""

from typing import Any

import numpy as np

from gaussmix._core.density import EMPTY
from gaussmix.em.loop import EMResult
from gaussmix.errors import CollapseWarning, PrecisionWarning, warn, warn_convergence
from gaussmix.model.parameters import Parameters
from gaussmix.model.reach import TOLERATED_ERROR, may_be_rounded, rounding_errors

NAMED_COMPONENTS = 10  # collapsed components that a warning lists


def warn_of_fit(model: Any, result: EMResult, dtype: np.dtype[np.floating]) -> None:
    """Warn of what a fit of a mixture came to, where that is not what the user may expect."""
    if not result.converged and model.max_iter > 0:
        warn_convergence(
            "Best performing initialization did not converge. Try different init parameters, "
            "or increase max_iter, tol, or check for degenerate data. "
            f"max_iter={model.max_iter} iterations did not bring the change of the "
            f"{model._climbs} below tol={float(model.tol):g}."
        )
    if result.parameters.weights.sum() < EMPTY:
        warn(
            "Noise took all rows, and no component has any: X has too few rows, or "
            f"reg_covar={_shown(model.reg_covar)} is large beside the variances of its features "
            "(reg_covar='relative' follows them).",
            CollapseWarning,
        )
    else:
        warn_collapsed(model, result.collapsed)
    warn_rounded(model, result.parameters, dtype)


def warn_collapsed(model: Any, collapsed: tuple[int, ...]) -> None:
    """Warn of components that collapsed, if there are any."""
    if collapsed:
        model._warned = getattr(model, "_warned", frozenset[int]()).union(collapsed)
        warn(
            f"{_listed(collapsed)} collapsed: too few distinct rows, or features that "
            "are constant or combinations of others, so that covariances had to be "
            f"regularised. Reduce n_components={model.n_components}, increase "
            f"reg_covar={_shown(model.reg_covar)}, or use a simpler covariance_type than "
            f"{model.covariance_type!r}.",
            CollapseWarning,
        )


def warn_rounded(model: Any, parameters: Parameters, dtype: np.dtype[np.floating]) -> None:
    """Warn of components that have too few digits, once of each until the next fit."""
    if not may_be_rounded(parameters, dtype):
        return
    errors = rounding_errors(parameters, dtype)
    known: frozenset[int] = getattr(model, "_rounded", frozenset())
    rounded = [k for k in np.flatnonzero(errors > TOLERATED_ERROR).tolist() if k not in known]
    if rounded:
        model._rounded, error = known.union(rounded), errors[rounded].max()
        convert = "Convert X to float64, leave" if dtype == np.float32 else "Leave"
        warn(
            f"{_listed(tuple(rounded))} lost digits: standard deviations are so small "
            f"beside distances from the mixture's mean that {dtype} rounds log-likelihoods of "
            f"rows by up to about {error:.2g}. {convert} out rows far from all others, "
            f"or increase reg_covar={_shown(model.reg_covar)}.",
            PrecisionWarning,
        )


def _shown(reg_covar: float | str) -> str:
    return repr(reg_covar) if isinstance(reg_covar, str) else f"{float(reg_covar):g}"


def _listed(components: tuple[int, ...]) -> str:
    if len(components) == 1:
        return f"Component {components[0]}"
    named = ", ".join(str(k) for k in components[:NAMED_COMPONENTS])
    rest = len(components) - NAMED_COMPONENTS
    return f"Components {named}{f' and {rest} more' if rest > 0 else ''}"
