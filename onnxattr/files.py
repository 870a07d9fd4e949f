"""Writes files whole or not at all. Imports nothing of ours."""

import os
import stat
import tempfile
from pathlib import Path


def write_whole(path: Path, data: bytes) -> None:
    """Puts a file in the place of `path`, link or file; what was there stays if that fails.

    Args:
        path: In a directory that takes new files. A file that is there gives the new one its mode.
        data: All of its bytes.

    Raises:
        OSError: It cannot be written.
    """
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o666 & ~_umask()
    handle, temporary = tempfile.mkstemp(prefix=".onnxattr-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
