"""How many components, and of which covariance type: fit all combinations and compare."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import nullcontext
from functools import partial
from numbers import Integral
from time import perf_counter
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gaussmix import progress as progress_bar
from gaussmix._core import threads
from gaussmix._core.density import STRUCTURES as FORMS
from gaussmix._core.types import FloatArray, Rows, Seed
from gaussmix.data.base import InMemory
from gaussmix.data.inputs import opened, route
from gaussmix.errors import ParameterError
from gaussmix.estimators.attributes import set_outcome
from gaussmix.estimators.base import Names, feature_names, remember_features
from gaussmix.estimators.fitting import best_run, settings_of
from gaussmix.estimators.mixture import GaussianMixture
from gaussmix.model.covariance import STRUCTURES, structure_named
from gaussmix.model.parameters import Parameters
from gaussmix.model.scoring import LikelihoodPass, Score, UncertaintyPass
from gaussmix.model.statistics import pass_flops
from gaussmix.selection.candidates import CRITERIA, Candidate, Selection
from gaussmix.validation import (
    check_boolean,
    check_choice,
    check_integer,
    check_n_threads,
    check_random_state,
)

DEFAULTS: dict[str, Any] = {
    "tol": 1e-6,
    "reg_covar": 0.0,
    "max_iter": 1000,
    "accelerate": "squarem",
    "n_init": 5,
}
"""Fits whose criteria are compared go on for longer than GaussianMixture's own, and acceleration
halves their passes. With a reg_covar components on a few equal rows would have a great likelihood;
without one they collapse and say so."""

GIVEN_STARTS = ("weights_init", "means_init", "precisions_init", "warm_start")

POOLED_FLOPS = (2e6, 1e8)
"""Mixtures whose passes take this much are fitted side by side, one on each thread: on 2 cores in
0.6 of the time they take one after another. Smaller ones are mostly Python, and side by side take
1.4 times as long; larger ones keep all threads busy by themselves."""

Key: TypeAlias = tuple[int, str]


class _Data(NamedTuple):
    """What is fitted: rows (N, D), their weights (N,), and the fold (N,) that holds each out."""

    rows: Rows
    weight: FloatArray | None
    folds: NDArray[np.int32] | None
    names: Names | None

    @property
    def n_features(self) -> int:
        """D."""
        return int(self.rows.shape[1])

    def weighted(self, weight: FloatArray | None, n_threads: int | None) -> InMemory:
        """Return the rows with other weights."""
        return InMemory(self.rows, weight, n_threads)


class _Fit(NamedTuple):
    """A row of the table, and its model unless it failed."""

    row: Candidate
    model: GaussianMixture | None


class _UnfitError(Exception):
    """A mixture cannot be fitted to the data; the message says why."""


def select(
    X: object,
    n_components: int | Iterable[int] = range(1, 11),
    covariance_types: str | Iterable[str] = FORMS,
    *,
    criterion: str = "bic",
    n_splits: int = 5,
    sample_weight: object = None,
    random_state: Seed = None,
    n_threads: int | None = None,
    progress: bool = False,
    **params: Any,
) -> Selection:
    r"""Fit mixtures of every number of components and covariance type, and choose the best.

    Every fit is what ``GaussianMixture(...).fit(X)`` would give with the same parameters and
    `random_state`. One whose components collapse, or that has more components than there are rows,
    fails: its row of the table says why, and it is never chosen.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
    n_components : int or iterable of int, default=range(1, 11)
    covariance_types : str or iterable of str, default=('full', 'tied', 'diag', 'spherical')
    criterion : {'bic', 'aic', 'icl', 'cv'}, default='bic'
        Information criteria as `GaussianMixture.bic`, `aic` and `icl` have them, of which the
        lowest is chosen; or the mean log-likelihood of rows held out by cross-validation (Smyth,
        2000), of which the highest is.
    n_splits : int, default=5
        Number of random parts that are held out in turn, for 'cv': so many more fits.
    sample_weight : array-like of shape (n_samples,), optional
        Weights of the rows, as if each were there so many times.
    random_state : int, RandomState, Generator or None, default=None
        Source of one seed, which all fits and the choice of parts share.
    n_threads : int, optional
        Number of threads; it changes nothing but the time.
    progress : bool, default=False
        Show a bar, on a terminal where tqdm is installed.
    **params
        Other parameters of `GaussianMixture`, by default tol=1e-6, reg_covar=0, max_iter=1000,
        accelerate='squarem' and n_init=5.

    Returns
    -------
    Selection
        With `best_model`, `table`, `to_frame`, `plot`; printed, it is a table of the criterion.

    Raises
    ------
    ValueError
        If an argument is not acceptable, or all fits failed.

    References
    ----------
    Smyth (2000), Model selection for probabilistic clustering using cross-validated likelihood,
    Statistics and Computing 10, 63-72.

    Examples
    --------
    >>> import numpy as np
    >>> import gaussmix
    >>> rng = np.random.default_rng(0)
    >>> X = np.concatenate([rng.normal(size=(100, 2)), rng.normal(9.0, 2.0, size=(100, 2))])
    >>> selection = gaussmix.select(X, range(1, 5), random_state=0)
    >>> selection.best.n_components, selection.best.covariance_type
    (2, 'spherical')
    """
    keys = [(k, s) for k in _counts(n_components) for s in _structures(covariance_types)]
    criterion = check_choice("criterion", criterion, CRITERIA)
    models = _models(keys, {**DEFAULTS, **params, "random_state": _seed(random_state)})
    data = _data(X, sample_weight, models[0], criterion == "cv", n_splits)
    check_n_threads(n_threads)
    fits = _fit_all(_distinct(models, data.n_features), data, n_threads, progress)
    table = tuple(_row(fits, key, data.n_features) for key in keys)
    best = min(fits.values(), key=lambda fit: fit.row.loss(criterion))
    if best.model is None:
        raise ValueError(_nothing_fitted(table))
    remember_features(best.model, data.n_features, data.names)
    best.model.set_params(n_threads=n_threads)
    return Selection(best.model, table, criterion)


def _counts(n_components: object) -> list[int]:
    counts = [n_components] if isinstance(n_components, Integral) else n_components
    if isinstance(counts, str) or not isinstance(counts, Iterable):
        raise ParameterError(
            f"n_components must be an integer or several of them, got {n_components!r}"
        )
    checked = sorted({check_integer("n_components", count, 1) for count in counts})
    if not checked:
        raise ParameterError(f"n_components must not be empty, got {n_components!r}")
    return checked


def _structures(covariance_types: object) -> list[str]:
    names = [covariance_types] if isinstance(covariance_types, str) else covariance_types
    if not isinstance(names, Iterable):
        raise ParameterError(
            f"covariance_types must be a string or several of them, got {covariance_types!r}"
        )
    checked = [check_choice("covariance_types", name, tuple(STRUCTURES)) for name in names]
    if not checked:
        raise ParameterError(f"covariance_types must not be empty, got {covariance_types!r}")
    return list(dict.fromkeys(checked))


def _seed(random_state: Seed) -> int:
    source = check_random_state(random_state)
    if isinstance(random_state, Integral):
        return int(random_state)
    return int(source.randint(2**32, dtype=np.int64))


def _models(keys: Sequence[Key], params: dict[str, Any]) -> list[GaussianMixture]:
    for name in GIVEN_STARTS:
        if name in params:
            raise ParameterError(f"{name} cannot be given: select chooses the starts of its fits")
    if params.get("checkpoint") is not None:
        raise ParameterError("checkpoint cannot be given: it holds one fit, and select makes many")
    models = [GaussianMixture(k, covariance_type=s, **params) for k, s in keys]
    settings_of(models[0])
    for model in models:
        if model.n_components == 1:  # all starts lead to the one optimum
            model.set_params(n_init=1)
    return models


def _data(
    X: object,
    sample_weight: object,
    model: GaussianMixture,
    held_out: bool,
    n_splits: object,
) -> _Data:
    """Check the rows once for all fits, and deal them out to the folds."""
    kind, X = type(X).__name__, opened(X)
    data, names = route(X, sample_weight, estimator=type(model).__name__), feature_names(X)
    if not isinstance(data, InMemory):
        raise ParameterError(
            f"X must be rows in memory for select, an array or a frame, got {kind}: "
            "read them first, as np.concatenate([table.rows for table in gaussmix.scan(X)]) does, "
            "or compute() a Dask collection"
        )
    rows, weight = data.rows, data.sample_weight
    if not held_out:
        return _Data(rows, weight, None, names)
    n_splits = check_integer("n_splits", n_splits, 2)
    if n_splits > len(rows):
        raise ParameterError(f"n_splits must be at most the {len(rows)} rows of X, got {n_splits}")
    order = check_random_state(model.random_state).permutation(len(rows))
    return _Data(rows, weight, (order % n_splits).astype(np.int32), names)


def _distinct(models: Sequence[GaussianMixture], n_features: int) -> dict[Key, GaussianMixture]:
    """The models that differ, by their keys: nothing is fitted twice."""
    distinct: dict[Key, GaussianMixture] = {}
    for model in models:
        key = _key(int(model.n_components), model.covariance_type, n_features)
        distinct.setdefault(key, model)
    return distinct


def _key(n_components: int, structure: str, n_features: int) -> Key:
    """Name a model: the same for structures that say the same in this case."""
    alike = structure_named(structure).representative(n_components, n_features)
    return n_components, alike.name


def _row(fits: dict[Key, _Fit], key: Key, n_features: int) -> Candidate:
    row = fits[_key(*key, n_features)].row
    return row if row[:2] == key else row._replace(covariance_type=key[1], seconds=0.0)


def _fit_all(
    models: dict[Key, GaussianMixture], data: _Data, n_threads: int | None, progress: bool
) -> dict[Key, _Fit]:
    shown = check_boolean("progress", progress)
    bar = progress_bar.bar("selecting", "fits") if shown else nullcontext(lambda *_: None)
    fits = {}
    with bar as tell:
        for key, fit in _each_fit(models, data, n_threads):
            fits[key] = fit
            tell(len(fits), len(models))
    return {key: fits[key] for key in models}  # in order, whichever was first


def _each_fit(
    models: dict[Key, GaussianMixture], data: _Data, n_threads: int | None
) -> Iterator[tuple[Key, _Fit]]:
    """Fit the models, on as many threads as serve, and return each when it is ready."""
    low, high = POOLED_FLOPS
    work = {key: pass_flops(data.rows, _outline(model, data)) for key, model in models.items()}
    together = [key for key in models if low <= work[key] < high]
    n_workers = min(threads.resolve(n_threads).number, len(together))
    if n_workers < 2:
        together = []
    with ThreadPoolExecutor(max(n_workers, 1)) as pool:
        try:
            order = sorted(together, key=lambda key: -work[key])  # so that none ends alone
            futures = {pool.submit(_fit, models[key], data, 1): key for key in order}
            yield from ((futures[done], done.result()) for done in as_completed(futures))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    for key in models:
        if key not in together:
            yield key, _fit(models[key], data, n_threads)


def _outline(model: GaussianMixture, data: _Data) -> Parameters:
    """Parameters of the model's size, to count with."""
    empty = np.empty(0)
    means = np.broadcast_to(empty.sum(), (int(model.n_components), data.n_features))
    return Parameters(structure_named(model.covariance_type), empty, means, empty, empty)


def _fit(model: GaussianMixture, data: _Data, n_threads: int | None) -> _Fit:
    start = perf_counter()
    model.set_params(n_threads=n_threads)
    size = int(model.n_components), model.covariance_type, _outline(model, data).n_free()
    try:
        parameters = _keep_best_run(model, data.weighted(data.weight, n_threads))
        criteria = _criteria(model, data, parameters)
        if data.folds is not None:
            criteria["cv"] = _cross_validated(model, data, data.folds)
    except (_UnfitError, ValueError) as error:
        seconds = perf_counter() - start
        return _Fit(Candidate(*size, seconds=seconds, problem=str(error)), None)
    row = Candidate(*size, **criteria, converged=model.converged_, n_iter=model.n_iter_)
    return _Fit(row._replace(seconds=perf_counter() - start), model)


def _keep_best_run(model: GaussianMixture, data: InMemory) -> Parameters:
    """Fit without a word: what `GaussianMixture.fit` warns of ends up in the table."""
    weight = data.sample_weight
    n_rows = data.n_samples if weight is None else np.count_nonzero(weight)
    if n_rows < model.n_components:
        raise _UnfitError(f"fewer rows ({n_rows}) than components")
    run = best_run(data, settings_of(model), {})
    if run.result.collapsed:
        raise _UnfitError("singular: a component collapsed onto too few distinct rows")
    set_outcome(model, run)
    return run.result.parameters


def _criteria(model: GaussianMixture, data: _Data, parameters: Parameters) -> dict[str, Any]:
    weighted = data.weighted(data.weight, model.n_threads)
    uncertainty = weighted.total(partial(UncertaintyPass, parameters)).total
    score = Score(weighted.weight * model.lower_bound_, weighted.weight)
    n_free = parameters.n_free()
    return {
        "log_likelihood": score.total,
        "bic": score.bic(n_free),
        "aic": score.aic(n_free),
        "icl": score.bic(n_free) + 2 * uncertainty,
    }


def _cross_validated(model: GaussianMixture, data: _Data, folds: NDArray[np.int32]) -> float:
    """Mean log-likelihood of the rows, each under a fit in which it had weight 0."""
    weight = np.ones(len(data.rows)) if data.weight is None else data.weight
    log_likelihood, n_splits = 0.0, int(folds.max()) + 1
    for fold in range(n_splits):
        held_out = np.where(folds == fold, weight, 0.0)
        if not held_out.any():
            continue
        other = GaussianMixture(**model.get_params())
        try:
            parameters = _keep_best_run(other, data.weighted(weight - held_out, other.n_threads))
        except (_UnfitError, ValueError) as error:
            raise _UnfitError(f"{error} (without part {fold + 1} of {n_splits})") from None
        seen = data.weighted(held_out, other.n_threads)
        log_likelihood += seen.total(partial(LikelihoodPass, parameters)).total
    return log_likelihood / float(weight.sum())


def _nothing_fitted(table: Sequence[Candidate]) -> str:
    first = table[0]
    return (
        f"none of the {len(table)} mixtures could be fitted; n_components={first.n_components}, "
        f"covariance_type={first.covariance_type!r}: {first.problem}. Leave out features that are "
        "constant or combinations of others, ask for fewer components or simpler "
        "covariance_types, or pass a reg_covar such as 1e-6"
    )
