"""
Encoding images by Fisher vectors
=================================

A mixture of local descriptors turns an image, or an utterance, into one vector: how far its descriptors pull the mixture. ``statistics``
adds up what every image says in one pass (Perronnin, Sanchez & Mensink, 2010).
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

import gaussmix

digits = load_digits()
windows = np.lib.stride_tricks.sliding_window_view(digits.images, (4, 4), axis=(1, 2))
n_images, rows, columns = windows.shape[:3]
descriptors = windows.reshape(-1, 16) / 16
places = np.indices((rows, columns)).reshape(2, -1).T / rows
descriptors = np.hstack([descriptors, np.tile(places, (n_images, 1))])
image = np.repeat(np.arange(n_images), rows * columns)
print(len(descriptors), "descriptors of", n_images, "images")

mixture = gaussmix.GaussianMixture(16, covariance_type="diag", random_state=0).fit(descriptors)
found = mixture.statistics(descriptors, image)

# %%
# The three parts of a Fisher vector are the gradients by the weights, the means and the standard deviations.
total = found.n.sum(axis=1)[:, None]
n, first, second = found.n / total, found.first / total[:, None], found.second / total[:, None]
root, sigma = np.sqrt(mixture.weights_), np.sqrt(mixture.covariances_)
parts = (
    (n - mixture.weights_) / root,
    first / (root[:, None] * sigma),
    (n[:, :, None] - second / sigma**2) / (np.sqrt(2) * root[:, None]),
)
fisher = np.hstack([part.reshape(n_images, -1) for part in parts])
fisher = np.sign(fisher) * np.sqrt(np.abs(fisher))
fisher /= np.linalg.norm(fisher, axis=1, keepdims=True)

# %%
# A linear classifier reads the digits from these vectors.
classifier = LogisticRegression(C=100, max_iter=2000)
print("right:", cross_val_score(classifier, fisher, digits.target, cv=3).mean().round(3))

# %%
# The picture shows where the components lie in an image, and what part of it each describes: the descriptors' last two features are
# places.
fig, ax = plt.subplots(figsize=(5, 4.5))
mixture.plot(descriptors[:20_000], kind="components", features=[17, 16], ax=ax)
ax.set(xlabel="column", ylabel="row", title="places of the components")
ax.invert_yaxis()
fig.tight_layout()
