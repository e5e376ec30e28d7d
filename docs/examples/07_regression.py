"""
Regression with uncertainty
===========================

A mixture of (x, y) gives y for every x, with its spread, and sees where there is more than one answer.
"""

import matplotlib.pyplot as plt
import numpy as np

import gaussmix

rng = np.random.default_rng(0)
x = rng.uniform(0, 10, size=3000)
y = np.sin(x) * x / 3 + rng.normal(size=3000) * (0.15 + 0.08 * x)
mixture = gaussmix.GaussianMixture(8, random_state=0, n_init=3).fit(np.column_stack([x, y]))

at = np.linspace(0.2, 9.8, 200)
mean, std = mixture.regress([0], at[:, None], return_std=True)
fig, ax = plt.subplots(figsize=(7, 4.5))
ax.plot(x, y, ".", markersize=2, color="#999999")
ax.plot(at, mean[:, 0], color="#0072B2", label="mean of y, given x")
ax.fill_between(
    at,
    (mean - 2 * std)[:, 0],
    (mean + 2 * std)[:, 0],
    alpha=0.25,
    color="#0072B2",
    label="two standard deviations",
)
ax.plot(at, np.sin(at) * at / 3, "--", color="black", label="truth")
ax.set(xlabel="x", ylabel="y", title="y predicted from x, with its spread")
ax.legend()
fig.tight_layout()
found, _ = mixture.regress([0], x[:, None], return_std=True)
spread = mixture.regress([0], x[:, None], return_std=True)[1]
print(
    "rows within two standard deviations:",
    np.mean(np.abs(y - found[:, 0]) < 2 * spread[:, 0]).round(3),
)

# %%
# The conditional is a mixture itself: it has a density, quantiles and samples.
at_three = mixture.conditional([0], [3.0])
print("90 % of y at x = 3 lie in", at_three.quantile(np.array([0.05, 0.95])).round(2))
