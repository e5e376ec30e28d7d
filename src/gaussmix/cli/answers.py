"""What the command says of a saved model, and what a model says of rows."""

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gaussmix import storage
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
from gaussmix.display import progress
from gaussmix.display.tables import as_text
from gaussmix.estimators.attributes import parameters_of, term_names
from gaussmix.estimators.criteria import total_score
from gaussmix.estimators.kmeans import KMeans
from gaussmix.estimators.mixture import GaussianMixture
from gaussmix.estimators.queries import outlier_test
from gaussmix.io import scans, sinks
from gaussmix.io.kept_columns import Kept, check_beside, write_beside, write_text_beside
from gaussmix.io.readers import Array
from gaussmix.queries.hierarchy import Hierarchy

OUTSIDE = ["outlier"]
NOISE = "-1"


def show(arguments: argparse.Namespace) -> int:
    """Print what a saved model is: its weights, sizes, means and spreads."""
    print(storage.load(arguments.model).summary())
    return 0


def predict(arguments: argparse.Namespace) -> int:
    """Write the component of each row, or the probability of each component."""
    _check_answers(arguments)
    path = arguments.model
    model = load_mixture(path, "--proba") if arguments.proba else storage.load(path)
    method: Callable[[Any], Any] = model.predict
    names = ["class" if hasattr(model, "classes_") else "component"]
    if not isinstance(model, KMeans) and arguments.proba:
        method, names = model.predict_proba, term_names(model)
    elif hasattr(model, "classes_"):
        method = partial(_names_of_classes, model)
    _write_answers(model, arguments, method, names)
    return 0


def _names_of_classes(model: storage.Model, X: Any) -> Array:
    """Return the classes of rows; -1 is noise, also among texts."""
    found: Array = model.predict(X)
    assert isinstance(model, GaussianMixture), "others have no classes"
    if found.dtype.kind != "O":
        return found
    texts = np.append(model.classes_, [NOISE])
    return np.array([NOISE if name is None else name for name in found], dtype=texts.dtype)


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
    is_outside, level = outlier_test(model, arguments.p)
    n_outside = n_rows = 0

    def outside(table: scans.Table) -> Array:
        return np.asarray(is_outside(table)).astype(np.int32)

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
        names = found.column_names(n_clusters) if arguments.proba else ["cluster"]
        _write_answers(model, arguments, partial(method, n_clusters=n_clusters), names)
    if arguments.plot is not None:
        save_tree(arguments.plot, found.tree())
        say(f"picture saved to {arguments.plot}")
    return 0


def _levels(found: Hierarchy, n_clusters: int) -> str:
    """Return a table of the levels, and the components of each cluster of one of them."""
    columns = {"clusters": [str(number) for number in range(1, found.n_components + 1)]}
    if found.entropies is not None:
        columns["entropy"] = [f"{entropy:.6g}" for entropy in found.entropies]
    columns["height"] = [*(f"{height:.6g}" for height in found.linkage[::-1, 2]), ""]
    labels = found.labels(n_clusters)
    lines = [
        f"cluster {k}: components {', '.join(map(str, np.flatnonzero(labels == k)))}"
        for k in range(n_clusters)
    ]
    suggested = f"{found.n_clusters} clusters are suggested"
    table = as_text(tuple(columns), tuple(zip(*columns.values(), strict=True)))
    return "\n".join([table, suggested, *lines])


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
