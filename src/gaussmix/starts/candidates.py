"""Starts that take part in the race: groups that K-means finds in some view, and random rows."""

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np

from gaussmix._core import dispatch
from gaussmix._core.types import FloatArray
from gaussmix.kmeans.seeding import distinct_rows
from gaussmix.model.covariance import CovarianceStructure, NotPositiveDefiniteError
from gaussmix.model.parameters import Parameters
from gaussmix.starts.budget import MANY, n_free, seeding_cost
from gaussmix.starts.race import Clusters, Race, Start
from gaussmix.starts.views import Views

LINES = 3  # a line shows no more groups, a plane that number squared
PLAIN_FROM = 16
"""Of so many features, rows as they are come first, then standardised ones: few other views fit
into the time, and none led to the best as often."""

RAW_FROM = 8  # from so many components on K-means of the rows as they are comes second
SPREAD = 0.5  # covariances around random rows, over the data's and K^(2/D)
TRIALS, TRIALS_ON_LINES = 6, 4  # candidates for each of K-means' first centres, at most

KINDS = (
    *("t-high 1", "t-high 3", "f-high 3", "f-high 2", "svd", "t-high 2", "far white", "f-low 2"),
    *("near", "t-low 1", "white", "far near", "std", "f-high 1", "shrunk", "rows white"),
    *("t-low 2", "far white", "f-low 1", "rows near", "far near", "far white"),
)
"""Kinds of candidates in the order that found the best most often on eighteen problems: a view for
K-means, or rows of a view, near or far apart. The list is gone through again and again."""

WIDE_KINDS = ["std", "raw", "rows std"]
"""Kinds that need no matrix of all pairs of features."""

VIEW_NAMES = {
    "raw": "centred rows",
    "std": "standardised rows",
    "svd": "partly whitened rows",
    "white": "whitened rows",
    "near": "rows scaled by their neighbours",
    "shrunk": "rows scaled by their neighbours, far ones drawn in",
}

ROWS = 95  # microseconds of the calls that make components around rows

Candidate: TypeAlias = tuple[str, Start | None]
"""Of a kind; None where a covariance is not definite."""


def described(kind: str) -> str:
    """Return what a kind of candidate is, in words."""
    if kind == "repair":
        return "two components merged and one split"
    if kind == "insertion":
        return "two components merged and one put where rows had none"
    if kind[1] == "-":
        plural = "s" if kind[-1] != "1" else ""
        return f"K-means in {kind[-1]} invariant coordinate{plural} ({kind})"
    if " " not in kind:
        return f"K-means of {VIEW_NAMES[kind]}"
    how, name = kind.split()
    return f"random {VIEW_NAMES[name]}{', far apart' if how == 'far' else ''}"


def is_wide(n_features: int, n_components: int, structure: CovarianceStructure) -> bool:
    """Whether matrices of all pairs of features would cost more than EM, which needs none."""
    return structure.form in ("diag", "spherical") and n_features > 16 * n_components


def kinds_for(race: Race) -> list[str]:
    """Return the kinds that make sense, in order.

    A few directions show few groups. With many components, or hardly a row for every parameter,
    the view that is best on average comes first.
    """
    k, d = race.n_components, race.n_features
    if is_wide(d, k, race.structure):
        return WIDE_KINDS
    if d == 1:
        return ["std", "far white", "rows white"]

    if d >= PLAIN_FROM:
        first = ["raw", "std"]
    elif k >= MANY or race.n_rows < n_free(d, k, race.structure):
        first = ["svd"]
    else:
        first = ["t-high 2" if d > 2 else "t-high 1", "svd"] if race.structure.shared else []
    if k >= RAW_FROM and "raw" not in first:
        first.append("raw")

    def fits(kind: str) -> bool:
        n = int(kind[-1]) if kind[1] == "-" else 0
        return n == 0 or (n < d and LINES**n >= k)

    kinds = [*first, *(kind for kind in KINDS if kind not in first)]
    return [kind for kind in kinds if fits(kind)]


def candidates(views: Views, race: Race) -> Iterator[Candidate]:
    """Yield starts without end, each with its kind; None where a covariance is not definite."""
    kinds = kinds_for(race)
    turn = 0
    while True:
        kind, again = kinds[turn % len(kinds)], turn >= len(kinds)
        turn += 1
        try:
            yield kind, _start(views, race, kind, again=again)
        except NotPositiveDefiniteError:
            race.work.add(100)
            yield kind, None


def _start(views: Views, race: Race, kind: str, *, again: bool) -> Start:
    if " " in kind and kind[1] != "-":
        how, name = kind.split()
        return around_rows(views, race, name, far=how == "far")
    most = TRIALS_ON_LINES if kind[1] == "-" else TRIALS
    return Clusters(views[kind], 1 if again else min(race.n_components, most))


def alike(common: FloatArray, structure: CovarianceStructure, n_components: int) -> FloatArray:
    """Return covariances that are all one: a matrix (D, D), or variances (D,) of wide data."""
    if common.ndim == 2:
        return structure.alike(common, n_components)
    if structure.form == "diag":
        return np.repeat(common[None], n_components, axis=0)
    return np.repeat(common.mean(keepdims=True), n_components)


def around_rows(views: Views, race: Race, name: str, *, far: bool) -> Parameters:
    """Make components of one shape around random rows, far apart (k-means++) or any."""
    k, weight = race.n_components, race.sample.weight
    race.work.add(ROWS)
    if far:
        view, drawn = views[name], np.empty(k, dtype=np.int64)
        uniforms = race.random_state.random_sample(k)
        dispatch.kernels(view).plus_plus(view, weight, uniforms, drawn, 1, 1)
        race.work.add(seeding_cost(race.n_rows, view.shape[1], k, 1))
    else:
        drawn = distinct_rows(race.n_rows, k, weight, race.random_state)
    scale = SPREAD * k ** (-2 / race.n_features)
    common = views.spread if name == "std" else views.metric(name)
    weights, covariances = np.full(k, 1 / k), alike(common * scale, race.structure, k)
    return Parameters.from_covariances(race.structure, weights, views.rows[drawn], covariances)
