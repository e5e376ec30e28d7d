"""
Missing values
==============

A row with gaps counts by the values that it has. Nothing is filled in first: that would make the density too narrow.
:doc:`/missing-values` compares the two ways.
"""

import matplotlib.pyplot as plt
import numpy as np

import gaussmix

rng = np.random.default_rng(0)
true = np.array([[1.0, 0.9], [0.9, 1.0]])
noise = rng.multivariate_normal([0, 0], true, size=3000)
whole = np.repeat([[0.0, 0.0], [4.0, -1.0]], 1500, axis=0) + noise
X = whole.copy()
X[rng.random(len(X)) < 0.4, 1] = np.nan
print(np.isnan(X).sum(), "of", X.size, "values are missing")

exact = gaussmix.GaussianMixture(
    n_components=2,
    missing_values="marginalize",
    random_state=0,
).fit(X)
filled = np.where(np.isnan(X), np.nanmean(X, axis=0), X)
imputed = gaussmix.GaussianMixture(2, random_state=0).fit(filled)
print("covariances, marginalised:")
print(exact.covariances_.round(2))
print("covariances, means filled in:")
print(imputed.covariances_.round(2))

# %%
# The true variances are 1 and the true covariances 0.9. A model that knows the gaps can also fill them, with the standard deviation of
# each guess. That of a known value is 0.
guess, std = exact.predict_missing(X[:5], return_std=True)
print(guess.round(2), std.round(2), sep="\n")

# %%
# Means in the gaps make a line of rows that are not there, and groups that are too flat.
fig, axes = plt.subplots(1, 2, figsize=(9, 4), sharey=True)
exact.plot(whole, ax=axes[0], max_points=1500)
imputed.plot(filled, ax=axes[1], max_points=1500)
axes[0].set_title("marginalised, over the complete rows")
axes[1].set_title("means filled in")
fig.tight_layout()
