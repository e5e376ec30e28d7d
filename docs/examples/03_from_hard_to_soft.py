"""
From K-means to soft to nested clusters
=======================================

The eruptions of Old Faithful, once more. K-means gives every eruption to one cluster. A mixture shares it out. A hierarchy merges the
mixture's components into clusters that nest.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import gaussmix

ROOT = Path.cwd()
while not (ROOT / "tests" / "data").is_dir():
    ROOT = ROOT.parent
X = np.loadtxt(ROOT / "tests" / "data" / "old_faithful.csv", delimiter=",", skiprows=1)

# %%
# Hard: a row belongs to the nearest centre, and a centre moves to the mean of its rows. The features have different units, so they are
# standardised first. Otherwise the wait alone would decide.
Z = (X - X.mean(axis=0)) / X.std(axis=0)
kmeans = gaussmix.KMeans(2, random_state=0, n_init=5).fit(Z)
print("rows in each cluster", np.bincount(kmeans.labels_))

# %%
# Soft: Bayes' rule says how much of a row a component is responsible for,
#
# .. math:: r_{nk} = \frac{\pi_k N(x_n | \mu_k, \Sigma_k)}{\sum_j \pi_j N(x_n | \mu_j, \Sigma_j)},
#
# and the centres are updated to the means of all rows, weighted by the responsibilities,
#
# .. math:: \mu_k = \frac{\sum_n r_{nk} x_n}{\sum_n r_{nk}}.
#
# No such update lowers the likelihood.
mixture = gaussmix.GaussianMixture(4, random_state=0, tol=1e-6, max_iter=1000).fit(X)
r = mixture.predict_proba(X)
by_hand = (r.T @ X) / r.sum(axis=0)[:, None]
print(
    "largest move of a centre by one more update", np.abs(by_hand - mixture.means_).max().round(4)
)
print("the log-likelihood never fell:", bool((np.diff(mixture.lower_bounds_) > -1e-9).all()))

# %%
# Nested: components that share rows are merged. Four components become two clusters.
hierarchy = mixture.hierarchy(X)
print("components of each of two clusters:", hierarchy.labels(2))
fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4.5))
mixture.plot(X, ax=left)
left.set(xlabel="eruption (minutes)", ylabel="wait (minutes)", title="four components")
certainty = hierarchy.predict_proba(X, n_clusters=2)[:, 0]
right.scatter(*X.T, c=certainty, cmap="cividis", s=14)
right.set(xlabel="eruption (minutes)", title="two clusters, and how sure each row is")
fig.tight_layout()
