"""What a case is, and how the small encoder is spoilt in one way."""

import functools
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import onnx
from google.protobuf.message import Message
from onnx import NodeProto, TensorProto, helper, parser
from small_models import encoder, model, save, weight

__all__ = ["encoder", "model", "save", "weight"]

#: Written to files outside of a vendor's directory: no output may ever hold it.
SECRET = b"TOP-SECRET-7f3a"

#: Name of the file that a payload makes if anything runs it.
EXECUTED = "EXECUTED"

REFUSED, RANKED, EITHER = "refused", "ranked", "either"

Make = Callable[[Path], object]
Change = Callable[[onnx.ModelProto], object]


@dataclass(frozen=True)
class Case:
    """One file that a vendor may send.

    Attributes:
        name: Unique; made of a-z, 0-9 and hyphens.
        category: One of `corpus.CATEGORIES`.
        expected: `refused`: never gets a score, and one line says why; `ranked`: harmless, and
            ranked like a good model; `either` where ONNX leaves it open.
        told: Regular expression that is found in the line that says why; '' for `ranked`.
        make: Writes the file to the path that it is given, and what belongs to it beside it.
        seconds: Within which it must be done with.
        alike: For what is ranked: whether its maps are those of the encoder as it was.
    """

    name: str
    category: str
    expected: str
    told: str
    make: Make
    seconds: float = 8.0
    alike: bool = False

    def write(self, root: Path) -> Path:
        """Writes the case below `root`, in a directory of its own; returns the model's path."""
        path = root / self.name / "vendor" / f"{self.name}.onnx"
        path.parent.mkdir(parents=True)
        self.make(path)
        return path


Row = tuple[object, ...]


def table(category: str, rows: Mapping[str, Row], **more: object) -> list[Case]:
    """Returns a case for each row: `name: (told, step, …)`.

    In place of `told`, None says that the case is ranked. The steps change the encoder, one after
    the other, or the only one writes the whole file.
    """
    cases = []
    for name, (told, *steps) in rows.items():
        expected = RANKED if told is None else REFUSED
        case = Case(name, category, expected, str(told or ""), _make(steps))
        cases.append(replace(case, **more))
    return cases


@dataclass(frozen=True)
class Whole:
    """A step that writes the whole file, other than one that changes a model."""

    write: Make


def _make(steps: Sequence[Callable | Whole]) -> Make:
    if isinstance(steps[0], Whole):
        return steps[0].write
    return lambda path: save(changed(*steps), path)


def changed(*changes: Change) -> onnx.ModelProto:
    """Returns the encoder after some changes; one that returns a model replaces it."""
    proto = encoder()
    for change in changes:
        result = change(proto)
        proto = result if isinstance(result, onnx.ModelProto) else proto
    return proto


def data(content: bytes | Callable[[], bytes]) -> Whole:
    """Returns the step that writes these bytes."""
    return Whole(lambda path: path.write_bytes(content() if callable(content) else content))


def raw(*changes: Change, more: bytes | Callable[[], bytes]) -> Whole:
    """Returns the step that writes a model, and more fields of it: protobuf merges what comes."""

    def write(path: Path) -> None:
        later = more() if callable(more) else more
        path.write_bytes(changed(*changes).SerializeToString(deterministic=True) + later)

    return Whole(write)


# Changes ------------------------------------------------------------------------------------------


def put(place: str, value: object) -> Change:
    """Returns the change of one field: `put("graph.node.1.op_type", "Foo")`."""

    def change(proto: onnx.ModelProto) -> None:
        *way, last = place.split(".")
        parent = functools.reduce(_step, way, proto)
        if isinstance(value, Message):
            _step(parent, last).CopyFrom(value)
        elif last.isdigit():
            parent[int(last)] = value
        elif isinstance(value, list):
            del getattr(parent, last)[:]
            getattr(parent, last).extend(value)
        else:
            setattr(parent, last, value)

    return change


def _step(value: object, part: str) -> object:
    return value[int(part)] if part.isdigit() else getattr(value, part)


def add(place: str, *values: object) -> Change:
    """Returns the change that appends to a repeated field."""
    return lambda proto: functools.reduce(_step, place.split("."), proto).extend(values)


def clear(*places: str) -> Change:
    """Returns the change that removes fields, or an element of a repeated one."""

    def change(proto: onnx.ModelProto) -> None:
        for place in places:
            *way, last = place.split(".")
            parent = functools.reduce(_step, way, proto)
            if last.isdigit():
                del parent[int(last)]
            else:
                parent.ClearField(last)

    return change


def attribute(node: int, **values: object) -> Change:
    """Returns the change that gives a node these attributes, instead of those of the same name."""

    def change(proto: onnx.ModelProto) -> None:
        attributes = proto.graph.node[node].attribute
        kept = [a for a in attributes if a.name not in values]
        del attributes[:]
        attributes.extend(kept)
        attributes.extend(helper.make_attribute(k, v) for k, v in values.items())

    return change


def opset(version: int, domain: str = "") -> Change:
    """Returns the change that imports a version of an operator set, instead of another."""

    def change(proto: onnx.ModelProto) -> None:
        kept = [o for o in proto.opset_import if o.domain != domain]
        del proto.opset_import[:]
        proto.opset_import.extend([*kept, helper.make_opsetid(domain, version)])

    return change


def tail(text: str, *, functions: str = "", weights: Sequence[TensorProto] = ()) -> Change:
    """Returns the change that puts nodes, in ONNX' own text form, behind the encoder.

    They take `encoded` (float[N,4,12,12]) and make `features`. Domains that they use are imported.
    """

    def change(proto: onnx.ModelProto) -> None:
        proto.graph.node[-1].output[0] = "encoded"
        proto.graph.node.extend(nodes(text))
        proto.graph.initializer.extend(weights)
        proto.functions.extend(parse_functions(functions))
        known = {o.domain for o in proto.opset_import}
        used = {n.domain for n in proto.graph.node} | {f.domain for f in proto.functions}
        proto.opset_import.extend(helper.make_opsetid(d, 1) for d in sorted(used - known))

    return change


def big(text: str, *, functions: str = "", weights: Sequence[TensorProto] = ()) -> Change:
    """Returns the change by which the largest value of `big` is added to what the encoder makes."""
    rest = "top = ReduceMax<keepdims = 0>(big) features = Add(encoded, top)"
    return tail(f"{text} {rest}", functions=functions, weights=weights)


def nodes(text: str) -> list[NodeProto]:
    """Returns nodes of the text form of ONNX, without a trace of where they come from."""
    parsed = list(parser.parse_graph(f"g (float x) => (float y) {{ {text} }}").node)
    for number, node in enumerate(parsed):
        node.name = f"/tail/{node.op_type}_{number}"
    return parsed


def parse_functions(text: str) -> Iterator[onnx.FunctionProto]:
    """Yields functions of the text form of ONNX, one after each `---`."""
    return (parser.parse_function(part) for part in text.split("---") if part.strip())


# Protobuf by hand ---------------------------------------------------------------------------------


def varint(number: int) -> bytes:
    """Returns `number` as protobuf writes it."""
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def field(number: int, content: bytes | int) -> bytes:
    """Returns one protobuf field: a whole number, or bytes, a string or a message."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


#: Numbers of fields of a model and of a graph.
GRAPH, NODE, INITIALIZER = 7, 1, 5


def noise(size: int, seed: int = 0) -> bytes:
    """Returns random bytes, always the same."""
    return random.Random(seed).randbytes(size)
