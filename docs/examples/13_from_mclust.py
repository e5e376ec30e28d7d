"""
Coming from R's mclust
======================

mclust's ``Mclust(X)`` is ``select(X, range(1, 10), "all")``. The codes of the covariance families are the same. The sign of the BIC is not:
mclust's is larger for a better model, ours is lower. Here a few families and numbers of components will do. :doc:`/families`
explains the codes.

.. code-block:: r

   library(mclust)
   fit <- Mclust(iris[, 1:4], G = 2:3)
   summary(fit)          # VEV, 2 components, BIC -561.7285
   fit$classification
   fit$z
   plot(fit, what = "classification")
"""

import numpy as np
from sklearn.datasets import load_iris

import gaussmix

X = load_iris().data
families = ["EEE", "VEE", "VEV", "VVV"]
selection = gaussmix.select(X, [2, 3], families, random_state=0)
fit = selection.best_model
print(fit.covariance_type, fit.n_components, round(selection.best.bic, 4))

# %%
# ==========================================  =====================================================
# mclust                                      gaussmix
# ==========================================  =====================================================
# ``fit$classification``                      ``fit.predict(X)``
# ``fit$z``                                   ``fit.predict_proba(X)``
# ``fit$uncertainty``                         ``1 - fit.predict_proba(X).max(axis=1)``
# ``fit$parameters$pro, mean``                ``fit.weights_``, ``fit.means_``
# ``fit$parameters$variance$sigma``           ``fit.covariances_``
# ``densityMclust(X)``, ``predict(dens, Y)``  ``numpy.exp(fit.score_samples(Y))``
# ``mclustICL(X)``                            ``select(X, criterion="icl")``
# ``clustCombi(fit)``                         ``fit.hierarchy(X)``
# ``plot(fit, what = "classification")``      ``fit.plot(X)``
# ==========================================  =====================================================
print("rows of each component", np.bincount(fit.predict(X)))

# %%
ax = fit.plot(X)
ax.set_title("iris, as mclust and gaussmix see it")
