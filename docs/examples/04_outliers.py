"""
Outliers in a million rows
==========================

A mixture is a density. Rows where the density is lowest are outliers. ``is_outlier`` finds the level that encloses a given part of the
probability, and tells which rows lie outside of it.
"""

import time

import matplotlib.pyplot as plt
import numpy as np

import gaussmix

rng = np.random.default_rng(0)
n_rows, n_strange = 1_000_000, 500
centers = rng.normal(scale=6, size=(6, 4))
X = centers[rng.integers(6, size=n_rows)] + rng.normal(size=(n_rows, 4))
strange = rng.choice(n_rows, n_strange, replace=False)
X[strange] = rng.uniform(-15, 15, size=(n_strange, 4))

began = time.perf_counter()
mixture = gaussmix.GaussianMixture(6, random_state=0).fit(X)
outliers = mixture.is_outlier(X, p=0.999)
print(
    f"a fit and an answer for {n_rows:,} rows: less than {np.ceil(time.perf_counter() - began):.0f} s"
)

# %%
# One row in a thousand is called an outlier by chance: that is what ``p=0.999`` means. Nearly all strange rows are found.
print(
    "called outliers:",
    outliers.sum(),
    " of them strange:",
    outliers[strange].sum(),
    "of",
    n_strange,
)

# %%
scores = mixture.score_samples(X)
fig, ax = plt.subplots(figsize=(7, 4))
bins = np.linspace(scores.min(), scores.max(), 120)
ax.hist(scores, bins, label="all rows", color="#56B4E9")
ax.hist(scores[strange], bins, label="strange rows", color="#D55E00")
ax.axvline(
    mixture.hdr_level(0.999), color="black", linestyle="--", label="level of probability 0.999"
)
ax.set(yscale="log", xlabel="log-density", ylabel="rows", title="log-densities of all rows")
ax.legend()
fig.tight_layout()
