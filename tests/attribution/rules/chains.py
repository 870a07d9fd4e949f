"""Chains of layers as ONNX graphs, and the rules of relevance in matrix form, in float64 numpy."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper, numpy_helper

from onnxattr.convert.torch import to_network
from onnxattr.graph.load import load
from onnxattr.graph.normalise import FUSIONS
from onnxattr.graph.options import InputOptions
from onnxattr.types import Network

SIZE = 6

#: What a model is fed lies on both sides of 0.
RANGE = InputOptions(range=(-1.0, 1.0), mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))


@dataclass
class Layer:
    """One layer: its operator, and its weights as ONNX stores them."""

    operator: str
    weight: np.ndarray
    bias: np.ndarray | None

    def matrix(self, size: int) -> np.ndarray:
        """The layer, without its bias, as a matrix [out, in], for maps of `size` pixels a side."""
        if self.operator in ("Gemm", "MatMul"):
            return self.weight.T
        columns = self.weight.shape[1] if self.operator == "Conv" else self.weight.shape[0]
        units = np.eye(columns * size * size).reshape(-1, columns, size, size)
        return np.stack([self._apply(unit).ravel() for unit in units], axis=1)

    def _apply(self, x: np.ndarray) -> np.ndarray:
        """One image, [channel, y, x], through a 3×3 convolution with a pad of 1, in plain loops."""
        size, w = x.shape[-1], self.weight
        if self.operator == "Conv":
            padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
            y = np.zeros((w.shape[0], size, size))
            for i in range(size):
                for j in range(size):
                    y[:, i, j] = np.einsum("oihw,ihw->o", w, padded[:, i : i + 3, j : j + 3])
            return y
        y = np.zeros((w.shape[1], size + 2, size + 2))
        for i in range(size):
            for j in range(size):
                y[:, i : i + 3, j : j + 3] += np.einsum("iohw,i->ohw", w, x[:, i, j])
        return y[:, 1:-1, 1:-1]

    def full_bias(self, size: int) -> np.ndarray:
        """The bias of every output of the matrix."""
        if self.operator in ("Gemm", "MatMul"):
            return np.zeros(self.weight.shape[1]) if self.bias is None else self.bias
        channels = self.weight.shape[0 if self.operator == "Conv" else 1]
        bias = np.zeros(channels) if self.bias is None else self.bias
        return np.repeat(bias, size * size)


def chain(seed: int, operators: Sequence[str] = ("Conv", "ConvTranspose", "Gemm", "MatMul")):
    """A chain of layers with ReLU between them; the last one ends it."""
    rng = np.random.default_rng(seed)
    layers, width = [], 3
    flat = False
    for i, operator in enumerate(operators):
        if operator in ("Gemm", "MatMul"):
            rows = width if flat else width * SIZE * SIZE
            weight, width, flat = rng.normal(size=(rows, 7)) / rows**0.5, 7, True
            bias = rng.normal(size=7) * 0.3 if operator == "Gemm" else None
        else:
            out = 4 + i
            shape = (out, width, 3, 3) if operator == "Conv" else (width, out, 3, 3)
            weight, width = rng.normal(size=shape) * 0.3, out
            bias = rng.normal(size=out) * 0.3
        layers.append(Layer(operator, weight, bias))
    return layers


def build(
    layers: Sequence[Layer], *, dtype: type = np.float64, before: Sequence[onnx.NodeProto] = ()
) -> bytes:
    """The chain as a file. `before` are nodes from `x` to `input`."""
    nodes, stored, value = list(before), {}, "input" if before else "x"
    flat = False
    for i, layer in enumerate(layers):
        if layer.operator in ("Gemm", "MatMul") and not flat:
            nodes.append(helper.make_node("Flatten", [value], [f"f{i}"]))
            value, flat = f"f{i}", True
        stored[f"w{i}"] = layer.weight
        names = [value, f"w{i}"]
        if layer.bias is not None:
            stored[f"b{i}"] = layer.bias
            names.append(f"b{i}")
        pads = {} if flat else {"pads": [1, 1, 1, 1]}
        nodes.append(helper.make_node(layer.operator, names, [f"z{i}"], **pads))
        value = f"z{i}"
        if i + 1 < len(layers):
            nodes.append(helper.make_node("Relu", [value], [f"a{i}"]))
            value = f"a{i}"
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    rank = ["N", 7] if flat else ["N", None, SIZE, SIZE]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", kind, ["N", 3, SIZE, SIZE])],
        [helper.make_tensor_value_info(value, kind, rank)],
        [numpy_helper.from_array(v.astype(dtype), k) for k, v in stored.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def network(data: bytes, *, at: str = "output", options: InputOptions | None = None) -> Network:
    """The file, converted and fused, attributed at its end."""
    return to_network(load(data), at=at, options=options or RANGE, fuse=FUSIONS)


#: Of x, the matrix [out, in], the bias, and relevance at the outputs, with the rule's numbers.
Rule = Callable[..., np.ndarray]


def sign(z: np.ndarray) -> np.ndarray:
    return np.where(z < 0, -1.0, 1.0)


def epsilon(x, w, b, r, *, epsilon=1e-6):
    z = w @ x + b
    return x * (w.T @ (r / (z + epsilon * sign(z))))


def contributions(x, w):
    """x_i w_ij, [out, in], and its positive and negative parts."""
    c = w * x
    return c, np.maximum(c, 0), np.minimum(c, 0)


def z_plus(x, w, b, r, *, stabilizer=1e-6):
    _, positive, _ = contributions(x, w)
    z = positive.sum(axis=1) + np.maximum(b, 0)
    return positive.T @ (r / (z + stabilizer))


def alpha_beta(x, w, b, r, *, alpha=2.0, beta=1.0, stabilizer=1e-6):
    _, positive, negative = contributions(x, w)
    above = positive.sum(axis=1) + np.maximum(b, 0)
    below = negative.sum(axis=1) + np.minimum(b, 0)
    share = alpha * positive.T @ (r / (above + stabilizer))
    return share - beta * negative.T @ (r / (below - stabilizer))


def gamma(x, w, b, r, *, gamma=0.25, stabilizer=1e-6):
    c, positive, negative = contributions(x, w)
    z = w @ x + b
    result = np.zeros_like(x)
    for j in range(len(z)):
        if z[j] == 0:
            continue
        favoured = positive[j] if z[j] > 0 else negative[j]
        bias = b[j] + gamma * (max(b[j], 0) if z[j] > 0 else min(b[j], 0))
        shares = c[j] + gamma * favoured
        total = shares.sum() + bias
        result += shares / (total + stabilizer * sign(total)) * r[j]
    return result


def flat(x, w, b, r, *, stabilizer=1e-6):
    ones = (w != 0).astype(float)
    return ones.T @ (r / (ones.sum(axis=1) + stabilizer))


def w_square(x, w, b, r, *, stabilizer=1e-6):
    return (w**2).T @ (r / ((w**2).sum(axis=1) + stabilizer))


def z_box(x, w, b, r, *, low, high, stabilizer=1e-6):
    shares = w * x - np.maximum(w, 0) * low - np.minimum(w, 0) * high
    z = shares.sum(axis=1)
    return shares.T @ (r / (z + stabilizer * sign(z)))


def relevance(layers: Sequence[Layer], rules: Sequence[Rule], x: np.ndarray) -> np.ndarray:
    """R at x, [channel, y, x], of the sum of the chain's outputs: one rule a layer."""
    matrices = [(layer.matrix(SIZE), layer.full_bias(SIZE)) for layer in layers]
    inputs, value = [], x.ravel()
    for i, (w, b) in enumerate(matrices):
        inputs.append(value)
        value = w @ value + b
        value = np.maximum(value, 0) if i + 1 < len(layers) else value
    for (w, b), rule, given in zip(
        reversed(matrices), reversed(rules), reversed(inputs), strict=True
    ):
        value = rule(given, w, b, value)
    return value.reshape(x.shape)
