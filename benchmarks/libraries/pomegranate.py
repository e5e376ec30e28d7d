"""pomegranate, on PyTorch: EM as its `fit` makes it, by `summarize` and `from_summaries`."""

from gaussmix.bench.cases import EM, Answer, Call, Contender, Problem, version_of

MODULE = "pomegranate"
SINGLE_WEIGHTS = 1e-6
"""Relative error of a log-likelihood under weights that are kept in single precision."""


def contender() -> Contender:
    """Return pomegranate."""
    from pomegranate.gmm import GeneralMixtureModel  # noqa: F401

    return Contender(
        "pomegranate",
        version_of("pomegranate"),
        "",
        {EM: _em},
        ("full", "diag"),
        ("float64",),  # float64 parameters refuse float32 rows, and the reverse
        SINGLE_WEIGHTS,
    )


def _em(problem: Problem, n_threads: int) -> Call:
    import torch
    from pomegranate.distributions import Normal
    from pomegranate.gmm import GeneralMixtureModel

    torch.set_num_threads(n_threads)
    X, start = torch.from_numpy(problem.X), problem.start
    pairs = list(zip(start.means, start.covariances, strict=True))

    def run(n_iter: int) -> Answer:
        normals = [
            Normal(torch.tensor(mean), torch.tensor(cov), covariance_type=start.structure.name)
            for mean, cov in pairs
        ]
        model = GeneralMixtureModel(normals, priors=torch.tensor(start.weights))
        for _ in range(n_iter):
            total = model.summarize(X)
            model.from_summaries()
        return {n_iter: float(total) / len(X)}

    return run
