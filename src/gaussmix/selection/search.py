"""How many components, and of which covariance type: fit all combinations and compare."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import nullcontext
from functools import partial
from numbers import Integral
from time import perf_counter
from typing import Any, Literal, NamedTuple, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from gaussmix._core import threads
from gaussmix._core.density import STRUCTURES as FORMS
from gaussmix._core.types import (
    CovarianceType,
    RowsLike,
    Seed,
    SelectionCriterion,
    WeightLike,
)
from gaussmix.data.base import Data, InMemory
from gaussmix.data.inputs import opened, route
from gaussmix.data.observed import require_observed
from gaussmix.data.scale import require_features_to_scale
from gaussmix.data.streamed import Streamed
from gaussmix.data.subsample import most_rows
from gaussmix.display import progress as progress_bar
from gaussmix.errors import ParameterError
from gaussmix.estimators.attributes import set_noise_box, set_outcome
from gaussmix.estimators.base import Names, feature_names, remember_features
from gaussmix.estimators.bayesian import BayesianGaussianMixture
from gaussmix.estimators.fitting import best_run
from gaussmix.estimators.mixture import GaussianMixture
from gaussmix.estimators.settings import Settings, settings_of, with_noise_of
from gaussmix.model.covariance import structure_named, structure_names
from gaussmix.model.families import CODES
from gaussmix.model.parameters import Parameters
from gaussmix.model.scoring import LikelihoodPass, Score, UncertaintyPass
from gaussmix.model.statistics import n_terms
from gaussmix.model.structures import Matrices
from gaussmix.selection.candidates import CRITERIA, Candidate, Selection
from gaussmix.selection.degenerate import Degenerate, find_degenerate
from gaussmix.validation import (
    check_boolean,
    check_choice,
    check_integer,
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

ALL = "all"  # of mclust's families

MOST_COMPONENTS = np.iinfo(np.int32).max  # whose numbers are labels

GIVEN_STARTS = ("weights_init", "means_init", "precisions_init", "warm_start")

START, QUICK_START = "emem", "auto"
START_FLOPS = 2e6
"""The starts of small fits, whose passes take no more than START_FLOPS, and those of larger ones.
For three full components of Old Faithful five of six seeds end at the best optimum known, which
the others never find. Fits take three to ten times as long as from "auto": 0.25 s for these. On
larger data they gain less, and take seconds. So they do for the families whose M-step is Python:
all of mclust's took half a minute on iris, and of 30 likelihoods one was higher."""

POOLED_FLOPS = (2e6, 1e8)
"""Mixtures whose passes take this much are fitted side by side, one on each thread: on 2 cores in
0.6 of the time they take one after another. Smaller ones are mostly Python, and side by side take
1.4 times as long; larger ones keep all threads busy by themselves."""

COLLAPSED = (
    "singular: a component lost its rows, or was left with rows that do not spread in some "
    "direction"
)

CovarianceTypes: TypeAlias = CovarianceType | Literal["all"]
Key: TypeAlias = tuple[int, CovarianceType]


class _Task(NamedTuple):
    """What is fitted: rows, the fold (N,) that holds each out, and what is known before a fit."""

    data: Data
    folds: NDArray[np.int32] | None
    names: Names | None
    degenerate: Degenerate

    @property
    def n_features(self) -> int:
        """D."""
        return self.data.n_features


class _Fit(NamedTuple):
    """A row of the table, and its model unless it failed."""

    row: Candidate
    model: GaussianMixture | None


class _UnfitError(Exception):
    """A mixture cannot be fitted to the data; the message says why."""


def select(
    X: RowsLike,
    n_components: int | Iterable[int] = range(1, 11),
    covariance_types: CovarianceTypes | Iterable[CovarianceTypes] = FORMS,
    *,
    criterion: SelectionCriterion = "bic",
    n_splits: int = 5,
    sample_weight: WeightLike = None,
    random_state: Seed = None,
    n_threads: int | None = None,
    progress: bool = False,
    **params: Any,
) -> Selection:
    r"""Fit mixtures of every number of components and covariance type, and choose the best.

    Every fit is what ``GaussianMixture(...).fit(X)`` would give with the same parameters and
    `random_state`. One whose components collapse, or that has more components than there are rows,
    fails: its row of the table says why, and it is never chosen. Features that are constant, or
    combinations of others, are found before any fit, and what they make impossible is not tried.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features), or what `scan` or Dask take
        What is read from elsewhere is held if it takes no more than 128 MiB, and else read again
        by every pass. Criterion 'cv' needs rows in memory, or such as are held.
    n_components : int or iterable of int, default=range(1, 11)
    covariance_types : str or iterable of str, default=('full', 'tied', 'diag', 'spherical')
        'all', which may be one of several, stands for the codes of the fourteen families.
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
        accelerate='squarem', n_init=5, and init_params='emem' where that is quick,
        else 'auto'.

    Returns
    -------
    Selection
        With `best_model`, `predict`, `table`, `to_frame`, `plot`; printed, it is a table of the
        criterion. If no mixture could be fitted it has the table, and no best model.

    Raises
    ------
    ValueError
        If an argument is not acceptable.

    References
    ----------
    Smyth (2000), Model selection for probabilistic clustering using cross-validated likelihood,
    Statistics and Computing 10, 63-72.

    Examples
    --------
    >>> import numpy as np
    >>> import gaussmix
    >>> rng = np.random.default_rng(0)
    >>> X = np.concatenate([rng.normal(size=(50, 2)), rng.normal(9.0, 2.0, size=(50, 2))])
    >>> selection = gaussmix.select(X, range(1, 4), random_state=0)
    >>> selection.best.n_components, selection.best.covariance_type
    (2, 'spherical')
    """
    keys = list(itertools.product(_counts(n_components), _structures(covariance_types)))
    check_choice("criterion", criterion, CRITERIA)
    n_splits = check_integer("n_splits", n_splits, 2)
    settings = {**DEFAULTS, **params, "random_state": _seed(random_state)}
    candidates = _models(keys, settings)
    X = opened(X)
    names = feature_names(X)
    gaps = candidates[0]._takes_gaps
    data = route(X, sample_weight, n_threads, estimator=GaussianMixture.__name__, allow_nan=gaps)
    if isinstance(data, Streamed):
        data = data.in_memory() or data  # small fits run side by side there
    require_observed(data, None if names is None else list(names))
    require_features_to_scale(data, settings_of(candidates[0]).reg_covar)
    folds = _folds(data, settings["random_state"], n_splits) if criterion == "cv" else None
    models = _distinct(candidates, data.n_features)
    if "init_params" not in params:
        _set_starts(models, data)
    task = _Task(data, folds, names, _degenerate(models, data, names))
    fits = _fit_all(models, task, n_threads, progress)
    table = tuple(_row(fits, key, task.n_features) for key in keys)
    best = min(fits.values(), key=lambda fit: fit.row.loss(criterion))
    if best.model is not None:
        remember_features(best.model, task.n_features, task.names)
        best.model.set_params(n_threads=n_threads)
        best.model.n_samples_seen_, best.model.weight_seen_ = data.n_samples, data.weight
    return Selection(best.model, table, criterion)


def _counts(n_components: object) -> list[int]:
    given = n_components.tolist() if isinstance(n_components, np.ndarray) else n_components
    counts = [given] if isinstance(given, Integral) else given
    if isinstance(counts, str | bytes) or not isinstance(counts, Iterable):
        raise ParameterError(
            f"n_components must be an integer or several of them, got {n_components!r}"
        )
    checked = sorted({check_integer("n_components", count, 1, MOST_COMPONENTS) for count in counts})
    if not checked:
        raise ParameterError(f"n_components must not be empty, got {n_components!r}")
    return checked


def _structures(covariance_types: object) -> list[CovarianceType]:
    given = (
        covariance_types.tolist() if isinstance(covariance_types, np.ndarray) else covariance_types
    )
    names = [given] if isinstance(given, str) else given
    if not isinstance(names, Iterable):
        raise ParameterError(
            f"covariance_types must be a string or several of them, got {covariance_types!r}"
        )
    choices = (ALL, *structure_names())
    checked = [check_choice("covariance_types", name, choices) for name in names]
    if not checked:
        raise ParameterError(f"covariance_types must not be empty, got {covariance_types!r}")
    meant = itertools.chain.from_iterable(CODES if n == ALL else (n,) for n in checked)
    return cast(list[CovarianceType], list(dict.fromkeys(meant)))


def _seed(random_state: Seed) -> int:
    source = check_random_state(random_state)
    if isinstance(random_state, Integral):
        return int(random_state)
    return int(source.randint(2**32, dtype=np.int64))


def _models(keys: Sequence[Key], params: dict[str, Any]) -> list[GaussianMixture]:
    for name in GIVEN_STARTS:
        if name in params:
            raise ParameterError(f"{name} cannot be given: select chooses the starts of its fits")
    for name in ("estimator", *BayesianGaussianMixture().get_params()):
        if name in params and name not in GaussianMixture().get_params():
            raise ParameterError(
                f"{name} is not for select, which fits GaussianMixture: a BayesianGaussianMixture "
                "empties the components that it does not need, and lower_bound_ compares fits of it"
            )
    if params.get("checkpoint") is not None:
        raise ParameterError("checkpoint cannot be given: it holds one fit, and select makes many")
    models = [GaussianMixture(k, covariance_type=s, **params) for k, s in keys]
    for model in models:
        settings_of(model)
        if model.n_components == 1:  # all starts lead to the one optimum
            model.set_params(n_init=1)
    return models


def _folds(data: Data, seed: Seed, n_splits: int) -> NDArray[np.int32]:
    """Deal the rows out to the parts that are held out in turn: (N,)."""
    if not isinstance(data, InMemory):
        raise ParameterError(
            "criterion='cv' deals rows out to parts, and needs an X in memory, an array or a "
            "frame, but this one is too large to be held and read anew for every pass: read it or "
            "a sample of it into memory, or choose by 'bic', 'icl' or 'aic'"
        )
    if n_splits > data.n_samples:
        raise ParameterError(
            f"n_splits must be at most the {data.n_samples} rows of X, got {n_splits}"
        )
    order = check_random_state(seed).permutation(data.n_samples)
    return (order % n_splits).astype(np.int32)


def _set_starts(models: dict[Key, GaussianMixture], data: Data) -> None:
    """Set the starts of fits: the thorough ones if all fits of compiled M-steps are quick."""

    def flops(model: GaussianMixture) -> float:
        n_rows = min(data.n_samples, most_rows(int(model.n_components)))
        return n_rows * _flops_of_a_row(model, data.n_features)

    quick = max(map(flops, models.values())) <= START_FLOPS
    for model in models.values():
        thorough = quick and structure_named(model.covariance_type).is_general
        model.set_params(init_params=START if thorough else QUICK_START)


def _degenerate(models: dict[Key, GaussianMixture], data: Data, names: Names | None) -> Degenerate:
    """Look once for what would make all fits of a structure singular."""
    if any(settings_of(model).regularised for model in models.values()):
        return Degenerate()
    structures = {structure_named(model.covariance_type) for model in models.values()}
    matrices = any(isinstance(structure, Matrices) for structure in structures)
    matrices = matrices and _n_rows(data) > data.n_features  # of fewer rows none can be fitted
    return find_degenerate(data, matrices, None if names is None else list(names))


def _n_rows(data: Data) -> int:
    """Return the number of rows that count; of those elsewhere, of all."""
    weight = data.sample_weight if isinstance(data, InMemory) else None
    return data.n_samples if weight is None else int(np.count_nonzero(weight))


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
    return n_components, cast(CovarianceType, alike.name)


def _row(fits: dict[Key, _Fit], key: Key, n_features: int) -> Candidate:
    row = fits[_key(*key, n_features)].row
    return row if row[:2] == key else row._replace(covariance_type=key[1], seconds=0.0)


def _fit_all(
    models: dict[Key, GaussianMixture], task: _Task, n_threads: int | None, progress: bool
) -> dict[Key, _Fit]:
    shown = check_boolean("progress", progress)
    bar = progress_bar.bar("selecting", "fits") if shown else nullcontext(lambda *_: None)
    fits = {}
    with bar as tell:
        for key, fit in _each_fit(models, task, n_threads):
            fits[key] = fit
            tell(len(fits), len(models))
    return {key: fits[key] for key in models}  # in order, whichever was first


def _each_fit(
    models: dict[Key, GaussianMixture], task: _Task, n_threads: int | None
) -> Iterator[tuple[Key, _Fit]]:
    """Fit the models, on as many threads as serve, and return each when it is ready."""
    low, high = POOLED_FLOPS
    n_samples = task.data.n_samples
    work = {k: n_samples * _flops_of_a_row(m, task.n_features) for k, m in models.items()}
    together = [key for key in models if low <= work[key] < high]
    n_workers = min(threads.resolve(n_threads).number, len(together))
    if n_workers < 2 or not isinstance(task.data, InMemory):
        together = []
    with ThreadPoolExecutor(max(n_workers, 1)) as pool:
        try:
            order = sorted(together, key=lambda key: -work[key])  # so that none ends alone
            futures = {pool.submit(_fit, models[key], task, 1): key for key in order}
            yield from ((futures[done], done.result()) for done in as_completed(futures))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    for key in models:
        if key not in together:
            yield key, _fit(models[key], task, n_threads)


def _flops_of_a_row(model: GaussianMixture, n_features: int) -> float:
    """Floating-point operations that a row costs in a pass."""
    return 4.0 * model.n_components * n_terms(structure_named(model.covariance_type), n_features)


def _n_free(model: GaussianMixture, n_features: int) -> int:
    """Return the number of free parameters of a model that is not fitted yet."""
    empty = np.empty(0)
    means = np.broadcast_to(empty.sum(), (int(model.n_components), n_features))
    structure = structure_named(model.covariance_type)
    return Parameters(structure, empty, means, empty, empty).n_free()


def _fit(model: GaussianMixture, task: _Task, n_threads: int | None) -> _Fit:
    start = perf_counter()
    model.set_params(n_threads=n_threads)
    size = int(model.n_components), model.covariance_type, _n_free(model, task.n_features)
    data = task.data
    if isinstance(data, InMemory):
        data = InMemory(data.rows, data.sample_weight, n_threads, gaps=data.gaps)
    try:
        parameters = _keep_best_run(model, data, task.degenerate)
        criteria = _criteria(model, data, parameters)
        if task.folds is not None and isinstance(data, InMemory):
            criteria["cv"] = _cross_validated(model, data, task.folds)
    except (_UnfitError, ValueError) as error:
        seconds = perf_counter() - start
        return _Fit(Candidate(*size, seconds=seconds, problem=str(error)), None)
    row = Candidate(*size, **criteria, converged=model.converged_, n_iter=model.n_iter_)
    return _Fit(row._replace(seconds=perf_counter() - start), model)


def _keep_best_run(model: GaussianMixture, data: Data, known: Degenerate) -> Parameters:
    """Fit without a word: what `GaussianMixture.fit` warns of ends up in the table."""
    settings = settings_of(model)
    problem = _too_few_rows(settings, data) or known.problem(settings.structure)
    if problem:
        raise _UnfitError(problem)
    settings = with_noise_of(settings, data)
    run = best_run(data, settings, {})
    if run.result.collapsed:
        raise _UnfitError(COLLAPSED)
    set_outcome(model, run)
    set_noise_box(model, settings.noise_box)
    _, model.truncation_gap_ = run.certificate
    return run.result.parameters


def _too_few_rows(settings: Settings, data: Data) -> str:
    """Return why a fit needs more rows; empty if it does not."""
    n_rows, n_features = _n_rows(data), data.n_features
    if n_rows < settings.n_components:
        return f"fewer rows ({n_rows}) than components"
    if (
        isinstance(settings.structure, Matrices)
        and not settings.regularised
        and n_rows <= n_features
    ):
        needed = f"a covariance of {n_features} features needs ({n_features + 1})"
        return f"singular: fewer rows ({n_rows}) than {needed}"
    return ""


def _criteria(model: GaussianMixture, data: Data, parameters: Parameters) -> dict[str, Any]:
    uncertainty = data.total(partial(UncertaintyPass, parameters, gaps=data.gaps)).total
    if model.prior is None:
        score = Score(data.weight * model.lower_bound_, data.weight)
    else:  # the bound is penalised
        score = data.total(partial(LikelihoodPass, parameters, gaps=data.gaps))
    n_free = parameters.n_free()
    return {
        "log_likelihood": score.total,
        "bic": score.bic(n_free),
        "aic": score.aic(n_free),
        "icl": score.bic(n_free) + 2 * uncertainty,
    }


def _cross_validated(model: GaussianMixture, data: InMemory, folds: NDArray[np.int32]) -> float:
    """Mean log-likelihood of the rows, each under a fit in which it had weight 0."""
    given = data.sample_weight
    weight = np.ones(data.n_samples) if given is None else given
    log_likelihood, n_splits = 0.0, int(folds.max()) + 1
    for fold in range(n_splits):
        held_out = np.where(folds == fold, weight, 0.0)
        if not held_out.any():
            continue
        other = GaussianMixture(**model.get_params())
        rest, seen = (
            InMemory(data.rows, part, data.n_threads, gaps=data.gaps)
            for part in (weight - held_out, held_out)
        )
        try:
            parameters = _keep_best_run(other, rest, Degenerate())
        except (_UnfitError, ValueError) as error:
            raise _UnfitError(f"{error} (without part {fold + 1} of {n_splits})") from None
        log_likelihood += seen.total(partial(LikelihoodPass, parameters, gaps=data.gaps)).total
    return log_likelihood / float(weight.sum())
