"""What stops a conversion: every operator without a converter, all at once."""

import onnx
from onnx2torch.node_converters import get_converter

from onnxattr.errors import SupportError
from onnxattr.types import Model, Unsupported

#: Operators for which onnx2torch returns all outputs. For others, such as Dropout with its mask, it
#: returns the first alone and then takes that tensor's rows for the outputs.
_RETURN_ALL = {"Split", "TopK"}


def unsupported(dialect: Model) -> tuple[Unsupported, ...]:
    """Returns the operators of a normalised model that have no converter, by ONNX name.

    Args:
        dialect: What `graph.normalise` returned.
    """
    versions = {o.domain: o.version for o in dialect.proto.opset_import}
    found: dict[str, list[str]] = {}
    for node in dialect.proto.graph.node:
        if not _has_converter(node, versions):
            vendor = dialect.names.nodes[node.name]
            found.setdefault(vendor.op_type, []).append(vendor.name)
    return tuple(Unsupported(op, tuple(nodes)) for op, nodes in sorted(found.items()))


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


def _has_converter(node: onnx.NodeProto, versions: dict[str, int]) -> bool:
    if len(node.output) > 1 and not node.domain and node.op_type not in _RETURN_ALL:
        return False
    try:
        get_converter(
            operation_type=node.op_type, version=versions[node.domain], domain=node.domain
        )
    except NotImplementedError:
        return False
    return True
