"""Several processes on one store, and writers that are killed: no damage, and the same content."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import filelock
import pytest
from entries import ABOUT, KEY, block, files, probe, same

from onnxattr.store import Store, make_key

#: A run: for each key in an order of its own, takes what is stored, and puts what is missing.
RUN = """
import hashlib, random, sys, time
from pathlib import Path
from entries import ABOUT, FACTS, block, probe, same
from onnxattr.store import Store, make_key

root, seed, start, damage = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
chance = random.Random(seed)
keys = [make_key({"number": n}) for n in range(10)]
chance.shuffle(keys)
time.sleep(max(0.0, start - time.time()))
store, taken, put = Store(root), 0, 0
found = {}
for key in keys:
    rows = {}
    for stored in store.blocks(key):
        rows.update(zip(stored.probes, stored.values))
    for numbers in ((0, 1), (2, 3), (4,)):
        given = block(*numbers, size=(24, 24), key=key)
        if set(given.probes) <= rows.keys():
            taken += 1
        else:
            store.put(key, given, ABOUT)
            rows.update(zip(given.probes, given.values))
            put += 1
    found[key] = b"".join(rows[probe(n)].tobytes() for n in range(5))
    if damage == "damage" and chance.random() < 0.3:
        victim = chance.choice(list((root / "v1").glob("*/*/*.maps")))
        try:
            with victim.open("r+b") as file:
                file.truncate(100)
        except FileNotFoundError:
            pass
digest = hashlib.sha256(b"".join(found[key] for key in sorted(found))).hexdigest()
print(digest, taken, put, len(store.damaged))
"""

#: Puts blocks of different sizes for as long as it lives.
WRITER = """
import itertools, sys
from pathlib import Path
from entries import ABOUT, KEY, block
from onnxattr.store import Store

store = Store(Path(sys.argv[1]))
for number in itertools.count(int(sys.argv[2])):
    given = block(*range(number, number + 1 + number % 4), size=(100, 100))
    store.put(KEY, given, ABOUT)
    if number == int(sys.argv[2]):
        print("started", flush=True)
"""


def start(script, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=os.path.dirname(__file__),
    )


def together(count, root, damage=""):
    """Returns what runs that start at the same moment print."""
    then = time.time() + 0.4 + 0.1 * count
    running = [start(RUN, root, seed, then, damage) for seed in range(count)]
    ended = [process.communicate(timeout=120) for process in running]
    assert [err for _, err in ended] == [""] * count
    return [out.split() for out, _ in ended]


@pytest.fixture(scope="module")
def expected():
    keys = sorted(make_key({"number": n}) for n in range(10))
    blocks = [block(*range(5), size=(24, 24), key=key) for key in keys]
    return hashlib.sha256(b"".join(b.values.tobytes() for b in blocks)).hexdigest()


@pytest.mark.parametrize("count", [2, 8])
def test_runs_on_one_store_at_once(tmp_path, expected, count):
    root = tmp_path / "store"

    results = together(count, root)

    assert [digest for digest, *_ in results] == [expected] * count
    assert all(int(damaged) == 0 for *_, damaged in results)
    store = Store(root)
    assert store.check() == (30, [])
    assert files(root, below="tmp") == files(root, below="damaged") == []
    assert [(e.probes, e.blocks) for e in store.entries()] == [(5, 3)] * 10
    for n in range(10):
        for found in store.blocks(make_key({"number": n})):
            numbers = [i for i in range(5) if probe(i) in found.probes]
            assert same(found, block(*numbers, size=(24, 24), key=make_key({"number": n})))

    ((digest, taken, put, damaged),) = together(1, root)
    assert (digest, taken, put, damaged) == (expected, "30", "0", "0")


def test_runs_on_a_store_that_is_being_damaged(tmp_path, expected):
    """Files are cut while others read and put them aside: results are the same all the same."""
    results = together(8, tmp_path / "store", "damage")
    assert [digest for digest, *_ in results] == [expected] * 8
    Store(tmp_path / "store").check()
    ((digest, _, _, damaged),) = together(1, tmp_path / "store")
    assert (digest, damaged) == (expected, "0")


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system kills differently")
def test_killed_writers_leave_whole_entries(tmp_path):
    root, chance = tmp_path / "store", random.Random(1)
    for first in range(0, 120_000, 10_000):
        writer = start(WRITER, root, first)
        assert writer.stdout.readline() == "started\n"
        time.sleep(chance.uniform(0, 0.03))
        writer.kill()
        assert writer.communicate()[1] == ""
        assert writer.returncode == -signal.SIGKILL

    store = Store(root)
    intact, damaged = store.check()
    assert intact >= 12
    assert damaged == store.damaged == []
    numbers = {probe(n): n for k in range(12) for n in range(k * 10_000, k * 10_000 + 5000)}
    for found in store.blocks(KEY):
        assert same(found, block(*(numbers[p] for p in found.probes), size=(100, 100)))

    left = files(root, below="tmp")  # In time they go.
    for path in left:
        os.utime(path, (0, 0))
    Store(root)
    assert files(root, below="tmp") == []


def test_a_writer_that_is_killed_while_it_holds_the_lock(tmp_path):
    """The system lets go of a dead process's lock."""
    store = Store(tmp_path / "store")
    store.put(KEY, block(0), ABOUT)
    script = "import filelock, sys, time; filelock.FileLock(sys.argv[1]).acquire()\n"
    holder = start(script + "print('held', flush=True); time.sleep(60)", store.root / ".lock")
    assert holder.stdout.readline() == "held\n"
    holder.kill()
    holder.communicate()
    store.put(KEY, block(1), ABOUT)
    assert len(store.blocks(KEY)) == 2


def test_a_block_appears_only_under_the_lock(tmp_path):
    """Otherwise `prune` could remove one that was put since it looked."""
    store = Store(tmp_path / "store")
    store.put(KEY, block(0), ABOUT)
    (kept,) = files(store.root)
    os.utime(kept, (0, 0))
    with ThreadPoolExecutor(1) as pool:
        with filelock.FileLock(store.root / ".lock"):
            putting = pool.submit(store.put, KEY, block(0), ABOUT)
            time.sleep(0.3)
            assert not putting.done()
            assert len(files(store.root, below="tmp")) == 1
            assert kept.stat().st_mtime == 0
        putting.result(timeout=30)
    assert kept.stat().st_mtime > 0
    assert store.prune(older_than=1000) == (0, 0)


def test_putting_reading_and_pruning_at_once(tmp_path):
    """Directories come and go under everybody's feet."""
    root, stop, counts = tmp_path / "store", threading.Event(), Counter()
    keys = [make_key({"number": n}) for n in range(3)]

    def put(name):
        store = Store(root)
        while not stop.is_set():
            key = keys[counts[name] % 3]
            store.put(key, block(counts[name] % 5, key=key), ABOUT)
            counts[name] += 1

    def read(name):
        store = Store(root)
        while not stop.is_set():
            for key in keys:
                for found in store.blocks(key):
                    number = next(n for n in range(5) if probe(n) == found.probes[0])
                    assert same(found, block(number, key=key))
                    counts[name] += 1
            store.entries()
            assert store.check()[1] == []
        assert store.damaged == []

    def prune(name):
        store = Store(root)
        while not stop.is_set():
            counts[name] += store.prune(older_than=-1)[0]

    work = {"put 1": put, "put 2": put, "read 1": read, "read 2": read, "prune": prune}
    deadline = time.monotonic() + 60
    with ThreadPoolExecutor(len(work)) as pool:
        working = [pool.submit(function, name) for name, function in work.items()]
        while (
            min(counts[name] for name in work) < 20
            and time.monotonic() < deadline
            and not any(one.done() for one in working)
        ):
            time.sleep(0.05)
        stop.set()
        for one in working:
            one.result(timeout=60)

    assert min(counts[name] for name in work) >= 20
    assert Store(root).check()[1] == []
    assert files(root, below="tmp") == files(root, below="damaged") == []
