"""What K-means says of each row: its nearest centre, and its distances from all.

Both raise ValueError where squared distances leave the range of the rows' dtype.
"""

import numpy as np

from gaussmix._core.density import nearest_density
from gaussmix._core.types import FloatArray, Labels, Rows
from gaussmix.data.scale import require_centers_to_scale
from gaussmix.data.sparse import SparseRows
from gaussmix.kmeans.nearest import assign, closeness, thread_count
from gaussmix.model.reach import assign_within_reach, require_reach


def nearest(centers: FloatArray, rows: Rows, n_threads: int | None) -> Labels:
    """Return the nearest centre of each row: (N,)."""
    labels = np.empty(len(rows), dtype=np.int32)
    require_centers_to_scale(centers, rows.dtype)
    if isinstance(rows, SparseRows):
        assign(rows, nearest_density(centers, rows.dtype), labels, None, n_threads)
        return labels
    count = thread_count(rows, len(centers), n_threads)
    assign_within_reach(rows, nearest_density(centers, rows.dtype), labels, count, "center")
    return labels


def distances(centers: FloatArray, rows: Rows, n_threads: int | None) -> Rows:
    """Return the distances of rows from centres: (N, K)."""
    require_centers_to_scale(centers, rows.dtype)
    found = closeness(rows, centers, n_threads)
    if not isinstance(rows, SparseRows):
        density = nearest_density(centers, rows.dtype)
        require_reach(found, rows, density, what="center")
    np.multiply(found, -2, out=found)
    np.maximum(found, 0, out=found)  # no root of -0
    return np.sqrt(found, out=found)
