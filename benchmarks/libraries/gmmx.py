"""gmmx, on JAX.

Its own loop is compiled anew for each number of iterations, so its steps are compiled here, before
anything is timed. It knows float32 alone, and JAX takes all threads.
"""

from typing import Any

from gaussmix.bench.cases import EM, Answer, Call, Contender, Problem, version_of

MODULE = "gmmx"


def contender() -> Contender:
    """Return gmmx."""
    from gmmx import GaussianMixtureModelJax  # noqa: F401

    return Contender(
        "gmmx",
        version_of("gmmx"),
        "",
        {EM: _em},
        ("full", "diag"),
        ("float32",),
        held=False,
    )


def _em(problem: Problem, _: int) -> Call:
    import jax
    from gmmx import EMFitter, GaussianMixtureModelJax

    start = problem.start
    fitter = EMFitter(reg_covar=0.0)
    arrays = (start.means, start.covariances, start.weights)
    first = GaussianMixtureModelJax.from_squeezed(
        *(array.astype("float32") for array in arrays), covariance_type=start.structure.name
    )
    rows = jax.numpy.asarray(problem.X)

    def iterate(X: Any, model: Any) -> Any:
        log_likelihood, log_resp = fitter.e_step(X, model)
        return log_likelihood, fitter.m_step(X, model, log_resp)

    step = jax.jit(iterate).lower(rows, first).compile()

    def run(n_iter: int) -> Answer:
        model = first
        for _ in range(n_iter):
            log_likelihood, model = step(rows, model)
        jax.block_until_ready(model)
        return {n_iter: float(log_likelihood)}

    return run
