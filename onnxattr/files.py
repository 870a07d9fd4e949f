"""Writes files whole or not at all, under names that every file system takes.

Imports nothing of ours.
"""

import hashlib
import os
import re
import stat
import tempfile
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

#: Bytes of a file's name, without what is put behind it: file systems take 255.
_LONGEST = 120

#: Names that Windows keeps for devices, whatever suffix they have.
_DEVICES = {"con", "prn", "aux", "nul", *(f"{d}{i}" for d in ("com", "lpt") for i in range(1, 10))}


def write_whole(path: Path, data: bytes) -> None:
    """Puts a file in the place of `path`, link or file; what was there stays if that fails.

    Args:
        path: In a directory that takes new files. A file that is there gives the new one its mode.
        data: All of its bytes.

    Raises:
        OSError: It cannot be written.
    """
    with whole(path) as file:
        file.write(data)


@contextmanager
def whole(path: Path) -> Iterator[IO[bytes]]:
    """Gives a file to write that is at `path` once the body ends; until then, nothing is.

    It is on disk before it has its name, so that no power cut leaves half a file there.

    Args:
        path: As for `write_whole`.

    Raises:
        OSError: It cannot be written.
    """
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o666 & ~_umask()
    handle, temporary = tempfile.mkstemp(prefix=".onnxattr-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def safe_names(names: Iterable[str], taken: Iterable[str] = ()) -> dict[str, str]:
    r"""Returns a file name for each of `names`, which are those of models, probes and methods.

    It is one name in one directory, whatever was in the other: letters, digits and `._-=+` stay, of
    all else there is `_`. None is hidden, a device of Windows, or too long, and no two of them are
    the same where upper and lower case are.

    Args:
        names: Anything, each once.
        taken: File names that are none of theirs.

    Example:
        >>> safe_names(["../x", "a/b", "A_b", "con.png", "größe"])
        {'../x': '_x', 'a/b': 'a_b', 'A_b': 'A_b-2', 'con.png': '_con.png', 'größe': 'größe'}
    """
    found: dict[str, str] = {}
    used = {_folded(name) for name in taken}
    for name in names:
        base = _safe(name)
        candidate, number = base, 2
        while _folded(candidate) in used:
            candidate, number = f"{base}-{number}", number + 1
        used.add(_folded(candidate))
        found[name] = candidate
    return found


def _safe(name: str) -> str:
    text = unicodedata.normalize("NFC", name)
    text = "".join(c if c.isalnum() or c in "._-=+" else "_" for c in text)
    # Neither hidden, nor an option of a command, nor what Windows would cut off.
    text = re.sub(r"^[.\-=+]+", "", text).rstrip(".")
    data = text.encode()
    if len(data) > _LONGEST:
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
        text = f"{data[: _LONGEST - 9].decode(errors='ignore')}-{digest}"
    return f"_{text}" if not text or text.split(".")[0].lower() in _DEVICES else text


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
