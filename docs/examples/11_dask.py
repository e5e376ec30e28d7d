"""
More machines than one: Dask
============================

Dask carries the statistics of each part of the data; gaussmix adds them up. Here the cluster is a pool of threads of this process.
:doc:`/distributed` says what travels, and how far it scales.
"""

import dask.array as da
import numpy as np

import gaussmix

rng = np.random.default_rng(0)
group = rng.integers(2, size=(200_000, 1))
in_memory = 6 * group + rng.normal(size=(200_000, 3))
X = da.from_array(in_memory, chunks=(50_000, 3))
mixture = gaussmix.GaussianMixture(2, random_state=0).fit(X)
print(mixture.means_.round(2).tolist())

# %%
# Answers are lazy, in the same parts.
labels = mixture.predict(X)
print(type(labels), labels.chunks)
print(np.bincount(labels.compute()))

# %%
ax = mixture.plot(X, max_points=3000)
ax.set_title("a sample of the collection")
