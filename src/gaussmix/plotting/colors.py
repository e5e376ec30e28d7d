"""Colours of components, told apart also by those who do not see red from green."""

from collections.abc import Sequence

import numpy as np

from gaussmix._core.types import FloatArray, Rows

COLORS = (
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00",
    "#7A1F2B", "#3A2FA8", "#7FDD8F", "#654065",
)  # fmt: skip
"""Okabe & Ito's (2008), but for black and yellow, which backgrounds hide, and four more. In CIELAB
the nearest two are 26 apart, 20 in simulated protanopia and 17 in deuteranopia (Machado et al.,
2009). Contrasts are 1.6 or more with white, and 2 or more with black."""

GREY = 0.6  # of rows that belong to no component
CLOSEST = 1e-6  # squared distance below which two components are at one place


def component_colors(places: FloatArray) -> FloatArray:
    """Choose sRGB colours (K, 3) for components, by their places (K, d).

    The first ten have one each. Those beyond take, one after the other, the colour that is least
    used around them: neighbours have different ones.
    """
    chosen: list[int] = list(range(min(len(places), len(COLORS))))
    for k in range(len(COLORS), len(places)):
        squares = ((places[:k] - places[k]) ** 2).sum(axis=1)
        nearness = 1 / np.maximum(squares, CLOSEST * max(squares.max(), 1.0))
        used = np.bincount(chosen, weights=nearness, minlength=len(COLORS))
        chosen.append(int(used.argmin()))
    return rgb(COLORS)[chosen]


def ordered_colors(number: int) -> FloatArray:
    """Return sRGB colours (number, 3) of things in a row; those beyond the tenth begin again."""
    return rgb(COLORS)[np.arange(number) % len(COLORS)]


def mixed(resp: Rows, colors: FloatArray) -> FloatArray:
    """Mix sRGB colours (K, 3) by responsibilities (n, K or K + 1), as light does: (n, 3).

    The last of K + 1 is that of noise, which is grey.
    """
    shown = with_noise(colors, resp.shape[1])
    return srgb(np.asarray(resp @ linear(shown), dtype=np.float64))


def with_noise(colors: FloatArray, number: int) -> FloatArray:
    """Return sRGB colours (K, 3), and grey for what more there is of the number."""
    return np.vstack([colors, np.full((number - len(colors), 3), GREY)])


def rgb(colors: Sequence[str]) -> FloatArray:
    """Return colours such as '#0072B2' as sRGB, (n, 3)."""
    return np.array([list(bytes.fromhex(color[1:])) for color in colors]) / 255


def linear(colors: FloatArray) -> FloatArray:
    """Decode sRGB to amounts of light (IEC 61966-2-1)."""
    return np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)


def srgb(light: FloatArray) -> FloatArray:
    """Encode amounts of light for a screen (IEC 61966-2-1)."""
    light = np.clip(light, 0.0, 1.0)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
