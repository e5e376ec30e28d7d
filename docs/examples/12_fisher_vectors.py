"""
Encoding images by Fisher vectors
=================================

A mixture of local descriptors turns an image, or an utterance, into one vector: how far its descriptors pull the mixture. ``statistics``
adds up what every image says in one pass (Perronnin, Sanchez & Mensink, 2010).
:doc:`/priors` has adaptation and supervectors too.
"""

import matplotlib.pyplot as plt
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

import gaussmix

digits = load_digits()
windows = sliding_window_view(digits.images, (4, 4), axis=(1, 2))
n_images, rows, columns = windows.shape[:3]
descriptors = windows.reshape(-1, 16) / 16
places = np.indices((rows, columns)).reshape(2, -1).T / rows
descriptors = np.hstack([descriptors, np.tile(places, (n_images, 1))])
image = np.repeat(np.arange(n_images), rows * columns)
print(len(descriptors), "descriptors of", n_images, "images")

mixture = gaussmix.GaussianMixture(
    n_components=16,
    covariance_type="diag",
    random_state=0,
).fit(descriptors)
found = mixture.statistics(descriptors, image)

# %%
# The three parts of a Fisher vector are the gradients by the weights, the means and the standard deviations.
total = found.n.sum(axis=1)[:, None]
n = found.n / total
first, second = found.first / total[:, None], found.second / total[:, None]
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
right = cross_val_score(classifier, fisher, digits.target, cv=3)
print(f"{right.mean():.1%} of the digits are read right")

# %%
# A component stands for a kind of descriptor. The picture shows the mean window of each. The last two features say where in an image it
# lies, from the top left corner (0, 0) to the bottom right (1, 1).
fig, axes = plt.subplots(2, 8, figsize=(9, 3))
for ax, mean in zip(axes.flat, mixture.means_, strict=True):
    ax.imshow(mean[:16].reshape(4, 4), cmap="gray_r", vmin=0, vmax=1)
    ax.set_title(f"{mean[16]:.1f}, {mean[17]:.1f}", size=9)
    ax.set(xticks=[], yticks=[])
fig.suptitle("the sixteen components, and the row and column of each")
fig.tight_layout()
