"""
A few labels: semi-supervised
=============================

Two groups cross. Eight rows are known. A mixture that is told of them classifies the others.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.semi_supervised import LabelSpreading

import gaussmix

rng = np.random.default_rng(0)
group = rng.integers(2, size=600)
long, high = rng.normal([0, 0], [3, 0.5], (600, 2)), rng.normal([2, 0], [0.5, 3], (600, 2))
X = np.where(group[:, None] == 0, long, high)
labels = np.full(600, -1)
labels[:8] = group[:8]

mixture = gaussmix.GaussianMixture(2, random_state=0).fit(X, labels=labels)
spread = LabelSpreading(kernel="knn", n_neighbors=10).fit(X, labels)
print("right: mixture", (mixture.predict(X) == group).mean().round(3))
print("right: LabelSpreading", (spread.transduction_ == group).mean().round(3))

# %%
# ``labels`` may be names, and a class may own several components: ``component_labels`` says which.
fig, axes = plt.subplots(1, 2, figsize=(10, 4.2), sharey=True)
found = {"mixture": mixture.predict(X), "LabelSpreading": spread.transduction_}
for ax, (name, guess) in zip(axes, found.items(), strict=True):
    ax.scatter(*X.T, c=np.where(guess == 0, "#0072B2", "#E69F00"), s=10)
    ax.scatter(
        *X[:8].T, c=np.where(labels[:8] == 0, "#0072B2", "#E69F00"), s=120, edgecolors="black"
    )
    ax.set(title=name, xlabel="feature 0")
axes[0].set_ylabel("feature 1")
fig.tight_layout()
