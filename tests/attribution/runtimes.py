"""Models that ONNX Runtime runs, and the black-box maps of them."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper, parser

from onnxattr.attribution import reductions
from onnxattr.attribution.blackbox import BlackBox
from onnxattr.attribution.methods import parse
from onnxattr.convert.session import Runtime
from onnxattr.graph.array_input import probe_input
from onnxattr.graph.load import load
from onnxattr.graph.options import InputOptions
from onnxattr.graph.outputs import representation
from onnxattr.types import ARRAY, IMAGE

HEADER = '<ir_version: 8, opset_import: ["" : 17]> g '


def runtime(source, options=None, at="feature", shape=None):
    """Of arrays of a shape, or of images."""
    model = load(source)
    kind = IMAGE if shape is None else ARRAY
    spec = probe_input(model, options or InputOptions(), kind, shape or ())
    return Runtime(model, spec, representation(model, at), threads=1)


def black_box(source, method="occlusion", reduction="sum", *, seed=0, batch_size=None, **given):
    return BlackBox(
        runtime(source, **given),
        method=parse(method),
        reduction=reductions.parse(reduction),
        seed=seed,
        batch_size=batch_size,
    )


def maps_of(source, values, options=None, *, method="occlusion", at="feature", **given):
    """The maps of images, or of arrays in float32."""
    shape = None if values.dtype == np.uint8 else values.shape[1:]
    return black_box(source, method, options=options, at=at, shape=shape, **given).maps(values)


def text(body, **weights):
    proto = parser.parse_model(HEADER + body)
    for name, values in weights.items():
        proto.graph.initializer.append(numpy_helper.from_array(values, name))
    return proto


def images(count, height, width=None, seed=0):
    shape = (count, height, width or height, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def arrays(count, *shape, seed=0):
    return np.random.default_rng(seed).normal(size=(count, *shape)).astype(np.float32)


def linear(weight, layout="NCHW", dtype=np.float32, batch="N"):
    """w·x for w [3, y, x], whatever the layout."""
    axes = {"N": batch, "C": 3, "H": weight.shape[1], "W": weight.shape[2]}
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    inner = weight.transpose(["CHW".index(a) for a in layout if a != "N"])
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["f", "w"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", kind, [axes[a] for a in layout])],
        [helper.make_tensor_value_info("y", 1, [axes[a] for a in layout])],
        [numpy_helper.from_array(inner.astype(np.float32), "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


class Perceptron:
    """tanh(x A + a) B for an array x of any shape: twelve hidden units, four others."""

    def __init__(self, *shape, seed=0, scale=1.0):
        rng = np.random.default_rng(seed)
        self.shape, size = shape, int(np.prod(shape))
        draw = lambda *s: (rng.normal(size=s) * scale).astype(np.float32)  # noqa: E731
        self.first, self.bias, self.second = draw(size, 12), draw(12), draw(12, 4)

    def onnx(self, batch="N"):
        free = batch if isinstance(batch, str) else str(batch)
        sizes = ",".join(map(str, (free, *self.shape)))
        return text(
            f"(float[{sizes}] x) => (float[{free},4] y) "
            "{ f = Flatten(x) h = Gemm(f, a, b) t = Tanh(h) y = MatMul(t, c) }",
            a=self.first,
            b=self.bias,
            c=self.second,
        )

    def units(self, x):
        """Of one array, in float64."""
        flat = np.asarray(x, np.float64).reshape(-1)
        return np.tanh(flat @ self.first.astype(float) + self.bias) @ self.second.astype(float)

    def total(self, x):
        return float(self.units(x).sum())
