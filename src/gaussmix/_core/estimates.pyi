from numpy.typing import DTypeLike

from gaussmix._core.constants import FloatArray, Structure

def maximise(
    structure: Structure,
    shift: FloatArray,
    n_k: FloatArray,
    first: FloatArray,
    second: FloatArray,
    row_weight: float,
    reg_covar: float,
    weights: FloatArray,
    means: FloatArray,
    covariances: FloatArray,
    factors: FloatArray,
) -> bool: ...
def density_constants(
    structure: Structure,
    weights: FloatArray,
    means: FloatArray,
    factors: FloatArray,
    dtype: DTypeLike,
    center: FloatArray,
    deviations: FloatArray,
    log_scales: FloatArray,
) -> None: ...
def precision_factors(covariances: FloatArray, factors: FloatArray) -> None: ...
