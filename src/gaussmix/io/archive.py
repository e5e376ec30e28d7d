"""Archives of arrays without pickle, that say what they are and which version."""

import zipfile
from collections.abc import Mapping
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gaussmix.config import version

Arrays: TypeAlias = dict[str, NDArray[Any]]


def write(file: BinaryIO, kind: str, number: int, entries: Mapping[str, Any]) -> None:
    """Write arrays, and what makes them a file of a kind ("model") in a version of its format."""
    head: dict[str, Any] = {
        "format": f"gaussmix-{kind}",
        "format_version": number,
        "gaussmix_version": version(),
    }
    np.savez(file, allow_pickle=False, **head, **entries)


def read(file: BinaryIO, kind: str, number: int) -> Arrays:
    """Return all arrays of a file, once it is known to be one of the kind that is read here.

    Raises
    ------
    ValueError
        If it is something else, or of a later version of the format than `number`.
    Exception
        Of many kinds, on damaged bytes: see `reason`.
    """
    if not zipfile.is_zipfile(file):
        raise ValueError(f"not a gaussmix {kind}, or one that was cut short")
    file.seek(0)
    with np.load(file, allow_pickle=False) as archive:
        _check_format(archive, kind, number)
        return {name: archive[name] for name in archive.files}


def float64(arrays: Arrays, name: str) -> NDArray[np.float64]:
    """Return one of the arrays; ValueError if it is not float64, KeyError if it is not there."""
    array = arrays[name]
    if array.dtype != np.float64:
        raise ValueError(f"{name} must be float64, got {array.dtype}")
    return array


def reason(error: Exception) -> str:
    """Say what was wrong with a file whose reading raised an error."""
    if isinstance(error, KeyError):
        return f"it lacks {error}"
    if isinstance(error, ValueError | TypeError):
        return str(error)
    return f"the file is damaged ({type(error).__name__}: {error})"


def _check_format(archive: Mapping[str, NDArray[Any]], kind: str, number: int) -> None:
    if str(archive.get("format")) != f"gaussmix-{kind}" or "format_version" not in archive:
        raise ValueError(f"not a gaussmix {kind}: the archive was written by something else")
    found = int(archive["format_version"])
    if found > number:
        writer = archive.get("gaussmix_version", "a newer version")
        raise ValueError(
            f"a {kind} of format version {found}, written by gaussmix {writer}; gaussmix "
            f"{version()} reads up to version {number}: upgrade gaussmix to read it"
        )
