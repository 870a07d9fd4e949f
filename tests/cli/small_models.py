"""Models of a few kilobytes, written by hand: what exporters write, and what damage does to it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

SIZE = 12

FRAMEWORKS = {"PyTorch": ("pytorch", "2.9.0"), "TensorFlow": ("tf2onnx", "1.16.1 15c810")}


def weight(name: str, shape: Sequence[int], seed: int, scale: float = 0.5) -> TensorProto:
    values = np.random.default_rng(seed).normal(size=shape) * scale
    return numpy_helper.from_array(values.astype(np.float32), name)


def image(name: str = "image", *, nhwc: bool = False, channels: int = 3) -> ValueInfoProto:
    shape = ["N", SIZE, SIZE, channels] if nhwc else ["N", channels, SIZE, SIZE]
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def free(name: str, kind: int = TensorProto.FLOAT, rank: int = 4) -> ValueInfoProto:
    """An output of `rank` axes, none of which the file tells."""
    return helper.make_tensor_value_info(name, kind, [f"d{axis}" for axis in range(rank)])


def model(
    nodes: Sequence[NodeProto],
    weights: Sequence[TensorProto] = (),
    *,
    inputs: Sequence[ValueInfoProto] = (),
    outputs: Sequence[ValueInfoProto] = (),
    opset: int = 17,
    framework: str = "PyTorch",
    domains: Sequence[str] = (),
) -> onnx.ModelProto:
    graph = helper.make_graph(
        list(nodes),
        "main_graph",
        list(inputs) or [image()],
        list(outputs) or [free("features")],
        list(weights),
    )
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    proto = helper.make_model(graph, opset_imports=imports, ir_version=8)
    proto.producer_name, proto.producer_version = FRAMEWORKS[framework]
    return proto


def encoder(seed: int = 0, *, nhwc: bool = False, framework: str = "PyTorch") -> onnx.ModelProto:
    """Two convolutions with rectifiers; NHWC with the transpose that tf2onnx puts in front."""
    nodes = [
        helper.make_node("Conv", ["x", "w0"], ["c0"], "/stem/Conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c0"], ["r0"], "/stem/Relu"),
        helper.make_node("Conv", ["r0", "w1"], ["c1"], "/body/Conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["features"], "/body/Relu"),
    ]
    front = helper.make_node("Identity", ["image"], ["x"], "front")
    if nhwc:
        front = helper.make_node("Transpose", ["image"], ["x"], "front", perm=[0, 3, 1, 2])
    return model(
        [front, *nodes],
        [weight("w0", (4, 3, 3, 3), seed), weight("w1", (4, 4, 3, 3), seed + 1000)],
        inputs=[image(nhwc=nhwc)],
        framework=framework,
    )


def chain(operators: Sequence[str], domain: str = "") -> onnx.ModelProto:
    """An encoder behind which `operators` stand one after the other."""
    proto = encoder()
    value = "features"
    proto.graph.node[-1].output[0] = value = "encoded"
    for position, operator in enumerate(operators):
        after = "features" if position == len(operators) - 1 else f"after{position}"
        node = helper.make_node(operator, [value], [after], f"{operator}_{position}", domain=domain)
        proto.graph.node.append(node)
        value = after
    if domain:
        proto.opset_import.append(helper.make_opsetid(domain, 1))
    return proto


def save(proto: onnx.ModelProto, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(proto.SerializeToString(deterministic=True))
    return path
