"""A synthetic-data tool's transformer of columns, with scikit-learn's mixture and with ours.

python -m benchmarks.column_transformer [columns [rows]]

`rdt.transformers.ClusterBasedNormalizer` fits a Bayesian mixture of ten components to every column,
and makes a category of each component that has a weight. It is run as it is and under
`gaussmix.patch_sklearn()`, column by column, so that a busy machine slows both alike. Most of
`transform` is a loop of rdt's own over the rows. Needs the package rdt.
"""

import sys
import warnings
from contextlib import nullcontext
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd

import gaussmix
from benchmarks.bayesian import column

N_COLUMNS, N_ROWS = 20, 200_000


def main(n_columns: int = N_COLUMNS, n_rows: int = N_ROWS) -> None:
    """Print times and categories of every column, and the sums."""
    from rdt.transformers import ClusterBasedNormalizer

    totals = np.zeros((2, 2))
    equal = 0
    for number in range(n_columns):
        name = f"column {number}"
        table = pd.DataFrame({name: column(number, n_rows)[:, 0]})
        counts: list[int] = []
        for i, place in enumerate(("sklearn", "gaussmix")):
            with gaussmix.patch_sklearn() if i else nullcontext():
                transformer: Any = ClusterBasedNormalizer()
                np.random.seed(0)
                begun = perf_counter()
                transformer.fit(table, name)
                fitted = perf_counter()
                transformer.transform(table)
                totals[i] += fitted - begun, perf_counter() - fitted
            module = type(transformer._bgm_transformer).__module__
            assert module.startswith(place), module
            counts.append(int(transformer.valid_component_indicator.sum()))
        equal += counts[0] == counts[1]
        print(f"{name}: {counts} categories; so far {totals.round(2).tolist()} s", flush=True)
    theirs, ours = totals
    print(
        f"{n_columns} columns of {n_rows:,} rows, fit and transform: scikit-learn {theirs[0]:.1f} "
        f"and {theirs[1]:.1f} s, gaussmix {ours[0]:.1f} and {ours[1]:.1f} s; fits "
        f"{theirs[0] / ours[0]:.0f} times as fast; {equal} columns have as many categories"
    )


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(*map(int, sys.argv[1:]))
