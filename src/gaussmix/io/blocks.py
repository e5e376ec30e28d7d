"""Blocks of rows and their weights: what readers make and passes take in."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gaussmix._core.types import FloatArray, Rows


class Block(NamedTuple):
    """Rows (n, D), C-contiguous float32 or float64, that lie together, and their weights (n,)."""

    rows: Rows
    weight: FloatArray | None


def joined(blocks: Sequence[Block]) -> Block:
    """Return the rows of blocks, which all have weights or none, in one."""
    weights = [block.weight for block in blocks if block.weight is not None]
    rows = np.concatenate([block.rows for block in blocks])
    return Block(rows, np.concatenate(weights) if weights else None)
