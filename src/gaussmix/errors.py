"""The library's own warnings and errors, and how they are raised.

Where scikit-learn is in use, they are raised as subclasses of its classes of the same name too, so
that code which catches those keeps working. scikit-learn is never imported for it.
"""

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

PACKAGE = str(Path(__file__).parent) + os.sep

Noted: TypeAlias = list[tuple[str, type[Warning]]]
"""Messages of warnings, and their categories."""

_noted: ContextVar[Noted | None] = ContextVar("noted", default=None)


class ConvergenceWarning(UserWarning):
    """A fit stopped before it converged, or found fewer groups than asked for."""


class FitFailedWarning(RuntimeWarning):
    """Some of many fits failed and were left out."""


class CollapseWarning(UserWarning):
    """A component shrank onto too few rows and had to be regularised or started again."""


class PrecisionWarning(UserWarning):
    """Rounding of the rows' dtype shows in a fit."""


class CheckpointWarning(UserWarning):
    """A checkpoint could not be written; the fit goes on."""


class NotFittedError(ValueError, AttributeError):
    """A method that needs a fitted model was called before `fit`."""


class ParameterError(ValueError, TypeError):
    """An argument of the wrong kind or out of range."""


class CheckpointError(ValueError):
    """A checkpoint is damaged, or was written by another fit."""


class ModelFileError(ValueError):
    """A file does not hold a model that this version can read."""


def warn(message: str, category: type[Warning]) -> None:
    """Warn, pointing at the first line outside the library on the way here."""
    noted = _noted.get()
    if noted is not None:
        noted.append((message, category))
        return
    warnings.warn(message, category, stacklevel=_stacklevel())


@contextmanager
def noting_warnings() -> Iterator[Noted]:
    """Note what a block of code warns of in this thread, instead of warning.

    A thread that the library started can point at no line of the caller.
    """
    noted: Noted = []
    token = _noted.set(noted)
    try:
        yield noted
    finally:
        _noted.reset(token)


def warn_convergence(message: str) -> None:
    """Warn that a fit did not converge."""
    warn(message, _as_scikit_learn(ConvergenceWarning))


def warn_fit_failed(message: str) -> None:
    """Warn that some of many fits failed."""
    warn(message, _as_scikit_learn(FitFailedWarning))


def not_fitted(estimator: object) -> NotFittedError:
    """Return the error to raise when a method needs a fitted estimator."""
    name = type(estimator).__name__
    error: NotFittedError = _as_scikit_learn(NotFittedError)(
        f"This {name} instance is not fitted yet. Call 'fit' with appropriate arguments before "
        "using this estimator."
    )
    return error


def one_line(message: object) -> str:
    """Return what an error or a warning says, in one line, as the command shows it."""
    if isinstance(message, OSError) and message.filename is not None:
        return f"{message.filename}: {message.strerror}"
    return " ".join(str(message).split()) or type(message).__name__


def _stacklevel() -> int:
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
        frame, level = frame.f_back, level + 1
    return level


def _as_scikit_learn(own: Any) -> Any:
    """Our class, or a subclass of it and of scikit-learn's if that is imported."""
    theirs = getattr(sys.modules.get("sklearn.exceptions"), own.__name__, None)
    return own if theirs is None else _join(own, theirs)


@cache
def _join(own: Any, theirs: Any) -> type[Any]:
    namespace = {
        "__doc__": own.__doc__,
        "__module__": own.__module__,
        "__reduce__": lambda self: (_rebuild, (own, self.args)),  # joblib pickles what is raised
    }
    return type(own.__name__, (own, theirs), namespace)


def _rebuild(own: Any, args: tuple[Any, ...]) -> Any:
    return _as_scikit_learn(own)(*args)
