"""Truncated EM: passes over the components that matter to cells of rows, and the end of EM."""

from copy import copy

import numpy as np

from gaussmix.data.told import ToldData
from gaussmix.em.incremental import OfRows
from gaussmix.em.listed import ListedRows
from gaussmix.em.loop import NEVER, Callback, EMState, Monitor, Step
from gaussmix.em.mixed_precision import error_of_single, single_pays

FEWEST_COMPONENTS = 32
"""With fewer, lists save too little."""
FIRST_LOST = 1e-4
"""Lists leave out at most this part of the responsibilities."""
GAINS = 4
"""They leave out at most this many times what an iteration gained under the last lists."""
LESS = 8
"""By what the part is divided where the bound has settled."""
LAST_LOST = 0.1
"""The part of the tolerance that the last lists leave out."""
SETTLED = 0.5
"""Lists serve until an iteration changes the bound by less than this part of the tolerance."""
LEAST_LOST = 1e-9
"""Where lists that leave out so little still lower the bound, EM goes on."""
LONGEST_SPAN = 32
"""Passes over the same lists, about. Later lists serve one, the next two, then four."""
FIRST_LOOKS = 20
"""Iterations with lists of their own. Components move far there."""
WHOLE_LOOKS = 3
"""Iterations whose lists are made by a look at all rows."""
LOOKS = (0, 10, 20, 40, 80)
"""After so many iterations a run looks whether lists pay. A look takes a tenth of one or two."""


def climb(
    state: EMState,
    objective: OfRows,
    *,
    max_iter: int,
    callback: Callback | None,
) -> int:
    r"""Take a run over the components that matter to cells of rows, to where EM settles.

    A cell has rows with the same most probable component. With a list K_c of components for every
    cell c, the truncated E-step has for its rows n the responsibilities

        r_nk = exp(l_k(x_n)) / sum_(m in K_c) exp(l_m(x_n)),   k in K_c,

    and 0 for other components. The logarithm of that sum is a lower bound of the row's
    log-likelihood, the free energy of these responsibilities. An M-step never lowers it, less the
    penalty of reg_covar (see `em`). New cells and lists take a look at all components, by some of
    the rows of each cell. A list leaves out those to which least of the rows belongs, in all at
    most a share of the rows. Where the bound would fall under new lists, the former ones serve on.

    Each of the first FIRST_LOOKS iterations has lists of its own, since its components move far.
    Later lists are made anew after 2, 4 and up to LONGEST_SPAN iterations, or when the bound has
    settled. The share follows what an iteration gains. The last lists, of the least share, are made
    by a look at all rows, as are the very first ones. Where the bound settles under the last, an
    iteration of EM and a score tell whether EM has settled too. If not, lists go on from there.
    Where the run has an acceleration it serves here, too.

    Where lists are too long to save time, it is for `proceed` to take the run on. Components tell
    rows apart better as EM goes on. So a run looks again after LOOKS of its iterations.

    Rows of float64 are looked at, and gone over, in float32 where its error is less than what an
    iteration gains or than the tolerance. Under the last lists, and in the end, they are not.

    Parameters
    ----------
    state : EMState
        Advanced in place. A run of few components is left as it is. If `max_iter` ends it among
        its lists, `state.listed` is the lower bound at its end.
    objective : OfRows
        Of rows without gaps, of which nothing is told, and of a mixture without noise.
    max_iter : int
        Number of iterations at most. Each is a pass over the listed components, or over all. What
        makes lists goes over all components too, and does not count.
    callback : callable or None
        As in `em`, with the mean lower bound of a row.

    Returns
    -------
    int
        After how many iterations the run is to look again.

    References
    ----------
    Neal & Hinton (1998), A view of the EM algorithm that justifies incremental, sparse, and other
    variants, in Jordan (ed.), Learning in Graphical Models, Kluwer, 355-368.

    Forster & Luecke (2018), Can clustering scale sublinearly with its clusters? A variational EM
    acceleration of GMMs and k-means, AISTATS, 124-132.
    """
    if state.point.n_components < FEWEST_COMPONENTS:
        return NEVER
    if state.n_iter in LOOKS:
        _look(state, objective, max_iter, callback)
    return next((look for look in LOOKS if look > state.n_iter), NEVER)


def _look(state: EMState, objective: OfRows, max_iter: int, callback: Callback | None) -> None:
    """Do what `climb` does where lists pay. Where they do not, let EM begin in float32."""
    assert not isinstance(objective.data, ToldData), "nothing is told of the rows"
    listed = ListedRows(objective.data)
    without, point = copy(state), state.last.image  # and not where it was to jump
    single = single_pays(objective.data, point)
    without.single |= single and state.n_iter == 0
    if not listed.pays(point, FIRST_LOST, single=single):
        state.single = without.single
        return
    if state.n_iter == 0:
        state.monitor.restart()  # a bound of lists may be less than what a warm start comes with
    elif not np.isfinite(state.monitor.last):
        state.monitor.last = state.last.lower_bound  # the bound is not to fall
    state.single, state.point = False, point
    climber = _Climb(state, objective, listed, max_iter, callback, single)
    climber.go()
    if state.n_iter == without.n_iter:  # no lists have paid, after all
        vars(state).update(vars(without))
        return
    state.point = state.last.image
    if state.converged:
        return
    if state.n_iter >= max_iter > 0 and state.end is None:
        state.listed = listed.bound(state.point)
    state.single = climber.single
    state.monitor.restart()


class _Climb:
    """A run, the lists that it goes over, and how long it may last."""

    def __init__(
        self,
        state: EMState,
        objective: OfRows,
        listed: ListedRows,
        max_iter: int,
        callback: Callback | None,
        single: bool,
    ) -> None:
        self._state = state
        self._objective = objective
        self._listed = listed
        self._max_iter = max_iter
        self._callback = callback
        self._single_pays = single
        self._settled = False
        self.single = False
        """Whether float32 is precise enough where the run is."""

    def go(self) -> None:
        """Go over lists until EM has settled, or lists are too long to save time."""
        state, listed = self._state, self._listed
        least, span = max(LAST_LOST * state.monitor.tol, LEAST_LOST), 1
        begun, gain = state.n_iter, _last_gain(state.monitor)
        lost = used = min(FIRST_LOST, max(GAINS * gain, least))
        while state.n_iter < self._max_iter and lost >= LEAST_LOST:
            last = lost <= least
            self.single = not last and self._gains_more_than_rounding(gain)
            thinned = not last and state.n_iter >= begun + WHOLE_LOOKS
            if not listed.renew(
                state.point, lost, n_passes=span, thinned=thinned, single=self.single
            ):
                return
            before, n_before = state.monitor.last, state.n_iter
            if self._iterate(span):
                used = lost
            else:
                lost /= GAINS
                if not listed.restore():
                    continue
                self._iterate(span, surely=True)
            if self._settled and used <= least:
                self._step_of_em()
                if state.converged:
                    return
                listed.forget()
                continue
            span = 1 if state.n_iter < FIRST_LOOKS else min(2 * span, LONGEST_SPAN)
            gain = (state.monitor.last - before) / (state.n_iter - n_before)
            less = lost / LESS if self._settled else GAINS * gain
            lost = min(lost, max(less, least))

    def _iterate(self, n_iter: int, *, surely: bool = False) -> bool:
        """Iterate over the same lists, until the bound settles or a jump has ended after `n_iter`.

        Nothing is done, and False returned, where new lists would lower the bound, unless `surely`.
        """
        state, monitor = self._state, self._state.monitor
        end = state.n_iter + n_iter
        self._settled = False
        first = not surely
        while not self._settled and state.n_iter < self._max_iter:
            if state.n_iter >= end and (state.by_em or end <= FIRST_LOOKS):
                state.point = state.last.image  # a jump would be made under other lists
                break
            point, by_em = state.point, state.by_em
            last = state.n_iter + 1 >= end
            statistics = self._listed.e_step(point, single=self.single, labelled=last)
            bound = statistics.mean_log_likelihood
            if first and bound < monitor.last:
                return False
            first = False
            image, collapsed = self._objective.m_step(statistics, point)
            state.take(Step(point, image, collapsed, bound))
            state.converged = False  # under lists
            monitor.lower_bounds[-1] = monitor.last  # not that of a refused jump
            self._tell()
            self._settled = by_em and abs(monitor.change) < SETTLED * monitor.tol
        return True

    def _gains_more_than_rounding(self, gain: float) -> bool:
        """Whether float32 saves time, and tells gains like the last or like the tolerance."""
        monitor = self._state.monitor
        bound = monitor.last if np.isfinite(monitor.last) else 0.0
        error = error_of_single(self._state.point, bound) if self._single_pays else np.inf
        return error < max(gain, monitor.tol)

    def _step_of_em(self) -> None:
        """Make an iteration of EM, and see whether it gains anything."""
        state, objective = self._state, self._objective
        point = state.point
        statistics = objective.e_step(point)
        bound = objective.lower_bound(point, statistics)
        image, collapsed = objective.m_step(statistics, point)
        state.take_sweep(Step(point, image, collapsed, bound))
        self._tell()
        end = objective.score(image)
        state.converged = abs(end - bound) < state.monitor.tol
        if state.converged or state.n_iter >= self._max_iter:
            state.end = end

    def _tell(self) -> None:
        """Call the callback after an iteration."""
        monitor = self._state.monitor
        if self._callback is not None:
            self._callback(self._state.n_iter, monitor.last, monitor.change)


def _last_gain(monitor: Monitor) -> float:
    """Return what the last iteration gained, even if the monitor restarted; inf if unknown."""
    last = monitor.lower_bounds[-2:]
    return max(last[1] - last[0], 0.0) if len(last) == 2 else np.inf
