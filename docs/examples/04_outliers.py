"""
Outliers in a million rows
==========================

A mixture is a density. Rows where the density is lowest are outliers. ``is_outlier`` finds the level that encloses a given part of the
probability, and tells which rows lie outside of it.
:doc:`/queries` has more questions that a mixture answers.
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
seconds = np.ceil(time.perf_counter() - began)
print(f"{n_rows:,} rows fitted and judged in less than {seconds:.0f} s")

# %%
# One row in a thousand is called an outlier by chance: that is what ``p=0.999`` means. Nearly all strange rows are found.
print("called outliers:", outliers.sum())
print("of the", n_strange, "strange rows:", outliers[strange].sum())

# %%
scores = mixture.score_samples(X)
fig, ax = plt.subplots(figsize=(7, 4))
bins = np.linspace(scores.min(), scores.max(), 120)
ax.hist(scores, bins, label="all rows", color="#56B4E9")
ax.hist(scores[strange], bins, label="strange rows", color="#D55E00")
level = mixture.hdr_level(0.999)
ax.axvline(level, color="black", ls="--", label="level of probability 0.999")
ax.set(yscale="log", xlabel="log-density", ylabel="rows")
ax.set_title("log-densities of all rows")
ax.legend()
fig.tight_layout()
