"""
A few labels: semi-supervised
=============================

Two groups cross. Eight rows are known. A mixture that is told of them classifies the others.
:doc:`/labels-and-noise` says what else a mixture may be told.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.semi_supervised import LabelSpreading

import gaussmix

rng = np.random.default_rng(0)
group = rng.integers(2, size=600)
long = rng.normal([0, 0], [3, 0.5], (600, 2))
high = rng.normal([2, 0], [0.5, 3], (600, 2))
X = np.where(group[:, None] == 0, long, high)
labels = np.full(600, -1)
labels[:8] = group[:8]

mixture = gaussmix.GaussianMixture(2, random_state=0).fit(X, labels=labels)
spread = LabelSpreading(kernel="knn", n_neighbors=10).fit(X, labels)
found = {"mixture": mixture.predict(X), "LabelSpreading": spread.transduction_}
for name, guess in found.items():
    print(f"{name}: {(guess == group).mean():.1%} right")

# %%
# The known rows are drawn large. ``labels`` may also be names, and a class may own several components: ``component_labels`` says
# which.
colours = np.array(["#0072B2", "#E69F00"])
fig, axes = plt.subplots(1, 2, figsize=(9, 4), sharey=True)
for ax, (name, guess) in zip(axes, found.items(), strict=True):
    ax.scatter(*X.T, c=colours[guess], s=10)
    ax.scatter(*X[:8].T, c=colours[group[:8]], s=120, edgecolors="black")
    ax.set(title=name, xlabel="feature 0")
axes[0].set_ylabel("feature 1")
fig.tight_layout()
