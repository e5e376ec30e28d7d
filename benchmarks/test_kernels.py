"""Every kernel in every build that runs here and in the reference, in both precisions."""

from collections.abc import Callable

import pytest

from gaussmix._core.density import STRUCTURES
from gaussmix._core.interface import KERNELS
from gaussmix._core.types import Structure
from gaussmix.bench.cases import Case, Contender
from gaussmix.bench.contenders import builds

BUILDS = builds()

each_build = pytest.mark.parametrize("build", BUILDS, ids=[build.isa for build in BUILDS])
each_dtype = pytest.mark.parametrize("dtype", ["float64", "float32"])


@each_build
@each_dtype
@pytest.mark.parametrize("kernel", KERNELS)
def test_kernel(
    measure: Callable[[Contender, Case], None], kernel: str, dtype: str, build: Contender
) -> None:
    measure(build, Case(kernel, 50_000, 8, 16, "full", dtype))


@each_build
@each_dtype
@pytest.mark.parametrize("structure", [name for name in STRUCTURES if name != "full"])
def test_pass(
    measure: Callable[[Contender, Case], None], structure: Structure, dtype: str, build: Contender
) -> None:
    measure(build, Case("accumulate", 50_000, 8, 16, structure, dtype))
