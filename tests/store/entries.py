"""Blocks whose content follows from their names, and files that the store did not write itself."""

import hashlib
import json

import numpy as np
from safetensors.numpy import save

from onnxattr.store import Block, make_key

KEY, OTHER = make_key({"model": 1}), make_key({"model": 2})
FACTS = {"batch": 8, "parity": 1e-6, "tolerance": 1e-3, "gradient": None}
ABOUT = {"name": "edges", "model": "c" * 64, "method": "saliency", "tensor": "features"}


def probe(number):
    return hashlib.sha256(str(number).encode()).hexdigest()


def block(*numbers, size=(3, 4), key=KEY):
    """Maps of every value that a float can have, among them those that are no numbers."""
    count = size[0] * size[1]
    maps = []
    for number in numbers:
        seed = int(hashlib.sha256(f"{key}{number}{size}".encode()).hexdigest()[:16], 16)
        bits = np.random.default_rng(seed).integers(0, 2**32, count, np.uint32)
        maps.append(bits.view(np.float32).reshape(size))
    return Block(np.stack(maps), tuple(map(probe, numbers)), FACTS)


def same(one, two):
    """Whether two blocks are the same, bit for bit."""
    return (
        one.values.dtype == two.values.dtype == np.float32
        and one.values.shape == two.values.shape
        and one.values.tobytes() == two.values.tobytes()
        and one.probes == two.probes
        and one.facts == two.facts
    )


def files(root, *, below="v1"):
    """What is in the store, but for directories and the lock."""
    return sorted(p for p in (root / below).rglob("*") if not p.is_dir() or p.is_symlink())


def record(count=1, key=KEY, **parts):
    names = [probe(i) for i in range(count)]
    return {"key": key, "probes": names, "facts": FACTS, "about": ABOUT} | parts


def sealed(payload):
    """The bytes of a file whose checksum is right, whatever it holds."""
    return hashlib.sha256(payload).digest() + payload


def forged(values, text, **tensors):
    """The bytes of an entry that somebody else wrote."""
    text = json.dumps(text).encode() if not isinstance(text, bytes) else text
    return sealed(save({"maps": values, "record": np.frombuffer(text, np.uint8), **tensors}))
