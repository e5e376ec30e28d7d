"""
A first fit
===========

A mixture of Gaussians is fitted, asked and drawn. The data are 272 eruptions of the geyser Old Faithful: how long each took, and how
long the wait for the next one was, in minutes (Azzalini & Bowman, 1990).
:doc:`/from-hard-to-soft` explains what happens in a fit.
"""

import numpy as np

import gaussmix

# A file of the repository, whose folder docs/examples this script lies in
X = np.loadtxt("../../tests/data/old_faithful.csv", delimiter=",", skiprows=1)
mixture = gaussmix.GaussianMixture(2, random_state=0).fit(X)
print("weights", mixture.weights_.round(2))
print("means", mixture.means_.round(1).tolist())
print("converged", mixture.converged_, "after", mixture.n_iter_, "iterations")

# %%
# A row belongs to every component with a probability. ``predict_proba`` says how much, ``predict`` names the most probable
# component, and ``score_samples`` gives the log-density. The last of these three rows lies between the groups.
rows = X[[0, 1, 243]]
print(rows)
print(mixture.predict_proba(rows).round(2))
print(mixture.predict(rows))
print(mixture.score_samples(rows).round(2))

# %%
# The picture mixes the components' colours where they share a point. An ellipse holds nine tenths of its component.
ax = mixture.plot(X)
ax.set_title("Old Faithful, two components")
ax.set(xlabel="eruption (minutes)", ylabel="wait (minutes)")
