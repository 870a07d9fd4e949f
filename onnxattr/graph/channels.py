"""Which axis of a tensor is that of the channels, as far as the operators before it tell."""

import onnx
from onnx import GraphProto, NodeProto

#: Operators whose output has its channels on axis 1, whatever stood before them.
_CHANNELS_FIRST = (
    "AveragePool BatchNormalization Conv ConvInteger ConvTranspose DepthToSpace GlobalAveragePool "
    "GlobalMaxPool GroupNormalization InstanceNormalization LRN LpPool MaxPool QLinearConv "
    "SpaceToDepth"
)

#: Operators that leave the axes where they are.
_SAME_AXES = (
    "Abs Add Cast Celu Clip Concat DequantizeLinear Div Dropout Elu Erf Exp Gelu HardSigmoid "
    "HardSwish Identity LeakyRelu Log Max Mean Min Mish Mul Neg PRelu Pad Pow QuantizeLinear "
    "Reciprocal Relu Resize Selu Sigmoid Slice Softplus Softsign Sqrt Sub Sum Tanh ThresholdedRelu "
    "Upsample"
)


def channels_of(graph: GraphProto, value: str) -> int | None:
    """Returns the axis of the channels of a tensor of four axes, or None where nothing tells.

    The tensor is followed back, over whatever leaves or permutes its axes, to the convolution, the
    pooling or the normalisation that made it: these have one order in ONNX, also in a graph whose
    input has another.

    Args:
        graph: A model's main graph as it was given.
        value: A tensor of it.
    """
    made = {output: node for node in graph.node for output in node.output if output}
    stored = {tensor.name for tensor in graph.initializer}
    stored |= {o for node in graph.node if node.op_type == "Constant" for o in node.output}
    first, same = _CHANNELS_FIRST.split(), _SAME_AXES.split()
    axes, seen = [0, 1, 2, 3], set()
    while value in made and value not in seen:
        seen.add(value)
        node = made[value]
        if node.domain not in ("", "ai.onnx"):
            return None
        if node.op_type in first:
            return axes.index(1) or None  # Axis 0 is that of the probes.
        if node.op_type == "Transpose":
            perm = _perm(node)
            if sorted(perm) != [0, 1, 2, 3]:
                return None
            axes = [perm[axis] for axis in axes]
        elif node.op_type not in same:
            return None
        value = next((name for name in node.input if name and name not in stored), "")
    return None


def _perm(node: NodeProto) -> list[int]:
    given = next((a for a in node.attribute if a.name == "perm"), None)
    return [] if given is None else list(onnx.helper.get_attribute_value(given))
