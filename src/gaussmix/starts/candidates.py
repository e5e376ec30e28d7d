"""Starts that take part in the race: groups that K-means finds in some view, and random rows."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from gaussmix._core import dispatch
from gaussmix._core.types import FloatArray, Labels
from gaussmix.data.subsample import Sample
from gaussmix.kmeans.nearest import improve
from gaussmix.kmeans.seeding import distinct_rows, plus_plus
from gaussmix.model.covariance import CovarianceStructure, NotPositiveDefiniteError
from gaussmix.model.m_step import m_step
from gaussmix.model.parameters import Parameters
from gaussmix.model.statistics import collect_labelled
from gaussmix.model.structures import SPHERICAL
from gaussmix.starts.budget import MANY, n_free
from gaussmix.starts.race import Race
from gaussmix.starts.views import RIDGE, Views

LINES = 5  # a line shows no more groups, a plane that number squared
OWN_FROM = 8  # from so many components on variances are each group's own, not of all groups
SPREAD = 0.5  # covariances around random rows, over the data's and K^(2/D)
LLOYD_ITERATIONS, LLOYD_TOL = 30, 1e-4
TRIALS, TRIALS_ON_LINES = (
    6,
    4,
)  # candidates for each of K-means' first centres, at most

KINDS = (
    *("t-high 2", "t-high 3", "f-high 2", "svd", "t-high 1", "far white", "f-low 2", "near"),
    *("t-low 1", "white", "far near", "std", "f-high 1", "shrunk", "rows white", "t-low 2"),
    *("far white", "f-low 1", "f-high 3", "rows near", "far near", "far white"),
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

CALLS = 100  # microseconds of the calls of a K-means, or of those that make components of groups
TRIAL, ITERATION = 0.8, 0.5
"""Microseconds for a thousand numbers, of a candidate for the next centre and of a K-means pass,
and for each cluster."""


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

    def fits(kind: str) -> bool:
        n = int(kind[-1]) if kind[1] == "-" else 0
        return n == 0 or (n < d and LINES**n >= k)

    kinds = [kind for kind in KINDS if fits(kind)]
    if k >= MANY or race.n_rows < n_free(d, k, race.structure):
        kinds.remove("svd")
        kinds[:0] = ["svd", "raw"] if k >= OWN_FROM else ["svd"]
    return kinds


def candidates(views: Views, race: Race) -> Iterator[tuple[str, Parameters | None]]:
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


def _start(views: Views, race: Race, kind: str, *, again: bool) -> Parameters:
    if " " in kind and kind[1] != "-":
        how, name = kind.split()
        return around_rows(views, race, name, far=how == "far")
    most = TRIALS_ON_LINES if kind[1] == "-" else TRIALS
    labels = kmeans_labels(views, race, kind, 1 if again else min(race.n_components, most))
    return around_groups(views, race, labels)


def kmeans_labels(views: Views, race: Race, name: str, n_trials: int) -> Labels:
    """Group rows by K-means in a view. A cluster that loses its rows stays where it was."""
    rows, weight, k = views[name], race.sample.weight, race.n_components
    centers = plus_plus(Sample(rows, weight), k, race.random_state, race.n_threads, n_trials)
    labels = np.full(len(rows), -1, dtype=np.int32)
    n_iter, _, _ = improve(
        rows,
        weight,
        centers,
        labels,
        max_iter=LLOYD_ITERATIONS,
        threshold=LLOYD_TOL * float(np.vdot(rows, rows)) / rows.size,
        n_threads=race.n_threads,
    )
    passes = TRIAL * (n_trials + 1) + ITERATION * n_iter
    race.work.add(CALLS + rows.size * k * 1e-3 * passes)
    return labels


def around_groups(views: Views, race: Race, labels: Labels) -> Parameters:
    """Make every group a component.

    Full and tied covariances are those of the groups, and so are variances of many components. Of
    few groups the variances that all have in common are a steadier guess.
    """
    structure, k = race.structure, race.n_components
    common = structure.form in ("diag", "spherical") and k < OWN_FROM
    held = SPHERICAL if common else structure
    shift = np.zeros((k, race.n_features))
    weight = race.sample.weight
    sums = collect_labelled(views.rows, weight, labels, held, shift, race.n_threads)
    race.work.add(CALLS + race.cost)
    found, _ = m_step(sums, race.reg_covar)
    means = views.mean + found.means
    if not common:
        return replace(found, means=means)
    within = alike(_common(views, found.means, found.weights), structure, k)
    return Parameters.from_covariances(structure, found.weights, means, within)


def _common(views: Views, means: FloatArray, parts: FloatArray) -> FloatArray:
    """Return the variances (D,) within groups, beside which rounding error is not 0."""
    return np.maximum(views.variances - parts @ means**2, 0) + RIDGE * views.spread


def alike(common: FloatArray, structure: CovarianceStructure, n_components: int) -> FloatArray:
    """Return covariances that are all one: a matrix (D, D), or variances (D,) of wide data."""
    if common.ndim == 2:
        return structure.alike(common, n_components)
    if structure.form == "diag":
        return np.repeat(common[None], n_components, axis=0)
    return np.repeat(common.mean(keepdims=True), n_components)


def around_rows(views: Views, race: Race, name: str, *, far: bool) -> Parameters:
    """Make components of one shape around random rows, far apart (k-means++) or any."""
    k, sample = race.n_components, race.sample
    race.work.add(CALLS)
    if far:
        seen = Sample(views[name], sample.weight)
        uniforms = race.random_state.random_sample(k)
        drawn = np.empty(k, dtype=np.int64)
        dispatch.kernels(seen.rows).plus_plus(*seen, uniforms, drawn, 1, 1)
        race.work.add(views.rows.size * k * 2e-3 * TRIAL)
    else:
        drawn = distinct_rows(race.n_rows, k, sample.weight, race.random_state)
    means = views.mean + views.rows[drawn]
    scale = SPREAD * k ** (-2 / race.n_features)
    common = views.spread if name == "std" else views.metric(name)
    covariances = alike(common * scale, race.structure, k)
    return Parameters.from_covariances(race.structure, np.full(k, 1 / k), means, covariances)
