"""What each command of `gaussmix` does: arguments that were read -> exit status."""

import argparse
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix import config, distributed, storage
from gaussmix._core import dispatch
from gaussmix._core.types import MissingValues
from gaussmix.cli.reading import Complete
from gaussmix.display import progress
from gaussmix.errors import ParameterError
from gaussmix.estimators.attributes import parameters_of
from gaussmix.estimators.kmeans import KMeans
from gaussmix.estimators.mixture import GaussianMixture
from gaussmix.io import atomic, scans, sinks
from gaussmix.model.prior import Prior
from gaussmix.selection import search
from gaussmix.selection.candidates import Selection

OF_THE_RUN = ("verbose", "verbose_interval", "n_threads", "checkpoint", "checkpoint_interval")
"""Parameters of a fit that a saved model does not keep."""
STREAM = Path("-")
"""Standard input, or output."""
WRITTEN_ROWS = 1 << 17  # of a sample, at a time


def demo(arguments: argparse.Namespace) -> int:
    """Fit data whose truth is known, print a table and draw a picture."""
    from gaussmix.cli import demo
    from gaussmix.plotting.backend import check_ending

    drawing = find_spec("matplotlib") is not None
    if drawing:
        check_output(arguments.output, check_ending)
    truth, seed = demo.flower(), arguments.seed
    with progress.bar("generating", "rows") as tell:
        X, labels = demo.generate(truth, arguments.rows, seed, tell)
    with progress.last_line("fitting"):
        outcome = demo.run(
            truth,
            X,
            labels,
            seed=seed,
            n_threads=arguments.threads,
            verbose=2 * progress.on_terminal(),
        )
    print(demo.table(outcome))
    if drawing:
        _draw(outcome, arguments.output)
    else:
        print('no picture without matplotlib: pip install "gaussmix[cli]"', file=sys.stderr)
    return 0


def fit(arguments: argparse.Namespace) -> int:
    """Fit a mixture to a file's rows and save it."""
    check_output(arguments.output, storage.check_ending, arguments.file, arguments.weights)
    _check_checkpoint(arguments)
    _check_told(arguments)
    if arguments.partial:
        _check_partial(arguments)
    model = GaussianMixture(
        arguments.components,
        covariance_type=arguments.covariance,
        init_params=arguments.init,
        n_init=arguments.n_init,
        tol=arguments.tol,
        max_iter=arguments.max_iter,
        accelerate=arguments.accelerate,
        reg_covar=arguments.reg_covar,
        prior=Prior() if arguments.prior else None,
        eigenvalue_ratio=arguments.eigenvalue_ratio,
        noise=arguments.noise,
        weights="equal" if arguments.equal_weights else None,
        random_state=arguments.seed,
        n_threads=arguments.threads,
        verbose=3 * progress.on_terminal(),
        verbose_interval=1,
        checkpoint=arguments.checkpoint,
        checkpoint_interval=arguments.checkpoint_interval,
        missing_values=_missing_values(arguments),
        mixed_precision=arguments.mixed_precision,
    )
    if arguments.scheduler is not None:
        outcome = _fit_on_cluster(model, arguments)
    else:
        with complete(_scan(arguments), arguments) as source:
            if arguments.partial:
                outcome = _fit_batches(model, source)
            else:
                outcome = _fit_at_once(model, source, arguments.component_labels)
    defaults = GaussianMixture().get_params()
    model.set_params(**{name: defaults[name] for name in OF_THE_RUN})
    storage.save(model, arguments.output)
    print(f"{outcome} {model.lower_bound_:.6f}; saved to {arguments.output}")
    return 0


def _missing_values(arguments: argparse.Namespace) -> MissingValues:
    """Return what a mixture does with rows that lack a value; dropped ones it does not see."""
    return "marginalize" if arguments.missing == "marginalize" else "error"


def _fit_at_once(model: GaussianMixture, source: scans.Scan, component_labels: object) -> str:
    with progress.last_line("fitting"):
        model.fit(source, component_labels=component_labels)
    return _outcome(model)


def _fit_on_cluster(model: GaussianMixture, arguments: argparse.Namespace) -> str:
    from gaussmix.data import dask_files

    if arguments.missing == "drop":
        raise ValueError("--missing drop has no use with --scheduler: leave out the rows before")
    with progress.last_line("fitting"), distributed.connect(arguments.scheduler) as client:
        rows, weight = dask_files.collection(
            arguments.file, arguments.columns, arguments.weights, **_text_format(arguments)
        )
        distributed.fit(model, rows, weight, client)
    return _outcome(model)


def _outcome(model: GaussianMixture) -> str:
    converged = "converged" if model.converged_ else "did not converge"
    return f"{converged} after {model.n_iter_} iterations, mean log-likelihood"


def _fit_batches(model: GaussianMixture, source: scans.Scan) -> str:
    """One step of online EM for each block of the file."""
    n_rows = n_batches = 0
    with progress.bar("fitting", "rows") as tell:
        for table in source:
            n_rows += len(table)
            if table.weight is None or table.weight.any():
                model.partial_fit(table)
                n_batches += 1
            tell(n_rows, source.n_samples or n_rows)
    if n_batches == 0:
        raise ValueError(f"--weights must not be all zero, but those of {source} are")
    return f"{n_rows} rows in {n_batches} batches, mean log-likelihood of the last"


def select(arguments: argparse.Namespace) -> int:
    """Fit mixtures of many sizes and covariance types, print a table and save the best."""
    from gaussmix.plotting.curves import save_curves

    check_plot(arguments.plot, arguments.file, arguments.weights)
    if arguments.output is not None:
        check_output(arguments.output, storage.check_ending, arguments.file, arguments.weights)
    with complete(_scan(arguments), arguments) as source:
        chosen = _selected(source, arguments)
    print(chosen)
    best = chosen.best  # raises, once the table is printed, if nothing could be fitted
    if arguments.output is not None:
        storage.save(chosen.best_model.set_params(n_threads=None), arguments.output)
        print(f"\n{best.name} saved to {arguments.output}")
    if arguments.plot is not None:
        save_curves(arguments.plot, chosen.curves())
        print(f"picture saved to {arguments.plot}")
    return 0


def _selected(source: scans.Scan, arguments: argparse.Namespace) -> Selection:
    start = {} if arguments.init is None else {"init_params": arguments.init}
    return search.select(
        scans.read_all(source) if arguments.criterion == "cv" else source,
        arguments.components,
        arguments.covariance_types,
        criterion=arguments.criterion,
        n_splits=arguments.splits,
        random_state=arguments.seed,
        n_threads=arguments.threads,
        missing_values=_missing_values(arguments),
        progress=True,
        n_init=arguments.n_init,
        tol=arguments.tol,
        max_iter=arguments.max_iter,
        reg_covar=arguments.reg_covar,
        prior=Prior() if arguments.prior else None,
        eigenvalue_ratio=arguments.eigenvalue_ratio,
        noise=arguments.noise,
        weights="equal" if arguments.equal_weights else None,
        **start,
    )


def sample(arguments: argparse.Namespace) -> int:
    """Draw rows from a mixture, in random order, and write them."""
    check_output(arguments.output, sinks.check_ending, arguments.model)
    model = load_mixture(arguments.model, "sample")
    random_state = np.random.RandomState(arguments.seed)
    rows, _ = model.sample(arguments.rows, random_state)
    random_state.shuffle(rows)
    names = getattr(model, "feature_names_in_", None)
    blocks = (rows[start : start + WRITTEN_ROWS] for start in range(0, len(rows), WRITTEN_ROWS))
    write(arguments.output, blocks, names)
    return 0


def verify(arguments: argparse.Namespace) -> int:
    """Check every compiled build of the kernels that runs here against the reference."""
    from gaussmix.cli import verification

    chosen = arguments.isa
    builds = [dispatch.load(chosen)] if chosen else verification.compiled_builds()
    if not builds:
        print("gaussmix: there is no compiled build to verify", file=sys.stderr)
        return 1
    with progress.bar("verifying", "cases") as tell:
        results = verification.verify(builds, progress=tell)
    print(verification.table(results))
    return 0 if all(result.passed for result in results) else 1


def bench(arguments: argparse.Namespace) -> int:
    """Measure the speed of fits and predictions, beside scikit-learn if it is installed."""
    from gaussmix.bench import run

    return run.main(arguments.only, arguments.output)


def info(_arguments: argparse.Namespace) -> int:
    """Print how the library was built and what it uses here."""
    config.show_config()
    return 0


def check_output(
    output: Path, check_ending: Callable[[Path], object], *inputs: str | int | Path | None
) -> None:
    """Raise what writing would raise, before the work."""
    if output == STREAM and check_ending is sinks.check_ending:
        return
    check_ending(output)
    atomic.check_target(output)
    for path in map(str, filter(None, inputs)):
        if Path(path).exists() and output.exists() and output.samefile(path):
            raise ValueError(f"{output}: the output would replace the input {path}")


def check_plot(path: Path | None, *inputs: str | int | Path | None) -> None:
    """Raise what drawing a picture would raise, before the work."""
    from gaussmix.plotting.backend import check_ending

    if path is None:
        return
    if find_spec("matplotlib") is None:
        raise ImportError('--plot needs matplotlib: pip install "gaussmix[cli]"')
    check_output(path, check_ending, *inputs)


def _check_told(arguments: argparse.Namespace) -> None:
    """Raise at what does not go with what is told of rows."""
    told = {"--labels": arguments.labels, "--row-priors": arguments.row_priors}
    told["--component-labels"] = arguments.component_labels
    for option, given in told.items():
        if given is None:
            continue
        for other, used in (
            ("--partial", arguments.partial),
            ("--scheduler", arguments.scheduler is not None),
            (f"--missing {arguments.missing}", arguments.missing != "error"),
        ):
            if used:
                raise ValueError(f"{option} does not go with {other}: leave one out")


def _check_partial(arguments: argparse.Namespace) -> None:
    """Raise at options that online EM has no use for."""
    without = {
        "checkpoint": None,
        "scheduler": None,
        "accelerate": None,
        "mixed_precision": False,
        "n_init": 1,
    }
    for name, default in without.items():
        if getattr(arguments, name) != default:
            option = f"--{name.replace('_', '-')}"
            raise ValueError(f"{option} is for fits in many passes, and has no use with --partial")


def _check_checkpoint(arguments: argparse.Namespace) -> None:
    """Raise what writing a checkpoint would raise, and where it would replace another file."""
    path, output = arguments.checkpoint, arguments.output
    if path is None:
        return
    if os.path.realpath(path) == os.path.realpath(output):
        raise ValueError(f"{path}: --checkpoint must be another file than the model, got both")
    check_output(path, str, arguments.file, arguments.weights)


def _draw(outcome: Any, path: Path) -> None:
    from gaussmix.cli import demo
    from gaussmix.plotting.comparison import Comparison, save_comparison

    shown = outcome.X[: demo.PICTURE_ROWS]
    comparison = Comparison(
        shown,
        outcome.kmeans.cluster_centers_,
        outcome.kmeans.labels_[: len(shown)],
        parameters_of(outcome.model),
        outcome.model.predict_proba(shown),
    )
    save_comparison(path, comparison, demo.caption(outcome))
    print(f"{'picture':<16} {path}")


def load_mixture(path: Path, purpose: str) -> storage.Mixture:
    """Return a saved mixture; ValueError if the model is another, which has no such purpose."""
    model = storage.load(path)
    if isinstance(model, KMeans):
        raise ValueError(f"{path}: {purpose} needs a GaussianMixture, got a KMeans")
    return model


def _scan(arguments: argparse.Namespace, columns: list[str] | None = None) -> scans.Scan:
    """Return the chosen columns of the file, or of the text that comes from standard input."""
    weights = getattr(arguments, "weights", None)
    labels, row_priors = (getattr(arguments, name, None) for name in ("labels", "row_priors"))
    chosen = arguments.columns if columns is None else columns
    told: dict[str, Any] = {"labels": labels, "row_priors": row_priors}
    options = _text_format(arguments)
    if arguments.file == STREAM:
        path = _spooled(arguments)
        return scans.scan_text(path, "standard input", chosen, weights, **told, **options)
    return scans.scan(arguments.file, chosen, weights, **told, **options)


def _text_format(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what the arguments say of a text file: nothing by default."""
    given = {"delimiter": arguments.delimiter, "decimal": arguments.decimal}
    return {name: value for name, value in given.items() if value not in (None, ".")}


def _spooled(arguments: argparse.Namespace) -> Path:
    """Return a file with what standard input has: a fit reads it many times.

    It is removed when the command ends.
    """
    if not hasattr(arguments, "spooled"):
        folder = Path(tempfile.gettempdir()) / f"gaussmix-{secrets.token_hex(8)}"
        arguments.leftovers.append(folder)
        folder.mkdir(0o700)  # a signal may raise before this, and after
        arguments.spooled = folder / "input"
        with arguments.spooled.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
    return Path(arguments.spooled)


def write(output: Path, blocks: Iterator[NDArray[Any]], names: Sequence[str] | None) -> None:
    """Write answers to a file, or as text to standard output."""
    if output == STREAM:
        sinks.write_text(sys.stdout.buffer, blocks, names)
    else:
        sinks.write(output, blocks, names)


@contextmanager
def complete(source: scans.Scan, arguments: argparse.Namespace) -> Iterator[scans.Scan]:
    """Leave out rows with gaps, if the arguments say so, and say afterwards how many they were."""
    if arguments.missing != "drop":
        yield source
        return
    whole = Complete(source)
    yield scans.scan(whole)
    if whole.n_left_out:
        progress.print_above(f"gaussmix: left out {whole.n_left_out:,} rows that lack a value")


def scan_for(model: storage.Model, arguments: argparse.Namespace) -> scans.Scan:
    """Return the columns that the model knows, in its order, if the file has them by name."""
    wanted = [str(name) for name in getattr(model, "feature_names_in_", ())]
    if arguments.columns is None and wanted:
        with suppress(ParameterError):  # some are not there: the model says which it wants
            return _scan(arguments, wanted)
    return _scan(arguments)
