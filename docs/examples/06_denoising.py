"""
Denoising by a prior on patches
===============================

A mixture with full covariances knows what small patches of photographs look like. A noisy patch is replaced by what is most probable
under the mixture: within each component that is Wiener's filter (Zoran & Weiss, 2011, in its simplest form).
"""

import matplotlib.pyplot as plt
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from sklearn.datasets import load_sample_image

import gaussmix

SIDE, NOISE = 6, 0.1


def patches_of(picture: np.ndarray) -> np.ndarray:
    return sliding_window_view(picture, (SIDE, SIDE)).reshape(-1, SIDE**2)


grey = load_sample_image("china.jpg").mean(axis=2) / 255
clean = grey[100:260, 200:400]
noisy = clean + NOISE * np.random.default_rng(0).normal(size=clean.shape)

# %%
# The mixture is learnt from the other photograph, without its patches' means: what matters is structure.
other = patches_of(load_sample_image("flower.jpg").mean(axis=2) / 255)[::7]
other = other - other.mean(axis=1, keepdims=True)
prior = gaussmix.GaussianMixture(
    n_components=20,
    tol=1e-2,
    reg_covar=1e-5,
    max_iter=30,
    random_state=0,
).fit(other)
print(f"{len(other)} patches of {SIDE**2} pixels, {prior.n_iter_} iterations")

# %%
# Under noise the components are wider. The most responsible one filters the patch.
patches = patches_of(noisy)
level = patches.mean(axis=1, keepdims=True)
wider = prior.covariances_ + NOISE**2 * np.eye(SIDE**2)
blurred = gaussmix.GaussianMixture.from_parameters(
    weights=prior.weights_,
    means=prior.means_,
    covariances=wider,
)
labels = blurred.predict(patches - level)
filtered = np.empty_like(patches)
for k in np.unique(labels):
    rows = labels == k
    gain = np.linalg.solve(wider[k], prior.covariances_[k])
    mean = level[rows] + prior.means_[k]
    filtered[rows] = mean + (patches[rows] - mean) @ gain

# %%
# Every pixel is the mean of the patches that hold it.
result, count = np.zeros_like(noisy), np.zeros_like(noisy)
height, width = np.subtract(noisy.shape, SIDE - 1)
cube = filtered.reshape(height, width, SIDE, SIDE)
for i in range(SIDE):
    for j in range(SIDE):
        part = slice(i, i + height), slice(j, j + width)
        result[part] += cube[:, :, i, j]
        count[part] += 1
result /= count


def psnr(picture: np.ndarray) -> float:
    """Peak signal-to-noise ratio, in decibels."""
    return float(-10 * np.log10(np.mean((picture - clean) ** 2)))


print(f"noisy {psnr(noisy):.1f} dB, filtered {psnr(result):.1f} dB")
pictures = {"clean": clean, "noisy": noisy, "filtered": result}
fig, axes = plt.subplots(1, 3, figsize=(9, 2.8))
for ax, (title, picture) in zip(axes, pictures.items(), strict=True):
    ax.imshow(picture, cmap="gray", vmin=0, vmax=1)
    ax.set_title(title)
    ax.axis("off")
fig.tight_layout()
