"""The header of an array in a file: what NumPy's format says before the first number."""

import io
import warnings
from typing import Any, BinaryIO, NamedTuple

import numpy as np

LONGEST = 10_000  # bytes of a header: NumPy's own limit, found before as many are read


class Layout(NamedTuple):
    """What the header of an array says, and where the numbers start."""

    shape: tuple[int, ...]
    fortran_order: bool
    dtype: np.dtype[Any]
    offset: int

    @property
    def n_bytes(self) -> int:
        """Size of the numbers."""
        size = self.dtype.itemsize
        for length in self.shape:
            size *= length  # of Python's integers: a damaged header may have any
        return size


def read_layout(file: BinaryIO) -> Layout:
    """Read the header at the beginning of a file.

    Raises
    ------
    ValueError
        If it is no header of NumPy's format 1.0 or 2.0, or too long a one.
    """
    start = file.read(8)
    version = tuple(start[6:])
    if not start.startswith(np.lib.format.MAGIC_PREFIX) or version not in ((1, 0), (2, 0)):
        raise ValueError("it does not start as an array in NumPy's format 1.0 or 2.0")
    size = file.read(2 * version[0])
    length = int.from_bytes(size, "little")
    if length > LONGEST:
        raise ValueError(f"its header has {length} bytes, more than {LONGEST}")
    rest = io.BytesIO(size + file.read(length))
    first = version == (1, 0)
    read = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python's, of what damage makes of a header
            shape, fortran_order, dtype = read(rest)
    except Exception as error:  # on a damaged header the parsers raise errors of many kinds
        raise ValueError(f"its header cannot be read: {error}") from None
    if min(shape, default=0) < 0:
        raise ValueError(f"its header says shape {shape}")
    return Layout(shape, fortran_order, dtype, len(start) + len(size) + length)
