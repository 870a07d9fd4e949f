"""What is put comes back bit for bit; what is listed and pruned is what is there."""

import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from entries import ABOUT, FACTS, KEY, OTHER, block, files, probe, same

from onnxattr.errors import StoreError
from onnxattr.store import Block, Store, default_root, make_key

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX modes and links")


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def backdate(path, seconds):
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_round_trip(store):
    """Raw maps may hold NaN, infinities, denormal numbers and both zeros."""
    odd = np.array([[[np.nan, -np.inf, np.inf], [-0.0, 0.0, 1e-45]]], np.float32)
    given = Block(odd, (probe(0),), FACTS)
    store.put(KEY, given, ABOUT)

    (found,) = Store(store.root).blocks(KEY)

    assert same(found, given)
    assert store.damaged == []


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (224, 224)])
@pytest.mark.parametrize("count", [1, 16])
def test_round_trip_of_all_bits(store, count, size):
    given = block(*range(count), size=size)
    store.put(KEY, given, ABOUT)
    (found,) = store.blocks(KEY)
    assert same(found, given)


def test_maps_that_lie_in_memory_differently(store):
    """The layout of an array is no part of what it says."""
    given = block(0, 1, size=(4, 5))
    turned = Block(np.asfortranarray(given.values), given.probes, given.facts)
    store.put(KEY, turned, ABOUT)
    (found,) = store.blocks(KEY)
    assert same(found, given)


def test_more_probes_extend_a_key(store):
    first, second = block(0, 1), block(2, 3, 4)
    store.put(KEY, first, ABOUT)
    store.put(KEY, second, ABOUT)

    found = sorted(store.blocks(KEY), key=lambda b: len(b.probes))

    assert same(found[0], first)
    assert same(found[1], second)
    (entry,) = store.entries()
    assert (entry.probes, entry.blocks) == (5, 2)


def test_the_same_probes_replace_their_block(store):
    store.put(KEY, block(0, 1), ABOUT)
    anew = Block(block(0, 1, key=OTHER).values, block(0, 1).probes, {"batch": 1})
    store.put(KEY, anew, ABOUT)

    (found,) = store.blocks(KEY)

    assert same(found, anew)
    assert len(files(store.root)) == 1


def test_blocks_that_share_probes_are_counted_once(store):
    store.put(KEY, block(0, 1), ABOUT)
    store.put(KEY, block(1, 2), ABOUT)
    (entry,) = store.entries()
    assert (entry.probes, entry.blocks) == (3, 2)


def test_keys_do_not_mix(store):
    store.put(KEY, block(0), ABOUT)
    store.put(OTHER, block(0, key=OTHER), ABOUT)

    ((mine,), (theirs,)) = store.blocks(KEY), store.blocks(OTHER)

    assert same(mine, block(0))
    assert same(theirs, block(0, key=OTHER))
    assert store.blocks(make_key({"model": 3})) == []


def test_keys():
    """A key is a function of the values alone, and of each of them."""
    parts = {"model": "ab", "range": (0.0, 1.0), "seed": None}
    assert make_key(parts) == make_key(dict(reversed(parts.items())))
    assert make_key(parts) == make_key(json.loads(json.dumps(parts)))
    changed = [parts | {"model": "ac"}, parts | {"range": (0.0, 1.0000000000000002)}]
    changed += [parts | {"seed": 0}, {"model": "ab", "range": (0.0, 1.0)}]
    assert len({make_key(p) for p in (parts, *changed)}) == 5
    make_key({"tensor": "\udce9\x00"})
    with pytest.raises(ValueError):
        make_key({"mean": float("nan")})


@pytest.mark.parametrize("key", ["", "../../x", "A" * 64, "a" * 63, "a" * 64 + "\n"])
def test_a_key_is_no_path(store, key):
    with pytest.raises(ValueError, match="is no key"):
        store.blocks(key)
    with pytest.raises(ValueError, match="is no key"):
        store.put(key, block(0), ABOUT)
    assert not store.root.exists()


def deep(levels):
    return [deep(levels - 1)] if levels else []


@pytest.mark.parametrize(
    "bad",
    [
        Block(np.zeros(2, np.float32), (probe(0), probe(1)), FACTS),
        Block(np.zeros((2, 3, 3), np.float32), (probe(0),), FACTS),
        Block(np.zeros((0, 3, 3), np.float32), (), FACTS),
        Block(np.zeros((1, 0, 3), np.float32), (probe(0),), FACTS),
        Block(block(0).values, (probe(0),), {"parity": float("nan")}),
        Block(block(0).values, (probe(0),), {"parity": float("inf")}),
        Block(block(0).values, (probe(0),), {"parity": deep(10)}),
    ],
    ids=["shape", "probes", "empty", "no-width", "nan", "inf", "deep"],
)
def test_what_could_not_be_read_again_is_not_put(store, bad):
    with pytest.raises(ValueError):
        store.put(KEY, bad, ABOUT)
    assert not store.root.exists()


def test_what_is_too_large_is_not_put(store, monkeypatch):
    monkeypatch.setattr("onnxattr.store._MAX_BYTES", 1000)
    store.put(KEY, block(0, size=(4, 4)), ABOUT)
    with pytest.raises(StoreError, match="the maps of 1 probes are too large to be kept"):
        store.put(OTHER, block(0, size=(40, 40)), ABOUT)
    assert len(store.entries()) == 1
    assert files(store.root, below="tmp") == []


def test_names_of_files_that_are_no_unicode(store):
    about = ABOUT | {"name": os.fsdecode(b"caf\xe9\x1b[31m"), "tensor": "\u202e\0"}
    store.put(KEY, block(0), about)
    (entry,) = store.entries()
    assert entry.about == about


def test_entries(store):
    store.put(KEY, block(0, 1), ABOUT | {"spec": {"mean": (0.5,), "batch": None}})
    store.put(OTHER, block(0, key=OTHER), ABOUT)
    (kept,) = (store.root / "v1" / OTHER[:2] / OTHER).iterdir()
    backdate(kept, 1000)

    first, second = store.entries()

    assert (first.key, second.key) == (KEY, OTHER)
    assert first.about == ABOUT | {"spec": {"mean": [0.5], "batch": None}}
    assert second.bytes == kept.stat().st_size
    assert second.used == kept.stat().st_mtime
    assert 0 <= time.time() - first.used < 100
    assert (first.probes, second.probes) == (2, 1)


def test_listing_and_checking_are_no_use(store):
    """What is looked at by people only must not seem young to `prune`."""
    store.put(KEY, block(0), ABOUT)
    (kept,) = files(store.root)
    backdate(kept, 1000)
    before = kept.stat().st_mtime

    store.entries()
    assert store.check() == (1, [])
    assert kept.stat().st_mtime == before

    store.blocks(KEY)
    assert kept.stat().st_mtime > before


def test_a_store_that_is_not_there_is_not_made(tmp_path):
    root = tmp_path / "no" / "store"
    store = Store(root)
    assert store.blocks(KEY) == []
    assert store.entries() == []
    assert store.check() == (0, [])
    assert store.prune(older_than=1, max_bytes=1) == (0, 0)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_is_no_store_is_left_alone(tmp_path):
    (tmp_path / "v1" / "ab").mkdir(parents=True)
    precious = [tmp_path / "a.maps", tmp_path / "v1" / "b.maps", tmp_path / "v1" / "ab" / "c.tmp"]
    for path in precious:
        path.write_text("mine")
        backdate(path, 1e6)

    store = Store(tmp_path)
    assert store.check() == (0, [])
    assert store.prune(older_than=1, max_bytes=1) == (0, 0)

    assert files(tmp_path, below=".") == sorted(precious)


@pytest.mark.parametrize("kind", ["file", "pipe"])
def test_a_root_that_is_no_directory(tmp_path, kind):
    root = tmp_path / "store"
    if kind == "file":
        root.write_text("")
    elif hasattr(os, "mkfifo"):
        os.mkfifo(root)
    else:
        pytest.skip("this system has no named pipes")
    with pytest.raises(StoreError) as caught:
        Store(root)
    assert caught.value.message == f"the store `{root}` is no directory"
    assert "--store" in caught.value.hint


def test_the_default_is_in_the_users_cache(monkeypatch, tmp_path):
    if sys.platform != "linux":
        pytest.skip("where the cache is differs")
    assert str(default_root()) == os.environ["ONNXATTR_STORE"]
    monkeypatch.delenv("ONNXATTR_STORE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_root() == tmp_path / "onnxattr" / "maps"


def test_stale_temporaries_are_swept_and_fresh_ones_are_not(store):
    store.put(KEY, block(0), ABOUT)
    folder = store.root / "tmp"
    stale, fresh, strange = folder / f"{1:032x}.tmp", folder / f"{2:032x}.tmp", folder / "notes"
    for path in (stale, fresh, strange):
        path.write_bytes(b"half of a block")
    for path in (stale, strange):
        backdate(path, 3601)
    backdate(fresh, 3500)

    Store(store.root)

    assert files(store.root, below="tmp") == [fresh, strange]
    assert same(store.blocks(KEY)[0], block(0))


def fill(store, count):
    """Puts one block under each of some keys, the first used longest ago; returns their files."""
    kept = []
    for number in range(count):
        key = make_key({"number": number})
        store.put(key, block(number), ABOUT)
        (path,) = (store.root / "v1" / key[:2] / key).iterdir()
        backdate(path, 1000 * (count - number))
        kept.append(path)
    return kept


def test_pruning_by_age(store):
    kept = fill(store, 5)
    size = kept[0].stat().st_size

    assert store.prune(older_than=2500) == (3, 3 * size)

    assert sorted(kept[3:]) == files(store.root)
    assert not any(path.parent.exists() for path in kept[:3])


def test_pruning_by_size_spares_what_was_used_last(store):
    kept = fill(store, 5)
    size = kept[0].stat().st_size
    store.blocks(kept[0].parent.name)  # The oldest becomes the youngest.

    assert store.prune(max_bytes=2 * size) == (3, 3 * size)
    assert files(store.root) == sorted([kept[0], kept[4]])

    assert store.prune(max_bytes=2 * size) == (0, 0)
    assert store.prune(max_bytes=2 * size - 1) == (1, size)
    assert files(store.root) == [kept[0]]
    assert store.prune(max_bytes=1) == (1, size)
    assert store.entries() == []


def test_pruning_by_both(store):
    kept = fill(store, 5)
    size = kept[0].stat().st_size
    assert store.prune(older_than=4500, max_bytes=3 * size) == (2, 2 * size)
    assert files(store.root) == sorted(kept[2:])


def test_pruning_for_nothing(store):
    fill(store, 2)
    assert store.prune() == (0, 0)
    assert store.prune(older_than=1e6, max_bytes=10**9) == (0, 0)
    assert len(files(store.root)) == 2


def test_pruning_takes_damaged_files_first(store):
    kept = fill(store, 3)
    size = kept[0].stat().st_size
    kept[2].write_bytes(b"x" * size)
    assert store.check() == (2, [f"{kept[2].parent.name}/{kept[2].name}"])

    assert store.prune(max_bytes=2 * size) == (1, size)

    assert files(store.root, below="damaged") == []
    assert files(store.root) == sorted(kept[:2])


def test_a_block_of_several_goes_by_itself(store):
    store.put(KEY, block(0), ABOUT)
    store.put(KEY, block(1), ABOUT)
    first, _ = files(store.root)
    backdate(first, 1000)
    assert store.prune(older_than=500)[0] == 1
    assert len(store.blocks(KEY)) == 1


@posix
@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_modes_are_what_the_umask_says(store, mask, mode):
    """A store may be shared by a group, which mode 0600 would not allow."""
    before = os.umask(mask)
    try:
        store.put(KEY, block(0), ABOUT)
    finally:
        os.umask(before)
    for path in (*files(store.root), store.root / ".lock"):
        assert stat.S_IMODE(path.stat().st_mode) == mode
    assert stat.S_IMODE(store.root.stat().st_mode) == mode | (mode & 0o444) >> 2


@posix
def test_the_root_may_be_a_link(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "store").symlink_to("disk")
    store = Store(tmp_path / "store")
    store.put(KEY, block(0), ABOUT)
    assert same(store.blocks(KEY)[0], block(0))
    assert store.prune(max_bytes=1)[0] == 1


def test_a_root_below_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = Store(Path("store"))
    store.put(KEY, block(0), ABOUT)
    assert same(store.blocks(KEY)[0], block(0))


def test_importing_stays_light():
    code = "import sys, onnxattr.store; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "onnx", "safetensors", "filelock"} & set(done.stdout.split())
