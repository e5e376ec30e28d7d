"""A start that no rotation or scaling of the features defeats: a race of short EM runs."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from typing import NamedTuple

import numpy as np

from gaussmix.data.subsample import Sample
from gaussmix.model.covariance import CovarianceStructure
from gaussmix.model.parameters import Parameters
from gaussmix.starts.budget import (
    MANY,
    SHORTEST,
    Work,
    allowed,
    expected,
    iterations_promised,
    pass_cost,
)
from gaussmix.starts.candidates import Candidate, candidates, is_wide
from gaussmix.starts.insertions import inserted, look_cost
from gaussmix.starts.race import NeedsDoubleError, Race, Run
from gaussmix.starts.splits import repairs, repairs_cost
from gaussmix.starts.views import Views

OPENING, OPENING_MANY = 0.6, 0.45
"""Part of the work during which every candidate gets its first iterations. The second number is for
many components: repairs find more than other candidates there."""

LOOK_AT, LOOK_PART = 0.4, 0.31
"""Part of the work after which the best mixture is looked at for rows that no component covers, and
the part of it that this may cost. With many components there are repairs instead."""

LIKE_RIVAL = "svd", "std", "raw"
"""A run from K-means in such a view tells by itself how long scikit-learn's fit takes: 'raw' most
exactly, since that is where scikit-learn begins."""

PRECISIONS = np.float32, np.float64  # of the runs

CALLS = 260  # microseconds of the calls here


class Found(NamedTuple):
    """The winner of a race, what kind of start it came from, and how many runs there were."""

    parameters: Parameters
    kind: str
    n_runs: int


@np.errstate(over="ignore", invalid="ignore", divide="ignore")  # what is not finite cannot win
def auto(
    sample: Sample,
    structure: CovarianceStructure,
    n_components: int,
    *,
    reg_covar: float,
    random_state: np.random.RandomState,
    n_threads: int | None,
    n_passes: float | None = None,
) -> Found | None:
    """Return the best of short EM runs, as many as a budget allows; None if all are spurious.

    The budget is `n_passes`, or else a third of what scikit-learn's default fit to the sample would
    take (see `gaussmix.starts.budget`), guessed from the first runs. Work is counted, not measured,
    so that the result depends on the rows and the random state alone. A guessed budget becomes
    smaller once the best run has found groups that are far apart. In the opening every candidate
    has its first iterations. Then the run that promises most goes on, and where none may
    overtake the best, there is a new candidate. A run with a spurious component is out. Runs
    are in float32, and begin again in float64 where that is too little.

    Parameters
    ----------
    sample : Sample
        Rows to look at.
    structure : CovarianceStructure
    n_components : int
        At least 2.
    reg_covar : float
    random_state : RandomState
    n_threads : int or None
    n_passes : float, optional
        The budget, in EM iterations of float64, where rows are a sample of many more. The best may
        then have components of few rows, if all runs do.
    """
    sample = sample.counted(n_components)
    sizes = sample.rows.shape[1], n_components, structure
    work = Work(np.inf)
    work.add(CALLS)
    views = Views(sample, random_state, work, wide=is_wide(*sizes))
    if not (np.isfinite(views.variances).all() and np.isfinite(views.covariance).all()):
        return None
    unit, spent = views.unit, work.done
    ridge = reg_covar / unit**2
    for dtype in PRECISIONS:
        work.done, work.most = spent, np.inf  # until the first run tells how much
        centred = Sample(views.rows.astype(dtype, copy=False), sample.weight)
        race = Race(centred, structure, n_components, ridge, random_state, n_threads, work)
        if _is_run(race, candidates(views, race), n_passes):
            break
    best = race.best
    if best is None and n_passes is not None:
        best = race.best_of_spoiled
    if best is None:
        return None
    found = replace(
        best.parameters,
        means=best.parameters.means * unit + views.mean,
        covariances=best.parameters.covariances * unit**2,
        precisions_cholesky=best.parameters.precisions_cholesky / unit,
    )
    return Found(found, best.kind, len(race.runs))


def _is_run(race: Race, source: Iterator[Candidate], n_passes: float | None) -> bool:
    """Run a race to its end; return False where its precision is too low."""
    try:
        budget = None if n_passes is None else n_passes * pass_cost(*race.size)
        _open(race, source, budget)
        _go_on(race, source, guessed=budget is None)
        race.require_precision(race.best)
    except NeedsDoubleError:
        return False
    return True


def _open(race: Race, source: Iterator[Candidate], budget: float | None) -> None:
    """Set the budget by the first run or two, and give the first candidates their turn."""
    many = race.n_components >= MANY
    promised = 0.0
    for _ in range(2):
        if race.best is not None and not race.affords_another:
            break
        run = _next(race, source)
        kind = None if run is None or run.spoiled else run.kind
        if run is not None and kind is not None:
            promised = max(promised, iterations_promised(run.gains))
        if budget is None:
            n_iter = expected(promised, race.n_components, told=kind == "raw")
            race.work.most = allowed(*race.size, n_iter)
            _shorten(race)
        else:
            race.work.most = budget
        if race.work.left <= 0:
            return
        if many or kind in LIKE_RIVAL:
            break
    if not many:
        _look(race, source)
    _enter(race, source, OPENING_MANY if many else OPENING)


def _shorten(race: Race) -> None:
    """Allow less once the best run has found groups far apart, where EM soon ends."""
    if race.shows_groups:
        race.work.most = min(race.work.most, allowed(*race.size, SHORTEST))


def _look(race: Race, source: Iterator[Candidate]) -> None:
    """Let an insertion into the best of the first candidates take part, if it promises to gain."""
    if is_wide(*race.size[1:]) or look_cost(race) > LOOK_PART * race.work.most:
        return
    _enter(race, source, LOOK_AT)
    start = None if race.best is None else inserted(race, race.best)
    if start is not None:
        race.add("insertion", start)


def _enter(race: Race, source: Iterator[Candidate], part: float) -> None:
    """Let candidates in until a part of the work is done."""
    while race.work.done < part * race.work.most and race.affords_another:
        _next(race, source)


def _go_on(race: Race, source: Iterator[Candidate], *, guessed: bool) -> None:
    """Follow runs that may win, or else let new candidates in, until the work is done."""
    following = source
    repairable = race.n_components >= MANY and not is_wide(*race.size[1:])
    while race.affords_another or not race.decided:
        if guessed:
            _shorten(race)
        run, best = race.hopeful(), race.best
        if run is not None:
            n_iter = race.affordable(race.next)
            if n_iter < 1:
                return
            race.advance(run, n_iter)
            continue
        if repairable and best is not None and not best.repaired:
            best.repaired = True
            if repairs_cost(race) < race.work.left:
                following = chain(repairs(race, best), source)
        _next(race, following)


def _next(race: Race, source: Iterator[Candidate]) -> Run | None:
    before = race.work.done
    kind, start = next(source)
    run = None if start is None else race.add(kind, start)
    if kind != "repair":
        race.entries.append(race.work.done - before)
    return run
