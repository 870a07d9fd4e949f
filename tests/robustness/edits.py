"""Changes of bytes, whatever they mean."""

import random

#: What lengths, keys and numbers are made of.
_BYTES = (
    b"\x00", b"\x01", b"\x7f", b"\x80", b"\xff", b"\x00" * 4, b"\xff" * 2, b"\xff" * 4, b"\xff" * 8,
    b"\xff\xff\xff\xff\x07", b"\xff" * 9 + b"\x01", b"\x7f\xff\xff\xff", b"\x00\x01\x00\x00",
)  # fmt: skip


def edited(chance: random.Random, data: bytes, other: bytes) -> bytes:
    """Returns `data` after one or several changes, by some of which parts of `other` get in."""
    for _ in range(chance.choice((1, 1, 1, 1, 2, 3, 8))):
        data = chance.choice(_EDITS)(chance, data, other) or b"\x08"
    return data


def _flip(chance: random.Random, data: bytes, other: bytes) -> bytes:
    changed = bytearray(data)
    changed[_place(chance, data)] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _set(chance: random.Random, data: bytes, other: bytes) -> bytes:
    value = chance.choice((*_BYTES, chance.randbytes(1), chance.randbytes(4)))
    place = _place(chance, data)
    return data[:place] + value + data[place + len(value) :]


def _insert(chance: random.Random, data: bytes, other: bytes) -> bytes:
    place = _place(chance, data)
    return data[:place] + chance.choice((*_BYTES, chance.randbytes(3))) + data[place:]


def _delete(chance: random.Random, data: bytes, other: bytes) -> bytes:
    start, end = _slice(chance, data)
    return data[:start] + data[end:]


def _double(chance: random.Random, data: bytes, other: bytes) -> bytes:
    (start, end), place = _slice(chance, data), _place(chance, data)
    return data[:place] + data[start:end] * chance.choice((1, 1, 2, 50)) + data[place:]


def _truncate(chance: random.Random, data: bytes, other: bytes) -> bytes:
    return data[: chance.randrange(len(data))]


def _splice(chance: random.Random, data: bytes, other: bytes) -> bytes:
    return data[: chance.randrange(len(data))] + other[chance.randrange(len(other)) :]


def _join(chance: random.Random, data: bytes, other: bytes) -> bytes:
    return data + other


def _place(chance: random.Random, data: bytes) -> int:
    """Returns a place, of which every other is near the start, where headers are."""
    return chance.randrange(len(data) if chance.random() < 0.5 else min(len(data), 64))


def _slice(chance: random.Random, data: bytes) -> tuple[int, int]:
    start = _place(chance, data)
    return start, start + chance.choice((1, 1, 2, 4, chance.randrange(1, 200)))


_EDITS = (_flip, _flip, _set, _set, _insert, _delete, _double, _truncate, _splice, _join)
