"""Checks of posteriors from a file, or from attributes that a user may have set."""

from collections.abc import Mapping

from gaussmix._core.types import FloatArray
from gaussmix.bayes.posterior import Posterior, expected_weights
from gaussmix.model.checks import check_floats
from gaussmix.model.covariance import CovarianceStructure
from gaussmix.model.parameters import Parameters
from gaussmix.model.stored import Read

NAMES = ("concentration", "mean_precision", "degrees_of_freedom")


def shapes_of(
    structure: CovarianceStructure, n_components: int, process: bool
) -> dict[str, tuple[int, ...]]:
    """Return the shapes of what a posterior has beyond a mixture."""
    each = (n_components,)
    shapes = (2, n_components) if process else each, each, () if structure.shared else each
    return dict(zip(NAMES, shapes, strict=True))


def restored(mixture: Parameters, process: bool, read: Read) -> Posterior:
    """Return the posterior of a mixture that was checked, and of arrays that are read.

    Raises
    ------
    ValueError
        If an array has another shape or values than posteriors have.
    """
    shapes = shapes_of(mixture.structure, mixture.n_components, process)
    return completed(mixture, {name: read(name, shape) for name, shape in shapes.items()})


def completed(
    mixture: Parameters, arrays: Mapping[str, FloatArray], names: tuple[str, ...] = NAMES
) -> Posterior:
    """Return the posterior of a mixture and the arrays NAMES, which errors call `names`."""
    least = (0.0, 0.0, mixture.n_features - 1.0)
    for part, name, low in zip(NAMES, names, least, strict=True):
        array = check_floats(name, arrays[part], arrays[part].shape)
        if not (array > low).all():
            raise ValueError(f"{name} must be greater than {low:g}, got {array.min():g}")
    concentration, mean_precision, freedom = (arrays[part] for part in NAMES)
    return Posterior(
        mixture.structure,
        expected_weights(concentration),
        mixture.means,
        mixture.covariances,
        mixture.precisions_cholesky,
        concentration,
        mean_precision,
        freedom,
    )
