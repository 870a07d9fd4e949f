"""The main graph of a model as it is walked backwards from an output."""

from dataclasses import dataclass

import onnx

from onnxattr.graph.walk import STANDARD, graphs, taken

#: Operators that move or cast values and change none.
_CARRIERS = {
    "Cast", "CastLike", "DequantizeLinear", "Dropout", "Flatten", "Identity", "QuantizeLinear",
    "Reshape", "Squeeze", "Transpose", "Unsqueeze", "ZipMap",
}  # fmt: skip

#: What is done to single numbers of an input before the first layer.
_PREPARATIONS = {"Add", "BatchNormalization", "Div", "Imputer", "Mul", "Scaler", "Sub"}

#: Layers whose sums of integers are scaled behind them.
INTEGER = {"ConvInteger", "MatMulInteger"}

#: Domains whose operators are known by their names.
_DOMAINS = {*STANDARD, "ai.onnx.ml", "com.microsoft"}

#: How many steps a side path is followed: a graph may have millions of them.
SIDE = 32

#: Nodes of a branch that is looked into.
_BRANCH = 8

#: What is as many numbers as its inputs.
_ONE_TO_ONE = {
    "Abs", "Add", "Div", "Exp", "Max", "Min", "Mul", "Neg", "Pow", "Reciprocal", "Sqrt", "Sub",
}  # fmt: skip


@dataclass(frozen=True)
class Walk:
    """The main graph as it is walked backwards.

    Attributes:
        producers: Nodes of ONNX's own operators by what they make; what others mean is unknown.
        live: Values that depend on the input. What depends on its shape only does not.
        shapes: Of what is stored.
        inputs: What must be fed.
    """

    producers: dict[str, onnx.NodeProto]
    live: frozenset[str]
    shapes: dict[str, tuple[int, ...]]
    inputs: frozenset[str]

    @classmethod
    def of(cls, graph: onnx.GraphProto, source: str | None = None) -> "Walk":
        """Returns a graph as it is walked.

        Args:
            graph: The main graph.
            source: The input that is followed; by default all of them.
        """
        inputs = frozenset(str(v.name) for v in graph.input) - {t.name for t in graph.initializer}
        followed = {source} if source and source in inputs else set(inputs)
        shapes = {t.name: tuple(t.dims) for t in graph.initializer}
        producers: dict[str, onnx.NodeProto] = {}
        for node in graph.node:
            if node.domain not in _DOMAINS:
                continue
            if node.op_type == "Constant" and node.output:
                shapes[node.output[0]] = _dims(node)
            elif node.input:  # Nobody checks how many inputs ONNX Runtime's own operators have.
                producers.update((value, node) for value in node.output if value)
        return cls(producers, frozenset(_live(graph, followed)), shapes, inputs)

    def source(self, value: str) -> str:
        """Returns the tensor that `value` is but for its shape and type."""
        for _ in range(SIDE):
            node = self.producers.get(value)
            before = self.carried(node) if node is not None else None
            if before is None:
                break
            value = before
        return value

    def untouched(self, value: str) -> bool:
        """Whether a value is an input, prepared number by number at most."""
        while (node := self.producers.get(value)) is not None:
            live = [v for v in node.input if v in self.live]
            before = self.carried(node)
            if before is None and node.op_type in _PREPARATIONS and len(live) == 1:
                before = live[0]
            if before is None:
                return False
            value = before
        return value in self.inputs

    def carried(self, node: onnx.NodeProto) -> str | None:
        """Returns what a node moves or casts, or None where it does more."""
        if node.op_type == "If" and len(node.output) == 1:
            same = _same(node)
            return same if same in self.live else None
        return str(node.input[0]) if node.op_type in _CARRIERS and node.input else None

    def scaled(self, node: onnx.NodeProto) -> str | None:
        """Returns what is multiplied by one constant number, or what constants are added to."""
        if node.op_type not in ("Add", "Div", "Mul", "Sub") or len(node.input) != 2:
            return None
        live = [v for v in node.input if v in self.live]
        if len(live) != 1 or (node.op_type == "Div" and live[0] != node.input[0]):
            return None
        data = str(live[0])
        if node.op_type in ("Add", "Sub"):
            return data
        (factor,) = [v for v in node.input if v not in self.live]
        layer = self.producers.get(self.source(data))
        integer = layer is not None and layer.op_type in INTEGER
        return data if integer or self._single(factor) else None

    def _single(self, value: str) -> bool:
        """Whether a constant is one number."""
        waiting = [value]
        for _ in range(SIDE):
            if not waiting:
                return True
            value = waiting.pop()
            if value in self.shapes:
                if any(size != 1 for size in self.shapes[value]):
                    return False
                continue
            node = self.producers.get(value)
            before = self.carried(node) if node is not None else None
            if node is None or (before is None and node.op_type not in _ONE_TO_ONE):
                return False
            waiting.extend([before] if before is not None else node.input)
        return False


def _same(node: onnx.NodeProto) -> str | None:
    """Returns what both branches move or cast: exporters write so an axis that may be squeezed."""
    found = set()
    for body in graphs(node):
        if len(body.node) > _BRANCH or len(body.output) != 1:
            return None
        made = {v: inner for inner in body.node for v in inner.output}
        value = str(body.output[0].name)
        while (inner := made.get(value)) is not None:
            if inner.op_type not in _CARRIERS or not inner.input:
                return None
            value = inner.input[0]
        found.add(value)
    return found.pop() if len(found) == 1 else None


def _dims(node: onnx.NodeProto) -> tuple[int, ...]:
    for attribute in node.attribute:
        if attribute.name == "value":
            return tuple(attribute.t.dims)
        if attribute.name in ("value_floats", "value_ints"):
            return (max(len(attribute.floats), len(attribute.ints)),)
    return ()


def _live(graph: onnx.GraphProto, followed: set[str]) -> set[str]:
    live = set(followed)
    for node in graph.node:
        if node.op_type in ("Shape", "Size") or not any(v in live for v in taken(node)):
            continue
        made = node.output
        if node.op_type == "DynamicQuantizeLinear":
            made = node.output[:1]  # Its scale is taken for a constant, as that of others is one.
        live.update(v for v in made if v)
    return live
