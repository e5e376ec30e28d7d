"""EM with parameters that it leaves alone, or weights that are all equal."""

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from gaussmix._core.types import FloatArray
from gaussmix.em.coordinates import Chart
from gaussmix.em.loop import EMState
from gaussmix.em.objective import MaximumLikelihood, Ridge
from gaussmix.errors import ParameterError
from gaussmix.model.covariance import CovarianceStructure
from gaussmix.model.parameters import Parameters
from gaussmix.model.statistics import Statistics

NAMES = ("weights", "means", "covariances")
OF_EACH = ("full", "diag", "spherical")  # structures whose components' covariances are apart
Flags = NDArray[np.bool_]


class Rules(NamedTuple):
    """Which components' parameters EM leaves alone, (K,) each, and whether weights are equal."""

    weights: Flags
    means: Flags
    covariances: Flags
    equal: bool

    @property
    def any(self) -> bool:
        """Whether there is anything to keep to."""
        return self.equal or any(flags.any() for flags in self[:3])


def check_rules(
    fixed: Any, weights: Any, n_components: int, structure: CovarianceStructure
) -> Rules | None:
    """Return rules from `fixed` and `weights` of a mixture's constructor, if there are any."""
    if weights is not None and not (isinstance(weights, str) and weights == "equal"):
        raise ParameterError(
            f"weights must be None or 'equal', got {weights!r}; weights_init says where they begin"
        )
    given = {} if fixed is None else fixed
    if not isinstance(given, dict):
        raise ParameterError(f"fixed must be a dict such as {{'means': [0, 2]}}, got {fixed!r}")
    if not given and weights is None:
        return None  # n_components may be any number: it is compared with the rows later
    flags = {name: np.zeros(n_components, dtype=bool) for name in NAMES}
    for name, which in given.items():
        if name not in NAMES:
            raise ParameterError(f"fixed must name some of {', '.join(NAMES)}, got {name!r}")
        if isinstance(which, bool | np.bool_):
            flags[name][:] = which
            continue
        places = np.asarray(which)
        inside = places.dtype.kind in "iu" and places.ndim == 1
        if not inside or ((places < 0) | (places >= n_components)).any():
            raise ParameterError(
                f"fixed[{name!r}] must be True or components from 0 to {n_components - 1}, got "
                f"{which!r}"
            )
        flags[name][places] = True
    some = flags["covariances"]
    if some.any() and not some.all() and structure.name not in OF_EACH:
        raise ParameterError(
            f"fixed['covariances'] must be True or components of covariance_type 'full', 'diag' or "
            f"'spherical', since those of {structure.name!r} depend on each other"
        )
    if weights == "equal" and flags["weights"].any():
        raise ParameterError("weights='equal' and fixed['weights'] are both given: give one")
    rules = Rules(flags["weights"], flags["means"], flags["covariances"], weights == "equal")
    return rules if rules.any else None


def with_equal_weights(found: Parameters) -> Parameters:
    """Return parameters whose components share what the noise leaves."""
    left = 1.0 if found.noise is None else float(found.weights.sum())
    return replace(found, weights=np.full(found.n_components, left / found.n_components))


def kept(rules: Rules, found: Parameters, previous: Parameters) -> Parameters:
    """Return parameters that keep to the rules. Means and covariances change in place."""
    found.means[rules.means] = previous.means[rules.means]
    if rules.covariances.all():
        found = replace(
            found,
            covariances=previous.covariances,
            precisions_cholesky=previous.precisions_cholesky,
        )
    elif rules.covariances.any():
        fixed = rules.covariances
        found.covariances[fixed] = previous.covariances[fixed]
        found.precisions_cholesky[fixed] = previous.precisions_cholesky[fixed]
    return _with_kept_weights(rules, found, previous)


def _with_kept_weights(rules: Rules, found: Parameters, previous: Parameters) -> Parameters:
    if rules.equal:
        return with_equal_weights(found)
    if not rules.weights.any():
        return found
    weights = found.weights.copy()
    noise = 0.0 if found.noise is None else found.noise.weight
    free, fixed = ~rules.weights, previous.weights[rules.weights]
    left = max(1.0 - float(fixed.sum()), 0.0)
    shared = float(weights[free].sum()) + noise
    scale = left / shared if shared > 0 else 0.0
    weights[free] *= scale
    weights[rules.weights] = fixed
    if found.noise is not None:
        found = replace(found, noise=found.noise._replace(weight=noise * scale))
    return replace(found, weights=weights)


@dataclass(frozen=True)
class Constrained(MaximumLikelihood):
    """Another objective over the parameters that keep to rules: an `Objective`.

    Covariances of components with fixed means are about these. Weights that are not fixed share
    what the fixed ones leave, as their rows do.
    """

    inner: MaximumLikelihood = field(kw_only=True)
    rules: Rules = field(kw_only=True)

    @classmethod
    def of(cls, inner: MaximumLikelihood, rules: Rules) -> Self:
        """Return an objective whose parameters keep to rules."""
        return cls(inner.data, inner.reg_covar, inner=inner, rules=rules)

    @property
    def ridge(self) -> Ridge:
        """What is added to the variance of every feature, or of each."""
        return self.inner.ridge

    def m_step(
        self, statistics: Statistics, previous: Parameters
    ) -> tuple[Parameters, tuple[int, ...]]:
        """Return the best parameters that keep to the rules."""
        rules = self.rules
        if rules.means.any():
            fixed = rules.means[:, None]
            statistics = statistics.about(np.where(fixed, previous.means, statistics.shift))
            at_rest = self.inner.first_at_rest(statistics.shift)
            statistics = replace(statistics, first=np.where(fixed, at_rest, statistics.first))
        found, collapsed = self.inner.m_step(statistics, previous)
        collapsed = tuple(k for k in collapsed if not rules.covariances[k])
        return kept(rules, found, previous), collapsed

    def lower_bound(self, parameters: Parameters, statistics: Statistics) -> float:
        """Return the other objective's value."""
        return self.inner.lower_bound(parameters, statistics)

    def score(self, parameters: Parameters) -> float:
        """Return the same, which takes a pass."""
        return self.inner.score(parameters)

    def fast_forward(self, state: EMState, max_iter: int) -> None:
        """Do nothing: kernels know no rules."""


class RuledChart(Chart):
    """Coordinates of mixtures that keep to rules: what is fixed is as in the reference.

    Parameters
    ----------
    rules : Rules
    reference : Parameters
    """

    def __init__(self, rules: Rules, reference: Parameters) -> None:
        super().__init__(reference)
        self._rules = rules

    def parameters(self, coordinates: FloatArray) -> Parameters:
        """Return the mixture at coordinates (P,), but for what is fixed."""
        return kept(self._rules, super().parameters(coordinates), self.reference)
