"""Entries that chance or somebody has changed: refused, or well-formed; no crash, and no hang.

About a hundred by default; a thousand where the environment has `ROBUSTNESS=full`.
"""

import contextlib
import hashlib
import json
import os
import random
import signal

import numpy as np
import pytest

from onnxattr.store import Block, Store, make_key

FULL = os.environ.get("ROBUSTNESS") == "full"
BATCHES, EACH = (20, 50) if FULL else (5, 20)

#: Seconds that one entry may take; the slowest take some milliseconds.
PATIENCE = 20

KEY = make_key({"model": "mutated"})
ABOUT = {"name": "edges", "model": "c" * 64, "method": "saliency", "tensor": "features"}
FACTS = {
    "batch": 8,
    "parity": 1.5e-6,
    "tolerance": 1e-3,
    "gradient": {"error": 2e-4, "tolerance": 1e-2, "probes": 2},
}

#: What stands in the place of a part of a header or a record.
VALUES = (
    None, True, 0, -1, 2**31, 2**63, 2**64, -(2**63), 10**400, 1e308, -0.0, "", "F32", "U8", "BF16",
    "F64", "maps", "record", "\x1b[2J", "\u202e", "\ud800", [], {}, [0], [0, 0], [2**62, 4], [-1],
    [1, 1, 1], [[]], {"dtype": "F32"}, [[[[[[[[[[[[]]]]]]]]]]]], "x" * 10_000,
)  # fmt: skip

#: What stands in the place of eight bytes, among them the length of the header.
WORDS = (0, 1, 2, 8, 255, 2**16, 2**31 - 1, 2**32, 2**53, 2**63 - 1, 2**63, 2**64 - 1)

#: What no writer of JSON makes, and some readers take.
TEXTS = (
    b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999", b"0x1", b"01", b"'a'", b"9" * 5000,
    b"[" * 5000, b'{"a":' * 5000, b'"\\ud800"', b'"\\u0000"', b"\xff\xfe", b"\xef\xbb\xbf", b"//",
    b"[" * 100_000 + b"]" * 100_000,
)  # fmt: skip


def blocks():
    chance = np.random.default_rng(0)
    for count, size in ((1, (1, 1)), (2, (3, 5)), (7, (16, 16))):
        names = tuple(hashlib.sha256(bytes([n])).hexdigest() for n in range(count))
        yield Block(chance.standard_normal((count, *size)).astype(np.float32), names, FACTS)


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """Whole files, each under the name that it has in a store."""
    found = []
    for number, block in enumerate(blocks()):
        store = Store(tmp_path_factory.mktemp("originals") / str(number))
        store.put(KEY, block, ABOUT)
        (path,) = (store.root / "v1").glob("*/*/*.maps")
        found.append((path.relative_to(store.root), path.read_bytes()))
    return found


# What changes bytes, wherever they are.


def flip(chance, data):
    data = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 8, 64))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(data)


def truncate(chance, data):
    return data[
        : chance.choice((chance.randrange(len(data)), chance.randrange(min(50, len(data)))))
    ]


def insert(chance, data):
    place = chance.randrange(len(data) + 1)
    return data[:place] + chance.randbytes(chance.choice((1, 2, 8, 100, 5000))) + data[place:]


def remove(chance, data):
    place = chance.randrange(len(data))
    return data[:place] + data[place + chance.choice((1, 2, 8, 100)) :]


def repeat(chance, data):
    start = chance.randrange(len(data))
    part = data[start : start + chance.choice((1, 8, 100, 1000))]
    return data[:start] + part * chance.choice((2, 3, 50)) + data[start + len(part) :]


def exchange(chance, data):
    one, two = sorted(chance.randrange(len(data)) for _ in range(2))
    size = chance.choice((1, 4, 16))
    return data[:one] + data[two : two + size] + data[one + size :]


def word(chance, data):
    place = chance.choice((0, 0, chance.randrange(len(data))))
    return data[:place] + chance.choice(WORDS).to_bytes(8, "little") + data[place + 8 :]


def text(chance, data):
    """Puts something odd in the place of a number or a string, whichever it is."""
    ends = [i for i, byte in enumerate(data) if byte in b'":,[]{}']
    place = chance.choice(ends)
    return data[:place] + chance.choice(TEXTS) + data[place + chance.choice((0, 1, 5)) :]


BYTES = (flip, flip, truncate, insert, remove, repeat, exchange, word, text)

# What changes the two JSON documents of an entry, so that all around them stays right.


def places(value, path=()):
    """Yields the way to each part of a JSON value."""
    yield path
    if isinstance(value, dict | list):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(part, (*path, key))


def changed(chance, value):
    """Returns JSON in which one part is another value, is gone, or is there twice."""
    value = json.loads(json.dumps(value))
    *way, last = chance.choice([path for path in places(value) if path])
    inner = value
    for key in way:
        inner = inner[key]
    kind = chance.choice(("value", "value", "value", "gone", "twice"))
    if kind == "gone":
        del inner[last]
    elif kind == "value":
        inner[last] = chance.choice(VALUES)
    elif isinstance(inner, dict):
        inner[chance.choice(("maps", "extra", "", "__metadata__"))] = inner[last]
    else:
        inner.append(inner[last])
    return value


def parts(payload):
    size = int.from_bytes(payload[:8], "little")
    header = json.loads(payload[8 : 8 + size])
    data = payload[8 + size :]
    cut = header["record"]["data_offsets"]
    return header, data, json.loads(data[slice(*cut)])


def joined(header, data):
    written = json.dumps(header).encode()
    return len(written).to_bytes(8, "little") + written + data


def with_record(payload, record):
    header, data, _ = parts(payload)
    written = record if isinstance(record, bytes) else json.dumps(record).encode()
    start = header["record"]["data_offsets"][0]
    header["record"] |= {"shape": [len(written)], "data_offsets": [start, start + len(written)]}
    return joined(header, data[:start] + written)


def change_header(chance, payload):
    header, data, _ = parts(payload)
    return joined(changed(chance, header), data)


def change_record(chance, payload):
    record = parts(payload)[2]
    for _ in range(chance.choice((1, 1, 2, 3))):
        record = changed(chance, record) if isinstance(record, dict) and record else record
    return with_record(payload, record)


def change_record_text(chance, payload):
    change = chance.choice((text, text, text, flip, truncate, repeat))
    return with_record(payload, change(chance, json.dumps(parts(payload)[2]).encode()))


JSON = (change_header, change_header, change_record, change_record, change_record_text)


def mutated(chance, whole):
    """Returns another file, and whether its checksum was made right again."""
    kind = chance.random()
    if kind < 0.3:
        data = whole
        while data == whole:
            data = chance.choice(BYTES)(chance, whole)
        return data, False
    payload = whole[32:]
    if kind < 0.55:
        payload = chance.choice(BYTES)(chance, payload)
    else:
        payload = chance.choice(JSON)(chance, payload)
    return hashlib.sha256(payload).digest() + payload, True


@contextlib.contextmanager
def in_time():
    """Fails where the body hangs, as far as this system can tell."""

    def give_up(*_):
        pytest.fail(f"took more than {PATIENCE} seconds")

    if not hasattr(signal, "setitimer"):
        yield
        return
    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def assert_well_formed(block):
    assert isinstance(block.values, np.ndarray)
    assert block.values.dtype == np.float32
    assert block.values.ndim == 3
    assert min(block.values.shape) > 0
    assert [type(probe) for probe in block.probes] == [str] * len(block.values)
    assert type(block.facts) is dict
    json.dumps(block.facts, allow_nan=False)


def examine(root, name, data, sealed):
    """Does all that can be done with a store of one entry; returns whether it was accepted."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    store = Store(root)

    listed = store.entries()
    found = store.blocks(KEY)
    checked = Store(root).check()

    accepted = bool(found)
    assert accepted <= sealed, "a wrong checksum was taken for a right one"
    assert len(listed) == len(found) == checked[0]
    assert len(store.damaged) == (not accepted)
    assert all("\n" not in line and len(line) < 500 for line in store.damaged)
    assert checked[1] == []  # Damage was put aside by then.
    for block in found:
        assert_well_formed(block)
    for entry in listed:
        assert type(entry.about) is dict
        assert entry.probes <= len(found[0].probes)
        json.dumps(entry.about, allow_nan=False)
        str(entry.about)
    return accepted


@pytest.mark.parametrize("batch", range(BATCHES))
def test_mutated_entries(tmp_path, originals, batch):
    accepted = 0
    for number in range(EACH):
        seed = batch * 1000 + number
        chance = random.Random(seed)
        name, whole = chance.choice(originals)
        data, sealed = mutated(chance, whole)
        root = tmp_path / str(seed)
        try:
            with in_time():
                accepted += examine(root, name, data, sealed)
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
        with contextlib.suppress(FileNotFoundError):
            (root / name).unlink()
        Store(root).put(KEY, next(blocks()), ABOUT)
        assert len(Store(root).blocks(KEY)) == 1
    # All refused would mean that no mutation reaches beyond the first check.
    assert 0 < accepted < EACH


def test_originals_are_accepted(tmp_path, originals):
    for number, (name, whole) in enumerate(originals):
        assert examine(tmp_path / str(number), name, whole, True)


def test_documents_written_anew_are_accepted(tmp_path, originals):
    """What changes JSON must break nothing else, or it would test the reader of headers alone."""
    for number, (name, whole) in enumerate(originals):
        payload = with_record(whole[32:], parts(whole[32:])[2])
        data = hashlib.sha256(payload).digest() + payload
        assert examine(tmp_path / str(number), name, data, True)
