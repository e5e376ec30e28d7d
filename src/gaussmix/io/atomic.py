"""Files written whole or not at all."""

import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from gaussmix._core.types import PathLike


@contextmanager
def replacing(path: PathLike) -> Iterator[BinaryIO]:
    """Open a binary file that takes the place of `path` when the block ends well.

    It is written under a temporary name in the same folder, synchronised to the disk and then
    renamed, so that readers see the old file or the new one and never a part. When the block
    raises, Ctrl-C included, the temporary file is removed and `path` is as it was. A file that
    is replaced leaves its permissions to the new one.

    Raises
    ------
    OSError
        If `check_target` refuses the path, or the file cannot be written.
    """
    target = check_target(path)
    temporary = target.with_name(f"{_prefix(target)}{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, temporary)
        os.replace(temporary, target)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename in (None, str(temporary)):
            error.filename = os.fspath(path)  # the one that the caller knows
        raise


def check_target(path: PathLike) -> Path:
    """Return the file that a path to be written stands for, links followed.

    Raises
    ------
    OSError
        If its folder is missing or not writable, or if it is a folder, a pipe or a device.
    """
    target = Path(os.path.realpath(path))  # a link stays a link, and its target is replaced
    if not target.parent.is_dir():
        raise _refusal(errno.ENOENT, f"there is no folder {target.parent}", path)
    if not os.access(target.parent, os.W_OK):
        raise _refusal(errno.EACCES, f"the folder {target.parent} is not writable", path)
    if target.exists() and not target.is_file():
        raise _refusal(errno.EEXIST, "is a folder, a pipe or a device; a file is wanted", path)
    return target


def remove_leftovers(path: PathLike) -> None:
    """Remove what processes that were killed while they wrote to the path have left behind."""
    target = Path(os.path.realpath(path))
    for temporary in target.parent.glob(f"{_prefix(target)}*.tmp"):
        temporary.unlink(missing_ok=True)


def shown_ending(path: Path) -> str:
    """Return the ending of a file's name as errors show it."""
    return repr(path.suffix) if path.suffix else "no ending"


def _prefix(target: Path) -> str:
    """Return how names of temporary files for a target begin."""
    return f".gaussmix-{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]}-"


def _refusal(number: int, reason: str, path: PathLike) -> OSError:
    return OSError(number, reason, os.fspath(path))
