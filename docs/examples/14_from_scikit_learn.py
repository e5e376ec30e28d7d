"""
Coming from scikit-learn
========================

Change the import. Parameters, attributes and methods have the same names.
"""

import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.mixture import GaussianMixture as Theirs
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gaussmix import GaussianMixture

rng = np.random.default_rng(0)
X = rng.normal(size=(50_000, 6)) + 4 * rng.integers(4, size=(50_000, 1))
start = dict(means_init=4.0 * np.arange(4)[:, None] * np.ones(6), weights_init=np.full(4, 0.25))
start["precisions_init"] = np.stack([np.eye(6)] * 4)
ours = GaussianMixture(4, **start).fit(X)
theirs = Theirs(4, **start).fit(X)
print("largest difference of the means:", np.abs(ours.means_ - theirs.means_).max())
print("iterations:", ours.n_iter_, theirs.n_iter_)


# %%
def seconds(model) -> float:
    began = time.perf_counter()
    model.fit(X)
    return time.perf_counter() - began


print("gaussmix is faster:", seconds(ours) < seconds(theirs))

# %%
# The estimators work in scikit-learn's pipelines and searches, and pass its ``check_estimator``. What is not the same stands in the list of
# differences: another start, the weights of rows, ``lower_bounds_``.
print(make_pipeline(StandardScaler(), GaussianMixture(4, random_state=0)).fit(X)[-1].converged_)

# %%
fig, ax = plt.subplots(figsize=(6, 4.5))
ours.plot(X, ax=ax, max_points=3000).set_title("a sample of the rows")
fig.tight_layout()
