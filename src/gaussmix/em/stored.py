"""Runs of a fit as the arrays of a checkpoint: written, and checked as they are read."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from gaussmix._core.types import FloatArray
from gaussmix.em.acceleration import LEAST_REACH, Accelerator, Plan
from gaussmix.em.coordinates import Chart
from gaussmix.em.loop import EMState, Step
from gaussmix.em.runs import Run, Runs
from gaussmix.io.archive import Archive
from gaussmix.model.covariance import CovarianceStructure
from gaussmix.model.parameters import Noise, Parameters
from gaussmix.model.stored import Read, check_stored

PARTS = ("weights", "means", "covariances", "factors")
FARTHEST = {"float32": 1e18, "float64": 1e150}
"""What no mean of rows of a dtype exceeds, nor a coordinate: sums of squares would overflow."""

Restore: TypeAlias = Callable[[Parameters, Read], Parameters]
"""Takes a mixture, and what reads its other arrays, and returns what they are the parameters of."""


class Size(NamedTuple):
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


def pack(runs: Runs) -> dict[str, Any]:
    """Return the arrays, and texts, that say how far runs have come."""
    entries: dict[str, Any] = {
        "structure": runs[0].state.point.structure.name,
        "runs": np.array([run.number for run in runs], np.int64),
    }
    for run in runs:
        own = {"end": np.nan if run.end is None else run.end, **_pack_state(run.state)}
        entries |= {f"{run.number}.{name}": value for name, value in own.items()}
    return entries


def unpack(found: Archive, size: Size, blank: Callable[[Parameters], EMState]) -> Runs:
    """Return the runs that an archive holds; raises ValueError or KeyError if they are not sound.

    `blank` makes the state of a run that begins at parameters.
    """
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
    found: Archive, run: str, size: Size, blank: Callable[[Parameters], EMState]
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


def _unpack_step(found: Archive, name: str, size: Size) -> Step:
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


def _unpack_plan(found: Archive, name: str, size: Size, memory: int) -> Plan:
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


def _unpack_parameters(found: Archive, name: str, size: Size) -> Parameters | None:
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
