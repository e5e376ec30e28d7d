"""torchgmm, on PyTorch Lightning.

Its estimator takes no weights and covariances to start from, so the module that the estimator
trains is trained here as the estimator does it.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gaussmix.bench.cases import EM, Answer, Call, Contender, Problem, version_of

MODULE = "torchgmm"


def contender() -> Contender:
    """Return torchgmm."""
    from torchgmm.bayes import GaussianMixture  # noqa: F401

    return Contender("torchgmm", version_of("torchgmm"), "", {EM: _em})


def _em(problem: Problem, n_threads: int) -> Call:
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
            model = _start(problem)
            module = GaussianMixtureLightningModule(model, 0.0, 0.0)  # no tolerance, nothing added
            estimator = GaussianMixture(len(model.means), trainer_params=settings)
            trainer = estimator.trainer(max_epochs=n_iter)
            trainer.fit(module, rows)
        return {n_iter: -float(trainer.callback_metrics["nll"])}

    return run


def _start(problem: Problem) -> Any:
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
