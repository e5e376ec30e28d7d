"""A fit of a file five times larger than the memory that its process may have."""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from gaussmix import GaussianMixture

resource = pytest.importorskip("resource")

LIMIT = 400 << 20  # bytes of address space; some 270 MB of them are libraries and threads
N_FEATURES, PART_ROWS = 8, 1 << 18
N_PARTS = 5 * LIMIT // (PART_ROWS * N_FEATURES * 4) + 1

FIT = f"""
import json, resource, sys, warnings
warnings.simplefilter("ignore")
import gaussmix
resource.setrlimit(resource.RLIMIT_AS, ({LIMIT}, {LIMIT}))
model = gaussmix.GaussianMixture(3, random_state=0, max_iter=3).fit(sys.argv[1])
labels = gaussmix.KMeans(3, init=model.means_, max_iter=2).fit(sys.argv[1]).cluster_centers_
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(json.dumps({{
    "anonymous": int(status["RssAnon"].split()[0]) << 10,
    **{{name: [value.hex() for value in getattr(model, name).ravel().tolist()]
       for name in ("weights_", "means_", "covariances_")}},
    "centers": [value.hex() for value in labels.ravel().tolist()],
}}))
"""


def write_rows(path: Path) -> None:
    """Write the same rows again and again, moved a little: cheap, and no part like another."""
    rng = np.random.default_rng(0)
    means = 3.0 * rng.normal(size=(3, N_FEATURES))
    part = means[rng.integers(3, size=PART_ROWS)] + rng.normal(size=(PART_ROWS, N_FEATURES))
    shape = (N_PARTS * PART_ROWS, N_FEATURES)
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for number in range(N_PARTS):
            file.write((part + 0.01 * number).astype(np.float32).data)


def hexadecimal(values: np.ndarray) -> list[str]:
    return [value.hex() for value in values.ravel().tolist()]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
def test_a_file_five_times_larger_than_memory(tmp_path: Path) -> None:
    path = tmp_path / "large.npy"
    write_rows(path)
    assert path.stat().st_size > 5 * LIMIT
    settings = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "2", "MALLOC_ARENA_MAX": "2"}
    result = subprocess.run(
        [sys.executable, "-c", FIT, str(path)],
        env=os.environ | settings,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    X = np.load(path, mmap_mode="r")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = GaussianMixture(3, random_state=0, max_iter=3).fit(X)
    for name in ("weights_", "means_", "covariances_"):
        assert found[name] == hexadecimal(getattr(model, name)), name
    assert found["anonymous"] < LIMIT // 2
