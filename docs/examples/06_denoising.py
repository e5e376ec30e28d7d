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
prior = gaussmix.GaussianMixture(20, random_state=0, max_iter=30, tol=1e-2, reg_covar=1e-5).fit(
    other
)
print(len(other), "patches of", SIDE**2, "pixels;", prior.n_iter_, "iterations")

# %%
# Under noise the components are wider. The most responsible one filters the patch.
patches = patches_of(noisy)
level = patches.mean(axis=1, keepdims=True)
wider = prior.covariances_ + NOISE**2 * np.eye(SIDE**2)
blurred = gaussmix.GaussianMixture.from_parameters(prior.weights_, prior.means_, wider)
labels = blurred.predict(patches - level)
filtered = np.empty_like(patches)
for k in np.unique(labels):
    rows = labels == k
    gain = np.linalg.solve(wider[k], prior.covariances_[k])
    filtered[rows] = (
        (patches[rows] - level[rows] - prior.means_[k]) @ gain + prior.means_[k] + level[rows]
    )

# %%
# Every pixel is the mean of the patches that hold it.
result, count = np.zeros_like(noisy), np.zeros_like(noisy)
cube = filtered.reshape(noisy.shape[0] - SIDE + 1, noisy.shape[1] - SIDE + 1, SIDE, SIDE)
for i in range(SIDE):
    for j in range(SIDE):
        part = slice(i, i + cube.shape[0]), slice(j, j + cube.shape[1])
        result[part] += cube[:, :, i, j]
        count[part] += 1
result /= count


def psnr(picture: np.ndarray) -> float:
    """Peak signal-to-noise ratio, in decibels."""
    return float(-10 * np.log10(np.mean((picture - clean) ** 2)))


print(f"noisy {psnr(noisy):.1f} dB, filtered {psnr(result):.1f} dB")
fig, axes = plt.subplots(1, 3, figsize=(12, 3.6))
for ax, picture, title in zip(
    axes, (clean, noisy, result), ("clean", "noisy", "filtered"), strict=True
):
    ax.imshow(picture, cmap="gray", vmin=0, vmax=1)
    ax.set_title(title)
    ax.axis("off")
fig.tight_layout()
