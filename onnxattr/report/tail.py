"""The end of a graph as a small drawing of text, from top to bottom."""

from collections.abc import Iterator, Sequence

from onnxattr.sanitise import clean
from onnxattr.types import TailNode

#: Characters of a name in the drawing; the end of a path tells most.
_NAME = 32


def tail_lines(nodes: Sequence[TailNode]) -> Iterator[str]:
    """Yields a line for each node: its operator, the shape that it makes, its name, and marks.

    Example:
        >>> from onnxattr.types import TailNode
        >>> nodes = [
        ...     TailNode("Relu", "act", "r", "float32[batch,8]", chosen=True, output=False),
        ...     TailNode("Gemm", "fc", "y", "float32[batch,2]", chosen=False, output=True),
        ... ]
        >>> for line in tail_lines(nodes):
        ...     print(line)
        * Relu  float32[batch,8]  act  <- attributed
        | Gemm  float32[batch,2]  fc   -> output `y`
    """
    kinds = [clean(node.op_type) for node in nodes]
    shapes = [clean(node.shape) or "?" for node in nodes]
    names = [_end(clean(node.name)) for node in nodes]
    wide, wider, widest = (max(map(len, texts), default=0) for texts in (kinds, shapes, names))
    for node, kind, shape, name in zip(nodes, kinds, shapes, names, strict=True):
        if node.skipped:
            yield f": {node.skipped} more nodes" if node.skipped > 1 else ": one more node"
        marks = ["<- attributed"] * node.chosen
        marks += [f"-> output `{_end(clean(node.value))}`"] * node.output
        line = f"{kind:<{wide}}  {shape:<{wider}}  {name:<{widest}}  {', '.join(marks)}"
        yield f"{'*' if node.chosen else '|'} {line.rstrip()}"


def _end(name: str) -> str:
    return name if len(name) <= _NAME else f"…{name[1 - _NAME :]}"
