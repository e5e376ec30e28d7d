"""Groups by agglomeration: the two clusters that are most alike are merged, until K are left."""

import numpy as np

from gaussmix._core.types import Labels, Rows
from gaussmix.data.subsample import Sample, subsample
from gaussmix.kmeans.nearest import nearest_labels

WARD_ROWS = 1024
"""SciPy holds the distances of all pairs of rows. For this many they take 8 MB and 30 ms."""


def ward(
    scaled: Sample, n_clusters: int, random_state: np.random.RandomState, n_threads: int | None
) -> Labels:
    """Labels of rows by Ward's agglomeration (1963), cut at n_clusters.

    It merges the two clusters whose union adds least to the sum of squared distances from the
    clusters' means, which is the model-based agglomeration of round clusters of one size (Fraley,
    1998). Rows of weight 0 take no part; other weights do not matter. Of more than WARD_ROWS rows
    a sample is merged, and every row goes to the nearest of the means.

    Parameters
    ----------
    scaled : Sample
        Rows whose distances mean something.
    n_clusters : int
        At most as many as rows. Where rows are equal there may be fewer clusters.
    random_state : RandomState
        Draws the sample.
    n_threads : int or None
    """
    sample = subsample(*scaled, n_clusters, random_state, most=WARD_ROWS)
    rows = sample.counted(n_clusters).rows
    labels = _merged(rows, n_clusters)
    if len(rows) == len(scaled.rows):
        return labels
    means = np.array([rows[labels == k].mean(axis=0) for k in np.unique(labels)])
    return nearest_labels(scaled.rows, means, n_threads)


def _merged(rows: Rows, n_clusters: int) -> Labels:
    if n_clusters == 1:
        return np.zeros(len(rows), dtype=np.int32)
    from scipy.cluster import hierarchy  # takes longer to import than the library does

    tree = hierarchy.ward(rows)
    labels: Labels = hierarchy.fcluster(tree, n_clusters, "maxclust").astype(np.int32) - 1
    return labels
