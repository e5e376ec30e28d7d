"""scikit-learn as a rival: it takes the very same calls as this library."""

from gaussmix.bench.cases import Contender, version_of
from gaussmix.bench.contenders import estimator_tasks

MODULE = "sklearn"


def contender() -> Contender:
    """Return scikit-learn."""
    from sklearn.cluster import KMeans
    from sklearn.mixture import GaussianMixture

    tasks = estimator_tasks(GaussianMixture, KMeans, lambda count: {})  # noqa: ARG005
    return Contender("scikit-learn", version_of("scikit-learn"), "", tasks)
