"""
How many components
===================

``select`` fits a mixture for every number of components and every covariance type, and compares them by the Bayesian information
criterion (BIC). Lower is better.
:doc:`/selection` says more.
"""

import matplotlib.pyplot as plt
import numpy as np

import gaussmix

rng = np.random.default_rng(1)
centers = np.array([[0, 0], [5, 1], [1, 6], [6, 6]])
stretched = np.array([[1.2, 0.9], [0.9, 1.2]])
noise = rng.multivariate_normal([0, 0], stretched, size=1200)
X = np.repeat(centers, 300, axis=0) + noise

selection = gaussmix.select(X, range(1, 8), random_state=0)
print(selection)

# %%
# Four components that share one covariance win, as the data were made. The curve of spheres goes on falling: spheres need many
# components to cover one stretched group.
fig, ax = plt.subplots(figsize=(7, 4.5))
selection.plot(ax=ax).set_title("the BIC of every mixture")
fig.tight_layout()

# %%
# The best model is fitted already.
best = selection.best_model
print(best.covariance_type, best.n_components)
print("rows of each component", np.bincount(best.predict(X)))
