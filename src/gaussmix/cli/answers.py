"""What the command says of a saved model, and what a model says of rows."""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gaussmix import progress, storage
from gaussmix._core.types import FloatArray
from gaussmix.cli.commands import (
    STREAM,
    check_output,
    check_plot,
    complete,
    load_mixture,
    scan_for,
    write,
)
from gaussmix.cli.reading import Answer, Watched, in_place
from gaussmix.estimators.attributes import parameters_of
from gaussmix.estimators.base_mixture import total_score
from gaussmix.estimators.bayesian import BayesianGaussianMixture
from gaussmix.estimators.kmeans import KMeans
from gaussmix.estimators.mixture import GaussianMixture
from gaussmix.io import scans, sinks
from gaussmix.io.beside import Kept, check_beside, write_beside, write_text_beside
from gaussmix.io.readers import Array
from gaussmix.queries.hierarchy import Hierarchy

SHOWN_FEATURES = 8  # of each component, in a table
OUTSIDE = ["outlier"]


def show(arguments: argparse.Namespace) -> int:
    """Print what a saved model is: its weights, sizes and means."""
    model = storage.load(arguments.model)
    print(model)
    if isinstance(model, KMeans):
        _show_centers(model)
    else:
        _show_mixture(model)
    return 0


def predict(arguments: argparse.Namespace) -> int:
    """Write the component of each row, or the probability of each component."""
    _check_answers(arguments)
    path = arguments.model
    model = load_mixture(path, "--proba") if arguments.proba else storage.load(path)
    method: Callable[[Any], Any] = model.predict
    names = ["component"]
    if not isinstance(model, KMeans) and arguments.proba:
        method = model.predict_proba
        names = [f"component {k}" for k in range(len(model.weights_))]
    _write_answers(model, arguments, method, names)
    return 0


def score(arguments: argparse.Namespace) -> int:
    """Print how well a mixture describes a file's rows, and write how well it does each of them."""
    model = _checked_mixture(arguments, "score")
    with _watched(model, arguments, "scoring") as source:
        scored = total_score(model, source)
    if arguments.output is not None:
        _write_answers(model, arguments, model.score_samples, ["log-likelihood"])
    say = _reporter(arguments)
    say(f"rows                 {scored.weight:.0f}")
    say(f"mean log-likelihood  {scored.mean:.10g}")
    if isinstance(model, GaussianMixture):
        n_free = parameters_of(model).n_free()
        say(f"BIC                  {scored.bic(n_free):.10g}")
        say(f"AIC                  {scored.aic(n_free):.10g}")
    return 0


def outliers(arguments: argparse.Namespace) -> int:
    """Count the rows outside the smallest region of a probability, and write which they are."""
    model = _checked_mixture(arguments, "outliers")
    mixture = model  # that the level is of: a Bayesian one's expected parameters
    if isinstance(model, BayesianGaussianMixture):
        mixture = model.marginal(range(model.n_features_in_))
    level, n_outside, n_rows = float(mixture.hdr_level(arguments.p)), 0, 0

    def outside(table: scans.Table) -> Array:
        return (np.asarray(mixture.score_samples(table)) < level).astype(np.int32)

    def counted(blocks: Iterator[Array]) -> Iterator[Array]:
        nonlocal n_outside, n_rows
        for block in blocks:
            n_outside += int((block == 1).sum())
            n_rows += int((block >= 0).sum())
            yield block

    if arguments.output is not None:
        _write_answers(model, arguments, outside, OUTSIDE, counted)
    else:
        for _ in counted(_answers(model, arguments, outside)):
            pass
    share, say = n_outside / max(n_rows, 1), _reporter(arguments)
    say(f"rows      {n_rows}")
    say(f"outliers  {n_outside} ({share:.2%}), where {1 - arguments.p:.2%} are expected")
    say(f"level     {level:.10g}, the least log-density inside")
    return 0


def hierarchy(arguments: argparse.Namespace) -> int:
    """Merge the components of a mixture into clusters that nest, and write each row's cluster."""
    from gaussmix.plotting.tree import save_tree

    check_plot(arguments.plot, arguments.model, arguments.file)
    model = _checked_mixture(arguments, "hierarchy")
    with _watched(model, arguments, "merging") as source:
        found = model.hierarchy(source, criterion=arguments.criterion)
    n_clusters = arguments.clusters or found.n_clusters
    say = _reporter(arguments)
    say(_levels(found, n_clusters))
    if arguments.output is not None:
        method = found.predict_proba if arguments.proba else found.predict
        names = [f"cluster {k}" for k in range(n_clusters)] if arguments.proba else ["cluster"]
        _write_answers(model, arguments, partial(method, n_clusters=n_clusters), names)
    if arguments.plot is not None:
        save_tree(arguments.plot, found.tree())
        say(f"picture saved to {arguments.plot}")
    return 0


def _show_centers(model: KMeans) -> None:
    print(f"{model.n_clusters} clusters of {model.n_features_in_} features")
    if hasattr(model, "inertia_"):
        print(f"inertia {model.inertia_:.6g} after {model.n_iter_} iterations")
    columns = [_numbers("cluster", np.arange(model.n_clusters), "d")]
    print(_table([*columns, *_features(model, model.cluster_centers_)]))


def _show_mixture(model: storage.Mixture) -> None:
    n_components, n_features = model.means_.shape
    print(
        f"{n_components} components of {n_features} features, {model.covariance_type} covariances"
    )
    n_seen = getattr(model, "n_samples_seen_", 0)
    if n_seen:
        outcome = "converged" if model.converged_ else "did not converge"
        is_bayesian = isinstance(model, BayesianGaussianMixture)
        value = "evidence lower bound" if is_bayesian else "mean log-likelihood"
        print(
            f"fitted to {n_seen} rows: {outcome} after {model.n_iter_} iterations, "
            f"{value} {model.lower_bound_:.6f}"
        )
    columns = [_numbers("component", np.arange(n_components), "d")]
    columns.append(_numbers("weight", model.weights_, ".4f"))
    if n_seen:
        size = model.weights_ * getattr(model, "weight_seen_", n_seen)
        columns.append(_numbers("size", size, ".1f"))
    print(_table([*columns, *_features(model, model.means_)]))


def _features(model: storage.Model, centers: FloatArray) -> list[list[str]]:
    """Return columns of means or centres, the first ones if there are many."""
    n_features = centers.shape[1]
    names = [str(name) for name in getattr(model, "feature_names_in_", range(n_features))]
    kind = "center" if isinstance(model, KMeans) else "mean"
    shown = [
        _numbers(f"{kind} {name}", column, ".6g")
        for name, column in zip(names, centers.T[:SHOWN_FEATURES], strict=False)
    ]
    more = n_features - SHOWN_FEATURES
    return shown if more <= 0 else [*shown, [f"({more} more)", *[""] * len(centers)]]


def _numbers(name: str, values: Any, form: str) -> list[str]:
    return [name, *(format(value, form) for value in values)]


def _table(columns: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in columns]
    rows = zip(*columns, strict=True)
    padded = ([cell.rjust(w) for cell, w in zip(row, widths, strict=True)] for row in rows)
    return "\n".join("  ".join(row).rstrip() for row in padded)


def _levels(found: Hierarchy, n_clusters: int) -> str:
    """Return a table of the levels, and the components of each cluster of one of them."""
    columns = [_numbers("clusters", range(1, found.n_components + 1), "d")]
    if found.entropies is not None:
        columns.append(_numbers("entropy", found.entropies, ".6g"))
    heights = ["height", *(f"{height:.6g}" for height in found.linkage[::-1, 2]), ""]
    columns.append(heights)
    labels = found.labels(n_clusters)
    lines = [
        f"cluster {k}: components {', '.join(map(str, np.flatnonzero(labels == k)))}"
        for k in range(n_clusters)
    ]
    suggested = f"{found.n_clusters} clusters are suggested"
    return "\n".join([_table(columns), suggested, *lines])


def _reporter(arguments: argparse.Namespace) -> Callable[[str], None]:
    """Return what prints a report: to standard error where the answers go to standard output."""
    return partial(print, file=sys.stderr if arguments.output == STREAM else sys.stdout)


def _checked_mixture(arguments: argparse.Namespace, command: str) -> storage.Mixture:
    """Return the mixture, after a check of where its answers would go."""
    if arguments.output is not None:
        _check_answers(arguments)
    return load_mixture(arguments.model, command).set_params(n_threads=arguments.threads)


@contextmanager
def _watched(
    model: storage.Mixture, arguments: argparse.Namespace, label: str
) -> Iterator[Watched]:
    """Yield the rows of the file, whose reading is shown."""
    with (
        complete(scan_for(model, arguments), arguments) as source,
        progress.bar(label, "rows") as tell,
    ):
        yield Watched(source, tell)


def _check_answers(arguments: argparse.Namespace) -> None:
    """Raise what writing answers would raise, before the work."""
    check_output(arguments.output, sinks.check_ending, arguments.model, arguments.file)
    if arguments.keep is not None and arguments.output != STREAM:
        check_beside(arguments.output)


def _write_answers(
    model: storage.Model,
    arguments: argparse.Namespace,
    method: Callable[[Any], Any],
    names: list[str],
    through: Callable[[Iterator[Array]], Iterator[Array]] = iter,
) -> None:
    """Write what a method says of each row, beside the columns that are kept."""
    blocks = through(_answers(model, arguments, method))
    output: Path = arguments.output
    if arguments.keep is None:
        write(output, blocks, names)
        return
    kept = Kept(*scan_for(model, arguments).values(arguments.keep))
    if output == STREAM:
        write_text_beside(sys.stdout.buffer, kept, blocks, names)
    else:
        write_beside(output, kept, blocks, names)


def _answers(
    model: storage.Model, arguments: argparse.Namespace, method: Callable[[Any], Any]
) -> Iterator[Array]:
    """Return what a method says of each row, block by block."""
    model.set_params(n_threads=arguments.threads)
    if arguments.missing == "marginalize":
        model.set_params(missing_values=arguments.missing)
    source = scan_for(model, arguments)
    answer: Answer = in_place(method) if arguments.missing == "drop" else method
    done = 0
    with progress.bar("writing", "rows") as tell:
        for table in source:
            yield answer(table)
            done += len(table)
            tell(done, source.n_samples or done)
