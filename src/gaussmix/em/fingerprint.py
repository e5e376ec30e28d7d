"""What tells one fit from another: a digest of its rows, and its options as plain values."""

import hashlib
import numbers
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gaussmix._core.told import Told
from gaussmix._core.types import FloatArray, Rows

Plain: TypeAlias = str | int | float | None
Words: TypeAlias = NDArray[np.uint64]

BLOCK_VALUES = 1 << 15  # looked at together: they and what is made of them stay in cache
WORD = (1 << 64) - 1


@dataclass(frozen=True)
class Digest:
    """Says whether rows and weights are the same, in whatever order and parts they were read."""

    shape: tuple[int, int]
    dtype: str
    rows: int
    weights: int

    def __add__(self, other: "Digest") -> "Digest":
        if not isinstance(other, Digest):
            return NotImplemented
        if not (self.shape[0] and other.shape[0]):  # no rows have neither columns nor dtype
            return self if self.shape[0] else other
        shape = self.shape[0] + other.shape[0], self.shape[1]
        rows, weights = self.rows + other.rows, self.weights + other.weights
        return Digest(shape, self.dtype, rows & WORD, weights & WORD)


class DigestPass:
    r"""Adds up, modulo 2**64, a hash of every row, and of every row with its weight.

    A row's hash is mix(sum_j c_j b_j) with the bits b of its values and random odd numbers c, so
    that values that trade places show. It is the same on every machine.
    """

    def __init__(self, n_threads: int | None = None) -> None:  # noqa: ARG002, NumPy on one thread
        self._digest: Digest | None = None

    def add(self, rows: Rows, weight: FloatArray | None) -> None:
        """Add the hashes of the next rows."""
        self._add(rows, weight, None)

    def add_told(self, rows: Rows, weight: FloatArray | None, told: Told) -> None:
        """Add the hashes of the next rows, each with what is told of it."""
        self._add(rows, weight, told)

    def _add(self, rows: Rows, weight: FloatArray | None, told: Told | None) -> None:
        n_rows = max(1, BLOCK_VALUES // rows.shape[1])
        for start in range(0, len(rows), n_rows):
            part = slice(start, start + n_rows)
            some = None if told is None else told[part]
            digest = _digest(rows[part], None if weight is None else weight[part], some)
            self._digest = digest if self._digest is None else self._digest + digest

    def result(self) -> Digest:
        """Return the digest of all rows."""
        return self._digest or Digest((0, 0), "", 0, 0)


def options_of(params: Mapping[str, Any], without: Collection[str] = ()) -> dict[str, Plain]:
    """Return options as values that can be compared, stored as JSON, and shown."""
    return {name: _plain(value) for name, value in params.items() if name not in without}


def digest_of(*arrays: FloatArray | float) -> str:
    """Return a short text that tells arrays from others."""
    digest = hashlib.sha256()
    for array in arrays:
        values = np.asarray(array, np.float64)
        digest.update(repr(values.shape).encode() + values.tobytes())
    return digest.hexdigest()[:16]


def _plain(value: object) -> Plain:
    if value is None or isinstance(value, str | bool | np.bool_):
        return bool(value) if isinstance(value, np.bool_) else value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real | np.floating):
        return float(value)
    if isinstance(value, np.random.RandomState):
        return f"a RandomState of {value.get_state(legacy=False)['bit_generator']}"
    if isinstance(value, np.random.Generator):
        return f"a Generator of {value.bit_generator.state['bit_generator']}"
    if is_dataclass(value):
        parts = (f"{field.name}={_plain(getattr(value, field.name))}" for field in fields(value))
        return f"{type(value).__name__}({', '.join(parts)})"
    if isinstance(value, Mapping):
        shown = {str(name): np.asarray(which).tolist() for name, which in sorted(value.items())}
        return f"{shown}"
    array = np.asarray(value, np.float64)
    return f"an array of shape {array.shape} with digest {digest_of(array)}"


def _digest(rows: Rows, weight: FloatArray | None, told: Told | None) -> Digest:
    hashes = _mixed(_words(rows) @ _factors(rows.shape[1]))
    total = 0 if weight is None else int(_mixed(hashes ^ _mixed(_words(weight))).sum())
    if told is not None:
        values = np.ascontiguousarray(told.rows.reshape(len(rows), -1), dtype=np.float64)
        told_hashes = _mixed(_words(values) @ _factors(values.shape[1]))
        total += int(_mixed(hashes ^ told_hashes).sum())
        if told.owners is not None:
            total += int(_mixed(told.owners.astype(np.uint64)) @ _factors(len(told.owners)))
        total &= WORD
    shape = int(rows.shape[0]), int(rows.shape[1])
    return Digest(shape, rows.dtype.name, int(hashes.sum()), total)


def _words(values: Rows) -> Words:
    """Return the bits of values; the upper ones, the only ones of round numbers, lower too."""
    bits = values.view(np.uint64 if values.dtype.itemsize == 8 else np.uint32).astype(np.uint64)
    bits ^= bits >> np.uint64(32)
    return bits


def _factors(n: int) -> Words:
    return _mixed(np.arange(1, n + 1, dtype=np.uint64)) | np.uint64(1)


def _mixed(words: Words) -> Words:
    """Return words whose every bit depends on all of theirs (Steele et al., 2014, splitmix)."""
    words = words * np.uint64(0x9E3779B97F4A7C15)
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
