"""
A file larger than memory
=========================

X may be a path. The fit reads the file block by block, once per iteration, and needs a few megabytes beside it. The result has the
same bits as that of an array.
:doc:`/beyond-memory` lists what X may be.
"""

import tempfile
from pathlib import Path

import numpy as np

import gaussmix

folder = Path(tempfile.mkdtemp())
path = folder / "rows.npy"
rng = np.random.default_rng(0)
rows = np.lib.format.open_memmap(
    path,
    mode="w+",
    dtype=np.float32,
    shape=(1_000_000, 6),
)
for part in np.split(rows, 10):
    group = rng.integers(3, size=(len(part), 1))
    part[:] = 5 * group + rng.normal(size=part.shape)
rows.flush()

mixture = gaussmix.GaussianMixture(3, random_state=0).fit(str(path))
print(mixture.means_[:, 0].round(2), mixture.n_iter_, "iterations")

# %%
# Answers go to a file as well.
mixture.predict(str(path), out=folder / "labels.npy")
print(np.bincount(np.load(folder / "labels.npy", mmap_mode="r")))

# %%
# The same bits as in memory:
in_memory = gaussmix.GaussianMixture(3, random_state=0).fit(np.array(rows))
print(np.array_equal(in_memory.means_, mixture.means_))

# %%
# ``scan`` takes some columns, weights from a column, and files of other kinds: CSV, Parquet, Arrow. ``checkpoint="run.ckpt"`` lets a fit
# that was stopped go on.
print(gaussmix.scan(path, columns=[0, 3]).n_features)

# %%
# Pictures take a sample of the file.
ax = mixture.plot(str(path), max_points=3000)
ax.set_title("a sample of the file")
