"""Real disks: one that is full, and directories that may not be written or read."""

import contextlib
import errno
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from entries import ABOUT, KEY, OTHER, block, files, same

from onnxattr.errors import StoreError
from onnxattr.store import Store

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions and limits")


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "store")
    store.put(OTHER, block(0, 1, key=OTHER), ABOUT)
    return store


@contextlib.contextmanager
def unprivileged():
    """As somebody to whom permissions apply: to the administrator they do not."""
    if os.geteuid() != 0:
        yield
        return
    os.setegid(65534)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@pytest.fixture
def owned():
    """A store of somebody to whom permissions apply, and what removes permissions from parts."""
    folder = Path(tempfile.mkdtemp(prefix="onnxattr-store-"))
    if os.geteuid() == 0:
        os.chown(folder, 65534, 65534)
    try:
        with unprivileged():
            store = Store(folder / "store")
            store.put(KEY, block(0), ABOUT)
            if not store.entries():
                pytest.skip("nobody but the administrator may use the directory of tests")
        yield store
    finally:
        for path in (folder, *folder.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o700)
        shutil.rmtree(folder)


def protect(root, mode):
    for path in (*root.rglob("*"), root):
        path.chmod(mode if path.is_dir() else mode & ~0o111)


def test_a_store_that_may_only_be_read(owned):
    protect(owned.root, 0o555)
    with unprivileged():
        store = Store(owned.root)
        assert same(store.blocks(KEY)[0], block(0))
        assert len(store.entries()) == 1
        assert store.check() == (1, [])
        with pytest.raises(StoreError, match="cannot be written: Permission denied"):
            store.put(OTHER, block(1), ABOUT)
        with pytest.raises(StoreError, match="cannot be pruned: Permission denied"):
            store.prune(max_bytes=1)
        assert same(store.blocks(KEY)[0], block(0))


def test_damage_in_a_store_that_may_only_be_read(owned):
    (path,) = files(owned.root)
    path.write_bytes(b"")
    protect(owned.root, 0o555)
    with unprivileged():
        store = Store(owned.root)
        assert store.blocks(KEY) == []
        assert store.check() == (0, [f"{KEY}/{path.name}"])
    assert all("cannot be put aside (Permission denied)" in line for line in store.damaged)
    assert path.exists()


@pytest.mark.parametrize("level", [".", "v1", f"v1/{KEY[:2]}", f"v1/{KEY[:2]}/{KEY}"])
def test_a_directory_that_may_not_be_read(owned, level):
    (owned.root / level).chmod(0)
    with unprivileged():
        for use in (
            lambda: Store(owned.root).entries(),
            lambda: Store(owned.root).check(),
            lambda: Store(owned.root).blocks(KEY),
            lambda: Store(owned.root).prune(max_bytes=1),
        ):
            with pytest.raises(StoreError) as caught:
                use()
            reason = f"the store `{owned.root}` cannot be read: Permission denied"
            assert caught.value.message == reason


def test_a_place_that_may_not_be_reached(owned):
    owned.root.parent.chmod(0)
    with unprivileged(), pytest.raises(StoreError, match="cannot be read: Permission denied"):
        Store(owned.root)


def test_a_file_of_somebody_else(owned):
    (path,) = files(owned.root)
    path.chmod(0)
    with unprivileged():
        assert owned.blocks(KEY) == []
        assert owned.damaged[0].endswith("cannot be read (Permission denied)")
        assert path.exists()
        owned.put(KEY, block(0), ABOUT)
        assert same(owned.blocks(KEY)[0], block(0))


@pytest.mark.parametrize("level", ["tmp", f"v1/{KEY[:2]}"])
def test_a_file_where_a_directory_belongs(store, level):
    shutil.rmtree(store.root / level, ignore_errors=True)
    (store.root / level).write_text("")
    with pytest.raises(StoreError, match=r"cannot be written: (File exists|Not a directory)"):
        store.put(KEY, block(0), ABOUT)
    assert Store(store.root).check() == (1, [])


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if sys.platform != "linux" or not mount or not umount:
        pytest.skip("no small file system can be made here")
    command = [mount, "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("this user may not mount a small file system")
    yield folder
    subprocess.run([umount, str(folder)], check=True)


def fill(store, blocks):
    for one in blocks:
        store.put(KEY, one, ABOUT)


def test_a_full_disk(small_disk):
    store = Store(small_disk / "store")
    blocks = [block(i, size=(90, 90)) for i in range(20)]
    with pytest.raises(StoreError) as caught:
        fill(store, blocks)
    kept = len(files(store.root))
    assert 3 <= kept < 20
    reason = os.strerror(errno.ENOSPC)
    assert caught.value.message == f"the store `{store.root}` cannot be written: {reason}"
    assert files(store.root, below="tmp") == []
    assert store.check() == (kept, [])
    found = {b.probes: b for b in store.blocks(KEY)}
    assert all(same(found[b.probes], b) for b in blocks[:kept])

    size = files(store.root)[0].stat().st_size
    store.prune(max_bytes=size)  # And there is room again.
    store.put(KEY, blocks[kept], ABOUT)
    assert store.check() == (2, [])


LIMITED = """
import resource, sys
from pathlib import Path
from entries import ABOUT, KEY, OTHER, block
from onnxattr.errors import StoreError
from onnxattr.store import Store

store = Store(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
store.put(KEY, block(0), ABOUT)
try:
    store.put(KEY, block(1, 2, 3, size=(40, 40)), ABOUT)
except StoreError as error:
    sys.stdout.write(error.message)
"""


def test_a_quota(store):
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(store.root)],
        capture_output=True,
        text=True,
        check=True,
        cwd=os.path.dirname(__file__),
    )
    reason = os.strerror(errno.EFBIG)
    assert done.stdout == f"the store `{store.root}` cannot be written: {reason}"
    assert files(store.root, below="tmp") == []
    assert store.check() == (2, [])
