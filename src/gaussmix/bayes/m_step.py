"""The variational M-step: from a prior and sufficient statistics to the posterior."""

from dataclasses import replace

import numpy as np

from gaussmix._core import dispatch
from gaussmix._core.checks import aligned
from gaussmix.bayes.posterior import Posterior
from gaussmix.model.statistics import Statistics


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
    found = prior.unset_after()
    sound = dispatch.bayesian().maximise_bound(
        prior.conjugate,
        aligned(np.ascontiguousarray(statistics.shift)),
        aligned(np.ascontiguousarray(statistics.n_k)),
        aligned(np.ascontiguousarray(statistics.first)),
        aligned(np.ascontiguousarray(statistics.second)),
        statistics.weight / statistics.n_samples,
        reg_covar,
        found.conjugate,
    )
    if not sound:
        error = found.structure.not_definite(found.precisions_cholesky)
        raise ValueError(
            f"{error}, in the posterior: second moments of X overflow, or features are constant or "
            "combinations of others. Scale the features, increase reg_covar="
            f"{reg_covar:g}, or give a covariance_prior that is larger"
        )
    return found


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
