"""Archives of arrays without pickle, that say what they are and which version.

A file is not believed. What is read from it is what the reader asks for by name, and each array is
unpacked only once its header says what the reader wants. What else a file holds is left alone.
"""

import os
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from gaussmix._core.types import FloatArray
from gaussmix.config import version
from gaussmix.io.headers import Layout, read_layout

Length: TypeAlias = int | range
"""Of an axis: one, or any of a range."""

MOST_UNPACKED = 1 << 26
"""Bytes that the arrays of a file may have in all, if the file itself is smaller. `write` packs
nothing, so that larger ones were packed by something else, or made to fill the memory."""
SHOWN_TEXT = 40  # characters of a file's text that an error shows
KINDS = {"b": "a bool", "i": "integers", "f": "float64", "U": "text"}


def write(file: BinaryIO, kind: str, number: int, entries: Mapping[str, Any]) -> None:
    """Write arrays, and what makes them a file of a kind ("model") in a version of its format."""
    head: dict[str, Any] = {
        "format": f"gaussmix-{kind}",
        "format_version": number,
        "gaussmix_version": version(),
    }
    np.savez(file, allow_pickle=False, **head, **entries)


def may_open(path: Path) -> bool:
    """Whether opening a path ends at once: not that of a pipe or device, which may wait for ever.

    A folder may be opened: the error says that it is one.
    """
    mode = path.stat().st_mode
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)


class Archive:
    """The arrays of a file, read one by one.

    Parameters
    ----------
    file : binary file
        Open as long as arrays are read.
    kind : str
        What the file must be, such as "model".
    number : int
        The latest version of the format that is read here.

    Raises
    ------
    ValueError
        If the file is something else, or of a later version. Every method raises it for what is
        not as it is wanted, and KeyError for what is not there.
    Exception
        Of many kinds, on damaged bytes, by the methods too: see `reason`.
    """

    def __init__(self, file: BinaryIO, kind: str, number: int) -> None:
        if not zipfile.is_zipfile(file):
            raise ValueError(f"not a gaussmix {kind}, or one that was cut short")
        file.seek(0)
        self._zip = zipfile.ZipFile(file)
        self._members = {info.filename: info for info in self._zip.infolist()}
        self._left = max(MOST_UNPACKED, file.seek(0, os.SEEK_END))
        self._check_format(kind, number)

    def __contains__(self, name: str) -> bool:
        return f"{name}.npy" in self._members

    def layout(self, name: str) -> Layout:
        """Return what the header of an array says."""
        with self._zip.open(self._member(name)) as file:
            return _layout(cast(BinaryIO, file), name)

    def floats(self, name: str, *shape: Length) -> FloatArray:
        """Return a float64 array of a shape."""
        found: FloatArray = self.array(name, "f", shape)
        return found

    def all_floats(self, shapes: Mapping[str, tuple[int, ...]]) -> list[FloatArray]:
        """Return float64 arrays of shapes, of which all are judged before one is unpacked."""
        for name, shape in shapes.items():
            _check(name, self.layout(name), "f", shape)
        return [self.floats(name, *shape) for name, shape in shapes.items()]

    def integers(self, name: str, *shape: Length) -> NDArray[np.int64]:
        """Return an array of integers of a shape, as int64."""
        found: NDArray[np.int64] = self.array(name, "i", shape).astype(np.int64)
        return found

    def texts(self, name: str, *shape: Length) -> NDArray[np.str_]:
        """Return texts in an array of a shape."""
        found: NDArray[np.str_] = self.array(name, "U", shape)
        return found

    def number(self, name: str) -> float:
        """Return a float64 that stands alone."""
        return float(self.floats(name))

    def flag(self, name: str) -> bool:
        """Return a bool that stands alone."""
        return bool(self.array(name, "b", ()))

    def text(self, name: str) -> str:
        """Return a text that stands alone."""
        return str(self.texts(name))

    def array(self, name: str, kind: str, shape: tuple[Length, ...]) -> Any:
        """Return an array of a kind, which is NumPy's character for it, and of a shape."""
        member = self._member(name)
        with self._zip.open(member) as file:
            layout = _layout(cast(BinaryIO, file), name)
            _check(name, layout, kind, shape)
            if member.file_size != layout.offset + layout.n_bytes:
                raise ValueError(
                    f"{name} is damaged: {layout.n_bytes} bytes of numbers are wanted, but it has "
                    f"{member.file_size - layout.offset}"
                )
            self._left -= layout.n_bytes
            if self._left < 0:
                raise ValueError(f"{name} has {layout.n_bytes} bytes, more than such a file holds")
            content = file.read(layout.n_bytes)
        flat = np.frombuffer(content, layout.dtype)
        order = "F" if layout.fortran_order else "C"
        return np.array(flat.reshape(layout.shape, order=order), order="C")  # type: ignore[call-overload]

    def _member(self, name: str) -> zipfile.ZipInfo:
        if name not in self:
            raise KeyError(name)
        return self._members[f"{name}.npy"]

    def _check_format(self, kind: str, number: int) -> None:
        known = "format" in self and "format_version" in self
        if not known or self.text("format") != f"gaussmix-{kind}":
            raise ValueError(f"not a gaussmix {kind}: the archive was written by something else")
        found = int(self.integers("format_version"))
        if found > number:
            writer = self.text("gaussmix_version") if "gaussmix_version" in self else "a newer one"
            raise ValueError(
                f"a {kind} of format version {found}, written by gaussmix {writer[:SHOWN_TEXT]}; "
                f"gaussmix {version()} reads up to version {number}: upgrade gaussmix to read it"
            )


def reason(error: Exception) -> str:
    """Say what was wrong with a file whose reading raised an error."""
    if isinstance(error, KeyError):
        return f"it lacks {error}"
    if isinstance(error, ValueError | TypeError):
        return str(error)
    return f"the file is damaged ({type(error).__name__}: {error})"


def _layout(file: BinaryIO, name: str) -> Layout:
    try:
        return read_layout(file)
    except ValueError as error:
        raise ValueError(f"{name} is no array: {error}") from None


def _check(name: str, layout: Layout, kind: str, shape: tuple[Length, ...]) -> None:
    """Raise ValueError unless an array is of a kind and of a shape."""
    dtype, found = layout.dtype, layout.shape
    sound = dtype == np.float64 if kind == "f" else dtype.kind == kind and dtype.isnative
    if not sound:
        raise ValueError(f"{name} must be {KINDS[kind]}, got {_shown(dtype)}")
    if len(found) != len(shape) or not all(map(_fits, found, shape)):
        wanted = ", ".join(map(_wanted, shape)) + "," * (len(shape) == 1)
        raise ValueError(f"{name} must have shape ({wanted}), got {found}")


def _shown(dtype: np.dtype[Any]) -> str:
    return "Python objects" if dtype.hasobject else str(dtype)


def _fits(found: int, wanted: Length) -> bool:
    return found in wanted if isinstance(wanted, range) else found == wanted


def _wanted(length: Length) -> str:
    if isinstance(length, int):
        return str(length)
    return f"{length.start} to {length.stop - 1}"
