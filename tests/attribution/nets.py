"""Small nets as ONNX graphs, and the same nets a second time: float64 numpy, plain loops."""

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper, numpy_helper

from onnxattr.attribution.engine import Engine
from onnxattr.attribution.methods import parse
from onnxattr.convert.torch import to_network
from onnxattr.graph.load import load
from onnxattr.graph.options import InputOptions
from onnxattr.types import Network, Probes

SIZE = 6

#: A preprocessing in which every part differs from the default.
RANGE = InputOptions(range=(-1.0, 1.0), mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))

#: Each nonlinearity of the paper's list, and one outside of it, with its derivative.
FUNCTIONS = {
    "Relu": (lambda z: np.maximum(z, 0), lambda z: (z > 0).astype(float)),
    "Elu": (
        lambda z: np.where(z > 0, z, np.exp(np.minimum(z, 0)) - 1),
        lambda z: np.where(z > 0, 1.0, np.exp(np.minimum(z, 0))),
    ),
    "Sigmoid": (
        lambda z: 1 / (1 + np.exp(-z)),
        lambda z: np.exp(-z) / (1 + np.exp(-z)) ** 2,
    ),
    "Tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "Softplus": (lambda z: np.log1p(np.exp(z)), lambda z: 1 / (1 + np.exp(-z))),
    "LeakyRelu": (
        lambda z: np.where(z > 0, z, 0.01 * z),
        lambda z: np.where(z > 0, 1.0, 0.01),
    ),
}
PAPER = ("Relu", "Elu", "Sigmoid", "Tanh", "Softplus")


@dataclass
class Net:
    """conv → f → conv → f, plus a 1×1 convolution of the first f: a residual net."""

    function: str
    first: np.ndarray
    first_bias: np.ndarray
    second: np.ndarray
    second_bias: np.ndarray
    skip: np.ndarray

    @classmethod
    def random(cls, function: str, seed: int) -> "Net":
        rng = np.random.default_rng(seed)
        draw = lambda *shape: rng.normal(size=shape).astype(np.float32).astype(np.float64) * 0.4  # noqa: E731
        return cls(function, draw(4, 3, 3, 3), draw(4), draw(5, 4, 3, 3), draw(5), draw(5, 4, 1, 1))

    def onnx(self, *, layout: str = "NCHW", dtype: type = np.float32, batch: object = "N") -> bytes:
        """The net as a file; its output, of two branches, ends without a head."""
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        shape = [batch, 3, SIZE, SIZE] if layout == "NCHW" else [batch, SIZE, SIZE, 3]
        nodes = []
        if layout == "NHWC":
            nodes.append(helper.make_node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]))
        data = "t" if layout == "NHWC" else "x"
        nodes += [
            helper.make_node("Conv", [data, "w1", "b1"], ["z1"], pads=[1, 1, 1, 1]),
            helper.make_node(self.function, ["z1"], ["a1"]),
            helper.make_node("Conv", ["a1", "w2", "b2"], ["z2"], pads=[1, 1, 1, 1]),
            helper.make_node(self.function, ["z2"], ["a2"]),
            helper.make_node("Conv", ["a1", "w3"], ["s"]),
            helper.make_node("Add", ["a2", "s"], ["y"]),
        ]
        stored = {
            "w1": self.first,
            "b1": self.first_bias,
            "w2": self.second,
            "b2": self.second_bias,
            "w3": self.skip,
        }
        graph = helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info("x", kind, shape)],
            [helper.make_tensor_value_info("y", kind, [batch, 5, SIZE, SIZE])],
            [numpy_helper.from_array(v.astype(dtype), k) for k, v in stored.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model)
        return model.SerializeToString()

    def total(self, x: np.ndarray) -> float:
        """T for one input [3, y, x]."""
        return float(self._run(x)[-1].sum())

    def relevance(self, x: np.ndarray, epsilon: float | None) -> np.ndarray:
        """∂T/∂x by hand, [3, y, x].

        With an epsilon, each derivative of the nonlinearity is f(z) / (z + ε·sign z), sign 0 = +1:
        the paper's ε-LRP before it is multiplied by the input.
        """
        f, derivative = FUNCTIONS[self.function]

        def slope(z: np.ndarray) -> np.ndarray:
            if epsilon is None:
                return derivative(z)
            return f(z) / (z + epsilon * np.where(z < 0, -1.0, 1.0))

        m1 = conv_matrix(self.first, 1)
        m2, m3 = conv_matrix(self.second, 1), conv_matrix(self.skip, 0)
        z1, _, z2, _ = self._run(x)
        back = np.ones(5 * SIZE * SIZE)
        to_a1 = m2.T @ (slope(z2) * back) + m3.T @ back
        return (m1.T @ (slope(z1) * to_a1)).reshape(3, SIZE, SIZE)

    def _run(self, x: np.ndarray) -> tuple[np.ndarray, ...]:
        f, _ = FUNCTIONS[self.function]
        pixels = SIZE * SIZE
        z1 = conv_matrix(self.first, 1) @ x.reshape(-1) + np.repeat(self.first_bias, pixels)
        a1 = f(z1)
        z2 = conv_matrix(self.second, 1) @ a1 + np.repeat(self.second_bias, pixels)
        return z1, a1, z2, f(z2) + conv_matrix(self.skip, 0) @ a1


def conv_matrix(weight: np.ndarray, pad: int) -> np.ndarray:
    """The convolution, stride 1, as a matrix from flattened inputs to flattened outputs."""
    outputs, inputs, kernel, _ = weight.shape
    matrix = np.zeros((outputs, SIZE, SIZE, inputs, SIZE, SIZE))
    for row in range(SIZE):
        for column in range(SIZE):
            for i in range(kernel):
                for j in range(kernel):
                    y, x = row + i - pad, column + j - pad
                    if 0 <= y < SIZE and 0 <= x < SIZE:
                        matrix[:, row, column, :, y, x] += weight[:, :, i, j]
    return matrix.reshape(outputs * SIZE * SIZE, inputs * SIZE * SIZE)


def probes(count: int = 3, seed: int = 0) -> Probes:
    """Noise of the nets' own size."""
    images = np.random.default_rng(seed).integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8)
    return Probes(images, tuple(map(str, range(count))), "", "")


def network(data: bytes, options: InputOptions | None = None, device: str = "cpu") -> Network:
    """The file, converted; by default fed as `RANGE` says."""
    return to_network(load(data), options=options or RANGE, device=device)


def attribute(
    network: Network, probes: Probes, *, method: str = "saliency", batch_size: int | None = None
) -> np.ndarray:
    """The maps of all probes, float32 [probe, y, x]."""
    engine = Engine(
        network,
        methods=[parse(method)],
        batch_size=batch_size,
        background=background(),
    )
    return engine.maps(probes.images)[0]


def background() -> np.ndarray:
    """What some methods compare probes with."""
    return probes(3, seed=42).images
