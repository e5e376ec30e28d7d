"""New rows of a mixture: blocks of them, each from its own stream, on all threads."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from gaussmix._core.types import FloatArray
from gaussmix.data.parallel import for_blocks
from gaussmix.model.parameters import Parameters
from gaussmix.validation import check_integer

BLOCK_VALUES = 1 << 17  # normal deviates of one stream: a millisecond's work
PARALLEL_VALUES = 1 << 20  # below this a second thread gains little


def check_n_samples(n_samples: object, n_features: int) -> int:
    """Return a number of rows to draw: as many as an array can hold, or fewer."""
    most = np.iinfo(np.intp).max // (np.dtype(np.float64).itemsize * n_features)
    return check_integer("n_samples", n_samples, 1, most)


def draw(
    parameters: Parameters,
    n_samples: int,
    random_state: np.random.RandomState,
    n_threads: int = 1,
    box: FloatArray | None = None,
) -> tuple[FloatArray, NDArray[np.int64]]:
    """Rows (N, D) grouped by component, and their components (N,): mean + L z, C = L L'.

    If there is noise, its rows come last, and their component is -1. They are uniform in the box, a
    corner and the edges that leave it (D + 1, D).

    Every block has a stream of its own, whose seed comes from `random_state`, so the rows do not
    depend on the number of threads.
    """
    n_features = parameters.n_features
    noise, n_components = parameters.noise, parameters.n_components
    chances = parameters.weights if noise is None else np.append(parameters.weights, noise.weight)
    weights = chances / chances.sum()
    counts = random_state.multinomial(n_samples, weights)
    seed = random_state.randint(2**32, size=4, dtype=np.uint32)
    labels = np.repeat(np.arange(len(weights), dtype=np.int64), counts)
    rows, roots = np.empty((n_samples, n_features)), _roots(parameters)
    block_rows = max(BLOCK_VALUES // n_features, 1)

    def block(part: slice) -> None:
        key = np.random.SeedSequence(seed, spawn_key=(part.start // block_rows,))
        np.random.Generator(np.random.SFC64(key)).standard_normal(out=rows[part])
        _place(rows[part], labels[part], parameters.means, roots, box)

    for_blocks(block, n_samples, block_rows, n_threads if rows.size > PARALLEL_VALUES else 1)
    labels[labels == n_components] = -1
    return rows, labels


def _roots(parameters: Parameters) -> FloatArray:
    """L' of every component, or standard deviations: (K, D, D) or (K, D)."""
    return parameters.structure.roots(parameters.precisions_cholesky, *parameters.means.shape)


def _place(
    z: FloatArray,
    labels: NDArray[np.int64],
    means: FloatArray,
    roots: FloatArray,
    box: FloatArray | None,
) -> None:
    """Turn standard normal rows, INOUT, into rows of their components, whose labels ascend.

    Those of the component after the last are uniform in the box.
    """
    first, last = labels[0], labels[-1]
    edges = np.searchsorted(labels, np.arange(first, last + 2))
    for k, (start, end) in enumerate(pairwise(edges), first):
        group = z[start:end]
        if k == len(means) and box is not None:
            group[...] = box[0] + ndtr(group) @ box[1:]
            continue
        group[...] = group @ roots[k] if roots.ndim == 3 else group * roots[k]
        group += means[k]
