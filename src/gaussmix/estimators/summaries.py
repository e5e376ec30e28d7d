"""What `summary` says of a fitted model, from its attributes alone."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from gaussmix._core.types import FloatArray
from gaussmix.display.tables import Summary, with_spread
from gaussmix.model.parameters import Parameters
from gaussmix.model.structures import Variances

SHOWN_FEATURES = 6  # in a table
AT_THE_FLOOR = 2.0  # times reg_covar: a variance no larger than that is regularisation
NAMED = 10  # components that a remark lists


def mixture_summary(model: Any, parameters: Parameters, names: Sequence[str]) -> Summary:
    """Say how large the components are, where they lie, how wide they are, and how the fit went."""
    weight_seen = getattr(model, "weight_seen_", None)
    spreads = np.sqrt(variances(parameters))
    shown = range(min(len(names), SHOWN_FEATURES))

    def row(name: str, weight: float, cells: Iterable[str]) -> tuple[str, ...]:
        size = () if weight_seen is None else (f"{weight * weight_seen:,.1f}",)
        return name, f"{weight:.4f}", *size, *cells

    rows = []
    for k, weight in enumerate(parameters.weights.tolist()):
        cells = (with_spread(parameters.means[k, j], spreads[k, j]) for j in shown)
        rows.append(row(str(k), weight, cells))
    if parameters.noise is not None:
        rows.append(row("noise", parameters.noise.weight, ("" for _ in shown)))
    sizes = () if weight_seen is None else ("rows",)
    number = f"{parameters.n_components} component{'' if parameters.n_components == 1 else 's'}"
    kind = f"{number}, {parameters.structure.name} covariances"
    return Summary(
        f"{type(model).__name__}: {kind}",
        tuple(_facts(model)),
        ("component", "weight", *sizes, *(names[j] for j in shown)),
        tuple(rows),
        (*_rest(names), *_collapsed(model, parameters)),
    )


def kmeans_summary(model: Any, centers: FloatArray, names: Sequence[str]) -> Summary:
    """Say how large the clusters are, where their centres lie, and how the fit went."""
    labels = getattr(model, "labels_", None)
    counts = None if labels is None else np.bincount(labels, minlength=len(centers))
    shown = range(min(len(names), SHOWN_FEATURES))
    rows = []
    for k, center in enumerate(centers):
        size = () if counts is None else (f"{counts[k]:,}",)
        rows.append((str(k), *size, *(f"{center[j]:.6g}" for j in shown)))
    empty = [] if counts is None else np.flatnonzero(counts == 0).tolist()
    return Summary(
        f"{type(model).__name__}: {len(centers)} clusters",
        tuple(_facts(model)),
        ("cluster", *(() if counts is None else ("rows",)), *(names[j] for j in shown)),
        tuple(rows),
        (*_rest(names), *([f"without rows: {_listed(empty)}"] if empty else [])),
    )


def size_of(model: Any) -> str:
    """Say what a model was fitted to, as far as it knows."""
    n_features = getattr(model, "n_features_in_", None)
    seen = getattr(model, "n_samples_seen_", None)
    if seen is None and hasattr(model, "labels_"):
        seen = len(model.labels_)
    size = {"row": seen, "feature": n_features}
    known = [f"{n:,} {name}{'' if n == 1 else 's'}" for name, n in size.items() if n is not None]
    return ", ".join(known) or "by hand"


def variances(parameters: Parameters) -> FloatArray:
    """Return the variance of every feature in every component, (K, D)."""
    covariances = parameters.covariances
    if not isinstance(parameters.structure, Variances):
        covariances = np.diagonal(covariances, axis1=-2, axis2=-1)
    elif covariances.ndim == 1:
        covariances = covariances[:, None]
    return np.broadcast_to(covariances, parameters.means.shape)


def _facts(model: Any) -> Iterator[str]:
    """What was seen, and how the fit ended."""
    yield size_of(model)
    n_iter = getattr(model, "n_iter_", None)
    if n_iter is None:
        yield "parameters as given, not fitted here"
        return
    ended = {True: "converged after ", False: "not converged after ", None: ""}
    number = f"{n_iter} iteration{'' if n_iter == 1 else 's'}"
    outcome = ended[getattr(model, "converged_", None)] + number
    if hasattr(model, "lower_bound_"):
        yield f"{outcome}, {model._climbs} {model.lower_bound_:.6g}"
    elif hasattr(model, "inertia_"):
        yield f"{outcome}, inertia {model.inertia_:.6g}"


def _collapsed(model: Any, parameters: Parameters) -> Iterator[str]:
    """Name the components that were regularised, in the fit or to their last digit."""
    absolute = not isinstance(model.reg_covar, str)
    floor = AT_THE_FLOOR * float(model.reg_covar) if absolute else 0.0
    found = {*getattr(model, "_warned", ())}
    found |= {*np.flatnonzero((variances(parameters) <= floor).any(axis=1)).tolist()}
    if found:
        yield f"collapsed: {_listed(sorted(found))}"


def _rest(names: Sequence[str]) -> Iterator[str]:
    if len(names) > SHOWN_FEATURES:
        yield f"{len(names) - SHOWN_FEATURES:,} more features"


def _listed(components: Sequence[int]) -> str:
    rest = len(components) - NAMED
    return ", ".join(map(str, components[:NAMED])) + (f" and {rest} more" if rest > 0 else "")
