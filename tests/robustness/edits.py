"""Changes of bytes, whatever they mean."""

import random

#: What lengths, keys and numbers are made of.
_BYTES = (
    b"\x00", b"\x01", b"\x7f", b"\x80", b"\xff", b"\x00" * 4, b"\xff" * 2, b"\xff" * 4, b"\xff" * 8,
    b"\xff\xff\xff\xff\x07", b"\xff" * 9 + b"\x01", b"\x7f\xff\xff\xff", b"\x00\x01\x00\x00",
)  # fmt: skip


def edited(chance: random.Random, data: bytes, other: bytes, *, head: int = 0) -> bytes:
    """Returns `data` after one or several changes, by some of which parts of `other` get in.

    Args:
        chance: Decides.
        data: What is changed.
        other: Something of the same kind.
        head: Bytes of a header, in which every other change is made.
    """
    for _ in range(chance.choice((1, 1, 1, 1, 2, 3, 8))):
        front = head if chance.random() < 0.5 else 0
        place = chance.randrange(min(front, len(data)) or len(data))
        data = chance.choice(_EDITS)(chance, data, place, other) or b"\x08"
    return data


def _flip(chance: random.Random, data: bytes, place: int, other: bytes) -> bytes:
    changed = bytearray(data)
    changed[place] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _set(chance: random.Random, data: bytes, place: int, other: bytes) -> bytes:
    value = chance.choice((*_BYTES, chance.randbytes(1), chance.randbytes(4)))
    return data[:place] + value + data[place + len(value) :]


def _insert(chance: random.Random, data: bytes, place: int, other: bytes) -> bytes:
    return data[:place] + chance.choice((*_BYTES, chance.randbytes(3))) + data[place:]


def _delete(chance: random.Random, data: bytes, place: int, other: bytes) -> bytes:
    return data[:place] + data[place + _length(chance) :]


def _double(chance: random.Random, data: bytes, place: int, other: bytes) -> bytes:
    start = chance.randrange(len(data))
    part = data[start : start + _length(chance)] * chance.choice((1, 1, 2, 50))
    return data[:place] + part + data[place:]


def _truncate(chance: random.Random, data: bytes, place: int, other: bytes) -> bytes:
    return data[:place]


def _splice(chance: random.Random, data: bytes, place: int, other: bytes) -> bytes:
    return data[:place] + other[chance.randrange(len(other)) :]


def _join(chance: random.Random, data: bytes, place: int, other: bytes) -> bytes:
    return data + other


def _length(chance: random.Random) -> int:
    return chance.choice((1, 1, 2, 4, chance.randrange(1, 200)))


_EDITS = (_flip, _flip, _set, _set, _insert, _delete, _double, _truncate, _splice, _join)
