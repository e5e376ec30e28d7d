"""The command `gaussmix`."""

import argparse
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from gaussmix import config, progress, sources, storage
from gaussmix._core import dispatch
from gaussmix._core.constants import STRUCTURES
from gaussmix.kmeans import KMeans
from gaussmix.mixture import GaussianMixture
from gaussmix.starts import METHOD_NAMES
from gaussmix.storage import Model

USAGE_ERROR = 2  # argparse's
INTERRUPTED = 130  # 128 + SIGINT, as shells have it
DEMO_ROWS, DEMO_SEED = 2_000_000, 1

FILES = ", ".join(sources.ENDINGS)


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
    except (ValueError, TypeError, OSError, MemoryError, ImportError) as error:
        print(f"gaussmix: error: {_one_line(error)}", file=sys.stderr)
        return USAGE_ERROR


def demo(arguments: argparse.Namespace) -> int:
    """Fit data whose truth is known, print a table and draw a picture."""
    from gaussmix import demo

    with progress.bar("generating", "rows") as tell, progress.last_line("fitting"):
        outcome = demo.run(
            arguments.rows,
            seed=arguments.seed,
            n_threads=arguments.threads,
            verbose=2 * progress.shown(),
            progress=tell,
        )
    print(demo.table(outcome))
    return _demo_picture(outcome, arguments.output)


def fit(arguments: argparse.Namespace) -> int:
    """Fit a mixture to a file's rows and save it."""
    table = sources.read_table(arguments.file)
    weight = None if arguments.weights is None else sources.read_column(arguments.weights)
    model = GaussianMixture(
        arguments.components,
        covariance_type=arguments.covariance,
        init_params=arguments.init,
        n_init=arguments.n_init,
        tol=arguments.tol,
        max_iter=arguments.max_iter,
        reg_covar=arguments.reg_covar,
        random_state=arguments.seed,
        n_threads=arguments.threads,
        verbose=2 * progress.shown(),
        verbose_interval=1,
    )
    with progress.last_line("fitting"):
        model.fit(table, sample_weight=weight)
    model.set_params(verbose=0, verbose_interval=10, n_threads=None)
    storage.save(model, arguments.output)
    outcome = "converged" if model.converged_ else "did not converge"
    print(
        f"{outcome} after {model.n_iter_} iterations, mean log-likelihood "
        f"{model.lower_bound_:.6f}; saved to {arguments.output}"
    )
    return 0


def predict(arguments: argparse.Namespace) -> int:
    """Write the component of each row, or the probability of each component."""
    sources.check_ending(arguments.output)
    model = _load(arguments) if not arguments.proba else _load_mixture(arguments, "--proba")
    table = sources.read_table(arguments.file)
    if isinstance(model, GaussianMixture) and arguments.proba:
        n_components = len(model.weights_)
        names = [f"component {k}" for k in range(n_components)]
        _write_predictions(
            arguments.output, model.predict_proba, table, (len(table), n_components), names
        )
    else:
        _write_predictions(arguments.output, model.predict, table, (len(table),), ["component"])
    return 0


def score(arguments: argparse.Namespace) -> int:
    """Print how well a mixture describes a file's rows."""
    model = _load_mixture(arguments, "score")
    table = sources.read_table(arguments.file)
    mean, bic, aic = model.score(table), model.bic(table), model.aic(table)
    print(f"rows                 {len(table)}")
    print(f"mean log-likelihood  {mean:.10g}")
    print(f"BIC                  {bic:.10g}")
    print(f"AIC                  {aic:.10g}")
    return 0


def sample(arguments: argparse.Namespace) -> int:
    """Draw rows from a mixture, in random order, and write them."""
    sources.check_ending(arguments.output)
    model = _load_mixture(arguments, "sample")
    random_state = np.random.RandomState(arguments.seed)
    rows, _ = model.sample(arguments.rows, random_state)
    random_state.shuffle(rows)
    names = getattr(model, "feature_names_in_", None)
    sources.write_blocks(arguments.output, sources.blocks(rows), rows.shape, names)
    return 0


def verify(arguments: argparse.Namespace) -> int:
    """Check every compiled build of the kernels that runs here against the reference."""
    from gaussmix import verification

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
    from gaussmix import benchmark

    return benchmark.main(full=arguments.full, output=arguments.output)


def info(_arguments: argparse.Namespace) -> int:
    """Print how the library was built and what it uses here."""
    config.show_config()
    return 0


def _demo_picture(outcome: Any, path: Path) -> int:
    from gaussmix import demo, plotting

    shown = outcome.X[: demo.PICTURE_ROWS]
    comparison = plotting.Comparison(
        shown,
        outcome.kmeans.cluster_centers_,
        outcome.kmeans.labels_[: len(shown)],
        outcome.model._parameters(),
        outcome.model.predict_proba(shown),
    )
    try:
        plotting.save_comparison(path, comparison, demo.caption(outcome))
    except ModuleNotFoundError as error:
        if str(error.name).partition(".")[0] != "matplotlib":
            raise
        print('no picture without matplotlib: pip install "gaussmix[cli]"', file=sys.stderr)
        return 0
    print(f"{'picture':<16} {path}")
    return 0


def _load(arguments: argparse.Namespace) -> Model:
    model = storage.load(arguments.model)
    return model.set_params(n_threads=arguments.threads)


def _load_mixture(arguments: argparse.Namespace, purpose: str) -> GaussianMixture:
    model = _load(arguments)
    if isinstance(model, KMeans):
        raise ValueError(f"{arguments.model}: {purpose} needs a GaussianMixture, got a KMeans")
    return model


def _write_predictions(
    path: Path,
    function: Callable[[Any], NDArray[Any]],
    table: sources.Table,
    shape: tuple[int, ...],
    names: list[str],
) -> None:
    with progress.bar("predicting", "rows") as tell:

        def parts() -> Any:
            done = 0
            for block in table.blocks():
                yield function(block)
                done += len(block)
                tell(done, len(table))

        sources.write_blocks(path, parts(), shape, names)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="gaussmix", description="Fit and use Gaussian mixtures.")
    parser.add_argument("--version", action="version", version=f"gaussmix {config.version()}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_demo(commands)
    _add_fit(commands)
    _add_predict(commands)
    _add_score(commands)
    _add_sample(commands)
    verifying = _command(commands, "verify", verify)
    verifying.add_argument("--isa", choices=dispatch.COMPILED, help="only this build")
    benching = _command(commands, "bench", bench)
    benching.add_argument("--full", action="store_true", help="all sizes")
    benching.add_argument("-o", "--output", type=Path, help="folder for JSON and Markdown")
    _command(commands, "info", info)
    return parser


def _add_demo(commands: Any) -> None:
    parser = _command(commands, "demo", demo)
    parser.add_argument("--rows", type=int, default=DEMO_ROWS, metavar="N")
    parser.add_argument("--seed", type=int, default=DEMO_SEED, help="of the data and of the start")
    _add_threads(parser)
    _add_output(parser, "picture, gaussmix-demo.png if not given", "gaussmix-demo.png")


def _add_fit(commands: Any) -> None:
    defaults = GaussianMixture()
    parser = _command(commands, "fit", fit)
    _add_file(parser)
    add = parser.add_argument
    add("-k", "--components", type=int, required=True, metavar="K", help="number of components")
    add("--covariance", choices=STRUCTURES, default=defaults.covariance_type)
    add("--init", choices=METHOD_NAMES, default=defaults.init_params, help="start")
    add("--n-init", type=int, default=defaults.n_init, metavar="N", help="starts, the best is kept")
    add("--tol", type=float, default=defaults.tol, help="least change to go on")
    add("--max-iter", type=int, default=defaults.max_iter, metavar="N")
    add("--reg-covar", type=float, default=defaults.reg_covar, help="added to every variance")
    add("--seed", type=int, help="of the start; without one, every fit starts elsewhere")
    add("--weights", type=Path, metavar="FILE", help=f"one column, a weight per row ({FILES})")
    _add_threads(parser)
    _add_output(parser, "model (.npz)")


def _add_predict(commands: Any) -> None:
    parser = _command(commands, "predict", predict)
    _add_model(parser)
    _add_file(parser)
    parser.add_argument("--proba", action="store_true", help="probabilities instead of components")
    _add_threads(parser)
    _add_output(parser, f"predictions ({FILES})")


def _add_score(commands: Any) -> None:
    parser = _command(commands, "score", score)
    _add_model(parser)
    _add_file(parser)
    _add_threads(parser)


def _add_sample(commands: Any) -> None:
    parser = _command(commands, "sample", sample)
    _add_model(parser)
    parser.add_argument("-n", "--rows", type=int, required=True, metavar="N", help="number of rows")
    parser.add_argument("--seed", type=int, help="repeats the same rows")
    _add_threads(parser)
    _add_output(parser, f"rows ({FILES})")


def _command(
    commands: Any, name: str, function: Callable[[argparse.Namespace], int]
) -> argparse.ArgumentParser:
    text = str(function.__doc__)
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    parser.set_defaults(run=function)
    return parser


def _add_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help=f"rows ({FILES})")


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, metavar="MODEL", help="saved model (.npz)")


def _add_threads(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--threads", type=int, metavar="N", help="all CPUs if not given")


def _add_output(parser: argparse.ArgumentParser, text: str, default: str | None = None) -> None:
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="OUT",
        required=default is None,
        default=default,
        help=text,
    )


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE_ERROR, f"gaussmix: error: {message} (see {self.prog} --help)\n")


def _show_warning(message: Warning | str, *_place: object, **_file: object) -> None:
    print(f"gaussmix: warning: {_one_line(message)}", file=sys.stderr)


def _one_line(message: object) -> str:
    if isinstance(message, OSError) and message.filename is not None:
        return f"{message.filename}: {message.strerror}"
    return " ".join(str(message).split()) or type(message).__name__
