"""The arguments of the command `gaussmix`."""

import argparse
import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from gaussmix import config
from gaussmix._core import dispatch
from gaussmix._core.density import STRUCTURES as FORMS
from gaussmix.cli import answers, commands
from gaussmix.em.acceleration import METHODS as ACCELERATIONS
from gaussmix.estimators.mixture import GaussianMixture
from gaussmix.io import sinks, sources
from gaussmix.model.covariance import structure_names
from gaussmix.queries.hierarchy import CRITERIA as MERGING
from gaussmix.selection import search
from gaussmix.selection.candidates import CRITERIA
from gaussmix.starts.methods import METHOD_NAMES

USAGE_ERROR = 2  # argparse's
DEMO_ROWS, LEAST_DEMO_ROWS, DEMO_SEED = 2_000_000, 1000, 1
LAST_SEED = 2**32 - 1  # of NumPy's RandomState
MOST_COUNTS = 1000  # numbers of components to try

FILES, OUTPUTS = ", ".join(sources.FILE_READERS), ", ".join(sinks.ENDINGS)


def make_parser() -> argparse.ArgumentParser:
    """Return what reads the arguments of every command."""
    parser = _Parser(prog="gaussmix", description="Fit and use Gaussian mixtures.")
    parser.add_argument("--version", action="version", version=f"gaussmix {config.version()}")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_demo(subparsers)
    _add_fit(subparsers)
    _add_select(subparsers)
    _add_model(_command(subparsers, "show", answers.show))
    _add_predict(subparsers)
    _add_score(subparsers)
    _add_outliers(subparsers)
    _add_hierarchy(subparsers)
    _add_sample(subparsers)
    verifying = _command(subparsers, "verify", commands.verify)
    verifying.add_argument("--isa", choices=dispatch.COMPILED, help="only this build")
    _add_bench(subparsers)
    _command(subparsers, "info", commands.info)
    return parser


class _Help(argparse.HelpFormatter):
    """Says what an option is if it is not given, where its own text does not."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        given, text = action.default, action.help or ""
        is_said = given == argparse.SUPPRESS or "not given" in text
        if is_said or isinstance(given, bool) or not isinstance(given, str | int | float):
            return text
        return f"{text}; %(default)s if not given"


def _add_demo(subparsers: Any) -> None:
    parser = _command(subparsers, "demo", commands.demo)
    rows = _integer(LEAST_DEMO_ROWS)
    parser.add_argument("--rows", type=rows, default=DEMO_ROWS, metavar="N", help="rows to make")
    _add_seed(parser, "of the data and of the start", DEMO_SEED)
    _add_threads(parser)
    _add_output(parser, "picture, gaussmix-demo.png if not given", "gaussmix-demo.png")


def _add_fit(subparsers: Any) -> None:
    defaults = GaussianMixture()
    parser = _command(subparsers, "fit", commands.fit)
    _add_file(parser)
    add = parser.add_argument
    count, starts = "number of components", "starts, the best is kept"
    add("-k", "--components", type=_integer(1), required=True, metavar="K", help=count)
    shape = "full, tied, diag or spherical covariances, or a code of mclust's"
    add("--covariance", choices=structure_names(), default=defaults.covariance_type, help=shape)
    add("--init", choices=METHOD_NAMES, default=defaults.init_params, help="where EM begins")
    add("--n-init", type=_integer(1), default=defaults.n_init, metavar="N", help=starts)
    _add_end(parser, defaults)
    add("--accelerate", choices=tuple(ACCELERATIONS), help="jump ahead of EM, for fewer passes")
    add(
        "--mixed-precision",
        action="store_true",
        help="begin with passes in float32, which are faster",
    )
    _add_regularisation(parser, defaults)
    _add_weights_and_noise(parser)
    _add_told(parser)
    _add_seed(parser, "of the start; without one, every fit starts elsewhere")
    _add_rows(parser)
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


def _add_regularisation(parser: argparse.ArgumentParser, defaults: GaussianMixture) -> None:
    add = parser.add_argument
    ridge = "added to every variance: a number, or relative, for 1e-6 of each feature's"
    add("--reg-covar", type=_reg_covar, default=defaults.reg_covar, metavar="X", help=ridge)
    prior = "draw components to the covariance of all rows, by a conjugate prior"
    add("--prior", action="store_true", help=prior)
    ratio = "keep all eigenvalues of the covariances within this factor"
    add("--eigenvalue-ratio", type=float, metavar="R", help=ratio)


def _add_weights_and_noise(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    noise = "have a component of constant density, for rows that belong to no other"
    add("--noise", action="store_true", help=noise)
    add("--equal-weights", action="store_true", help="give all components the same weight")


def _add_told(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    labels = "column of what is known: numbers of components or names of classes, or nothing"
    add("--labels", type=_column, metavar="COLUMN", help=labels)
    classes = "class of each component, such as a,a,b, if classes have several"
    add("--component-labels", type=_classes, metavar="CLASSES", help=classes)
    priors = "columns of what is believed: a number for each component, and then for the noise"
    add("--row-priors", type=_columns, metavar="COLUMNS", help=priors)


def _add_select(subparsers: Any) -> None:
    defaults = GaussianMixture(**search.DEFAULTS)
    parser = _command(subparsers, "select", commands.select)
    _add_file(parser)
    add = parser.add_argument
    counts = "numbers of components, such as 1-10 or 2,4,8"
    types = f"some, such as full,EVE, or all fourteen: all; {','.join(FORMS)} if not given"
    add("-k", "--components", type=_counts, default="1-10", metavar="K", help=counts)
    add("--covariance-types", type=_structures, default=FORMS, metavar="TYPES", help=types)
    add("--criterion", choices=CRITERIA, default="bic", help="what to choose by")
    add("--splits", type=_integer(2), default=5, metavar="N", help="parts held out in turn, for cv")
    start = "where EM begins; emem if not given, auto for larger data"
    add("--init", choices=METHOD_NAMES, help=start)
    add("--n-init", type=_integer(1), default=defaults.n_init, metavar="N", help="starts of a fit")
    _add_end(parser, defaults)
    _add_regularisation(parser, defaults)
    _add_weights_and_noise(parser)
    _add_seed(parser, "of the starts; without one, every run starts elsewhere")
    _add_rows(parser)
    add("--plot", type=_file, metavar="PICTURE", help="curves of the criterion")
    _add_threads(parser)
    _add_optional_output(parser, "the best model (.npz)")


def _add_predict(subparsers: Any) -> None:
    parser = _command(subparsers, "predict", answers.predict)
    _add_model(parser)
    _add_file(parser)
    parser.add_argument("--proba", action="store_true", help="probabilities instead of components")
    _add_answers(parser)
    _add_output(parser, f"predictions ({OUTPUTS}), or - for text to stdout")


def _add_score(subparsers: Any) -> None:
    parser = _command(subparsers, "score", answers.score)
    _add_model(parser)
    _add_file(parser)
    _add_answers(parser)
    _add_optional_output(parser, f"log-likelihoods of the rows ({OUTPUTS})")


def _add_outliers(subparsers: Any) -> None:
    parser = _command(subparsers, "outliers", answers.outliers)
    _add_model(parser)
    _add_file(parser)
    inside = "probability of the region that the others lie in"
    parser.add_argument("-p", type=_probability, default=0.99, metavar="P", help=inside)
    _add_answers(parser)
    _add_optional_output(parser, f"1 for each row outside, 0 inside ({OUTPUTS})")


def _add_hierarchy(subparsers: Any) -> None:
    parser = _command(subparsers, "hierarchy", answers.hierarchy)
    _add_model(parser)
    _add_file(parser)
    add = parser.add_argument
    add("--criterion", choices=MERGING, default=MERGING[0], help="what to merge next")
    add("--clusters", type=_integer(1), metavar="N", help="the suggested number if not given")
    add("--proba", action="store_true", help="probabilities instead of clusters")
    add("--plot", type=_file, metavar="PICTURE", help="the tree, and the entropies of its levels")
    _add_answers(parser)
    _add_optional_output(parser, f"clusters of the rows ({OUTPUTS})")


def _add_sample(subparsers: Any) -> None:
    parser = _command(subparsers, "sample", commands.sample)
    _add_model(parser)
    add = parser.add_argument
    add("-n", "--rows", type=_integer(1), required=True, metavar="N", help="number of rows")
    _add_seed(parser, "repeats the same rows")
    _add_output(parser, f"rows ({OUTPUTS}), or - for text to stdout")


def _add_bench(subparsers: Any) -> None:
    parser = _command(subparsers, "bench", commands.bench)
    add = parser.add_argument
    add("--only", metavar="REGEX", help="only what has this in its name, as 'K=16' or 'predict'")
    add("-o", "--output", type=Path, metavar="FOLDER", help="for JSON and Markdown")


def _add_end(parser: argparse.ArgumentParser, defaults: GaussianMixture) -> None:
    add, most = parser.add_argument, "iterations at most"
    add("--tol", type=float, default=defaults.tol, help="least gain to go on")
    add("--max-iter", type=_integer(0), default=defaults.max_iter, metavar="N", help=most)


def _command(
    subparsers: Any, name: str, function: Callable[[argparse.Namespace], int]
) -> argparse.ArgumentParser:
    text = str(function.__doc__)
    parser: argparse.ArgumentParser = subparsers.add_parser(
        name, help=text, description=text, formatter_class=_Help
    )
    parser.set_defaults(run=function)
    return parser


def _add_file(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("file", type=_file, metavar="FILE", help=f"rows ({FILES}), or - for text from stdin")
    names = "columns to read, by name or number from 0, such as a,b,c; all if not given"
    add("--columns", type=_columns, metavar="COLUMNS", help=names)
    between = "what separates fields of a text file; found out if not given"
    add("--delimiter", type=_delimiter, metavar="CHARACTER", help=between)
    add("--decimal", choices=(".", ","), default=".", help="decimal mark of a text file")


def _add_missing(parser: argparse.ArgumentParser, dropped: str) -> None:
    text = f"rows that lack a value: an error, {dropped}, or counted by the values that they have"
    choices = ("error", "drop", "marginalize")
    parser.add_argument("--missing", choices=choices, default="error", help=text)


def _add_verbose(parser: argparse.ArgumentParser) -> None:
    text = "say every ten seconds how far it is, where there is no terminal to draw on"
    parser.add_argument("-v", "--verbose", action="store_true", help=text)


def _add_answers(parser: argparse.ArgumentParser) -> None:
    """Add what commands have in common that say something of each row."""
    names = "columns of the file to write too, before the others, such as id,name"
    parser.add_argument("--keep", type=_columns, metavar="COLUMNS", help=names)
    _add_missing(parser, "left out, and -1 or nan in the output")
    _add_threads(parser)
    _add_verbose(parser)


def _add_optional_output(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument("-o", "--output", type=_file, metavar="OUT", help=text)


def _add_rows(parser: argparse.ArgumentParser) -> None:
    """Add what commands have in common that fit to all rows."""
    text = "weights of the rows: a column of the file, or a file with one"
    parser.add_argument("--weights", type=_column, metavar="COLUMN|FILE", help=text)
    _add_missing(parser, "left out")
    _add_verbose(parser)


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


def _reg_covar(text: str) -> float | str:
    return text if text == "relative" else float(text)


def _integer(low: int, high: float = math.inf) -> Callable[[str], int]:
    bounds = f"of at least {low}" if high == math.inf else f"from {low} to {high}"

    def integer(text: str) -> int:
        number = int(text)
        if not low <= number <= high:
            raise argparse.ArgumentTypeError(f"an integer {bounds} is wanted, got {text!r}")
        return number

    return integer


def _probability(text: str) -> float:
    number = float(text)
    if not 0 < number < 1:
        raise argparse.ArgumentTypeError(f"a number between 0 and 1 is wanted, got {text!r}")
    return number


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


def _classes(text: str) -> list[str] | list[int]:
    names = [part.strip() for part in text.split(",")]
    numbers = all(name.isdecimal() for name in names)
    return [int(name) for name in names] if numbers else names


def _column(text: str) -> str | int:
    return int(text) if text.isdecimal() else text


def _delimiter(text: str) -> str:
    return {"tab": "\t", "\\t": "\t"}.get(text, text)


def _structures(text: str) -> list[str]:
    names, known = [part.strip() for part in text.split(",")], (search.ALL, *structure_names())
    for name in names:
        if name not in known:
            raise argparse.ArgumentTypeError(
                f"some of {', '.join(known)} are wanted, with commas between, got {text!r}"
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
