"""Valid models, changed at random: any mutant can be made again from its name, such as `byte-17`.

python tests/robustness/mutants.py FOLDER NAME …    writes them
"""

import math
import random
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "cli"))

import onnx
from edits import edited
from google.protobuf.message import Message
from more_seeds import MORE
from seeds import SEEDS, seed

#: Bytes or fields of models that are in `seeds`, and fields of those that are in `more_seeds`.
KINDS = ("byte", "field", "more")

#: Mutants by which defects were found, one of each kind.
FOUND = (
    "byte-2144", "field-54", "field-358", "field-375", "field-446", "field-714", "field-1250",
    "field-1418", "field-1855", "field-3172", "field-3640", "field-4014", "field-4782",
    "field-4950", "field-5037", "field-5147", "field-8142",
)  # fmt: skip


def names(kind: str, count: int) -> list[str]:
    """Returns the names of the first mutants of a kind."""
    return [f"{kind}-{number}" for number in range(count)]


def mutant(name: str) -> bytes:
    """Returns the bytes of a mutant."""
    kind, _ = name.split("-")
    chance = random.Random(name)
    if kind == "more":
        return _mutate_fields(chance, seed(chance.choice(list(MORE))), list(MORE))
    origin = seed(chance.choice(list(SEEDS)))
    if kind == "byte":
        return edited(chance, origin, seed(chance.choice(list(SEEDS))))
    return _mutate_fields(chance, origin)


# Fields -------------------------------------------------------------------------------------------

_INTS = (0, 1, -1, 2, 3, 5, 7, 13, 127, 255, 65536, 2**31 - 1, 2**31, -(2**31), 2**32, 2**40)
_LONG = (2**62, 2**63 - 1, -(2**63), -(2**63) + 1)
_FLOATS = (0.0, -0.0, 1.0, -1.0, 1e-45, 1e30, 3.4e38, -3.4e38, math.inf, -math.inf, math.nan)
_TEXTS = (
    "", " ", "\x00", "\x1b[2J", "a\nb\r\n", "\u202eabc", "ü模型", "../../etc/passwd", "/dev/zero",
    "%s%n{0}{x.__class__}", "[bold]x[/x]", "a.b", "a/b", "0", "-1", "class", "__init__", "forward",
    "training", "image", "features", "N", "x" * 300, "x" * 5000, "\U0010ffff", "SAME_UPPER",
    "VALID", "NOTSET", "linear", "cubic", "nearest", "reflect", "edge", "ai.onnx", "ai.onnx.ml",
    "com.microsoft", "onnxattr", "local",
)  # fmt: skip
_DATA = (b"", b"\x00", b"\xff" * 4, b"\x00\x00\xc0\x7f", b"\x00\x00\x80\x7f", b"\xff" * 8)


def _mutate_fields(
    chance: random.Random, data: bytes, others: Sequence[str] = tuple(SEEDS)
) -> bytes:
    """Returns a model after some changes; parts of it may come from `others`."""
    proto = onnx.ModelProto.FromString(data)
    left, changed = chance.choice((1, 1, 1, 1, 2, 2, 3, 6)), data
    while left > 0 or changed == data:
        try:
            change = chance.choice(_CHANGES)
            left -= _graft(chance, proto, others) if change is _graft else change(chance, proto)
        except (ValueError, TypeError, IndexError):  # What a field cannot hold, or a graph lacks.
            continue
        changed = proto.SerializeToString(deterministic=True)
    return changed


def _messages(proto: Message) -> Iterator[Message]:
    yield proto
    for field, value in proto.ListFields():
        if field.message_type is not None:
            for part in [value] if isinstance(value, Message) else value:
                yield from _messages(part)


def _some(chance: random.Random, proto: Message, kind: str = "") -> Message | None:
    """Returns a message, each type as likely as any other: dimensions are many, graphs are few."""
    types: dict[str, list[Message]] = {}
    for message in _messages(proto):
        types.setdefault(message.DESCRIPTOR.name, []).append(message)
    found = types.get(kind, []) if kind else types[chance.choice(sorted(types))]
    return chance.choice(found) if found else None


def _repeated(value: object) -> bool:
    return not isinstance(value, Message | int | float | str | bytes)


def _value(chance: random.Random, field: object, proto: onnx.ModelProto) -> object:
    """Returns a value for a field that is no message."""
    kind = field.type  # type: ignore[attr-defined]
    if kind == field.TYPE_STRING:  # type: ignore[attr-defined]
        return chance.choice((*_TEXTS, *_names(proto), *_names(proto)))
    if kind == field.TYPE_BYTES:  # type: ignore[attr-defined]
        return chance.choice((*_DATA, *(text.encode() for text in _TEXTS), chance.randbytes(64)))
    if kind in (field.TYPE_FLOAT, field.TYPE_DOUBLE):  # type: ignore[attr-defined]
        return chance.choice(_FLOATS)
    if kind == field.TYPE_ENUM:  # type: ignore[attr-defined]
        return chance.choice(field.enum_type.values).number  # type: ignore[attr-defined]
    return chance.choice((*_INTS, *_LONG, chance.randrange(30)))


def _names(proto: onnx.ModelProto) -> list[str]:
    graph = proto.graph
    used = {name for node in graph.node for name in (*node.input, *node.output)}
    return sorted(used | {tensor.name for tensor in graph.initializer})


def _change_field(chance: random.Random, proto: onnx.ModelProto) -> bool:
    """Sets, clears or adds what one field holds."""
    message = _some(chance, proto)
    present = [field for field, _ in message.ListFields()]
    every = list(message.DESCRIPTOR.fields)
    field = chance.choice(present if present and chance.random() < 0.7 else every)
    held = getattr(message, field.name)
    if _repeated(held):
        return _change_list(chance, proto, field, held)
    if field.message_type is not None:
        if chance.random() < 0.5 and message.HasField(field.name):
            message.ClearField(field.name)
        else:
            held.SetInParent()
    elif chance.random() < 0.2:
        message.ClearField(field.name)
    elif field.type == field.TYPE_BYTES and held and chance.random() < 0.7:
        setattr(message, field.name, _mutate_data(chance, held))
    else:
        setattr(message, field.name, _value(chance, field, proto))
    return True


def _change_list(
    chance: random.Random, proto: onnx.ModelProto, field: object, held: object
) -> bool:
    """Drops, doubles, exchanges, empties or adds an element."""
    count = len(held)
    what = chance.choice(("drop", "double", "swap", "empty", "add", "change", "many"))
    if count == 0 and what != "add":
        return False
    place, other = (chance.randrange(count), chance.randrange(count)) if count else (0, 0)
    if what == "drop":
        del held[place]
    elif what == "empty":
        del held[:]
    elif what == "add":
        if field.message_type is not None:
            held.add()
        else:
            held.append(_value(chance, field, proto))
    elif what in ("double", "many"):
        part = held[place]
        for _ in range(1 if what == "double" else chance.choice((2, 7, 40))):
            held.append(part)
    elif field.message_type is None:
        held[place] = held[other] if what == "swap" else _value(chance, field, proto)
    elif what == "swap" and place != other:
        first, second = type(held[place])(), type(held[place])()
        first.CopyFrom(held[place])
        second.CopyFrom(held[other])
        held[place].CopyFrom(second)
        held[other].CopyFrom(first)
    else:
        return False
    return True


def _mutate_data(chance: random.Random, data: bytes) -> bytes:
    """Changes the values of a tensor, most often without changing their number."""
    what = chance.randrange(6)
    if what == 0:
        return data[: chance.randrange(len(data))]
    if what == 1:
        return data + data[: chance.randrange(1, len(data) + 1)]
    if what == 2:
        return bytes(len(data))
    if what == 3:
        return chance.randbytes(len(data))
    value = chance.choice(_DATA[1:])
    place = chance.randrange(len(data)) // len(value) * len(value)
    return (data[:place] + value + data[place + len(value) :])[: len(data)]


def _change_operator(chance: random.Random, proto: onnx.ModelProto) -> bool:
    node = _some(chance, proto, "NodeProto")
    if node is None:
        return False
    node.op_type = chance.choice(_operators())
    node.ClearField("domain")
    return True


def _add_attribute(chance: random.Random, proto: onnx.ModelProto) -> bool:
    """Adds what an operator may have, or changes it, to a value of the right type."""
    node = _some(chance, proto, "NodeProto")
    if node is None or node.op_type not in _schemas():
        return False
    known = sorted(_schemas()[node.op_type])
    if not known:
        return False
    name = chance.choice(known)
    kind = _schemas()[node.op_type][name]
    for place, attribute in enumerate(node.attribute):
        if attribute.name == name:
            del node.attribute[place]
            break
    attribute = node.attribute.add(name=name, type=kind)
    types = onnx.AttributeProto
    length = chance.choice((0, 1, 2, 2, 3, 4, 4, 8))
    small = (*range(-3, 6), *_INTS, *_LONG)
    if kind == types.INT:
        attribute.i = chance.choice(small)
    elif kind == types.INTS:
        attribute.ints.extend(chance.choice(small) for _ in range(length))
    elif kind == types.FLOAT:
        attribute.f = chance.choice(_FLOATS)
    elif kind == types.FLOATS:
        attribute.floats.extend(chance.choice(_FLOATS) for _ in range(length))
    elif kind == types.STRING:
        attribute.s = chance.choice(_TEXTS).encode()
    elif kind == types.STRINGS:
        attribute.strings.extend(chance.choice(_TEXTS).encode() for _ in range(length))
    elif kind == types.TENSOR and proto.graph.initializer:
        attribute.t.CopyFrom(chance.choice(proto.graph.initializer))
    return True


def _graft(
    chance: random.Random, proto: onnx.ModelProto, others: Sequence[str] = tuple(SEEDS)
) -> bool:
    """Replaces a message by another of its type, from the same or from another model."""
    other = onnx.ModelProto.FromString(seed(chance.choice(others)))
    target = _some(chance, proto)
    source = _some(chance, chance.choice((proto, other)), target.DESCRIPTOR.name)
    if source is None or target.DESCRIPTOR.name == "ModelProto":
        return False
    copy = type(target)()
    copy.CopyFrom(source)
    target.CopyFrom(copy)
    return True


def _rewire(chance: random.Random, proto: onnx.ModelProto) -> bool:
    """Has a node read, or write, another value."""
    node = _some(chance, proto, "NodeProto")
    side = node and (node.input if chance.random() < 0.7 else node.output)
    if not side:
        return False
    side[chance.randrange(len(side))] = chance.choice(_names(proto))
    return True


def _change_opset(chance: random.Random, proto: onnx.ModelProto) -> bool:
    opset = _some(chance, proto, "OperatorSetIdProto")
    if opset is None:
        return False
    opset.version = chance.randrange(1, 27)
    return True


def _change_shape(chance: random.Random, proto: onnx.ModelProto) -> bool:
    """Changes the dimensions of a stored tensor, to others of the same product among them."""
    tensor = _some(chance, proto, "TensorProto")
    if tensor is None:
        return False
    dims = list(tensor.dims)
    what = chance.randrange(4)
    if what == 0:
        chance.shuffle(dims)
    elif what == 1:
        dims.insert(chance.randrange(len(dims) + 1), 1)
    elif what == 2:
        dims = [math.prod(dims)]
    else:
        dims = [chance.choice((*_INTS, *_LONG)) for _ in range(chance.randrange(6))]
    tensor.ClearField("dims")
    tensor.dims.extend(dims)
    return True


def _send_away(chance: random.Random, proto: onnx.ModelProto) -> bool:
    """Says that a tensor is in another file."""
    tensor = _some(chance, proto, "TensorProto")
    if tensor is None:
        return False
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key in chance.sample(("location", "offset", "length", "checksum"), chance.randrange(1, 5)):
        value = chance.choice((*_TEXTS, "weights", *map(str, _INTS), *map(str, _LONG)))
        tensor.external_data.add(key=key, value=value)
    return True


_CHANGES = (
    _change_field, _change_field, _change_field, _change_field, _change_operator, _add_attribute,
    _add_attribute, _graft, _rewire, _change_opset, _change_shape, _send_away,
)  # fmt: skip


@cache
def _schemas() -> dict[str, dict[str, int]]:
    """Returns the attributes of every operator, and their types."""
    return {
        schema.name: {name: int(known.type.value) for name, known in schema.attributes.items()}
        for schema in onnx.defs.get_all_schemas()
        if schema.domain == ""
    }


@cache
def _operators() -> list[str]:
    return sorted(_schemas())


if __name__ == "__main__":
    folder, *chosen = sys.argv[1:]
    for each in chosen:
        (Path(folder) / f"{each}.onnx").write_bytes(mutant(each))
