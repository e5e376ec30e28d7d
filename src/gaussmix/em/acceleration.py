"""Fewer passes: EM that jumps ahead, and takes a jump only if the likelihood bears it out."""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np

from gaussmix._core.types import FloatArray
from gaussmix.em.coordinates import Chart
from gaussmix.em.loop import PlainEM, Step, Strategy
from gaussmix.em.objective import Ridge
from gaussmix.model.covariance import NotPositiveDefiniteError
from gaussmix.model.parameters import Parameters
from gaussmix.validation import check_choice

PATIENCE = 4  # EM steps before the first jump: a fit that needs few is left alone

FIRST_REACH = 4.0  # how many EM steps the first jump may stand for: that of Varadhan & Roland
LEAST_REACH = 2.0
REACH_FACTOR = 4.0  # by which it grows after a jump that it limited, and shrinks after a refusal
LONGEST_JUMP = 1.0  # of one parameter: a standard deviation of a mean, a factor e of a scale

MEMORY = 6  # steps that `anderson` looks back on: more gained nothing
INDEPENDENT = 1e-2  # a part of the last moves below this is rounding, or the map's curvature
CAUTION = 0.7  # how much of the asymmetry of an estimated Jacobian counts as its error

ROUNDING = 1e-14  # relative error of a log-likelihood summed over many rows

MakeChart: TypeAlias = Callable[[Parameters], Chart]
"""Makes the coordinates about a reference."""


class Jump(NamedTuple):
    """How far to go beyond EM's next point, (P,), and whether only the reach ended it there."""

    displacement: FloatArray
    limited: bool


class Method(NamedTuple):
    """A rule of extrapolation.

    `jump` takes the coordinates (n, P) of the last points, how far EM moved each of them (n, P),
    and the reach.
    """

    jump: Callable[[FloatArray, FloatArray, float], Jump]
    pause: int
    """Points from a jump, which is the first of them, to the next jump."""
    most: int
    """Points to look back on."""


def squarem(_points: FloatArray, moves: FloatArray, reach: float) -> Jump:
    """Squared extrapolation from two EM steps in a row (Varadhan & Roland, 2008, scheme S3).

    Let r = EM(x_0) - x_0 be the first move, v the second move less the first, and a = |r| / |v|.
    The jump leads to

        x = x_0 + 2 a r + a^2 v

    Parameters
    ----------
    _points, moves : ndarray of shape (2, P)
    reach : float
        Bound of a.

    Returns
    -------
    Jump

    References
    ----------
    Varadhan & Roland (2008), Simple and globally convergent methods for accelerating the
    convergence of any EM algorithm, Scandinavian Journal of Statistics 35, 335-353.
    """
    r, v = moves[0], moves[1] - moves[0]
    slowness, curvature = np.linalg.norm(r), np.linalg.norm(v)
    limited = bool(slowness >= reach * curvature)
    a = reach if limited else max(1.0, float(slowness / curvature))
    return Jump((2 * a - 2) * r + (a**2 - 1) * v, limited)  # EM's next point is x_0 + 2 r + v


def anderson(points: FloatArray, moves: FloatArray, reach: float) -> Jump:
    """Newton's step on the span of the last moves, EM's elsewhere (Anderson acceleration, type I).

    The differences of points and of moves give EM's Jacobian J on that span (Fang & Saad, 2009;
    Henderson & Varadhan, 2019, for EM). I - J is symmetric in the coordinates of a `Chart`, so the
    estimate is made symmetric. With its eigenpairs (l_i, q_i) the jump leads to

        x = EM(x_n) + sum_i (1 / |l_i| - 1) q_i q_i' (EM(x_n) - x_n)

    The absolute value leads away from saddle points, towards which Newton's step would turn
    (Dauphin et al., 2014). By how much the estimate was not symmetric says how far to trust it:
    no eigenvalue is taken to be less than a part of that.

    Parameters
    ----------
    points, moves : ndarray of shape (n, P)
        At least 2.
    reach : float
        Bound of the inverse eigenvalues.

    Returns
    -------
    Jump

    References
    ----------
    Fang & Saad (2009), Two classes of multisecant methods for nonlinear acceleration, Numerical
    Linear Algebra with Applications 16, 197-221.
    Henderson & Varadhan (2019), Damped Anderson acceleration with restarts and monotonicity
    control for accelerating EM and EM-like algorithms, Journal of Computational and Graphical
    Statistics 28, 834-846.
    Dauphin et al. (2014), Identifying and attacking the saddle point problem in high-dimensional
    non-convex optimization, NeurIPS 27.
    """
    steps, changes = np.diff(points, axis=0), np.diff(moves, axis=0)
    lengths = np.linalg.norm(steps, axis=1, keepdims=True)
    if not lengths.all():  # a step too small for the coordinates: EM has arrived
        return Jump(np.zeros_like(moves[-1]), False)
    left, sizes, basis = np.linalg.svd(steps / lengths, full_matrices=False)
    kept = sizes > INDEPENDENT * sizes[0]
    basis = basis[kept]
    secants = left[:, kept].T @ (changes / lengths) / sizes[kept, None]
    matrix = -secants @ basis.T  # I - J
    error = CAUTION * float(np.linalg.norm(matrix - matrix.T, 2)) / 2
    eigenvalues, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    inverses = 1 / np.clip(np.abs(eigenvalues), max(error, 1 / (2 * reach)), 1)
    directions = vectors.T @ basis
    factors = np.minimum(inverses, reach) - 1
    return Jump((factors * (directions @ moves[-1])) @ directions, bool((inverses > reach).any()))


METHODS = {
    "squarem": Method(squarem, pause=2, most=2),
    "anderson": Method(anderson, pause=1, most=MEMORY),
}


def check_acceleration(name: object) -> str | None:
    """Return a method's name, or None for none."""
    return None if name is None else check_choice("accelerate", name, tuple(METHODS))


def strategy_of(
    accelerate: str | None, reg_covar: Ridge, tol: float, chart: MakeChart = Chart
) -> Strategy:
    """Return the strategy for `em` that a name stands for; None is EM itself."""
    return PlainEM() if accelerate is None else Accelerator(accelerate, reg_covar, tol, chart=chart)


class Plan(NamedTuple):
    """What an `Accelerator` has learned, and what it waits for."""

    reach: float = FIRST_REACH
    limited: bool = False
    """Whether only the reach ended the last jump."""
    patience: int = PATIENCE
    wait: int = PATIENCE
    """EM steps to the next jump."""
    reference: Parameters | None = None
    """Of the chart that the coordinates are in; None before there are any."""
    points: tuple[FloatArray, ...] = ()
    """Coordinates (P,) of the last points."""
    moves: tuple[FloatArray, ...] = ()
    """How far EM moved each of them."""


class Accelerator:
    """Follows EM, and jumps ahead of it where its last steps say where it is going.

    A jump is taken if it does not lower what EM itself cannot lower,

        L - 1/2 sum_k weight_k trace(diag(reg_covar) precision_k)

    L is the mean log-likelihood. The weights are those that EM has computed before the jump. A
    refused jump costs its pass: EM goes on from where it was. The next jump is shorter, and comes
    after 4, 8, 16 ... steps, the more the more jumps in a row were refused. There are no jumps
    while a component is collapsed. There are none either where EM's own step gains so little that
    it ends the fit: the squared length of a step, in the coordinates of a `Chart`, bounds its gain.

    Parameters
    ----------
    method : {'squarem', 'anderson'}
    reg_covar : float or ndarray of shape (D,)
        That of the M-step, for every feature or for each.
    tol : float
        That of `em`.
    plan : Plan
        Where an earlier run left off.
    chart : callable
        Makes the coordinates that it extrapolates in.
    """

    def __init__(
        self,
        method: str,
        reg_covar: Ridge,
        tol: float,
        plan: Plan | None = None,
        chart: MakeChart = Chart,
    ) -> None:
        self._method = METHODS[method]
        self._reg_covar = reg_covar
        self._tol = tol
        self.plan = plan or Plan()
        self._make_chart = chart
        self._chart: Chart | None = None

    @property
    def memory(self) -> int:
        """Number of points that it looks back on, at most."""
        return self._method.most

    def follow(self, step: Step) -> Parameters:
        """Return where the next pass should look: at EM's next point, or beyond it."""
        if step.collapsed or not step.point.weights.all():  # a weight may be fixed at 0
            self._forget()
            return step.image
        chart = self._remember(step)
        _, _, _, wait, _, points, moves = self.plan
        if wait > 0 or moves[-1] @ moves[-1] < self._tol:
            return step.image
        jump = self._method.jump(np.array(points), np.array(moves), self.plan.reach)
        length = chart.largest_change(jump.displacement)
        if length == 0:
            return step.image
        self.plan = self.plan._replace(limited=jump.limited, wait=self._method.pause)
        beyond = jump.displacement * min(1.0, LONGEST_JUMP / length)
        try:
            return chart.parameters(points[-1] + moves[-1] + beyond)
        except NotPositiveDefiniteError:
            return step.image

    def accepts(self, step: Step, last: Step) -> bool:
        """Whether the jump from the last step to this one is good; later ones learn from it."""
        rounding = ROUNDING * abs(last.lower_bound)
        accepted = not step.collapsed and self._gain(step, last) >= -rounding
        plan = self.plan
        if accepted:
            reach = plan.reach * (REACH_FACTOR if plan.limited else 1.0)
            self.plan = plan._replace(patience=PATIENCE, reach=reach)
        else:
            reach = max(LEAST_REACH, plan.reach / REACH_FACTOR)
            self.plan = plan._replace(patience=2 * plan.patience, reach=reach)
            self._forget()
        return accepted

    def _gain(self, step: Step, last: Step) -> float:
        weights = last.image.weights
        traces = [_mean_trace(place.point, weights, self._reg_covar) for place in (step, last)]
        return step.lower_bound - last.lower_bound - 0.5 * (traces[0] - traces[1])

    def _remember(self, step: Step) -> Chart:
        plan, most = self.plan, self._method.most
        reference = plan.reference or step.point
        if self._chart is None or self._chart.reference is not reference:
            self._chart = self._make_chart(reference)
        point = self._chart.coordinates(step.point)
        move = self._chart.coordinates(step.image) - point
        self.plan = plan._replace(
            wait=plan.wait - 1,
            reference=reference,
            points=(*plan.points, point)[-most:],
            moves=(*plan.moves, move)[-most:],
        )
        return self._chart

    def _forget(self) -> None:
        self.plan = self.plan._replace(wait=self.plan.patience, reference=None, points=(), moves=())


def _mean_trace(parameters: Parameters, weights: FloatArray, ridge: Ridge) -> float:
    """Mean of the traces of the precisions under weights (K,), each variance times its ridge."""
    structure, n_features = parameters.structure, parameters.n_features
    if isinstance(ridge, float):
        return ridge * structure.mean_trace(parameters.precisions_cholesky, weights, n_features)
    spread = structure.of_variances(ridge, parameters.n_components)
    weighted = structure.remembered(spread, weights, 1.0, n_features)
    return float((weighted * parameters.precisions).sum())
