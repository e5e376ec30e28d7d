"""Whole fits with and without passes in float32.

python -m benchmarks.mixed_precision SHAPE ... [--starts given auto] [--tols 1e-3 1e-5]

Named shapes of the benchmark, a quarter of their rows, full covariances, on one thread. Fits begin
at the start of the benchmark or at 'auto'. Times are CPU seconds, so that a busy machine matters
little. The last column is by how much the fit with float32 ends higher. S2 takes some 10 s, S5 two
minutes, S7 six.
"""

from argparse import ArgumentParser
from collections.abc import Sequence
from time import process_time

from gaussmix import GaussianMixture
from gaussmix.bench.cases import EM, SHAPES, Case, make_problem

PART = 4
STARTS = ("given", "auto")
TOLS = (1e-3, 1e-5)


def main(
    names: Sequence[str], starts: Sequence[str] = STARTS, tols: Sequence[float] = TOLS
) -> None:
    """Print a row for each fit."""
    for name in names:
        n, d, k = SHAPES[name]
        problem = make_problem(Case(EM, n // PART, d, k))
        start = problem.start
        given = {
            "weights_init": start.weights,
            "means_init": start.means,
            "precisions_init": start.precisions,
        }
        for kind in starts:
            inits = given if kind == "given" else {}
            for tol in tols:
                ends = []
                for mixed in (False, True):
                    params = {"tol": tol, "max_iter": 1000, "random_state": 0, "n_threads": 1}
                    model = GaussianMixture(k, mixed_precision=mixed, **params, **inits)  # type: ignore[arg-type]
                    begun = process_time()
                    model.fit(problem.X)
                    ends.append((process_time() - begun, model.n_iter_, model.lower_bound_))
                (plain, n_plain, low), (seconds, n_mixed, high) = ends
                print(
                    f"{name} {kind:5} tol={tol:g} {plain:6.2f} {seconds:6.2f} s "
                    f"{plain / seconds:5.2f} times, iterations {n_plain} {n_mixed}, "
                    f"higher by {high - low:.1e}",
                    flush=True,
                )


if __name__ == "__main__":
    parser = ArgumentParser()
    parser.add_argument("shapes", nargs="+", choices=SHAPES)
    parser.add_argument("--starts", nargs="+", default=STARTS, choices=STARTS)
    parser.add_argument("--tols", nargs="+", default=TOLS, type=float)
    arguments = parser.parse_args()
    main(arguments.shapes, arguments.starts, arguments.tols)
