"""Checkpoints: a fit's progress in a file, from which the same fit goes on."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any, NamedTuple, NoReturn, Self, TypeAlias

import numpy as np

from gaussmix._core.types import FloatArray, PathLike
from gaussmix.em.acceleration import LEAST_REACH, Accelerator, Plan
from gaussmix.em.coordinates import Chart
from gaussmix.em.fingerprint import Digest, Plain, digest_of
from gaussmix.em.loop import EMState, Step
from gaussmix.em.runs import Run, Runs
from gaussmix.errors import CheckpointError, CheckpointWarning, warn
from gaussmix.io import archive
from gaussmix.io.archive import Archive
from gaussmix.io.atomic import check_target, remove_leftovers, replacing
from gaussmix.model.covariance import CovarianceStructure, structure_named
from gaussmix.model.eigenvalues import bounded
from gaussmix.model.parameters import Noise, Parameters
from gaussmix.model.stored import Read, check_stored

FORMAT_VERSION = 1

WAY_OUT = "delete the file or choose another path"
WAY_ROUND = "choose another path, or delete the file if it is no other than a checkpoint"
PARTS = ("weights", "means", "covariances", "factors")
FARTHEST = {"float32": 1e18, "float64": 1e150}
"""What no mean of rows of a dtype exceeds, nor a coordinate: sums of squares would overflow."""
MERSENNE_WORDS, PHILOX_WORDS = 624, 4  # in the buffers of NumPy's generators

Restore: TypeAlias = Callable[[Parameters, Read], Parameters]
"""Takes a mixture, and what reads its other arrays, and returns what they are the parameters of."""


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
                runs = _unpack(found, self._size(), self._identity.blank)
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
        entries = {"fit": json.dumps(self._fit(runs), default=_listed), **_pack(runs)}
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

    def _size(self) -> "_Size":
        """Return what the file can hold: the options are known to be those of this fit."""
        options, digest = self._identity.options, self._digest
        assert digest is not None, "the data are known to be those of this fit"
        return _Size(
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


class _Size(NamedTuple):
    """What bounds the arrays of a checkpoint."""

    structure: CovarianceStructure
    shape: tuple[int, int]
    """K, D."""
    n_init: int
    max_iter: int
    farthest: float
    restore: Restore

    @property
    def spread(self) -> tuple[int, ...]:
        """Shape of covariances."""
        return self.structure.shape(*self.shape)


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


def _pack(runs: Runs) -> dict[str, Any]:
    entries: dict[str, Any] = {
        "structure": runs[0].state.point.structure.name,
        "runs": np.array([run.number for run in runs], np.int64),
    }
    for run in runs:
        own = {"end": np.nan if run.end is None else run.end, **_pack_state(run.state)}
        entries |= {f"{run.number}.{name}": value for name, value in own.items()}
    return entries


def _unpack(found: Archive, size: _Size, blank: Callable[[Parameters], EMState]) -> Runs:
    structure = found.text("structure")
    if structure != size.structure.name:
        raise ValueError(f"structure must be {size.structure.name}, got {structure!r}")
    runs = []
    numbers = found.integers("runs", range(1, size.n_init + 1)).tolist()
    if len({*numbers} & {*range(size.n_init)}) != len(numbers):
        raise ValueError(f"runs must be different numbers below {size.n_init}, got {numbers}")
    for number in numbers:
        end = found.number(f"{number}.end")
        if np.isinf(end):
            raise ValueError(f"{number}.end must be finite, or NaN for a run that has none")
        state = _unpack_state(found, f"{number}.", size, blank)
        runs.append(Run(number, state, None if np.isnan(end) else end))
    return tuple(runs)


def _pack_state(state: EMState) -> dict[str, Any]:
    last, monitor = state.last, state.monitor
    entries = {
        **_pack_parameters("point", None if state.by_em else state.point),
        **_pack_parameters("last.point", last.point),
        **_pack_parameters("last.image", last.image),
        "last.collapsed": np.array(last.collapsed, np.int64),
        "last.lower_bound": last.lower_bound,
        "lower_bounds": np.array(monitor.lower_bounds, np.float64),
        "monitor": np.array([monitor.change, monitor.last, monitor.before]),
        "converged": state.converged,
        "single": state.single,
    }
    if state.listed is not None:
        entries["listed"] = state.listed
    if isinstance(state.strategy, Accelerator):
        entries |= _pack_plan(state.strategy.plan)
    return entries


def _unpack_state(
    found: Archive, run: str, size: _Size, blank: Callable[[Parameters], EMState]
) -> EMState:
    last = _unpack_step(found, f"{run}last.", size)
    state = blank(last.image)
    state.last = last
    state.point = _unpack_parameters(found, f"{run}point", size) or last.image
    state.converged = found.flag(f"{run}converged")
    state.single = f"{run}single" in found and found.flag(f"{run}single")
    bounds = found.floats(f"{run}lower_bounds", range(size.max_iter + 1))
    state.monitor.lower_bounds = _below_infinity(f"{run}lower_bounds", bounds).tolist()
    change, *values = found.floats(f"{run}monitor", 3).tolist()
    if np.isnan(change):
        raise ValueError(f"{run}monitor must not be NaN")
    _below_infinity(f"{run}monitor", np.array(values))
    state.monitor.change, (state.monitor.last, state.monitor.before) = change, values
    if f"{run}listed" in found:
        state.listed = found.number(f"{run}listed")
    if isinstance(state.strategy, Accelerator):
        state.strategy.plan = _unpack_plan(found, f"{run}plan.", size, state.strategy.memory)
    return state


def _unpack_step(found: Archive, name: str, size: _Size) -> Step:
    image = _unpack_parameters(found, f"{name}image", size)
    point = _unpack_parameters(found, f"{name}point", size)
    if image is None or point is None:
        raise KeyError(f"{name}image or point")
    n_components = size.shape[0]
    collapsed = found.integers(f"{name}collapsed", range(n_components + 1)).tolist()
    if len({*collapsed} & {*range(n_components)}) != len(collapsed):
        raise ValueError(f"{name}collapsed must be different components, got {collapsed}")
    lower_bound = found.floats(f"{name}lower_bound")
    _below_infinity(f"{name}lower_bound", lower_bound)
    return Step(point, image, tuple(collapsed), float(lower_bound))


def _below_infinity(name: str, values: FloatArray) -> FloatArray:
    """Return mean log-likelihoods, which are -inf before there is one."""
    if not (values < np.inf).all():
        raise ValueError(f"{name} must be less than infinity, and not NaN")
    return values


def _pack_plan(plan: Plan) -> dict[str, Any]:
    return {
        **_pack_parameters("plan.reference", plan.reference),
        "plan.reach": plan.reach,
        "plan.counts": np.array([plan.limited, plan.patience, plan.wait], np.int64),
        "plan.points": np.array(plan.points, np.float64),
        "plan.moves": np.array(plan.moves, np.float64),
    }


def _unpack_plan(found: Archive, name: str, size: _Size, memory: int) -> Plan:
    reach = found.number(f"{name}reach")
    limited, patience, wait = found.integers(f"{name}counts", 3).tolist()
    if not (LEAST_REACH <= reach < np.inf and limited in (0, 1) and patience > 0):
        raise ValueError(f"{name}reach and {name}counts are none that an acceleration has")
    reference = _unpack_parameters(found, f"{name}reference", size)
    n_coordinates = 0
    if reference is not None:
        if not reference.weights.all():
            raise ValueError(f"{name}reference.weights must be positive")
        n_coordinates = Chart(reference).n_coordinates
    points = _unpack_rows(found, f"{name}points", memory, n_coordinates)
    moves = _unpack_rows(found, f"{name}moves", memory, n_coordinates)
    if len(points) != len(moves):
        raise ValueError(f"{name}points and {name}moves must be as many")
    return Plan(reach, bool(limited), patience, wait, reference, tuple(points), tuple(moves))


def _unpack_rows(found: Archive, name: str, most: int, n_coordinates: int) -> FloatArray:
    """Return coordinates of mixtures, a row for each; no rows have no coordinates either."""
    if n_coordinates == 0 or found.layout(name).shape == (0,):
        return found.floats(name, 0)
    rows = found.floats(name, range(1, most + 1), n_coordinates)
    return _bounded(name, rows, FARTHEST["float64"])


def _bounded(name: str, values: FloatArray, most: float) -> FloatArray:
    if not (np.abs(values) <= most).all():
        raise ValueError(f"{name} must be at most {most:g}, and finite")
    return values


def _pack_parameters(name: str, parameters: Parameters | None) -> dict[str, Any]:
    if parameters is None:
        return {}
    entries: dict[str, Any] = {
        f"{name}.{part}": array for part, array in parameters.arrays().items()
    }
    if parameters.noise is not None:
        entries[f"{name}.noise"] = np.array(parameters.noise)
    return entries


def _unpack_parameters(found: Archive, name: str, size: _Size) -> Parameters | None:
    if f"{name}.weights" not in found:
        return None
    weights, means, covariances, factors = (f"{name}.{part}" for part in PARTS)
    shape, spread = size.shape, size.spread
    shapes = {weights: shape[:1], means: shape, covariances: spread, factors: spread}
    names = weights, means, covariances, factors
    arrays = found.all_floats(shapes)
    _bounded(means, arrays[1], size.farthest)
    noise = None
    if f"{name}.noise" in found:
        weight, log_density = found.floats(f"{name}.noise", 2).tolist()
        if not (0 <= weight <= 1 and np.isfinite(log_density)):
            raise ValueError(f"{name}.noise must be a weight from 0 to 1 and a finite log-density")
        noise = Noise(weight, log_density)
    mixture = check_stored(size.structure, arrays[0], arrays[1], arrays[2], arrays[3], names, noise)
    return size.restore(mixture, lambda part, shape: found.floats(f"{name}.{part}", *shape))
