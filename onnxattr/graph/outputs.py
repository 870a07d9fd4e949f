"""Which tensor is attributed: the output of the encoder, found by walking back over the head."""

from dataclasses import dataclass

import onnx

from onnxattr.errors import UsageError
from onnxattr.graph.walk import STANDARD, label
from onnxattr.registry import suggestion
from onnxattr.types import Model, OnnxNode, Representation

#: Names that `at` understands; anything else is the name of a tensor.
PLACES = ("feature", "logits", "output")

#: Operators that turn logits into probabilities or labels. The sum over a softmax is constant, so
#: its gradient is zero; labels have none at all.
_DECISIONS = {"ArgMax", "Hardmax", "LogSoftmax", "Sigmoid", "Softmax"}

#: Operators that move or cast values and change none.
_CARRIERS = {
    "Cast", "DequantizeLinear", "Dropout", "Flatten", "Identity", "QuantizeLinear", "Reshape",
    "Squeeze", "Transpose", "Unsqueeze",
}  # fmt: skip


def representation(model: Model, at: str = "feature") -> Representation:
    """Returns the tensor of `model` that is attributed, and the rule that found it.

    Args:
        model: A model as it was given.
        at: `feature`: the input of the classifying head, or the output where there is no head;
            `logits`: the output before softmax, sigmoid or argmax; `output`: the first output as it
            is; or the name of a tensor.

    Raises:
        UsageError: `at` is none of these.
    """
    graph = model.proto.graph
    output = graph.output[0].name
    if at in PLACES:
        walk = _Walk.of(graph)
        if at == "output":
            return Representation(output, "the first output")
        logits, decision = walk.logits(output)
        if at == "logits":
            rule = f"the input of the final {decision}" if decision else "the first output"
            return Representation(logits, rule)
        return walk.feature(output, logits, decision)
    names = {v for node in graph.node for v in node.output if v}
    if at not in names:
        # A graph has hundreds of tensors: they are not listed.
        hint = suggestion(at, sorted({*names, *PLACES}))
        raise UsageError(
            f"`{model.name}` has no tensor `{at}`",
            hint=f"{hint}valid are `feature`, `logits`, `output` and the names of its tensors",
        )
    return Representation(at, "named")


@dataclass(frozen=True)
class _Walk:
    #: Nodes of ONNX's own operators by what they make; what others read and mean is unknown.
    producers: dict[str, onnx.NodeProto]
    stored: dict[str, tuple[int, ...]]
    inputs: frozenset[str]

    @classmethod
    def of(cls, graph: onnx.GraphProto) -> "_Walk":
        return cls(
            producers={
                value: node
                for node in graph.node
                if node.domain in STANDARD
                for value in node.output
                if value
            },
            stored={t.name: tuple(t.dims) for t in graph.initializer},
            inputs=frozenset(v.name for v in graph.input) - {t.name for t in graph.initializer},
        )

    def logits(self, value: str) -> tuple[str, str]:
        """Returns the tensor before the last decision, and the decision's operator or ''."""
        below = self._carried(value)
        node = self.producers.get(below)
        if node is None or node.op_type not in _DECISIONS:
            return value, ""
        decision = node.op_type
        while node is not None and node.op_type in _DECISIONS:
            below = node.input[0]
            node = self.producers.get(self._carried(below))
        return below, decision

    def feature(self, output: str, logits: str, decision: str) -> Representation:
        head = self._head(logits)
        if head is None:
            if decision:
                return Representation(
                    logits, f"the input of the final {decision}: no linear head before it"
                )
            return Representation(output, "the output: the graph ends without a head")
        node, data = head
        if self._carried(data) in self.inputs:
            return Representation(node.output[0], f"the output of the only layer, {_label(node)}")
        return Representation(data, f"the input of the head, {_label(node)}")

    def _head(self, value: str) -> tuple[onnx.NodeProto, str] | None:
        """Returns the linear head that `value` comes from and its data input, or None."""
        node = self.producers.get(self._carried(value))
        if node is not None and node.op_type == "Add":
            data = [v for v in node.input if not self._constant(v)]
            if len(data) != 1:
                return None
            node = self.producers.get(self._carried(data[0]))
        if node is None:
            return None
        if node.op_type in ("Gemm", "MatMul"):
            data = [v for v in node.input[:2] if not self._constant(v)]
            return (node, data[0]) if len(data) == 1 else None
        if node.op_type == "Conv" and self._kernel(node) == {1}:
            return node, node.input[0]
        return None

    def _carried(self, value: str) -> str:
        while (node := self.producers.get(value)) is not None and node.op_type in _CARRIERS:
            value = node.input[0]
        return value

    def _constant(self, value: str) -> bool:
        value = self._carried(value)
        node = self.producers.get(value)
        return value in self.stored or (node is not None and node.op_type == "Constant")

    def _kernel(self, node: onnx.NodeProto) -> set[int]:
        for attribute in node.attribute:
            if attribute.name == "kernel_shape":
                return set(attribute.ints)
        weight = self._carried(node.input[1])
        if weight in self.stored:
            return set(self.stored[weight][2:])
        producer = self.producers.get(weight)
        if producer is not None and producer.op_type == "Constant":
            return {d for a in producer.attribute if a.name == "value" for d in a.t.dims[2:]}
        return set()


def _label(node: onnx.NodeProto) -> str:
    return label(OnnxNode(node.op_type, node.name))
