"""
From K-means to soft to nested clusters
=======================================

The eruptions of Old Faithful, once more. K-means gives every eruption to one cluster. A mixture shares it out. A hierarchy merges the
mixture's components into clusters that nest.
:doc:`/from-hard-to-soft` derives the updates, and :doc:`/hierarchy` explains the merges.
"""

import matplotlib.pyplot as plt
import numpy as np

import gaussmix

# A file of the repository, whose folder docs/examples this script lies in
X = np.loadtxt("../../tests/data/old_faithful.csv", delimiter=",", skiprows=1)

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
mixture = gaussmix.GaussianMixture(
    n_components=4,
    tol=1e-6,
    max_iter=1000,
    random_state=0,
).fit(X)
r = mixture.predict_proba(X)
by_hand = (r.T @ X) / r.sum(axis=0)[:, None]
move = np.abs(by_hand - mixture.means_).max()
print("largest move of a centre by one more update", move.round(4))
gains = np.diff(mixture.lower_bounds_)
print("the log-likelihood never fell:", gains.min() > -1e-9)

# %%
# Nested: components that share rows are merged. Four components become two clusters.
hierarchy = mixture.hierarchy(X)
print("cluster of each of the four components:", hierarchy.labels(2))
fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4.5))
mixture.plot(X, ax=left)
left.set(xlabel="eruption (minutes)", ylabel="wait (minutes)")
left.set_title("four components")
certainty = hierarchy.predict_proba(X, n_clusters=2)[:, 0]
right.scatter(*X.T, c=certainty, cmap="cividis", s=14)
right.set_xlabel("eruption (minutes)")
right.set_title("two clusters, and how sure each row is")
fig.tight_layout()
