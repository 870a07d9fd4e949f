"""The end of a graph as a small drawing of text, from top to bottom."""

from collections.abc import Iterator, Sequence

from onnxattr.sanitise import clean
from onnxattr.types import TailNode


def tail_lines(nodes: Sequence[TailNode]) -> Iterator[str]:
    """Yields a line for each node: its operator, the shape that it makes, its name, and marks.

    Example:
        >>> from onnxattr.types import TailNode
        >>> nodes = [
        ...     TailNode("Relu", "act", "r", "float32[1,8]", chosen=True, output=False),
        ...     TailNode("Gemm", "fc", "y", "float32[1,2]", chosen=False, output=True),
        ... ]
        >>> for line in tail_lines(nodes):
        ...     print(line)
        * Relu  float32[1,8]  act  <- attributed
        | Gemm  float32[1,2]  fc  -> output `y`
    """
    kinds = [clean(node.op_type) for node in nodes]
    shapes = [clean(node.shape) or "?" for node in nodes]
    wide, wider = (max(map(len, texts), default=0) for texts in (kinds, shapes))
    for node, kind, shape in zip(nodes, kinds, shapes, strict=True):
        if node.skipped:
            yield f": {node.skipped} more nodes" if node.skipped > 1 else ": one more node"
        marks = ["<- attributed"] * node.chosen
        marks += [f"-> output `{node.value}`"] * node.output
        texts = (f"{kind:<{wide}}", f"{shape:<{wider}}", node.name, ", ".join(marks))
        line = "  ".join(text for text in texts if text)
        yield clean(f"{'*' if node.chosen else '|'} {line.rstrip()}")
