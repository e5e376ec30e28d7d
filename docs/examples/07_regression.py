"""
Regression with uncertainty
===========================

A mixture of (x, y) gives the mean of y for every x, and its spread. The spread may change with x.
:doc:`/queries` says how it is computed.
"""

import matplotlib.pyplot as plt
import numpy as np

import gaussmix

rng = np.random.default_rng(0)
x = rng.uniform(0, 10, size=3000)
y = np.sin(x) * x / 3 + rng.normal(size=3000) * (0.15 + 0.08 * x)
rows = np.column_stack([x, y])
mixture = gaussmix.GaussianMixture(8, n_init=3, random_state=0).fit(rows)

at = np.linspace(0.2, 9.8, 200)
mean, std = mixture.regress([0], at[:, None], return_std=True)
mean, std = mean[:, 0], std[:, 0]
fig, ax = plt.subplots(figsize=(7, 4.5))
ax.plot(x, y, ".", markersize=2, color="#999999")
ax.plot(at, mean, color="#0072B2", label="mean of y, given x")
ax.fill_between(
    at,
    mean - 2 * std,
    mean + 2 * std,
    alpha=0.25,
    color="#0072B2",
    label="two standard deviations",
)
ax.plot(at, np.sin(at) * at / 3, "--", color="black", label="truth")
ax.set(xlabel="x", ylabel="y", title="y predicted from x, with its spread")
ax.legend()
fig.tight_layout()

# %%
# About 95 % of the rows should lie within two standard deviations.
found, spread = mixture.regress([0], x[:, None], return_std=True)
within = np.abs(y - found[:, 0]) < 2 * spread[:, 0]
print("rows within two standard deviations:", within.mean().round(3))

# %%
# What y may be at one x is a mixture itself. It has a density, quantiles and samples, and shows where there is more than one answer.
at_three = mixture.conditional([0], [3.0])
print("90 % of y at x = 3 lie in", at_three.quantile([0.05, 0.95]).round(2))
