"""The command `gaussmix`."""

import argparse
import io
import math
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from gaussmix import config, distributed, progress, storage
from gaussmix._core import dispatch
from gaussmix.em.acceleration import METHODS as ACCELERATIONS
from gaussmix.estimators.attributes import parameters_of
from gaussmix.estimators.kmeans import KMeans
from gaussmix.estimators.mixture import GaussianMixture, total_score
from gaussmix.io import atomic, sinks, sources
from gaussmix.model.structures import STRUCTURES
from gaussmix.selection import search
from gaussmix.selection.candidates import CRITERIA
from gaussmix.starts.methods import METHOD_NAMES

USAGE_ERROR = 2  # argparse's
INTERRUPTED = 130  # 128 + SIGINT, as shells have it
DEMO_ROWS, LEAST_DEMO_ROWS, DEMO_SEED = 2_000_000, 1000, 1
LAST_SEED = 2**32 - 1  # of NumPy's RandomState
MOST_COUNTS = 1000  # numbers of components to try

FILES, OUTPUTS = ", ".join(sources.FILE_READERS), ", ".join(sinks.ENDINGS)
OF_THE_RUN = ("verbose", "verbose_interval", "n_threads", "checkpoint", "checkpoint_interval")
"""Parameters of a fit that a saved model does not keep."""
WRITTEN_ROWS = 1 << 17  # of a sample, at a time


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; by default the command line's.

    Returns
    -------
    int
        0 if all went well, 1 if `verify` or `bench` found something wrong, 2 for wrong usage or
        input, 130 after Ctrl-C.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default", UserWarning)
            warnings.showwarning = _show_warning
            _prepare_output()
            arguments = _parser().parse_args(argv)
            status: int = arguments.run(arguments)
            sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        print("gaussmix: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, TypeError, OSError, MemoryError, OverflowError, ImportError) as error:
        print(f"gaussmix: error: {_one_line(error)}", file=sys.stderr)
        return USAGE_ERROR


def demo(arguments: argparse.Namespace) -> int:
    """Fit data whose truth is known, print a table and draw a picture."""
    from gaussmix import plotting
    from gaussmix.cli import demo

    drawing = find_spec("matplotlib") is not None
    if drawing:
        _check_output(arguments.output, plotting.check_ending)
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
            verbose=2 * progress.shown(),
        )
    print(demo.table(outcome))
    if drawing:
        _draw(outcome, arguments.output)
    else:
        print('no picture without matplotlib: pip install "gaussmix[cli]"', file=sys.stderr)
    return 0


def fit(arguments: argparse.Namespace) -> int:
    """Fit a mixture to a file's rows and save it."""
    _check_output(arguments.output, storage.check_ending, arguments.file, arguments.weights)
    _check_checkpoint(arguments)
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
        random_state=arguments.seed,
        n_threads=arguments.threads,
        verbose=3 * progress.shown(),
        verbose_interval=1,
        checkpoint=arguments.checkpoint,
        checkpoint_interval=arguments.checkpoint_interval,
    )
    if arguments.partial:
        outcome = _fit_batches(model, _scan(arguments))
    else:
        outcome = _fit_at_once(model, arguments)
    defaults = GaussianMixture().get_params()
    model.set_params(**{name: defaults[name] for name in OF_THE_RUN})
    storage.save(model, arguments.output)
    print(f"{outcome} {model.lower_bound_:.6f}; saved to {arguments.output}")
    return 0


def _fit_at_once(model: GaussianMixture, arguments: argparse.Namespace) -> str:
    with progress.last_line("fitting"):
        if arguments.scheduler is None:
            model.fit(_scan(arguments))
        else:
            _fit_on_cluster(model, arguments)
    converged = "converged" if model.converged_ else "did not converge"
    return f"{converged} after {model.n_iter_} iterations, mean log-likelihood"


def _fit_on_cluster(model: GaussianMixture, arguments: argparse.Namespace) -> None:
    from gaussmix.data import dask_files

    with distributed.connect(arguments.scheduler) as client:
        rows, weight = dask_files.collection(arguments.file, arguments.columns, arguments.weights)
        distributed.fit(model, rows, weight, client)


def _fit_batches(model: GaussianMixture, source: sources.Scan) -> str:
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
    from gaussmix import plotting

    if arguments.plot is not None:
        if find_spec("matplotlib") is None:
            raise ImportError('--plot needs matplotlib: pip install "gaussmix[cli]"')
        _check_output(arguments.plot, plotting.check_ending, arguments.file, arguments.weights)
    if arguments.output is not None:
        _check_output(arguments.output, storage.check_ending, arguments.file, arguments.weights)
    table = sources.read_all(_scan(arguments))
    chosen = search.select(
        table,
        arguments.components,
        arguments.covariance_types,
        criterion=arguments.criterion,
        n_splits=arguments.splits,
        sample_weight=table.weight,
        random_state=arguments.seed,
        n_threads=arguments.threads,
        progress=True,
        init_params=arguments.init,
        n_init=arguments.n_init,
        tol=arguments.tol,
        max_iter=arguments.max_iter,
        reg_covar=arguments.reg_covar,
    )
    print(chosen)
    if arguments.output is not None:
        storage.save(chosen.best_model.set_params(n_threads=None), arguments.output)
        print(f"\n{chosen.best.name} saved to {arguments.output}")
    if arguments.plot is not None:
        plotting.save_curves(arguments.plot, chosen.curves())
        print(f"picture saved to {arguments.plot}")
    return 0


def predict(arguments: argparse.Namespace) -> int:
    """Write the component of each row, or the probability of each component."""
    _check_output(arguments.output, sinks.check_ending, arguments.model, arguments.file)
    path = arguments.model
    model = _load_mixture(path, "--proba") if arguments.proba else storage.load(path)
    model.set_params(n_threads=arguments.threads)
    source = _scan_for(model, arguments)
    method, names = model.predict, ["component"]
    if isinstance(model, GaussianMixture) and arguments.proba:
        method = model.predict_proba
        names = [f"component {k}" for k in range(len(model.weights_))]
    with progress.bar("predicting", "rows") as tell:
        sinks.write(arguments.output, _by_block(method, source, tell), names)
    return 0


def _by_block(
    function: Callable[[Any], NDArray[Any]], source: sources.Scan, tell: progress.Progress
) -> Iterator[NDArray[Any]]:
    done = 0
    for table in source:
        yield function(table)
        done += len(table)
        tell(done, source.n_samples or done)


def score(arguments: argparse.Namespace) -> int:
    """Print how well a mixture describes a file's rows."""
    model = _load_mixture(arguments.model, "score").set_params(n_threads=arguments.threads)
    scored = total_score(model, _scan_for(model, arguments))
    n_free = parameters_of(model).n_free()
    print(f"rows                 {scored.weight:.0f}")
    print(f"mean log-likelihood  {scored.mean:.10g}")
    print(f"BIC                  {scored.bic(n_free):.10g}")
    print(f"AIC                  {scored.aic(n_free):.10g}")
    return 0


def sample(arguments: argparse.Namespace) -> int:
    """Draw rows from a mixture, in random order, and write them."""
    _check_output(arguments.output, sinks.check_ending, arguments.model)
    model = _load_mixture(arguments.model, "sample")
    random_state = np.random.RandomState(arguments.seed)
    rows, _ = model.sample(arguments.rows, random_state)
    random_state.shuffle(rows)
    names = getattr(model, "feature_names_in_", None)
    blocks = (rows[start : start + WRITTEN_ROWS] for start in range(0, len(rows), WRITTEN_ROWS))
    sinks.write(arguments.output, blocks, names)
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
    """Measure the speed of kernels and fits, and of other libraries that are installed."""
    from gaussmix.bench import benchmark

    return benchmark.main(arguments.full, arguments.only, arguments.output, resume=arguments.resume)


def info(_arguments: argparse.Namespace) -> int:
    """Print how the library was built and what it uses here."""
    config.show_config()
    return 0


def _prepare_output() -> None:
    if sys.stdout is None:
        raise ValueError("standard output is closed; it is where results are printed")
    if isinstance(sys.stdout, io.TextIOWrapper):  # a file's name may not exist in its encoding
        sys.stdout.reconfigure(errors="backslashreplace")


def _check_output(
    output: Path, check_ending: Callable[[Path], object], *inputs: str | int | Path | None
) -> None:
    """Raise what writing would raise, before the work."""
    check_ending(output)
    atomic.check_target(output)
    for path in map(str, filter(None, inputs)):
        if Path(path).exists() and output.exists() and output.samefile(path):
            raise ValueError(f"{output}: the output would replace the input {path}")


def _check_partial(arguments: argparse.Namespace) -> None:
    """Raise at options that online EM has no use for."""
    without = {"checkpoint": None, "scheduler": None, "accelerate": None, "n_init": 1}
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
    _check_output(path, str, arguments.file, arguments.weights)


def _draw(outcome: Any, path: Path) -> None:
    from gaussmix import plotting
    from gaussmix.cli import demo

    shown = outcome.X[: demo.PICTURE_ROWS]
    comparison = plotting.Comparison(
        shown,
        outcome.kmeans.cluster_centers_,
        outcome.kmeans.labels_[: len(shown)],
        parameters_of(outcome.model),
        outcome.model.predict_proba(shown),
    )
    plotting.save_comparison(path, comparison, demo.caption(outcome))
    print(f"{'picture':<16} {path}")


def _load_mixture(path: Path, purpose: str) -> GaussianMixture:
    model = storage.load(path)
    if isinstance(model, KMeans):
        raise ValueError(f"{path}: {purpose} needs a GaussianMixture, got a KMeans")
    return model


def _scan(arguments: argparse.Namespace) -> sources.Scan:
    """Return the chosen columns of the file."""
    weights = getattr(arguments, "weights", None)
    return sources.scan(arguments.file, arguments.columns, weights)


def _scan_for(model: storage.Model, arguments: argparse.Namespace) -> sources.Scan:
    """Return the file's columns that the model knows, if none are chosen and it has more."""
    source = _scan(arguments)
    wanted = [str(name) for name in getattr(model, "feature_names_in_", ())]
    if arguments.columns is None and wanted and {*wanted} < {*(source.columns or ())}:
        return sources.scan(arguments.file, wanted)
    return source


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="gaussmix", description="Fit and use Gaussian mixtures.")
    parser.add_argument("--version", action="version", version=f"gaussmix {config.version()}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_demo(commands)
    _add_fit(commands)
    _add_select(commands)
    _add_predict(commands)
    _add_score(commands)
    _add_sample(commands)
    verifying = _command(commands, "verify", verify)
    verifying.add_argument("--isa", choices=dispatch.COMPILED, help="only this build")
    _add_bench(commands)
    _command(commands, "info", info)
    return parser


def _add_demo(commands: Any) -> None:
    parser = _command(commands, "demo", demo)
    rows = _integer(LEAST_DEMO_ROWS)
    parser.add_argument("--rows", type=rows, default=DEMO_ROWS, metavar="N")
    _add_seed(parser, "of the data and of the start", DEMO_SEED)
    _add_threads(parser)
    _add_output(parser, "picture, gaussmix-demo.png if not given", "gaussmix-demo.png")


def _add_fit(commands: Any) -> None:
    defaults = GaussianMixture()
    parser = _command(commands, "fit", fit)
    _add_file(parser)
    add = parser.add_argument
    count, starts = "number of components", "starts, the best is kept"
    add("-k", "--components", type=_integer(1), required=True, metavar="K", help=count)
    add("--covariance", choices=STRUCTURES, default=defaults.covariance_type)
    add("--init", choices=METHOD_NAMES, default=defaults.init_params, help="start")
    add("--n-init", type=_integer(1), default=defaults.n_init, metavar="N", help=starts)
    add("--tol", type=float, default=defaults.tol, help="least change to go on")
    add("--max-iter", type=_integer(0), default=defaults.max_iter, metavar="N")
    add("--accelerate", choices=tuple(ACCELERATIONS), help="jump ahead of EM, for fewer passes")
    add("--reg-covar", type=float, default=defaults.reg_covar, help="added to every variance")
    _add_seed(parser, "of the start; without one, every fit starts elsewhere")
    _add_weights(parser)
    online = "one step of online EM for each few MB of the file, which is read once"
    add("--partial", action="store_true", help=online)
    cluster = "of a Dask cluster whose workers see the file under the same path"
    add("--scheduler", metavar="ADDRESS", help=cluster)
    progress_file = "go on from this file, if it is there, and keep the fit's progress in it"
    add("--checkpoint", type=_file, metavar="FILE", help=progress_file)
    seconds = "between writings of the checkpoint, at least"
    interval = defaults.checkpoint_interval
    add("--checkpoint-interval", type=float, default=interval, metavar="SECONDS", help=seconds)
    _add_threads(parser)
    _add_output(parser, "model (.npz)")


def _add_select(commands: Any) -> None:
    defaults = GaussianMixture(**search.DEFAULTS)
    parser = _command(commands, "select", select)
    _add_file(parser)
    add = parser.add_argument
    counts, types = "numbers of components, such as 1-10 or 2,4,8", "all, or some: full,tied"
    add("-k", "--components", type=_counts, default="1-10", metavar="K", help=counts)
    add("--covariance-types", type=_structures, default=STRUCTURES, metavar="TYPES", help=types)
    add("--criterion", choices=CRITERIA, default="bic", help="what to choose by")
    add("--splits", type=_integer(2), default=5, metavar="N", help="parts held out in turn, for cv")
    add("--init", choices=METHOD_NAMES, default=defaults.init_params, help="start")
    add("--n-init", type=_integer(1), default=defaults.n_init, metavar="N", help="starts of a fit")
    add("--tol", type=float, default=defaults.tol, help="least change to go on")
    add("--max-iter", type=_integer(0), default=defaults.max_iter, metavar="N")
    add("--reg-covar", type=float, default=defaults.reg_covar, help="added to every variance")
    _add_seed(parser, "of the starts; without one, every run starts elsewhere")
    _add_weights(parser)
    add("--plot", type=_file, metavar="PICTURE", help="curves of the criterion")
    _add_threads(parser)
    add("-o", "--output", type=_file, metavar="OUT", help="the best model (.npz)")


def _add_predict(commands: Any) -> None:
    parser = _command(commands, "predict", predict)
    _add_model(parser)
    _add_file(parser)
    parser.add_argument("--proba", action="store_true", help="probabilities instead of components")
    _add_threads(parser)
    _add_output(parser, f"predictions ({OUTPUTS})")


def _add_score(commands: Any) -> None:
    parser = _command(commands, "score", score)
    _add_model(parser)
    _add_file(parser)
    _add_threads(parser)


def _add_sample(commands: Any) -> None:
    parser = _command(commands, "sample", sample)
    _add_model(parser)
    add = parser.add_argument
    add("-n", "--rows", type=_integer(1), required=True, metavar="N", help="number of rows")
    _add_seed(parser, "repeats the same rows")
    _add_output(parser, f"rows ({OUTPUTS})")


def _add_bench(commands: Any) -> None:
    parser = _command(commands, "bench", bench)
    add = parser.add_argument
    add("--full", action="store_true", help="all sizes, one thread and all, and the targets")
    add("--only", metavar="REGEX", help="only what has this in its name, as 'S2' or 'efficiency'")
    add("-o", "--output", type=Path, metavar="FOLDER", help="for JSON, Markdown and pictures")
    text = "keep what the folder has, and measure the rest, and what was not resolved"
    add("--resume", action="store_true", help=text)


def _command(
    commands: Any, name: str, function: Callable[[argparse.Namespace], int]
) -> argparse.ArgumentParser:
    text = str(function.__doc__)
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    parser.set_defaults(run=function)
    return parser


def _add_file(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("file", type=_file, metavar="FILE", help=f"rows ({FILES})")
    names = "columns to read, by name or number from 0, such as a,b,c; all if not given"
    add("--columns", type=_columns, metavar="COLUMNS", help=names)


def _add_weights(parser: argparse.ArgumentParser) -> None:
    text = "weights of the rows: a column of the file, or a file with one"
    parser.add_argument("--weights", type=_column, metavar="COLUMN|FILE", help=text)


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=_file, metavar="MODEL", help="saved model (.npz)")


def _add_threads(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--threads", type=_integer(1), metavar="N", help="all CPUs if not given")


def _add_seed(parser: argparse.ArgumentParser, text: str, default: int | None = None) -> None:
    parser.add_argument("--seed", type=_integer(0, LAST_SEED), default=default, help=text)


def _add_output(parser: argparse.ArgumentParser, text: str, default: str | None = None) -> None:
    parser.add_argument(
        "-o",
        "--output",
        type=_file,
        metavar="OUT",
        required=default is None,
        default=default,
        help=text,
    )


def _integer(low: int, high: float = math.inf) -> Callable[[str], int]:
    bounds = f"of at least {low}" if high == math.inf else f"from {low} to {high}"

    def integer(text: str) -> int:
        number = int(text)
        if not low <= number <= high:
            raise argparse.ArgumentTypeError(f"an integer {bounds} is wanted, got {text!r}")
        return number

    return integer


def _counts(text: str) -> list[int]:
    """Numbers and ranges of them, with commas between."""
    found: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*([1-9]\d*)(?:-([1-9]\d*))?\s*", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not 0 <= last - first < MOST_COUNTS:
            raise argparse.ArgumentTypeError(
                f"numbers such as 1-10 or 2,4,8 are wanted, at most {MOST_COUNTS}, got {text!r}"
            )
        found.update(range(first, last + 1))
    return sorted(found)


def _columns(text: str) -> list[str | int]:
    return [_column(part.strip()) for part in text.split(",")]


def _column(text: str) -> str | int:
    return int(text) if text.isdecimal() else text


def _structures(text: str) -> list[str]:
    names = [part.strip() for part in text.split(",")]
    for name in names:
        if name not in STRUCTURES:
            raise argparse.ArgumentTypeError(
                f"some of {', '.join(STRUCTURES)} are wanted, with commas between, got {text!r}"
            )
    return names


def _file(text: str) -> Path:
    path = Path(text)
    if not path.name or text.endswith(("/", os.sep)):
        raise argparse.ArgumentTypeError(f"the name of a file is wanted, got {text!r}")
    return path


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE_ERROR, f"gaussmix: error: {message} (see {self.prog} --help)\n")


def _show_warning(message: Warning | str, *_place: object, **_file: object) -> None:
    progress.print_above(f"gaussmix: warning: {_one_line(message)}")


def _one_line(message: object) -> str:
    if isinstance(message, OSError) and message.filename is not None:
        return f"{message.filename}: {message.strerror}"
    return " ".join(str(message).split()) or type(message).__name__
