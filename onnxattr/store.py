"""Finished maps, content-addressed, on disk. Imports `errors`, `types`, `arrays`.

    v1/<2 digits>/<key>/<probes>.maps   one file a block of probes
    tmp/                                files that are being written
    damaged/                            files that were put aside
    .lock                               held while names change, not while files are written

A file is the SHA-256 of what follows, 32 bytes, and a safetensors document with the maps and a JSON
record. It appears whole or not at all. The store may be shared, so what is in it is believed as
little as any other file: links are not followed, sizes are bounded, and the record is checked.
"""

import contextlib
import errno
import hashlib
import json
import math
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from onnxattr.arrays import Float32
from onnxattr.errors import StoreError
from onnxattr.types import StoredMaps

_DIGEST = 32

#: The names that are ours; everything else in the directory is left alone.
_PREFIX, _KEY = re.compile(r"[0-9a-f]{2}"), re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[0-9a-f]{40}\.maps")
_ASIDE = re.compile(r"[0-9a-f]{16}-[0-9a-f]{40}\.maps")
_TEMPORARY = re.compile(r"[0-9a-f]{32}\.tmp")

#: Bytes of one file, at most; and of its record, and for each of its probes.
_MAX_BYTES, _MAX_RECORD, _MAX_PROBE = 2**31, 2**20, 2**7

#: Axes of maps, the first of which counts the probes.
_MAX_AXES = 8

#: How deep a record may be nested.
_MAX_DEPTH = 8

#: Seconds after which a temporary file belongs to a writer that was killed.
_STALE = 3600.0

#: Seconds that one process waits for another, which holds the lock for as long as renaming takes.
_PATIENCE = 60.0

#: A link is not followed, and a pipe does not block.
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_BINARY = getattr(os, "O_BINARY", 0)


def make_key(parts: Mapping[str, Any]) -> str:
    """Returns the SHA-256 over `parts` as canonical JSON."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def default_root() -> Path:
    """Returns the store that `$ONNXATTR_STORE` names, or else the one in the user's cache."""
    if named := os.environ.get("ONNXATTR_STORE"):
        return Path(named)
    import platformdirs

    return Path(platformdirs.user_cache_dir("onnxattr", appauthor=False)) / "maps"


@dataclass(frozen=True, eq=False)
class Block:
    """Maps of some probes, and what was measured while they were made.

    Attributes:
        values: float32, [probe, …], raw.
        probes: SHA-256 of each probe.
        facts: What was measured, in JSON's types: numbers are finite, nesting is shallow. What else
            they say is not checked here.
    """

    values: Float32
    probes: tuple[str, ...]
    facts: Mapping[str, Any]


class Store:
    """A directory of finished maps; several processes and threads may use one at once.

    Args:
        root: The directory; it is made when the first maps are put.

    Raises:
        StoreError: It is there and cannot be read.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        #: A line for each file that is damaged or cannot be read, in the order they were met.
        self.damaged: list[str] = []
        try:
            if not stat.S_ISDIR(root.stat().st_mode):
                raise StoreError(
                    f"the store `{root}` is no directory", hint="choose another with --store"
                )
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._failed("read", error) from None
        self._names(root / "v1", _PREFIX)
        self._sweep()

    def blocks(self, key: str) -> list[Block]:
        """Returns the intact blocks of a key, and marks them as used.

        Raises:
            StoreError: The directory cannot be read.
        """
        found = []
        for path in self._files(key):
            block = self._read(path)
            if block is not None:
                found.append(block)
                with contextlib.suppress(OSError):  # A store that may only be read.
                    os.utime(path)
        return found

    def put(self, key: str, block: Block, about: Mapping[str, Any]) -> None:
        """Keeps one block; a file's mode is what the user's umask makes of it.

        Args:
            key: From `make_key`.
            block: What to keep.
            about: What the key was made of, and other facts for `entries`, in JSON's types.

        Raises:
            StoreError: It cannot be written; what was there is as it was.
            ValueError: The maps are not one a probe, or the record is not JSON of finite numbers.
        """
        folder = self._folder(key)
        name = hashlib.sha256("".join(block.probes).encode()).hexdigest()[:40] + ".maps"
        parts = _encode(key, block, about)
        if sum(map(len, parts)) > _MAX_BYTES:
            raise StoreError(f"the maps of {len(block.probes)} probes are too large to be kept")
        try:
            temporary = self._write(parts)
            try:
                with self._lock():
                    self._make(folder)
                    os.replace(temporary, folder / name)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)
                raise
            _sync(folder)
        except OSError as error:
            raise self._failed("written", error) from None

    def entries(self) -> list[StoredMaps]:
        """Returns what is kept and intact, most recently used first.

        Raises:
            StoreError: The directory cannot be read.
        """
        found = []
        for key in self._keys():
            probes: set[str] = set()
            about: Mapping[str, Any] = {}
            size, used, count = 0, 0.0, 0
            for path in self._files(key):
                with contextlib.suppress(OSError, ValueError, MemoryError):
                    block, about = _load(path)
                    status = path.stat()
                    probes.update(block.probes)
                    size, used = size + status.st_size, max(used, status.st_mtime)
                    count += 1
            if count:
                found.append(StoredMaps(key, about, len(probes), size, used, count))
        return sorted(found, key=lambda entry: (-entry.used, entry.key))

    def check(self) -> tuple[int, list[str]]:
        """Returns the number of intact files, and the names of the others.

        Damaged ones are put aside if possible; `damaged` says what happened to each.

        Raises:
            StoreError: The directory cannot be read.
        """
        intact, others = 0, []
        for path in [path for key in self._keys() for path in self._files(key)]:
            before = len(self.damaged)
            if self._read(path) is not None:
                intact += 1
            elif len(self.damaged) > before:  # And not merely pruned by somebody else.
                others.append(f"{path.parent.name}/{path.name}")
        return intact, others

    def prune(
        self, *, older_than: float | None = None, max_bytes: int | None = None
    ) -> tuple[int, int]:
        """Removes files, and returns how many and how many bytes they had.

        Args:
            older_than: Seconds since the last use after which a file goes.
            max_bytes: Damaged files, then the least recently used, go until no more than this is
                left.

        Raises:
            StoreError: A file cannot be removed; the others were.
        """
        if not self._removable():  # Nor is a lock left in a directory that is no store.
            return 0, 0
        now, removed, freed = time.time(), 0, 0
        failed: OSError | None = None
        try:
            with self._lock():
                files = self._removable()
                total = sum(status.st_size for _, status in files)
                for path, status in files:
                    old = older_than is not None and now - status.st_mtime > older_than
                    if not old and (max_bytes is None or total <= max_bytes):
                        continue
                    try:
                        path.unlink()
                    except OSError as error:
                        failed = failed or error
                        continue
                    with contextlib.suppress(OSError):
                        path.parent.rmdir()  # Succeeds for the last file of a key.
                    total -= status.st_size
                    freed += status.st_size
                    removed += 1
        except OSError as error:
            failed = error
        if failed is not None:
            raise self._failed("pruned", failed)
        return removed, freed

    def _folder(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise ValueError(f"`{key}` is no key")
        return self.root / "v1" / key[:2] / key

    def _keys(self) -> list[str]:
        """Returns all keys; none may have a file by the time it is looked at."""
        top = self.root / "v1"
        return [
            key
            for prefix in self._names(top, _PREFIX)
            for key in self._names(top / prefix, _KEY)
            if key.startswith(prefix)
        ]

    def _files(self, key: str) -> list[Path]:
        folder = self._folder(key)
        return [folder / name for name in self._names(folder, _NAME)]

    def _names(self, folder: Path, pattern: re.Pattern[str]) -> list[str]:
        """Returns the names in `folder` that are ours; none behind a link."""
        try:
            return sorted(filter(pattern.fullmatch, os.listdir(self._inside(folder))))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            if error.errno == errno.ELOOP:
                return []
            raise self._failed("read", error) from None

    def _inside(self, folder: Path) -> Path:
        """Returns `folder`, unless a link leads from the root to somewhere else."""
        inside = os.path.join(os.path.realpath(self.root), folder.relative_to(self.root))
        if os.path.realpath(folder) != inside:
            raise OSError(errno.ELOOP, f"`{folder.name}` is a link")
        return folder

    def _removable(self) -> list[tuple[Path, os.stat_result]]:
        """Returns all files that `prune` may remove, those to go first in front."""
        aside = self.root / "damaged"
        paths = [aside / name for name in self._names(aside, _ASIDE)]
        count = len(paths)
        paths += [path for key in self._keys() for path in self._files(key)]
        found = []
        for position, path in enumerate(paths):
            with contextlib.suppress(OSError):  # Somebody else has removed it.
                status = path.lstat()
                if not stat.S_ISDIR(status.st_mode):
                    found.append((position >= count, status.st_mtime, path, status))
        return [(path, status) for *_, path, status in sorted(found, key=lambda file: file[:3])]

    def _read(self, path: Path) -> Block | None:
        """Returns a block, or None: it is gone, or is noted in `damaged`."""
        try:
            return _load(path)[0]
        except FileNotFoundError:
            return None
        except ValueError:
            return self._put_aside(path)
        except (OSError, MemoryError) as error:
            self._note(path, f"cannot be read ({_reason(error)})")
            return None

    def _put_aside(self, path: Path) -> Block | None:
        """Moves a damaged file away; where somebody has written it anew, returns the block."""
        try:
            with self._lock():
                try:
                    return _load(path)[0]
                except ValueError as error:
                    damage = str(error)
                aside = self.root / "damaged"
                self._make(aside)
                os.replace(path, aside / _short(path))
        except FileNotFoundError:
            return None  # Another process was faster.
        except (OSError, MemoryError) as error:
            self._note(path, f"are damaged, and cannot be put aside ({_reason(error)})")
            return None
        self._note(path, f"are damaged ({damage})")
        return None

    def _note(self, path: Path, what: str) -> None:
        self.damaged.append(f"the stored maps `{_short(path)}` {what}")

    def _write(self, parts: tuple[bytes, bytes]) -> Path:
        """Returns a new temporary file, on disk, with `parts`."""
        folder = self.root / "tmp"
        self._make(folder)
        # Not `mkstemp`, whose files nobody else may read, whatever the umask says.
        path = folder / f"{secrets.token_hex(16)}.tmp"
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o666)
        try:
            with os.fdopen(handle, "wb") as file:
                for part in parts:
                    file.write(part)
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(path)
            raise
        return path

    def _make(self, folder: Path) -> None:
        self._inside(folder).mkdir(parents=True, exist_ok=True)

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        import filelock

        path = self.root / ".lock"
        # By itself the lock would be one that the group may not hold, whatever the umask says.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | _NOFOLLOW, 0o666))
        with filelock.FileLock(path, timeout=_PATIENCE):
            yield

    def _sweep(self) -> None:
        """Removes what writers that were killed have left."""
        folder = self.root / "tmp"
        with contextlib.suppress(StoreError):
            for name in self._names(folder, _TEMPORARY):
                with contextlib.suppress(OSError):
                    if time.time() - (folder / name).lstat().st_mtime > _STALE:
                        (folder / name).unlink()

    def _failed(self, action: str, error: OSError) -> StoreError:
        return StoreError(
            f"the store `{self.root}` cannot be {action}: {_reason(error)}",
            hint=""
            if action == "pruned"
            else "choose another with --store, or none with --no-store",
        )


def _encode(key: str, block: Block, about: Mapping[str, Any]) -> tuple[bytes, bytes]:
    """Returns the digest and the document."""
    from safetensors.numpy import save

    record = {"key": key, "probes": block.probes, "facts": block.facts, "about": about}
    text = json.dumps(record, sort_keys=True, allow_nan=False).encode()
    values = np.ascontiguousarray(block.values, np.float32)
    _check(values, text)
    payload: bytes = save({"maps": values, "record": np.frombuffer(text, np.uint8)})
    return hashlib.sha256(payload).digest(), payload


def _load(path: Path) -> tuple[Block, dict[str, Any]]:
    """Returns a block, and what its key was made of.

    Raises:
        ValueError: The file is damaged.
        OSError: It cannot be read.
    """
    digest, payload = _bytes(path)
    if hashlib.sha256(payload).digest() != digest:
        raise ValueError("its checksum is wrong")
    values, text = _parse(payload)
    record = _check(values, text)
    if record["key"] != path.parent.name:
        raise ValueError("it belongs to another key")
    return Block(values, tuple(record["probes"]), record["facts"]), record["about"]


def _bytes(path: Path) -> tuple[bytes, bytes]:
    # What is no file may block when it is opened: so look first, and look again at what was opened.
    _check_regular(path.lstat())
    with os.fdopen(os.open(path, os.O_RDONLY | _NOFOLLOW | _BINARY), "rb") as file:
        status = os.fstat(file.fileno())
        _check_regular(status)
        return file.read(_DIGEST), file.read(status.st_size)


def _check_regular(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is no regular file")
    if status.st_size > _MAX_BYTES:
        raise ValueError("it is too large")


def _parse(payload: bytes) -> tuple[Float32, bytes]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        tensors = load(payload)
    except (SafetensorError, KeyError, TypeError, ValueError):
        raise ValueError("it is no safetensors document of ours") from None
    if set(tensors) != {"maps", "record"}:
        raise ValueError("it holds something else")
    return tensors["maps"], tensors["record"].tobytes()


def _check(values: Float32, text: bytes) -> dict[str, Any]:
    """Returns the record in `text`; raises ValueError if it is none, or not that of `values`."""
    if (
        not 2 <= values.ndim <= _MAX_AXES
        or values.dtype != np.float32
        or not math.prod(values.shape)
    ):
        raise ValueError("its maps are none")
    if len(text) > _MAX_RECORD + _MAX_PROBE * len(values):
        raise ValueError("its record is too large")
    try:
        record = json.loads(text.decode())
    except (ValueError, RecursionError):
        raise ValueError("its record is not JSON") from None
    kinds = {"key": str, "probes": list, "facts": dict, "about": dict}
    if not isinstance(record, dict) or {k: type(v) for k, v in record.items()} != kinds:
        raise ValueError("its record has other parts")
    if [type(probe) for probe in record["probes"]] != [str] * len(values):
        raise ValueError("its maps are not one a probe")
    _check_plain(record)
    return record


def _check_plain(value: Any, depth: int = 0) -> None:
    """Raises ValueError for numbers that are not finite, and for a nesting that is too deep."""
    if depth > _MAX_DEPTH or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError("its record is nested too deep, or holds what is no number")
    for part in value.values() if isinstance(value, dict) else value if type(value) is list else ():
        _check_plain(part, depth + 1)


def _sync(folder: Path) -> None:
    """Makes the names in a directory last; without this a power cut may take them away again."""
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno != errno.EINVAL:  # A file system that cannot do this for directories.
                raise
        finally:
            os.close(descriptor)


def _short(path: Path) -> str:
    """Returns what a file is called in messages, and in the directory of damaged ones."""
    return f"{path.parent.name[:16]}-{path.name}"


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
