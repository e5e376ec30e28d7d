"""Rows out of reach: so far from a mixture that squared distances leave the range of their dtype.

The kernels keep log-densities above a floor, so such a row is as likely under one component as
under any other. Nothing that follows from that is right, so what meets such a row raises.
"""

from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from gaussmix._core import dispatch
from gaussmix._core.density import LOG_LOWEST, Density
from gaussmix._core.told import Told
from gaussmix._core.types import FloatArray, Labels, Rows
from gaussmix.model.gaps import keep, parts, target
from gaussmix.model.parameters import Parameters

NEAR_FLOOR = 0.999
"""The part of the floor that counts as the floor: in units of ln 2 it is rounded."""

SUSPICIOUS = 1e-16
"""The part of the floor below which a mean log-likelihood is looked into. One row at the floor
takes the mean of up to 1e16 rows there, and no sane mean comes near."""

TOLERATED_ERROR = 1e-2
"""Rounding of a row's log-likelihood beyond which a fit warns. EM was seen to fall from iteration
to iteration by up to 1.3 times what `rounding_errors` says, in 2 to 32 dimensions."""

CHUNK_ROWS = 1 << 20  # rows whose log-densities are held at a time


def assign_within_reach(
    rows: Rows,
    density: Density,
    labels: Labels,
    n_threads: int,
    what: str = "component",
    told: Told | None = None,
) -> None:
    """Write the most probable component of each row into labels (N,).

    Raises ValueError at a row out of reach of every component. One component needs no distances.
    """
    if density.n_terms == 1:
        labels.fill(0)
        return
    best = np.empty(min(len(rows), CHUNK_ROWS), dtype=rows.dtype)
    for start in range(0, len(rows), CHUNK_ROWS):
        chunk, found = rows[start : start + CHUNK_ROWS], labels[start : start + CHUNK_ROWS]
        scores = best[: len(chunk)]
        some = None if told is None else told[start : start + CHUNK_ROWS]
        for part in parts(chunk, density):
            best_of_part = target(scores, part)
            kernels = dispatch.kernels(part.rows)
            own = None if some is None else some[part.place]
            kernels.assign(part.rows, part.density, found[part.place], best_of_part, n_threads, own)
            keep(scores, part, best_of_part)
        require_reach(scores, chunk, density, start, what)


def responsibilities_within_reach(
    rows: Rows, density: Density, resp: Rows, n_threads: int = 1, told: Told | None = None
) -> None:
    """Write the responsibilities of the terms for each row into resp (N, T).

    Raises ValueError at a row out of reach of every component. One component needs no distances.
    """
    for part in parts(rows, density):
        found, own = target(resp, part), None if told is None else told[part.place]
        kernels = dispatch.kernels(part.rows)
        kernels.responsibilities(part.rows, part.density, found, n_threads, own)
        keep(resp, part, found)
    n_terms = density.n_terms
    if n_terms == 1:
        return
    # A row out of reach belongs to all components alike. So do rows in the middle of some mixtures.
    alike = np.flatnonzero(resp[:, 0] == rows.dtype.type(1) / rows.dtype.type(n_terms))
    if len(alike):
        _find_out_of_reach(rows, alike, density, told)


def find_log_likelihoods(
    rows: Rows, density: Density, out: Rows, n_threads: int, told: Told | None = None
) -> None:
    """Write the log-likelihood of each row into out (N,)."""
    for part in parts(rows, density):
        found, own = target(out, part), None if told is None else told[part.place]
        dispatch.kernels(part.rows).log_likelihood(part.rows, part.density, found, n_threads, own)
        keep(out, part, found)


def require_reach(
    log_densities: Rows, rows: Rows, density: Density, first_row: int = 0, what: str = "component"
) -> None:
    """Raise ValueError if a log-density of a row lies at the floor, (N,) or (N, K)."""
    if len(log_densities) and log_densities.min() <= _floor(rows):
        row = int(np.unravel_index(log_densities.argmin(), log_densities.shape)[0])
        _refuse(rows[row], first_row + row, density, what)


def require_mean_within_reach(
    totals: FloatArray,
    rows: Rows,
    weight: FloatArray | None,
    density: Density,
    told: Told | None = None,
) -> None:
    """Raise ValueError if a row of positive weight lies at the floor.

    totals (2,): the log-likelihood and weight of these rows, and of others perhaps. They tell
    where it is worth to look.
    """
    if _is_suspicious(totals[0], totals[1], rows.dtype):
        counted = np.arange(len(rows)) if weight is None else np.flatnonzero(weight > 0)
        _find_out_of_reach(rows, counted, density, told)


def is_suspicious(mean_log_likelihoods: FloatArray, dtype: np.dtype[np.floating]) -> bool:
    """Whether mean log-likelihoods are so low that a row may be out of reach."""
    return _is_suspicious(float(mean_log_likelihoods.min(initial=0.0)), 1.0, dtype)


def require_means_within_reach(parameters: Parameters, dtype: np.dtype[np.floating]) -> None:
    """Raise ValueError if means, and so rows, lie farther apart than rows of a dtype may."""
    limit = float(np.sqrt(-LOG_LOWEST[dtype]))
    if _range_of_means(parameters) <= limit:  # as always but for fill values
        return
    center = parameters.weights @ parameters.means
    deviations = np.abs(parameters.means - center)
    if deviations.max() > limit:
        component, feature = np.unravel_index(deviations.argmax(), deviations.shape)
        raise ValueError(
            f"squared distances in X overflow: component {component} has a mean of "
            f"{parameters.means[component, feature]:.3g} in feature {feature}, which must lie "
            f"within {limit:.0e} of the mixture's mean where X is {dtype}: {_way_out(dtype)}"
        )


def may_be_rounded(parameters: Parameters, dtype: np.dtype[np.floating]) -> bool:
    """Whether `rounding_errors` may exceed what is tolerated: a bound that takes little time."""
    distance = _range_of_means(parameters) + float(parameters.covariances.max()) ** 0.5
    factor = max(float(parameters.precisions_cholesky.max()), -parameters.precisions_cholesky.min())
    most = float(np.finfo(dtype).epsneg) * parameters.n_features * factor * distance
    return not most <= TOLERATED_ERROR  # NaN, too


def rounding_errors(parameters: Parameters, dtype: np.dtype[np.floating]) -> FloatArray:
    """Return about how much rounding changes log-likelihoods of each component's rows, (K,).

    A row is known to an eps of its distance from the mixture's mean, and so is every term of
    U' (x - mean).
    """
    structure = parameters.structure
    center = parameters.weights @ parameters.means
    deviations = np.sqrt(structure.diagonals(parameters.covariances))
    distances = np.abs(parameters.means - center) + deviations
    terms = structure.in_units(np.abs(parameters.precisions_cholesky), distances)
    errors: FloatArray = float(np.finfo(dtype).epsneg) * terms.max(axis=1)
    return errors


def _is_suspicious(total: float, weight: float, dtype: np.dtype[np.floating]) -> bool:
    """Whether the mean is too low; it is divided, since a bound for the total may overflow."""
    return weight > 0 and float(total) / float(weight) < SUSPICIOUS * LOG_LOWEST[dtype]


def _range_of_means(parameters: Parameters) -> float:
    return float(parameters.means.max() - parameters.means.min())


def _find_out_of_reach(
    rows: Rows, chosen: NDArray[np.intp], density: Density, told: Told | None = None
) -> None:
    """Raise if one of the chosen rows is out of reach."""
    for start in range(0, len(chosen), CHUNK_ROWS):
        places = chosen[start : start + CHUNK_ROWS]
        part = rows[places]
        finite = (~np.isinf(part) if density.gaps else np.isfinite(part)).all(axis=1)
        places, part = places[finite], part[finite]  # others are told as they are
        log_likelihood = np.empty(len(part), dtype=rows.dtype)
        some = None if told is None else told[places]
        find_log_likelihoods(part, density, log_likelihood, 1, some)
        if log_likelihood.min(initial=0.0) <= _floor(rows):
            row = int(places[log_likelihood.argmin()])
            _refuse(rows[row], row, density, "component")


def _floor(rows: Rows) -> float:
    return NEAR_FLOOR * LOG_LOWEST[rows.dtype]


def _refuse(row: Rows, number: int, density: Density, what: str) -> NoReturn:
    means = density.center + density.means
    with np.errstate(over="ignore"):
        distances = np.nan_to_num(np.abs(row.astype(np.float64) - means), posinf=np.inf)
    feature = int(distances.min(axis=0).argmax())
    nearest = means[distances[:, feature].argmin(), feature]
    raise ValueError(
        f"squared distances overflow {row.dtype} at row {number} of X (of its block, where X is "
        f"read block by block): feature {feature} is {row[feature]:.6g}, and the nearest {what} "
        f"has {nearest:.6g}: {_way_out(row.dtype)}"
    )


def _way_out(dtype: np.dtype[np.floating]) -> str:
    convert = ", or convert X to float64" if dtype == np.float32 else ""
    return f"leave out rows that hold fill values, scale the features{convert}"
