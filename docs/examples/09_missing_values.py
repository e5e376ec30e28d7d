"""
Missing values
==============

A row with gaps counts by the values that it has. Nothing is filled in first: that would make the density too narrow.
"""

import matplotlib.pyplot as plt
import numpy as np

import gaussmix

rng = np.random.default_rng(0)
true = np.array([[1.0, 0.9], [0.9, 1.0]])
whole = np.concatenate([rng.multivariate_normal(m, true, 1500) for m in ([0, 0], [4, -1])])
X = whole.copy()
X[rng.random(len(X)) < 0.4, 1] = np.nan
print(np.isnan(X).sum(), "of", X.size, "values are missing")

exact = gaussmix.GaussianMixture(2, missing_values="marginalize", random_state=0).fit(X)
filled = np.where(np.isnan(X), np.nanmean(X, axis=0), X)
imputed = gaussmix.GaussianMixture(2, random_state=0).fit(filled)
print("covariances, marginalised:", exact.covariances_.round(2).tolist())
print("covariances, means filled in:", imputed.covariances_.round(2).tolist())

# %%
# The true variances are 1 and the true covariances 0.9. A model that knows the gaps can also fill them, with the uncertainty of each
# guess.
guess, std = exact.predict_missing(X[:5], return_std=True)
print(guess.round(2), std.round(2), sep="\n")

# %%
fig, axes = plt.subplots(1, 2, figsize=(10, 4.2), sharey=True)
exact.plot(whole, ax=axes[0], max_points=1500)
imputed.plot(filled, ax=axes[1], max_points=1500)
axes[0].set_title("marginalised, over the complete rows")
axes[1].set_title("means filled in")
fig.tight_layout()
