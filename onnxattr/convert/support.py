"""What stops a conversion: every operator without a converter, all at once."""

import onnx

from onnxattr.convert.ops import OPERATORS
from onnxattr.errors import SupportError
from onnxattr.graph.load import OWN_DOMAIN
from onnxattr.graph.walk import nodes
from onnxattr.types import Model, Unsupported


def unsupported(dialect: Model) -> tuple[Unsupported, ...]:
    """Returns the operators of a normalised model that have no converter, by ONNX name.

    Args:
        dialect: What `graph.normalise` returned.
    """
    found: dict[str, list[str]] = {}
    for node in nodes(dialect.proto.graph):
        if not _has_converter(node):
            vendor = dialect.names.nodes[node.name]
            # Of another domain's operator the label has the domain, and no version.
            operator = node.op_type if "." in node.op_type else vendor.op_type
            found.setdefault(operator.removeprefix("."), []).append(vendor.name)
    return tuple(Unsupported(op, tuple(names)) for op, names in sorted(found.items()))


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


def _has_converter(node: onnx.NodeProto) -> bool:
    return node.domain == OWN_DOMAIN and node.op_type in OPERATORS
