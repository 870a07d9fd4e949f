"""Each call that can fail does, in turn: one line is told, and what was there stays."""

import errno
import os
import sys
from pathlib import Path

import filelock
import pytest
from entries import ABOUT, KEY, OTHER, block, files, same

from onnxattr import store as module
from onnxattr.errors import StoreError
from onnxattr.store import Store

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions and errors")

#: Every call on the way of a block to the disk that can fail, in order.
STEPS = (
    "open temporary",
    "write digest",
    "write payload",
    "flush",
    "fsync",
    "close",
    "open lock",
    "lock",
    "mkdir prefix",
    "mkdir key",
    "replace",
    "open directory",
    "fsync directory",
)

ERRORS = (errno.ENOSPC, errno.EIO, errno.EACCES)


class Faults:
    """Stands for `os` in the store; counts the calls of the write path and fails one of them."""

    def __init__(self, fail=-1, error=0):
        self.fail, self.error, self.count = fail, error, 0

    def __getattr__(self, name):
        return getattr(os, name)

    def step(self):
        self.count += 1
        if self.count - 1 == self.fail:
            raise OSError(self.error, os.strerror(self.error))

    def open(self, path, flags, mode=0o777):
        if str(path).endswith(".maps"):
            return os.open(path, flags, mode)
        self.step()
        return os.open(path, flags, mode)

    def fdopen(self, handle, mode):
        file = os.fdopen(handle, mode)
        return File(file, self) if "w" in mode else file

    def fsync(self, descriptor):
        self.step()
        os.fsync(descriptor)

    def replace(self, one, two):
        self.step()
        os.replace(one, two)


class File:
    def __init__(self, file, faults):
        self.file, self.faults, self.fileno = file, faults, file.fileno

    def __enter__(self):
        return self

    def __exit__(self, kind, *exception):
        self.file.close()
        if kind is None:
            self.faults.step()

    def write(self, data):
        self.faults.step()
        self.file.write(data)

    def flush(self):
        self.faults.step()
        self.file.flush()


@pytest.fixture
def inject(monkeypatch):
    """Makes the call of a number fail from now on; returns what counts them."""

    def inject(fail=-1, error=0):
        faults = Faults(fail, error)
        mkdir, acquire = os.mkdir, filelock.FileLock._acquire

        def counted_mkdir(path, mode=0o777):
            if not os.path.lexists(path) and os.path.isdir(os.path.dirname(path)):
                faults.step()  # Others are merely tries.
            mkdir(path, mode)

        def counted_acquire(self):
            faults.step()
            acquire(self)

        monkeypatch.setattr(module, "os", faults)
        monkeypatch.setattr(os, "mkdir", counted_mkdir)
        monkeypatch.setattr(filelock.FileLock, "_acquire", counted_acquire)
        return faults

    return inject


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "store")
    store.put(OTHER, block(0, 1, key=OTHER), ABOUT)
    return store


def handles():
    """The files that this process has open."""
    return sorted(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else []


def content(root):
    return {path: path.read_bytes() for path in files(root)}


def test_the_write_path_has_the_steps_that_are_made_to_fail(store, inject):
    faults = inject()
    store.put(KEY, block(0), ABOUT)
    assert faults.count == len(STEPS)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("error", ERRORS, ids=errno.errorcode.get)
def test_each_step_fails(store, inject, monkeypatch, step, error):
    before, open_before = content(store.root), handles()
    inject(STEPS.index(step), error)
    with pytest.raises(StoreError) as caught:
        store.put(KEY, block(0), ABOUT)
    monkeypatch.undo()

    reason = os.strerror(error)
    assert caught.value.message == f"the store `{store.root}` cannot be written: {reason}"
    assert caught.value.hint == "choose another with --store, or none with --no-store"
    assert files(store.root, below="tmp") == []
    assert handles() == open_before
    after = content(store.root)
    assert before.items() <= after.items()
    assert len(after) - len(before) == ("directory" in step)
    assert all(same(found, block(0)) for found in store.blocks(KEY))
    assert Store(store.root).check() == (len(after), [])

    store.put(KEY, block(0), ABOUT)
    (found,) = store.blocks(KEY)
    assert same(found, block(0))


@pytest.mark.parametrize("step", [*STEPS[: STEPS.index("mkdir prefix")], "replace"])
def test_a_block_that_is_there_survives_its_replacement(store, inject, monkeypatch, step):
    # The directories are there already, so that two steps fewer come before.
    number = STEPS.index(step) - 2 * (step == "replace")
    inject(number, errno.ENOSPC)
    with pytest.raises(StoreError):
        store.put(OTHER, block(0, 1, key=OTHER), ABOUT | {"name": "another"})
    monkeypatch.undo()
    (entry,) = store.entries()
    assert entry.about == ABOUT
    assert same(store.blocks(OTHER)[0], block(0, 1, key=OTHER))


@pytest.mark.parametrize("error", ERRORS, ids=errno.errorcode.get)
def test_the_root_cannot_be_made(tmp_path, inject, error):
    inject(0, error)
    store = Store(tmp_path / "store")
    with pytest.raises(StoreError, match=f"cannot be written: {os.strerror(error)}"):
        store.put(KEY, block(0), ABOUT)
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_that_does_not_synchronise_directories(store, inject):
    inject(STEPS.index("fsync directory"), errno.EINVAL)
    store.put(KEY, block(0), ABOUT)
    assert len(store.blocks(KEY)) == 1


@pytest.mark.parametrize("what", [KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_an_interrupted_write_leaves_nothing(store, monkeypatch, call, what):
    def interrupt(*_):
        raise what

    monkeypatch.setattr(module.os, call, interrupt)
    with pytest.raises(what):
        store.put(KEY, block(0), ABOUT)
    monkeypatch.undo()
    assert files(store.root, below="tmp") == []
    assert [e.key for e in store.entries()] == [OTHER]


def test_a_lock_that_is_held_for_too_long(store, monkeypatch):
    monkeypatch.setattr(module, "_PATIENCE", 0.1)
    store.put(KEY, block(0), ABOUT)
    damaged = next((store.root / "v1" / KEY[:2] / KEY).iterdir())
    damaged.write_bytes(b"")
    with filelock.FileLock(store.root / ".lock"):
        other = Store(store.root)
        reason = "could not be acquired"
        with pytest.raises(StoreError, match=f"cannot be written: .*{reason}"):
            in_thread(lambda: other.put(KEY, block(1), ABOUT))
        with pytest.raises(StoreError, match=f"cannot be pruned: .*{reason}"):
            in_thread(lambda: other.prune(max_bytes=1))
        assert in_thread(lambda: other.blocks(KEY)) == []
        assert "cannot be put aside" in other.damaged[0]
        assert len(in_thread(lambda: other.blocks(OTHER))) == 1
    assert len(files(store.root)) == 2
    assert files(store.root, below="tmp") == []


def in_thread(function):
    """`filelock` refuses to wait, in one thread, for a lock that the same thread holds."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result(timeout=30)


@pytest.mark.parametrize("error", [errno.EIO, errno.EACCES, errno.EMFILE], ids=errno.errorcode.get)
def test_a_file_that_cannot_be_read_is_not_put_aside(store, monkeypatch, error):
    """Whatever keeps it from being read may pass: too many open files are no damage."""

    def refuse(*_):
        raise OSError(error, os.strerror(error))

    (path,) = files(store.root)
    with monkeypatch.context() as patches:
        patches.setattr(module.os, "fdopen", lambda handle, _: (os.close(handle), refuse()))
        assert store.blocks(OTHER) == []
        assert store.entries() == []
        intact, names = store.check()
    assert (intact, names) == (0, [f"{OTHER}/{path.name}"])
    short = f"{OTHER[:16]}-{path.name}"
    line = f"the stored maps `{short}` cannot be read ({os.strerror(error)})"
    assert store.damaged == [line] * 2
    assert len(store.blocks(OTHER)) == 1


def test_memory_runs_out(store, monkeypatch):
    def refuse(_):
        raise MemoryError

    with monkeypatch.context() as patches:
        patches.setattr(module, "_bytes", refuse)
        assert store.blocks(OTHER) == []
        assert store.entries() == []
    assert store.damaged[0].endswith("cannot be read (MemoryError)")


def test_a_file_that_cannot_be_removed_does_not_keep_the_others(store, monkeypatch):
    store.put(KEY, block(0), ABOUT)
    stuck, unlink = files(store.root)[0], Path.unlink
    os.utime(stuck, (0, 0))

    def refuse(path, missing_ok=False):
        if path == stuck:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(StoreError) as caught:
        store.prune(older_than=-1)
    reason = os.strerror(errno.EPERM)
    assert caught.value.message == f"the store `{store.root}` cannot be pruned: {reason}"
    assert files(store.root) == [stuck]
