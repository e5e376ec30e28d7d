"""Files written whole or not at all."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a binary file that takes the place of `path` when the block ends well.

    It is written under a temporary name in the same folder, synchronised to the disk and then
    renamed, so that readers see the old file or the new one and never a part. When the block
    raises, Ctrl-C included, the temporary file is removed and `path` is as it was.
    """
    target = Path(os.path.realpath(path))  # a link stays a link, and its target is replaced
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
