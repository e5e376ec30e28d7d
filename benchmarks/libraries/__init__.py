"""The other libraries that the full benchmark runs: a file for each, and scikit-learn's.

What they need is imported when they are called. Libraries on PyTorch and JAX enter for EM
iterations alone. Each is given the common start and driven through its own public pieces.
"""

from benchmarks.libraries import gmmx, onedal, pomegranate, torchgmm
from gaussmix.bench import scikit_learn
from gaussmix.bench.cases import Contender
from gaussmix.bench.contenders import Rival, with_rivals

RIVALS: tuple[Rival, ...] = (scikit_learn, onedal, pomegranate, torchgmm, gmmx)
DISTRIBUTIONS = (
    *("numpy", "scipy", "scikit-learn", "daal", "torch", "pomegranate", "torchgmm"),
    *("jax", "gmmx"),
)
"""The packages whose versions a report names."""


def contenders() -> list[Contender]:
    """Return gaussmix, first, and the rivals that are installed and can be imported."""
    return with_rivals(RIVALS)
