"""oneDAL, through the `daal4py` that the distribution scikit-learn-intelex brings."""

from gaussmix.bench.cases import (
    EM,
    KMEANS,
    KMEANS_PASSES,
    Answer,
    Call,
    Contender,
    Prepare,
    Problem,
    version_of,
)
from gaussmix.bench.contenders import starting_centers

MODULE = "daal4py"


def contender() -> Contender:
    """Return oneDAL."""
    import daal4py  # noqa: F401

    tasks: dict[str, Prepare] = {EM: _em, KMEANS: _kmeans}
    return Contender("oneDAL", version_of("daal"), "", tasks, ("full", "diag"))


def _em(problem: Problem, n_threads: int) -> Call:
    import daal4py

    daal4py.daalinit(n_threads)  # oneDAL stays there until told otherwise
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


def _kmeans(problem: Problem, n_threads: int) -> Call:
    import daal4py

    daal4py.daalinit(n_threads)
    centers = starting_centers(problem)
    settings = {"fptype": _precision(problem), "accuracyThreshold": 0.0, "assignFlag": True}

    def run(_: int) -> Answer:
        algorithm = daal4py.kmeans(len(centers), KMEANS_PASSES, **settings)
        result = algorithm.compute(problem.X, centers)
        return {int(result.nIterations[0, 0]): float(result.objectiveFunction[0, 0])}

    return run


def _precision(problem: Problem) -> str:
    return "float" if problem.case.dtype == "float32" else "double"
