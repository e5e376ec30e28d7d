"""
A first fit
===========

A mixture of Gaussians is fitted, asked and drawn. The data are 272 eruptions of the geyser Old Faithful: how long each took, and how
long the wait for the next one was, in minutes (Azzalini & Bowman, 1990).
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import gaussmix

ROOT = Path.cwd()
while not (ROOT / "tests" / "data").is_dir():
    ROOT = ROOT.parent
X = np.loadtxt(ROOT / "tests" / "data" / "old_faithful.csv", delimiter=",", skiprows=1)
mixture = gaussmix.GaussianMixture(2, random_state=0).fit(X)
print("weights", mixture.weights_.round(2))
print("means", mixture.means_.round(1).tolist())
print("converged", mixture.converged_, "after", mixture.n_iter_, "iterations")

# %%
# A row belongs to every component a little. ``predict_proba`` says how much, ``predict`` names the most probable component,
# and ``score_samples`` gives the log-density.
for row in (0, 1, 11):
    print(
        X[row], mixture.predict_proba(X[row : row + 1]).round(3), mixture.predict(X[row : row + 1])
    )

# %%
# The picture mixes the components' colours where they share a point. An ellipse holds nine tenths of its component.
fig, ax = plt.subplots(figsize=(6, 4.5))
mixture.plot(X, ax=ax)
ax.set(xlabel="eruption (minutes)", ylabel="wait (minutes)", title="Old Faithful, two components")
fig.tight_layout()
