"""A damaged entry is never taken for a good one: it is put aside, once, and nothing else is."""

import contextlib
import json
import os
import pickle
import sys

import numpy as np
import pytest
from entries import ABOUT, FACTS, KEY, OTHER, block, files, forged, probe, record, same, sealed
from safetensors.numpy import save

from onnxattr.errors import StoreError
from onnxattr.store import Store

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX modes and links")


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def entry(store):
    """The file of a small block, beside which there is another key."""
    store.put(OTHER, block(0, key=OTHER), ABOUT)
    store.put(KEY, block(0, size=(1, 2)), ABOUT)
    (path,) = (store.root / "v1" / KEY[:2] / KEY).iterdir()
    return path


def assert_put_aside(store, path, why):
    """Reading `path` finds nothing, puts it aside, and says so in one line."""
    before = len(store.damaged)
    assert store.blocks(path.parent.name) == []
    (line,) = store.damaged[before:]
    short = f"{path.parent.name[:16]}-{path.name}"
    assert line.startswith(f"the stored maps `{short}` are damaged (")
    assert why in line
    assert "\n" not in line
    assert not os.path.lexists(path)
    assert os.path.lexists(store.root / "damaged" / short)
    assert store.blocks(path.parent.name) == []
    assert len(store.damaged) == before + 1


def test_every_byte_of_an_entry_is_guarded(store, entry):
    """In each byte one bit is flipped, then all of them."""
    whole = entry.read_bytes()
    assert 300 < len(whole) < 2000
    for position in range(len(whole)):
        for flip in (1 << position % 8, 0xFF):
            changed = bytearray(whole)
            changed[position] ^= flip
            entry.write_bytes(changed)
            assert store.blocks(KEY) == [], f"byte {position} ^ {flip}"
            assert not entry.exists()
    assert len(store.damaged) == 2 * len(whole)
    assert files(store.root, below="damaged") == [
        store.root / "damaged" / f"{KEY[:16]}-{entry.name}"
    ]
    assert same(store.blocks(OTHER)[0], block(0, key=OTHER))


def test_every_length_of_an_entry_is_guarded(store, entry):
    whole = entry.read_bytes()
    for length in range(len(whole)):
        entry.write_bytes(whole[:length])
        assert store.blocks(KEY) == [], f"{length} bytes"
        assert not entry.exists()
    for more in (b"\0", b"}", whole):
        entry.write_bytes(whole + more)
        assert store.blocks(KEY) == []
    entry.write_bytes(whole)
    assert same(store.blocks(KEY)[0], block(0, size=(1, 2)))


def test_what_is_put_aside_can_be_put_again(store, entry):
    entry.write_bytes(b"")
    assert_put_aside(store, entry, "its checksum is wrong")
    store.put(KEY, block(0, size=(1, 2)), ABOUT)
    assert same(store.blocks(KEY)[0], block(0, size=(1, 2)))


def test_a_file_under_another_key(store, entry):
    theirs = store.root / "v1" / OTHER[:2] / OTHER / entry.name
    theirs.unlink()
    theirs.write_bytes(entry.read_bytes())
    assert_put_aside(store, theirs, "it belongs to another key")
    assert len(store.blocks(KEY)) == 1


ONE = np.ones((1, 2, 2), np.float32)


def document(**tensors):
    return sealed(save(tensors))


def headed(header, data=b""):
    text = json.dumps(header).encode()
    return sealed(len(text).to_bytes(8, "little") + text + data)


TEXT = json.dumps(record()).encode()
F32 = {"dtype": "F32", "shape": [1, 2, 2], "data_offsets": [0, 16]}
BAD = {
    "nothing": sealed(b""),
    "no-document": sealed(b"maps"),
    "a-pickle": sealed(pickle.dumps({"maps": ONE, "record": record()})),
    "huge-header": sealed(b"\xff" * 8 + b"{}"),
    "no-tensors": document(),
    "no-record": document(maps=ONE),
    "no-maps": document(record=np.frombuffer(TEXT, np.uint8)),
    "one-more": forged(ONE, record(), more=ONE),
    "float64": forged(ONE.astype(np.float64), record()),
    "int32": forged(ONE.astype(np.int32), record()),
    "one-axis": forged(ONE[0, 0], record(2)),
    "nine-axes": forged(ONE[(None,) * 6], record()),
    "no-axes": forged(np.array(1, np.float32), record()),
    "no-pixels": forged(np.ones((1, 0, 2), np.float32), record()),
    "bfloat16": headed({"maps": F32 | {"dtype": "BF16", "data_offsets": [0, 8]}}, b"\0" * 8),
    "unknown-type": headed({"maps": F32 | {"dtype": "F33"}}, b"\0" * 16),
    "overflow": headed({"maps": F32 | {"shape": [2**62, 2**62, 2]}}, b"\0" * 16),
    "overlap": headed({"maps": F32, "record": F32 | {"dtype": "U8", "shape": [16]}}, b"\0" * 16),
    "fewer-probes": forged(np.ones((2, 2, 2), np.float32), record(1)),
    "more-probes": forged(ONE, record(2)),
    "probes-as-text": forged(ONE, record(probes="a")),
    "probes-as-keys": forged(ONE, record(probes={probe(0): 1})),
    "probes-as-numbers": forged(ONE, record(probes=[1])),
    "probes-of-lists": forged(ONE, record(probes=[[probe(0)]])),
    "no-key": forged(ONE, record(key=None)),
    "key-of-another": forged(ONE, record(key=OTHER)),
    "facts-as-list": forged(ONE, record(facts=[1])),
    "facts-as-null": forged(ONE, record(facts=None)),
    "about-as-text": forged(ONE, record(about="edges")),
    "about-missing": forged(ONE, {k: v for k, v in record().items() if k != "about"}),
    "another-part": forged(ONE, record(more=1)),
    "record-as-list": forged(ONE, [record()]),
    "record-as-number": forged(ONE, b"1"),
    "record-empty": document(maps=ONE, record=np.zeros(0, np.uint8)),
    "record-no-json": forged(ONE, b"{'key': 1}"),
    "record-no-utf8": forged(ONE, TEXT.replace(b"edges", b"\xff\xfe")),
    "record-utf16": forged(ONE, TEXT.decode().encode("utf-16")),
    "record-twice": forged(ONE, TEXT + TEXT),
    "nan": forged(ONE, TEXT.replace(b"1e-06", b"NaN")),
    "infinity": forged(ONE, TEXT.replace(b"1e-06", b"-Infinity")),
    "too-large-a-float": forged(ONE, TEXT.replace(b"1e-06", b"1e999")),
    "too-long-an-integer": forged(ONE, TEXT.replace(b"1e-06", b"9" * 5000)),
    "nested": forged(ONE, record(about={"a": [[[[[[[[[[]]]]]]]]]]})),
    "nested-very-deep": forged(ONE, TEXT.replace(b"1e-06", b"[" * 200_000 + b"]" * 200_000)),
    "nested-objects": forged(ONE, TEXT.replace(b"1e-06", b'[{"a":' * 50_000)),
    "large-record": forged(ONE, record(about={"name": "x" * 2**21})),
}  # fmt: skip


@pytest.mark.parametrize("data", BAD.values(), ids=BAD.keys())
def test_a_right_checksum_over_something_else(store, entry, data):
    entry.write_bytes(data)
    assert store.entries()[0].key == OTHER  # Listing reads the same files, and moves none.
    assert len(store.entries()) == 1
    assert entry.exists()
    assert_put_aside(store, entry, "")


def test_a_right_entry_of_somebody_else_is_taken(store, entry):
    """The test above could pass because `forged` makes nothing that is ever right."""
    entry.write_bytes(forged(ONE, record()))
    (found,) = store.blocks(KEY)
    assert found.values.tobytes() == ONE.tobytes()
    assert (found.probes, found.facts) == ((probe(0),), FACTS)


def test_what_is_too_large_is_not_read(store, entry):
    with entry.open("r+b") as file:
        file.truncate(2**31 + 1)  # No disk holds it: it is a hole.
    assert_put_aside(store, entry, "it is too large")


@posix
@pytest.mark.parametrize("kind", ["pipe", "link", "dangling", "loop", "directory", "socket"])
@pytest.mark.parametrize("use", ["blocks", "check", "prune"])
def test_what_is_no_regular_file(store, entry, tmp_path, kind, use):
    """A pipe would block whoever opens it, and a link may lead anywhere."""
    precious = tmp_path / "precious"
    precious.write_bytes(entry.read_bytes())
    whole = entry.read_bytes()
    entry.unlink()
    if kind == "pipe":
        os.mkfifo(entry)
    elif kind == "directory":
        entry.mkdir()
        (entry / "inside").write_text("")
    elif kind == "socket":
        import socket

        here = os.getcwd()
        os.chdir(entry.parent)  # The path of a socket is short.
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(entry.name)
        os.chdir(here)
    else:
        entry.symlink_to({"link": precious, "dangling": tmp_path / "no", "loop": entry.name}[kind])

    assert [e.key for e in store.entries()] == [OTHER]
    if use == "blocks":
        assert_put_aside(store, entry, "it is no regular file")
    elif use == "check":
        assert store.check() == (1, [f"{KEY}/{entry.name}"])
        assert not os.path.lexists(entry)
    else:
        count, _ = store.prune(older_than=-1)
        assert count == (1 if kind == "directory" else 2)
        assert os.path.lexists(entry) == (kind == "directory")
    assert precious.read_bytes() == whole
    assert not (tmp_path / "no").exists()


@posix
@pytest.mark.parametrize("level", ["v1", f"v1/{KEY[:2]}", f"v1/{KEY[:2]}/{KEY}", "tmp"])
def test_directories_behind_links_are_neither_read_nor_written(store, entry, tmp_path, level):
    elsewhere = tmp_path / "elsewhere"
    (store.root / level).rename(elsewhere)
    (store.root / level).symlink_to(elsewhere)
    stale = elsewhere / f"{1:032x}.tmp"
    stale.write_text("")
    os.utime(stale, (0, 0))
    before = files(elsewhere, below=".")

    if level != "tmp":
        assert store.blocks(KEY) == []
        assert KEY not in [e.key for e in store.entries()]
    with pytest.raises(StoreError, match=r"cannot be written: `.*` is a link"):
        store.put(KEY, block(1), ABOUT)
    store.check()
    store.prune(max_bytes=1)
    Store(store.root)

    assert files(elsewhere, below=".") == before
    assert store.damaged == []


@posix
def test_the_directory_of_damaged_ones_behind_a_link(store, entry, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (store.root / "damaged").symlink_to(tmp_path / "elsewhere")
    entry.write_bytes(b"")
    assert store.blocks(KEY) == []
    assert "are damaged, and cannot be put aside (`damaged` is a link)" in store.damaged[0]
    assert list((tmp_path / "elsewhere").iterdir()) == []


@posix
@pytest.mark.parametrize("kind", ["link", "dangling", "directory"])
def test_a_lock_that_is_none(store, entry, tmp_path, kind):
    lock, precious = store.root / ".lock", tmp_path / "precious"
    lock.unlink()
    precious.write_text("mine")
    if kind == "directory":
        lock.mkdir()
    else:
        lock.symlink_to(precious if kind == "link" else tmp_path / "no")

    with pytest.raises(StoreError, match="cannot be written"):
        store.put(KEY, block(1), ABOUT)

    assert files(store.root, below="tmp") == []
    assert precious.read_text() == "mine"
    assert not (tmp_path / "no").exists()
    assert len(store.blocks(KEY)) == 1


@posix
def test_a_lock_that_is_a_pipe_does_not_block(store, entry):
    (store.root / ".lock").unlink()
    os.mkfifo(store.root / ".lock")
    with contextlib.suppress(OSError):
        store.put(KEY, block(1), ABOUT)
    assert len(store.blocks(KEY)) >= 1


def test_check(store, entry):
    store.put(KEY, block(1), ABOUT)
    entry.write_bytes(entry.read_bytes()[:-1])

    assert store.check() == (2, [f"{KEY}/{entry.name}"])
    assert len(store.damaged) == 1
    assert store.check() == (2, [])


def test_what_somebody_has_mended_is_not_put_aside(store, entry, monkeypatch):
    """Between reading a damaged file and moving it, another process may write it anew."""
    entry.write_bytes(b"")
    lock = store._lock

    @contextlib.contextmanager
    def late():
        Store(store.root).put(KEY, block(0, size=(1, 2)), ABOUT)
        with lock():
            yield

    monkeypatch.setattr(store, "_lock", late)

    (found,) = store.blocks(KEY)

    assert same(found, block(0, size=(1, 2)))
    assert store.damaged == []
    assert entry.exists()


def test_what_somebody_else_has_put_aside(store, entry, monkeypatch):
    entry.write_bytes(b"")
    lock = store._lock

    @contextlib.contextmanager
    def late():
        assert Store(store.root).check() == (1, [f"{KEY}/{entry.name}"])
        with lock():
            yield

    monkeypatch.setattr(store, "_lock", late)
    assert store.blocks(KEY) == []
    assert store.damaged == []
