"""Checkpoints: a fit's progress in a file, from which the same fit goes on."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any, NamedTuple, NoReturn, Self

import numpy as np

from gaussmix._core.types import PathLike
from gaussmix.em.fingerprint import Digest, Plain, digest_of
from gaussmix.em.loop import EMState
from gaussmix.em.runs import Run, Runs
from gaussmix.em.stored import FARTHEST, Restore, Size, pack, unpack
from gaussmix.errors import CheckpointError, CheckpointWarning, warn
from gaussmix.io import archive
from gaussmix.io.archive import Archive
from gaussmix.io.atomic import check_target, remove_leftovers, replacing
from gaussmix.model.covariance import structure_named
from gaussmix.model.eigenvalues import bounded
from gaussmix.model.parameters import Parameters

FORMAT_VERSION = 1

WAY_OUT = "delete the file or choose another path"
WAY_ROUND = "choose another path, or delete the file if it is no other than a checkpoint"
MERSENNE_WORDS, PHILOX_WORDS = 624, 4  # in the buffers of NumPy's generators


@dataclass(frozen=True)
class Identity:
    """What makes a fit the same as another, so that the one can go on where the other left off."""

    options: Mapping[str, Plain]
    """Those that matter for the result. "warm_start" is False or the `origin` of the fit."""
    max_iter_may_grow: bool
    """Whether where a run was ended by max_iter a fit with a larger one would have been too."""
    digest: Callable[[], Digest]
    """Reads all rows."""
    blank: Callable[[Parameters], EMState]
    """Makes the state of a run that begins at parameters."""
    restore: Restore
    """Makes of a mixture what points of a run are."""
    random_state: object
    """Source of the starts. A generator is left in the same state by a fit that goes on."""


def origin(parameters: Parameters, previous: float) -> str:
    """Return what stands for `warm_start` in the options of a fit that begins at parameters."""
    arrays = parameters.arrays().values()
    return f"True from parameters with digest {digest_of(*arrays, previous)}"


class Checkpoint:
    """Keeps a fit's runs in a file, which holds them as they were at some moment, never a part.

    As a context manager it writes, at the end, what it has not written yet, whether the fit ends
    well, by an error or by Ctrl-C. What cannot be written is warned of, and tried again later.

    Parameters
    ----------
    path : str or path-like
    interval : float
        Seconds from one writing to the next, at least.
    identity : Identity

    Raises
    ------
    OSError
        If there can be no file at the path.
    """

    def __init__(self, path: PathLike, interval: float, identity: Identity) -> None:
        self._path = check_target(path)
        self._name = os.fspath(path)
        self._interval = interval
        self._identity = identity
        self._digest: Digest | None = None
        self._latest: Runs | None = None
        self._written: Runs | None = None
        self._next = -np.inf
        self._failing = False
        remove_leftovers(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _place: object) -> None:
        if self._latest is not self._written:
            self._write()
        if isinstance(error, KeyboardInterrupt) and self._written is not None:
            error.add_note(
                f"{self._name} holds the fit's progress: run the same again to go on from there"
            )

    def read(self) -> Runs | None:
        """Return the runs that the file holds, None if there is no file.

        None is also returned where a warm start begins at the very end of the fit in the file,
        which has done its work then.

        Raises
        ------
        CheckpointError
            If the file is no sound checkpoint, or that of another fit.
        OSError
            If it cannot be read.
        """
        if not self._path.exists():
            return None
        with self._path.open("rb") as file:
            with self._reading():
                found = Archive(file, "checkpoint", FORMAT_VERSION)
                saved = _Saved.parsed(found.text("fit"))
            if saved.end is not None and saved.end == self._identity.options["warm_start"]:
                return None
            self._check_options(saved.options)
            self._check_data(saved.digest)
            with self._reading():
                runs = unpack(found, self._size(), self._identity.blank)
                _restore(self._identity.random_state, saved.random_state)
        self._latest = self._written = runs
        self._next = monotonic() + self._interval
        return runs

    def place(self, runs: Runs) -> str:
        """Say where a fit goes on that has these runs."""
        max_iter = _whole(self._identity.options, "max_iter")
        left = [run for run in runs if not run.ended(max_iter)]
        if not left:
            return f"{self._name} holds the end of this fit"
        run, n_iter = left[0].number, left[0].state.n_iter
        return f"going on from {self._name}: initialization {run} after {n_iter} iterations"

    def note(self, runs: Runs) -> None:
        """Take in how far the fit has come, and write it if it is time."""
        self._latest = runs
        if runs is not self._written and monotonic() >= self._next:
            self._write()

    def _write(self) -> None:
        runs = self._latest
        assert runs is not None, "there is something to write"
        entries = {"fit": json.dumps(self._fit(runs), default=_listed), **pack(runs)}
        try:
            with replacing(self._path) as file:
                archive.write(file, "checkpoint", FORMAT_VERSION, entries)
        except OSError as error:
            self._warn(error)
        else:
            self._written, self._failing = runs, False
        self._next = monotonic() + self._interval

    def _fit(self, runs: Runs) -> dict[str, Any]:
        """Return what tells this fit from others, and where the random numbers stand."""
        self._digest = digest = self._digest or self._identity.digest()
        return {
            "options": self._identity.options,
            "shape": digest.shape,
            "digest": (digest.dtype, digest.rows, digest.weights),
            "end": _end(runs, _whole(self._identity.options, "max_iter")),
            "random_state": _state_of(self._identity.random_state),
        }

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # on damaged bytes the parsers raise errors of many kinds
            self._refuse(archive.reason(error), WAY_ROUND)

    def _size(self) -> Size:
        """Return what the file can hold: the options are known to be those of this fit."""
        options, digest = self._identity.options, self._digest
        assert digest is not None, "the data are known to be those of this fit"
        return Size(
            bounded(structure_named(options["covariance_type"]), options.get("eigenvalue_ratio")),
            (_whole(options, "n_components"), digest.shape[1]),
            _whole(options, "n_init"),
            _whole(options, "max_iter"),
            FARTHEST[digest.dtype],
            self._identity.restore,
        )

    def _check_options(self, theirs: Mapping[str, Plain]) -> None:
        ours = self._identity.options
        names = [name for name in {**theirs, **ours} if theirs.get(name) != ours.get(name)]
        if "max_iter" in names and self._may_grow(theirs.get("max_iter"), ours["max_iter"]):
            names.remove("max_iter")
        if names:
            self._refuse(
                f"it was written by a fit with {_shown(theirs, names)}, this one has "
                f"{_shown(ours, names)}"
            )

    def _may_grow(self, before: Any, now: Any) -> bool:
        """Whether max_iter may: not from 0, as starts that are not run are drawn otherwise."""
        known = isinstance(before, int) and not isinstance(before, bool)
        return known and self._identity.max_iter_may_grow and bool(0 < before < now)

    def _check_data(self, found: Digest) -> None:
        self._digest = digest = self._identity.digest()
        if found.shape != digest.shape:
            self._refuse(f"it was written by a fit to X of shape {found.shape}, not {digest.shape}")
        if found.dtype != digest.dtype:
            self._refuse(f"it was written by a fit to {found.dtype}, not {digest.dtype} rows")
        if found.rows != digest.rows:
            self._refuse("it was written by a fit to X with other values")
        if found.weights != digest.weights:
            self._refuse("it was written by a fit with another sample_weight, labels or row_priors")

    def _refuse(self, reason: str, way_out: str = WAY_OUT) -> NoReturn:
        raise CheckpointError(
            f"{self._name}: cannot go on from this checkpoint: {reason}; {way_out}"
        ) from None

    def _warn(self, error: OSError) -> None:
        if self._failing:
            return
        self._failing = True
        kept = "the one before is kept" if self._path.exists() else "there is none yet"
        warn(
            f"{self._name}: the checkpoint could not be written ({error.strerror or error}); "
            f"{kept}. The fit goes on and will try again after checkpoint_interval="
            f"{self._interval:g} seconds.",
            CheckpointWarning,
        )


class _Saved(NamedTuple):
    """What a file says of its fit."""

    options: dict[str, Plain]
    digest: Digest
    end: str | None
    random_state: Any

    @classmethod
    def parsed(cls, text: str) -> Self:
        """Read what `Checkpoint` writes as JSON; raises ValueError or KeyError."""
        saved = json.loads(text)
        if not isinstance(saved, dict):
            raise ValueError("fit must be a mapping")
        options, shape, digest = saved["options"], saved["shape"], saved["digest"]
        sound = (
            isinstance(options, dict)
            and all(isinstance(value, Plain | None) for value in options.values())
            and isinstance(shape, list)
            and len(shape) == 2
            and isinstance(digest, list)
            and len(digest) == 3
            and isinstance(saved["end"], str | None)
        )
        if not sound:
            raise ValueError("options, shape, digest or end are not as a checkpoint has them")
        return cls(
            options, Digest((shape[0], shape[1]), *digest), saved["end"], saved["random_state"]
        )


def _end(runs: Runs, max_iter: int) -> str | None:
    """Return the `origin` of a warm start from where a fit ended; None if it has not."""
    if not all(run.ended(max_iter) for run in runs):
        return None
    best = max(runs, key=Run.rank).result
    return origin(best.parameters, best.lower_bounds[-1] if best.lower_bounds else -np.inf)


def _whole(options: Mapping[str, Plain], name: str) -> int:
    """Return an option of this fit that is known to be an integer."""
    return int(options[name] or 0)


def _shown(options: Mapping[str, Any], names: list[str]) -> str:
    return ", ".join(f"{name}={options.get(name)!r}" for name in names)


def _state_of(random_state: object) -> Any:
    if isinstance(random_state, np.random.RandomState):
        return random_state.get_state(legacy=False)
    if isinstance(random_state, np.random.Generator):
        return random_state.bit_generator.state
    return None


def _restore(random_state: object, saved: Any) -> None:
    """Set a generator to where it stood when the starts had been drawn."""
    if isinstance(random_state, np.random.RandomState | np.random.Generator):
        _check_positions(saved)
    if isinstance(random_state, np.random.RandomState):
        random_state.set_state(saved)
    elif isinstance(random_state, np.random.Generator):
        random_state.bit_generator.state = saved


def _check_positions(saved: Any) -> None:
    """Check where a generator stands in its buffer, which NumPy believes and reads beyond."""
    if not isinstance(saved, dict) or not isinstance(saved.get("state"), dict):
        raise ValueError("random_state is not the state of a generator")
    for name, place, most in (
        ("pos", saved["state"].get("pos", 0), MERSENNE_WORDS),
        ("buffer_pos", saved.get("buffer_pos", 0), PHILOX_WORDS),
    ):
        if not isinstance(place, int) or not 0 <= place <= most:
            raise ValueError(f"{name} of random_state must be from 0 to {most}, got {place!r}")


def _listed(value: Any) -> Any:
    """Return an array, or a number of NumPy's, as JSON can hold it."""
    return value.tolist()
