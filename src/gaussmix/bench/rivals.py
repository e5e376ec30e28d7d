"""The other libraries that the benchmark runs, as far as they are installed.

What they need is imported when they are called. Libraries on PyTorch and JAX enter for EM
iterations alone; each is given the common start and driven through its own public pieces.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from gaussmix import progress
from gaussmix.bench.cases import (
    EM,
    KMEANS,
    KMEANS_PASSES,
    Answer,
    Contender,
    Prepare,
    Problem,
    Run,
    gaussmix,
    scikit_learn,
    starting_centers,
    version_of,
)

SINGLE_WEIGHTS = 1e-6
"""Relative error of a log-likelihood under weights that are kept in single precision."""


def contenders() -> list[Contender]:
    """Return gaussmix, first, and the rivals that are installed and can be imported."""
    entrants = [gaussmix()]
    for module, make in RIVALS.items():
        if find_spec(module) is None:
            continue
        try:
            entrants.append(make())
        except Exception as error:  # whatever a broken installation raises
            progress.print_above(f"{module} is left out: {type(error).__name__}: {error}")
    return entrants


# oneDAL, through the daal4py that the distribution scikit-learn-intelex brings


def _onedal() -> Contender:
    import daal4py  # noqa: F401

    tasks: dict[str, Prepare] = {EM: _onedal_em, KMEANS: _onedal_kmeans}
    return Contender("oneDAL", version_of("daal"), "", tasks, ("full", "diag"))


def _onedal_em(problem: Problem, _: int) -> Run:
    import daal4py

    start, structure = problem.start, problem.case.structure
    settings = {
        "fptype": _precision(problem),
        "accuracyThreshold": 0.0,
        "regularizationFactor": 0.0,
        "covarianceStorage": "diagonal" if structure == "diag" else "full",
    }
    matrices = list(start.covariances.reshape(start.n_components, -1, start.n_features))

    def run(n_iter: int) -> Answer:
        algorithm = daal4py.em_gmm(start.n_components, maxIterations=n_iter, **settings)
        result = algorithm.compute(problem.X, start.weights[None], start.means, matrices)
        return {int(result.nIterations[0, 0]): float(result.goalFunction[0, 0]) / len(problem.X)}

    return run


def _onedal_kmeans(problem: Problem, _: int) -> Run:
    import daal4py

    centers = starting_centers(problem)
    settings = {"fptype": _precision(problem), "accuracyThreshold": 0.0, "assignFlag": True}

    def run(_: int) -> Answer:
        algorithm = daal4py.kmeans(len(centers), KMEANS_PASSES, **settings)
        result = algorithm.compute(problem.X, centers)
        return {int(result.nIterations[0, 0]): float(result.objectiveFunction[0, 0])}

    return run


def _precision(problem: Problem) -> str:
    return "float" if problem.case.dtype == "float32" else "double"


# pomegranate, on PyTorch: EM as its `fit` makes it, by `summarize` and `from_summaries`


def _pomegranate() -> Contender:
    from pomegranate.gmm import GeneralMixtureModel  # noqa: F401

    return Contender(
        "pomegranate",
        version_of("pomegranate"),
        "",
        {EM: _pomegranate_em},
        ("full", "diag"),
        ("float64",),  # float64 parameters refuse float32 rows, and the reverse
        SINGLE_WEIGHTS,
    )


def _pomegranate_em(problem: Problem, n_threads: int) -> Run:
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


# torchgmm, on PyTorch Lightning: its estimator takes no weights and covariances to start from,
# so the module that the estimator trains is trained here as it does


def _torchgmm() -> Contender:
    from torchgmm.bayes import GaussianMixture  # noqa: F401

    return Contender("torchgmm", version_of("torchgmm"), "", {EM: _torchgmm_em})


def _torchgmm_em(problem: Problem, n_threads: int) -> Run:
    import torch
    from torchgmm.base.data import DataLoader, collate_tensor, dataset_from_tensors
    from torchgmm.bayes import GaussianMixture
    from torchgmm.bayes.gmm.lightning_module import GaussianMixtureLightningModule

    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    torch.set_num_threads(n_threads)
    X = torch.from_numpy(problem.X)
    rows = DataLoader(dataset_from_tensors(X), batch_size=len(X), collate_fn=collate_tensor)
    settings = {
        "precision": 8 * problem.X.itemsize,
        "enable_progress_bar": False,
        "accelerator": "cpu",
    }

    def run(n_iter: int) -> Answer:
        with _default_precision(X.dtype):
            model = _torchgmm_start(problem)
            module = GaussianMixtureLightningModule(model, 0.0, 0.0)  # no tolerance, nothing added
            estimator = GaussianMixture(len(model.means), trainer_params=settings)
            trainer = estimator.trainer(max_epochs=n_iter)
            trainer.fit(module, rows)
        return {n_iter: -float(trainer.callback_metrics["nll"])}

    return run


def _torchgmm_start(problem: Problem) -> Any:
    import torch
    from torchgmm.bayes.gmm.model import GaussianMixtureModel, GaussianMixtureModelConfig

    start = problem.start
    config = GaussianMixtureModelConfig(start.n_components, start.n_features, start.structure.name)
    model = GaussianMixtureModel(config)
    model.component_probs.copy_(torch.tensor(start.weights))
    model.means.copy_(torch.tensor(start.means))
    model.precisions_cholesky.copy_(torch.tensor(start.precisions_cholesky))
    return model


@contextmanager
def _default_precision(dtype: Any) -> Iterator[None]:
    import torch

    previous = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(previous)


# gmmx, on JAX: its own loop is compiled anew for each number of iterations, so its steps are
# compiled here, before anything is timed. It knows float32 alone, and JAX takes all threads.


def _gmmx() -> Contender:
    from gmmx import GaussianMixtureModelJax  # noqa: F401

    return Contender(
        "gmmx",
        version_of("gmmx"),
        "",
        {EM: _gmmx_em},
        ("full", "diag"),
        ("float32",),
        held=False,
    )


def _gmmx_em(problem: Problem, _: int) -> Run:
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


RIVALS: dict[str, Callable[[], Contender]] = {
    "sklearn": scikit_learn,
    "daal4py": _onedal,
    "pomegranate": _pomegranate,
    "torchgmm": _torchgmm,
    "gmmx": _gmmx,
}
"""Module that a rival is found by -> the rival."""
