"""What stops a conversion or a gradient: every operator of it, all at once, and what is left."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import onnx
from onnx import TensorProto

from onnxattr.convert.ops import OPERATORS
from onnxattr.errors import SupportError
from onnxattr.graph.load import OWN_DOMAIN
from onnxattr.graph.walk import nodes, short, taken
from onnxattr.types import Model, Unsupported

#: They read the size of their input, whose values do not matter to them.
_SIZES = ("Shape_", "Size_")

_FLOATS = {
    TensorProto.FLOAT,
    TensorProto.DOUBLE,
    TensorProto.FLOAT16,
    TensorProto.BFLOAT16,
    TensorProto.UNDEFINED,
}


def unsupported(dialect: Model) -> tuple[Unsupported, ...]:
    """Returns the operators of a normalised model that have no converter, by ONNX name.

    Args:
        dialect: What `graph.normalise` returned.
    """
    return grouped(dialect, (n for n in nodes(dialect.proto.graph) if not has_converter(n)))


def gradientless(dialect: Model, at: str = "") -> tuple[Unsupported, ...]:
    """Returns the operators of a normalised model at which a gradient ends, by ONNX name.

    Such as ArgMax, Round or a Cast to integers, where what they are given depends on the input
    differentiably. Operators without a converter are not among them.

    Args:
        dialect: What `graph.normalise` returned.
        at: The vendor's name of the tensor that a gradient is taken to, where it is not the input.
    """
    flowing = _flowing(dialect, at)
    ends = (
        node
        for node in dialect.proto.graph.node
        if has_converter(node)
        and not node.op_type.startswith(_SIZES)
        and any(name in flowing for name in taken(node))
        and not any(name in flowing for name in node.output)
    )
    return grouped(dialect, ends)


def remedy(dialect: Model, at: str = "") -> str:
    """Returns what can be done about operators without converter or gradient; '' if nothing need.

    The outputs have a gradient, or the last tensor on the way to them that has one is named.

    Args:
        dialect: What `graph.normalise` returned.
        at: As for `gradientless`.
    """
    graph, flowing = dialect.proto.graph, _flowing(dialect, at)
    if all(value.name in flowing for value in graph.output):
        return ""
    made = {name for node in graph.node for name in node.output}
    ends = [
        name
        for node in graph.node
        for name in taken(node)
        if name in flowing and name in made and not any(out in flowing for out in node.output)
    ]
    vendor = [dialect.names.values[name] for name in ends if name in dialect.names.values]
    if not vendor:
        return "no tensor behind its input has a gradient"
    return f"--at `{short(vendor[-1])}` attributes the last tensor that has a gradient"


def require_support(dialect: Model) -> None:
    """Raises an error that names every operator of `dialect` without a converter.

    Raises:
        SupportError: There is at least one.
    """
    missing = unsupported(dialect)
    if missing:
        listing = ", ".join(f"`{u.operator}` ({len(u.nodes)})" for u in missing)
        raise SupportError(
            f"no converter for these operators of opset {dialect.opset} (nodes): {listing}",
            hint=f"`onnxattr inspect` lists the nodes of `{dialect.name}`",
            model=dialect.name,
        )


def has_converter(node: onnx.NodeProto) -> bool:
    """Whether the table has the operator of a normalised model's node."""
    return node.domain == OWN_DOMAIN and node.op_type in OPERATORS


def grouped(dialect: Model, found: Iterable[onnx.NodeProto]) -> tuple[Unsupported, ...]:
    """Returns nodes of a normalised model by their operators, under the vendor's names."""
    groups: dict[str, list[str]] = {}
    for node in found:
        vendor = dialect.names.nodes[node.name]
        # Of another domain's operator the label has the domain, and no version.
        operator = node.op_type if "." in node.op_type else vendor.op_type
        groups.setdefault(operator.removeprefix("."), []).append(vendor.name)
    return tuple(Unsupported(op, once(names)) for op, names in sorted(groups.items()))


def once(names: Iterable[str]) -> tuple[str, ...]:
    """Returns the names of nodes, each once: a loop that was written out repeats those in it.

    Nodes without a name may be others, and stay.
    """
    return tuple({name or object(): name for name in names}.values())


def _flowing(dialect: Model, at: str) -> Collection[str]:
    """Returns the values of the main graph that depend on its inputs, or `at`, with a gradient.

    Pixels have one too: an image of uint8 is fed as numbers that know where they come from, and
    what moves them, such as a Transpose before the Cast, hands that on.
    """
    graph = dialect.proto.graph
    kinds = {v.name: v.type.tensor_type.elem_type for v in (*graph.value_info, *graph.output)}
    pixels = {v.name for v in graph.input if v.type.tensor_type.elem_type == TensorProto.UINT8}
    flowing = {v.name for v in graph.input if v.type.tensor_type.elem_type in _FLOATS} | pixels
    for node in graph.node:
        flowing.update(v for v in node.output if at and dialect.names.values.get(v) == at)
        entry = OPERATORS.get(node.op_type) if node.domain == OWN_DOMAIN else None
        if entry is None or not entry.gradient:
            continue
        if any(name in flowing for name in taken(node)):
            # Integers that live between quantised operators carry a gradient.
            carried = any(a.name == "carry" and a.i for a in node.attribute)
            if any(name in pixels for name in taken(node)):
                pixels.update(v for v in node.output if kinds.get(v) == TensorProto.UINT8)
                flowing |= pixels
            flowing.update(
                name
                for name in node.output
                if name and (carried or kinds.get(name, TensorProto.UNDEFINED) in _FLOATS)
            )
    return flowing
