"""Checkpoints: a fit's progress in a file, from which the same fit goes on."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any, NoReturn, Self

import numpy as np

from gaussmix._core.types import FloatArray, PathLike
from gaussmix.em.acceleration import Accelerator, Plan
from gaussmix.em.fingerprint import Digest, Plain, digest_of
from gaussmix.em.loop import EMState, Step
from gaussmix.em.runs import Run, Runs
from gaussmix.errors import CheckpointError, CheckpointWarning, warn
from gaussmix.io import archive
from gaussmix.io.archive import Arrays, float64
from gaussmix.io.atomic import check_target, remove_leftovers, replacing
from gaussmix.model.covariance import CovarianceStructure, structure_named
from gaussmix.model.parameters import Parameters

FORMAT_VERSION = 1

WAY_OUT = "delete the file or choose another path"
WAY_ROUND = "choose another path, or delete the file if it is no other than a checkpoint"
PARTS = ("weights", "means", "covariances", "factors")


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
    random_state: object
    """Source of the starts. A generator is left in the same state by a fit that goes on."""


def origin(parameters: Parameters, previous: float) -> str:
    """Return what stands for `warm_start` in the options of a fit that begins at parameters."""
    return f"True from parameters with digest {digest_of(*_parts(parameters), previous)}"


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

    def __exit__(self, *_error: object) -> None:
        if self._latest is not self._written:
            self._write()

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
        with self._path.open("rb") as file, self._reading():
            arrays = archive.read(file, "checkpoint", FORMAT_VERSION)
            saved = json.loads(str(arrays["fit"]))
            options, end = dict(saved["options"]), saved["end"]
            digest = Digest(tuple(saved["shape"]), *saved["digest"])
        if end == self._identity.options["warm_start"]:
            return None
        self._check_options(options)
        self._check_data(digest)
        with self._reading():
            runs = _unpack(arrays, self._identity.blank)
            _restore(self._identity.random_state, saved["random_state"])
        self._latest = self._written = runs
        self._next = monotonic() + self._interval
        return runs

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
            "end": _end(runs, int(self._identity.options["max_iter"] or 0)),
            "random_state": _state_of(self._identity.random_state),
        }

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # on damaged bytes the parsers raise errors of many kinds
            self._refuse(archive.reason(error), WAY_ROUND)

    def _check_options(self, theirs: Mapping[str, Plain]) -> None:
        ours = self._identity.options
        names = [name for name in {**theirs, **ours} if theirs.get(name) != ours.get(name)]
        if "max_iter" in names and self._may_grow(theirs["max_iter"], ours["max_iter"]):
            names.remove("max_iter")
        if names:
            self._refuse(
                f"it was written by a fit with {_shown(theirs, names)}, this one has "
                f"{_shown(ours, names)}"
            )

    def _may_grow(self, before: Any, now: Any) -> bool:
        """Whether max_iter may: not from 0, as starts that are not run are drawn otherwise."""
        return self._identity.max_iter_may_grow and bool(0 < before < now)

    def _check_data(self, found: Digest) -> None:
        self._digest = digest = self._identity.digest()
        if found.shape != digest.shape:
            self._refuse(f"it was written by a fit to X of shape {found.shape}, not {digest.shape}")
        if found.dtype != digest.dtype:
            self._refuse(f"it was written by a fit to {found.dtype}, not {digest.dtype} rows")
        if found.rows != digest.rows:
            self._refuse("it was written by a fit to X with other values")
        if found.weights != digest.weights:
            self._refuse("it was written by a fit with another sample_weight")

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


def _end(runs: Runs, max_iter: int) -> str | None:
    """Return the `origin` of a warm start from where a fit ended; None if it has not."""
    if not all(run.ended(max_iter) for run in runs):
        return None
    best = max(runs, key=Run.rank).result
    return origin(best.parameters, best.lower_bounds[-1] if best.lower_bounds else -np.inf)


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
    if isinstance(random_state, np.random.RandomState):
        random_state.set_state(saved)
    elif isinstance(random_state, np.random.Generator):
        random_state.bit_generator.state = saved


def _listed(value: Any) -> Any:
    """Return an array, or a number of NumPy's, as JSON can hold it."""
    return value.tolist()


def _pack(runs: Runs) -> Arrays:
    entries: dict[str, Any] = {
        "structure": runs[0].state.point.structure.name,
        "runs": [run.number for run in runs],
    }
    for run in runs:
        own = {"end": np.nan if run.end is None else run.end, **_pack_state(run.state)}
        entries |= {f"{run.number}.{name}": value for name, value in own.items()}
    return {name: np.asarray(value) for name, value in entries.items()}


def _unpack(arrays: Arrays, blank: Callable[[Parameters], EMState]) -> Runs:
    structure = structure_named(str(arrays["structure"]), "structure")
    runs = []
    for number in arrays["runs"].tolist():
        start = f"{number}."
        own = {k.removeprefix(start): v for k, v in arrays.items() if k.startswith(start)}
        end = float(own["end"])
        state = _unpack_state(own, structure, blank)
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
    }
    if isinstance(state.strategy, Accelerator):
        entries |= _pack_plan(state.strategy.plan)
    return entries


def _unpack_state(
    arrays: Arrays, structure: CovarianceStructure, blank: Callable[[Parameters], EMState]
) -> EMState:
    image = _unpack_parameters(arrays, "last.image", structure)
    point = _unpack_parameters(arrays, "last.point", structure)
    if image is None or point is None:
        raise KeyError("last")
    state = blank(image)
    collapsed = tuple(arrays["last.collapsed"].tolist())
    state.last = Step(point, image, collapsed, float(arrays["last.lower_bound"]))
    state.point = _unpack_parameters(arrays, "point", structure) or image
    state.converged = bool(arrays["converged"])
    state.monitor.lower_bounds = float64(arrays, "lower_bounds").tolist()
    monitor = float64(arrays, "monitor").tolist()
    state.monitor.change, state.monitor.last, state.monitor.before = monitor
    if isinstance(state.strategy, Accelerator):
        state.strategy.plan = _unpack_plan(arrays, structure)
    return state


def _pack_plan(plan: Plan) -> dict[str, Any]:
    return {
        **_pack_parameters("plan.reference", plan.reference),
        "plan.reach": plan.reach,
        "plan.counts": np.array([plan.limited, plan.patience, plan.wait], np.int64),
        "plan.points": np.array(plan.points, np.float64),
        "plan.moves": np.array(plan.moves, np.float64),
    }


def _unpack_plan(arrays: Arrays, structure: CovarianceStructure) -> Plan:
    limited, patience, wait = arrays["plan.counts"].tolist()
    return Plan(
        float(arrays["plan.reach"]),
        bool(limited),
        patience,
        wait,
        _unpack_parameters(arrays, "plan.reference", structure),
        tuple(float64(arrays, "plan.points")),
        tuple(float64(arrays, "plan.moves")),
    )


def _parts(parameters: Parameters) -> tuple[FloatArray, ...]:
    return (
        parameters.weights,
        parameters.means,
        parameters.covariances,
        parameters.precisions_cholesky,
    )


def _pack_parameters(name: str, parameters: Parameters | None) -> dict[str, Any]:
    if parameters is None:
        return {}
    return {f"{name}.{p}": a for p, a in zip(PARTS, _parts(parameters), strict=True)}


def _unpack_parameters(
    arrays: Arrays, name: str, structure: CovarianceStructure
) -> Parameters | None:
    if f"{name}.weights" not in arrays:
        return None
    parameters = Parameters(structure, *(float64(arrays, f"{name}.{part}") for part in PARTS))
    shape = structure.shape(*parameters.means.shape)
    found = parameters.covariances.shape, parameters.precisions_cholesky.shape
    if found != (shape, shape) or parameters.weights.shape != parameters.means.shape[:1]:
        raise ValueError(f"{name} has parts that do not fit together")
    return parameters
