"""Files written whole or not at all."""

import errno
import hashlib
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from gaussmix._core.types import PathLike


@contextmanager
def replacing(path: PathLike) -> Iterator[BinaryIO]:
    """Open a binary file that takes the place of `path` when the block ends well.

    It is written under a temporary name in the same folder, synchronised to the disk and then
    renamed, so that readers see the old file or the new one and never a part. When the block
    raises, Ctrl-C included, the temporary file is removed and `path` is as it was. A file that
    is replaced leaves its permissions to the new one. What processes that were killed while they
    wrote to the path have left behind is removed.

    Raises
    ------
    OSError
        If `check_target` refuses the path, or the file cannot be written.
    """
    target = check_target(path)
    remove_leftovers(path)
    try:
        with _temporary(target) as temporary:
            with temporary.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            if target.exists():
                shutil.copymode(target, temporary)
            os.replace(temporary, target)
    except OSError as error:
        if error.filename is None or _prefix(target) in os.fspath(error.filename):
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
    """Remove what processes that were killed while they wrote to the path have left behind.

    A process that lives holds a lock on its file, which the system takes from one that dies.
    """
    target = Path(os.path.realpath(path))
    with suppress(OSError):  # the folder may be written to and not be listed
        for temporary in target.parent.glob(f"{_prefix(target)}*.tmp"):
            _remove_if_left(temporary)


def shown_ending(path: Path) -> str:
    """Return the ending of a file's name as errors show it."""
    return repr(path.suffix) if path.suffix else "no ending"


@contextmanager
def _temporary(target: Path) -> Iterator[Path]:
    """Create a file beside a target, locked until it is renamed, and removed if it is not.

    A signal may raise between any two steps, so the file is named before it is created.
    """
    temporary = target.with_name(f"{_prefix(target)}{secrets.token_hex(8)}.tmp")
    lock = None
    try:
        lock = _created(temporary)
        yield temporary
    finally:
        if lock is not None:
            os.close(lock)
        temporary.unlink(missing_ok=True)


def _created(temporary: Path) -> int | None:
    """Create a file and return the open file that holds its lock, if there are locks."""
    while True:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        if not LOCKS:
            os.close(handle)
            return None
        with suppress(OSError):  # some network file systems have no locks
            _lock(handle, wait=True)  # for another process that has taken it for a leftover
        if temporary.exists():
            return handle
        os.close(handle)  # that process has removed it


def _remove_if_left(temporary: Path) -> None:
    """Remove a temporary file unless its writer lives."""
    with suppress(OSError):
        if not LOCKS:  # Windows removes no file that is open
            temporary.unlink()
            return
        handle = os.open(temporary, os.O_RDWR | os.O_NONBLOCK)
        try:
            _lock(handle)
            temporary.unlink()
        finally:
            os.close(handle)


if sys.platform == "win32":
    LOCKS = False

    def _lock(handle: int, wait: bool = False) -> None:
        """Do nothing: an open file cannot be removed."""
else:
    import fcntl

    LOCKS = True

    def _lock(handle: int, wait: bool = False) -> None:
        """Lock an open file; if another process has, wait for it or raise OSError."""
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)


def _prefix(target: Path) -> str:
    """Return how names of temporary files for a target begin."""
    return f".gaussmix-{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]}-"


def _refusal(number: int, reason: str, path: PathLike) -> OSError:
    return OSError(number, reason, os.fspath(path))
