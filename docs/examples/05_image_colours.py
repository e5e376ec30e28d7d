"""
Colours and segments of an image
================================

The pixels of a photograph are rows of three numbers. A mixture groups them by colour. The photograph comes with scikit-learn.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_image

import gaussmix

image = load_sample_image("flower.jpg")[::2, ::2] / 255
pixels = image.reshape(-1, 3)
mixture = gaussmix.GaussianMixture(6, random_state=0).fit(pixels)
labels = mixture.predict(pixels)
shares = np.bincount(labels) / len(labels)
print(len(pixels), "pixels; shares of the six colours:", shares.round(2))

# %%
# Each pixel gets the mean colour of its component. On the right it gets the mean under all components, weighted by the
# responsibilities: borders are soft.
hard = mixture.means_[labels]
soft = mixture.predict_proba(pixels) @ mixture.means_
pictures = {"photograph": pixels, "hard": hard, "soft": soft}
fig, axes = plt.subplots(1, 3, figsize=(9, 2.6))
for ax, (title, colours) in zip(axes, pictures.items(), strict=True):
    ax.imshow(colours.clip(0, 1).reshape(image.shape))
    ax.set_title(title)
    ax.axis("off")
fig.tight_layout()

# %%
# Colours alone do not know where a pixel lies. With its place as two more features, segments hold together.
rows, columns = np.indices(image.shape[:2]) / max(image.shape)
with_place = np.column_stack([pixels, rows.ravel(), columns.ravel()])
segments = gaussmix.GaussianMixture(6, random_state=0).fit_predict(with_place)
fig, ax = plt.subplots(figsize=(5, 3.6))
ax.imshow(segments.reshape(image.shape[:2]), cmap="cividis")
ax.set_title("six segments by colour and place")
ax.axis("off")
fig.tight_layout()
