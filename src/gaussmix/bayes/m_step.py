"""The variational M-step: from a prior and sufficient statistics to the posterior."""

from dataclasses import replace

import numpy as np

from gaussmix._core.density import EPS
from gaussmix.bayes.posterior import Posterior
from gaussmix.model.covariance import NotPositiveDefiniteError
from gaussmix.model.statistics import Statistics


@np.errstate(over="ignore", invalid="ignore")  # then a covariance has no factors
def variational_m_step(
    statistics: Statistics, prior: Posterior, reg_covar: float, *, sort: bool = False
) -> Posterior:
    r"""Maximise the evidence lower bound for the responsibilities that the statistics describe.

    With the mean xbar_k and the scatter n_k S_k of a component's rows (Bishop, PRML, 10.58 to
    10.63)

        beta_k = beta_0 + n_k,    nu_k = nu_0 + n_k
        m_k = m_0 + n_k / beta_k (xbar_k - m_0)
        A_k = inv(W_0) + n_k (S_k + reg_covar I) + beta_0 n_k / beta_k (xbar_k - m_0)(xbar_k - m_0)'
        W_k = inv(A_k)

    The other structures maximise the same bound over Wisharts whose scale matrices are of their
    form: diag has the diagonal of A_k, spherical its mean times the identity, and tied has the
    mean of all A_k, with nu_0 + sum(n_k) / K degrees of freedom. These are scikit-learn's updates.
    As there, 10 eps of a row's mean weight are added to every n_k.

    Parameters
    ----------
    statistics : Statistics
    prior : Posterior
    reg_covar : float
        Non-negative variance added to every feature of every row.
    sort : bool, default=False
        Order the components by their n_k, the largest first, which is what lets broken sticks fit
        best (Kurihara, Welling & Teh, 2007).

    Raises
    ------
    ValueError
        If the statistics hold no rows, or a covariance is not positive definite or has overflowed.

    References
    ----------
    Kurihara, Welling & Teh (2007), Collapsed variational Dirichlet process mixture models, IJCAI.
    """
    if not statistics.weight > 0:
        raise ValueError(f"statistics must have a positive weight, got {statistics.weight:g}")
    if sort:
        statistics = _sorted(statistics)
    structure, (n_components, n_features) = statistics.structure, statistics.shift.shape
    n_k = statistics.n_k + 10 * EPS * statistics.weight / statistics.n_samples
    moved = statistics.first / n_k[:, None]
    away = statistics.shift + moved - prior.means
    total = prior.mean_precision + n_k
    pulled = prior.mean_precision * n_k / total
    noise = reg_covar * structure.identity(n_features)
    scatter = (
        statistics.second
        + structure.moments_of(statistics.n_k - 2 * n_k, moved)  # first moments are n_k moved
        + structure.remembered(noise, n_k, float(n_k.sum()), n_features)
        + structure.moments_of(pulled, away)
    )
    n_joined = n_components if structure.shared else 1
    n_joined *= n_features if structure.form == "spherical" else 1
    unscaled = prior.scales + scatter / n_joined
    freedom = prior.degrees_after(n_k)
    covariances = unscaled / freedom.reshape(freedom.shape + (1,) * (unscaled.ndim - 1))
    centers = prior.means + (n_k / total)[:, None] * away
    try:
        return prior.after(n_k, centers, np.ascontiguousarray(covariances))
    except NotPositiveDefiniteError as error:
        raise ValueError(
            f"{error}, in the posterior: second moments of X overflow, or features are constant or "
            "combinations of others. Scale the features, increase reg_covar="
            f"{reg_covar:g}, or give a covariance_prior that is larger"
        ) from None


def _sorted(statistics: Statistics) -> Statistics:
    """Order the components by their rows, those of most first; equal ones keep their order."""
    order = np.argsort(-statistics.n_k, kind="stable")
    n_k, first, second = statistics.n_k[order], statistics.first[order], statistics.second
    return replace(
        statistics,
        shift=statistics.shift[order],
        n_k=n_k,
        first=first,
        second=second if statistics.structure.shared else second[order],
    )
