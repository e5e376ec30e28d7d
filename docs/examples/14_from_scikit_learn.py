"""
Coming from scikit-learn
========================

Change the import. Parameters, attributes and methods have the same names. :doc:`/differences-from-scikit-learn` lists what is not the
same. Programs that import scikit-learn's classes themselves get these ones by ``gaussmix.patch_sklearn()``.
"""

import time

import numpy as np
from sklearn.mixture import GaussianMixture as Theirs
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gaussmix import GaussianMixture

rng = np.random.default_rng(0)
X = rng.normal(size=(50_000, 6)) + 4 * rng.integers(4, size=(50_000, 1))

# from the same start
start = {
    "weights_init": [0.25, 0.25, 0.25, 0.25],
    "means_init": np.outer([0.0, 4.0, 8.0, 12.0], np.ones(6)),
    "precisions_init": [np.eye(6)] * 4,
}
ours = GaussianMixture(4, **start).fit(X)
theirs = Theirs(4, **start).fit(X)
difference = np.abs(ours.means_ - theirs.means_).max()
print(f"largest difference of the means: {difference:.0e}")
print("iterations:", ours.n_iter_, theirs.n_iter_)


# %%
def seconds(model) -> float:
    began = time.perf_counter()
    model.fit(X)
    return time.perf_counter() - began


print("gaussmix is faster:", seconds(ours) < seconds(theirs))

# %%
# The estimators work in scikit-learn's pipelines and searches.
pipeline = make_pipeline(StandardScaler(), GaussianMixture(4, random_state=0))
print(pipeline.fit(X).predict(X[:8]))

# %%
ax = ours.plot(X, max_points=3000)
ax.set_title("a sample of the rows")
