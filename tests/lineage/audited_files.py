"""A net as a file, and the same under other hands: what exporters and disguises make of it."""

from dataclasses import dataclass, field, replace

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

#: Pixels a side, channels of each layer, and classes.
SIDE, WIDTHS, CLASSES = 16, (8, 12, 10, 12, 14, 12), 6


@dataclass(frozen=True)
class Net:
    """A stack of 3×3 convolutions with rectifiers, the mean over places, and a linear head."""

    weights: tuple[np.ndarray, ...]
    biases: tuple[np.ndarray, ...]
    head: np.ndarray
    #: Scale, shift, mean and variance behind a convolution, by its number.
    norms: dict[int, tuple[np.ndarray, ...]] = field(default_factory=dict)


def net(seed: int, widths=WIDTHS, classes=CLASSES) -> Net:
    rng = np.random.default_rng(seed)
    ins = (3, *widths[:-1])
    return Net(
        tuple(
            rng.normal(size=(o, i, 3, 3)).astype(np.float32) * np.float32(np.sqrt(2 / 9 / i))
            for i, o in zip(ins, widths, strict=True)
        ),
        tuple(rng.normal(size=o).astype(np.float32) * np.float32(0.2) for o in widths),
        rng.normal(size=(classes, widths[-1])).astype(np.float32),
    )


def permuted(one: Net, seed: int = 1, *, scaled: bool = False, order: bool = True) -> Net:
    """Hidden channels in another order, or multiplied by positive numbers: the same function."""
    rng = np.random.default_rng(seed)
    weights, biases, head = [*one.weights], [*one.biases], one.head
    for i, bias in enumerate(biases):
        turn = rng.permutation(len(bias)) if order else np.arange(len(bias))
        scale = np.exp(rng.normal(size=len(bias))).astype(np.float32)
        scale = scale if scaled else np.ones_like(scale)
        weights[i] = (weights[i] * scale[:, None, None, None])[turn]
        biases[i] = (bias * scale)[turn]
        if i + 1 < len(weights):
            weights[i + 1] = (weights[i + 1] / scale[None, :, None, None])[:, turn]
        else:
            head = (head / scale)[:, turn]
    return Net(tuple(weights), tuple(biases), head)


def split(one: Net, seed: int = 2) -> Net:
    """Batch normalisation behind each convolution, that together do what it did."""
    rng = np.random.default_rng(seed)
    weights, biases, norms = [], [], {}
    for i, (weight, bias) in enumerate(zip(one.weights, one.biases, strict=True)):
        count = len(bias)
        gain, shift, mean = (rng.normal(size=count).astype(np.float32) for _ in range(3))
        gain = np.abs(gain) + np.float32(0.5)
        variance = (rng.random(count) + 0.5).astype(np.float32)
        factor = gain / np.sqrt(variance + np.float32(1e-5))
        weights.append(weight / factor[:, None, None, None])
        biases.append((bias - shift) / factor + mean)
        norms[i] = (gain, shift, mean, variance)
    return Net(tuple(weights), tuple(biases), one.head, norms)


def entrance(one: Net, *, swapped: bool = False, divided: float = 1.0) -> Net:
    """The same net for colours in the order BGR, or for values up to `divided`."""
    first = one.weights[0][:, ::-1] if swapped else one.weights[0]
    first = np.ascontiguousarray(first / np.float32(divided))
    return replace(one, weights=(first, *one.weights[1:]))


def new_head(one: Net, other: Net, kept: int = 4) -> Net:
    """The first layers of one net under the last ones of another."""
    return Net(
        (*one.weights[:kept], *other.weights[kept:]),
        (*one.biases[:kept], *other.biases[kept:]),
        other.head,
    )


def file_of(
    one: Net,
    *,
    prefix: str = "",
    opset: int = 17,
    backwards: bool = False,
    nhwc: bool = False,
    half: bool = False,
) -> onnx.ModelProto:
    """The net as a file.

    Args:
        one: The net.
        prefix: Of all names inside.
        opset: Version of the standard.
        backwards: Whether stored tensors are in the opposite order.
        nhwc: Whether it takes pixels as TensorFlow has them.
        half: Whether weights are stored in half precision.
    """
    nodes, stored = [], []

    def store(name: str, array: np.ndarray) -> str:
        array = array.astype(np.float16) if half else array
        stored.append(numpy_helper.from_array(np.ascontiguousarray(array), prefix + name))
        if not half:
            return prefix + name
        nodes.append(
            helper.make_node("Cast", [prefix + name], [f"{prefix}{name}32"], to=TensorProto.FLOAT)
        )
        return f"{prefix}{name}32"

    value = f"{prefix}image"
    if nhwc:
        nodes.append(helper.make_node("Transpose", [value], [f"{prefix}nchw"], perm=[0, 3, 1, 2]))
        value = f"{prefix}nchw"
    for i, (weight, bias) in enumerate(zip(one.weights, one.biases, strict=True)):
        held = [store(f"w{i}", weight), store(f"b{i}", bias)]
        made = f"{prefix}conv{i}"
        nodes.append(
            helper.make_node("Conv", [value, *held], [made], f"{prefix}n{i}", pads=[1, 1, 1, 1])
        )
        if i in one.norms:
            parts = [store(f"norm{i}{k}", array) for k, array in enumerate(one.norms[i])]
            nodes.append(helper.make_node("BatchNormalization", [made, *parts], [f"{made}bn"]))
            made = f"{made}bn"
        value = f"{prefix}r{i}"
        nodes.append(helper.make_node("Relu", [made], [value], f"{prefix}relu{i}"))
    nodes += [
        helper.make_node("GlobalAveragePool", [value], [f"{prefix}pool"]),
        helper.make_node("Flatten", [f"{prefix}pool"], [f"{prefix}flat"]),
    ]
    head = store("head", one.head)
    nodes.append(helper.make_node("Gemm", [f"{prefix}flat", head], [f"{prefix}logits"], transB=1))
    shape = ["n", SIDE, SIDE, 3] if nhwc else ["n", 3, SIDE, SIDE]
    graph = helper.make_graph(
        nodes,
        f"{prefix}graph",
        [helper.make_tensor_value_info(f"{prefix}image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(f"{prefix}logits", TensorProto.FLOAT, ["n", len(one.head)])],
        stored[::-1] if backwards else stored,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(made)
    return made


def saved(folder, **protos: onnx.ModelProto):
    """Writes models under their names; returns the paths by name."""
    paths = {}
    for name, proto in protos.items():
        paths[name] = folder / f"{name}.onnx"
        paths[name].write_bytes(proto.SerializeToString(deterministic=True))
    return paths
