"""Valid models of a few kilobytes, of every kind that the parts of a file come in."""

import functools
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper, parser
from small_models import SIZE, encoder, free, weight

_HEADER = '<ir_version: 8, opset_import: ["" : 17{imports}], producer_name: "pytorch">\n'
_MAIN = "main_graph (float[N,3,{size},{size}] image) => (float[{shape}] {name}) {{{body}}}\n"


def parsed(
    body: str,
    *tensors: TensorProto,
    name: str = "features",
    shape: str = "N,d1,d2,d3",
    functions: str = "",
) -> onnx.ModelProto:
    header = _HEADER.format(imports=', "local" : 1' if functions else "")
    main = _MAIN.format(size=SIZE, shape=shape, name=name, body=body)
    proto = parser.parse_model(header + main + functions)
    proto.graph.initializer.extend(tensors)
    return proto


def stored(name: str, values: object, kind: type = np.int64) -> TensorProto:
    return numpy_helper.from_array(np.array(values, kind), name)


def vector(name: str, size: int, seed: int, offset: float = 0.0) -> TensorProto:
    values = np.random.default_rng(seed).normal(size=size) * 0.1 + offset
    return stored(name, values, np.float32)


def plain() -> onnx.ModelProto:
    """As PyTorch writes it."""
    return encoder(1)


def keras() -> onnx.ModelProto:
    """As tf2onnx writes it."""
    return encoder(2, nhwc=True, framework="TensorFlow")


def sample() -> onnx.ModelProto:
    """Convolutions with a stride, batch normalisation, and a sum, as in the samples."""
    return parsed(
        """
        a = Conv <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]> (image, w0)
        b = BatchNormalization <epsilon = 1e-5> (a, scale, shift, mean, variance)
        c = Relu (b)
        d = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1], group = 2> (c, w1, b1)
        e = LeakyRelu <alpha = 0.1> (d)
        features = Add (c, e)
        """,
        weight("w0", (4, 3, 3, 3), 3),
        weight("w1", (4, 2, 3, 3), 4),
        vector("b1", 4, 5),
        vector("scale", 4, 6, 1.0),
        vector("shift", 4, 7),
        vector("mean", 4, 8),
        vector("variance", 4, 9, 1.0),
    )


def classifier() -> onnx.ModelProto:
    """A head with a decision behind it."""
    return parsed(
        """
        a = Conv <kernel_shape = [3, 3], auto_pad = "SAME_UPPER"> (image, w0)
        b = Clip (a, low, high)
        c = MaxPool <kernel_shape = [2, 2], strides = [2, 2], ceil_mode = 1> (b)
        d = Sigmoid (c)
        e = Mul (c, d)
        f = GlobalAveragePool (e)
        g = Flatten <axis = 1> (f)
        h = Dropout (g)
        i = Gemm <alpha = 1.0, beta = 1.0, transB = 1> (h, w1, b1)
        classes = Softmax <axis = 1> (i)
        """,
        weight("w0", (4, 3, 3, 3), 10),
        weight("w1", (5, 4), 11),
        vector("b1", 5, 12),
        stored("low", -1.0, np.float32),
        stored("high", 6.0, np.float32),
        name="classes",
        shape="N,5",
    )


def attention() -> onnx.ModelProto:
    """Patches that look at each other, and shapes that the graph computes."""
    return parsed(
        """
        a = Conv <kernel_shape = [3, 3], strides = [3, 3]> (image, w0)
        s = Shape (a)
        n = Gather <axis = 0> (s, first)
        m = Unsqueeze (n, zero)
        t = Concat <axis = 0> (m, tokens)
        b = Reshape (a, t)
        c = Transpose <perm = [0, 2, 1]> (b)
        d = LayerNormalization <axis = -1, epsilon = 1e-5> (c, scale, shift)
        q = MatMul (d, wq)
        k = MatMul (d, wk)
        kt = Transpose <perm = [0, 2, 1]> (k)
        l = MatMul (q, kt)
        r = Constant <value_float = 0.5> ()
        u = Mul (l, r)
        p = Softmax <axis = -1> (u)
        v = MatMul (p, d)
        e = Erf (v)
        g = Add (e, d)
        features = ReduceMean <axes = [1], keepdims = 0> (g)
        """,
        weight("w0", (4, 3, 3, 3), 13),
        weight("wq", (4, 4), 14),
        weight("wk", (4, 4), 15),
        vector("scale", 4, 16, 1.0),
        vector("shift", 4, 17),
        stored("first", 0),
        stored("zero", [0]),
        stored("tokens", [4, 16]),
        shape="N,4",
    )


def decoder() -> onnx.ModelProto:
    """What changes sizes: pads, slices, pools, parts, and both ways to enlarge."""
    return parsed(
        """
        a = Pad <mode = "reflect"> (image, pads)
        b = Conv <kernel_shape = [3, 3], dilations = [2, 2]> (a, w0)
        n = InstanceNormalization <epsilon = 1e-5> (b, scale, shift)
        c, d = Split <axis = 1> (n, parts)
        e = Slice (c, starts, ends, axes, steps)
        f = AveragePool <kernel_shape = [2, 2], strides = [2, 2], count_include_pad = 1> (d)
        g = Resize <mode = "linear", coordinate_transformation_mode = "half_pixel"> (f, , scales)
        h = ConvTranspose <kernel_shape = [2, 2], strides = [2, 2]> (f, w1)
        i = Concat <axis = 1> (e, g, h)
        j = DepthToSpace <blocksize = 2, mode = "CRD"> (i)
        features = HardSwish (j)
        """,
        stored("pads", [0, 0, 2, 2, 0, 0, 2, 2]),
        weight("w0", (6, 3, 3, 3), 18),
        stored("parts", [3, 3]),
        stored("starts", [0, 0]),
        stored("ends", [2**31 - 1, 12]),
        stored("axes", [2, -1]),
        stored("steps", [1, 1]),
        stored("scales", [1, 1, 2, 2], np.float32),
        weight("w1", (3, 2, 2, 2), 19),
        vector("scale", 6, 20, 1.0),
        vector("shift", 6, 21),
    )


def functions() -> onnx.ModelProto:
    """Functions, one of which calls the other."""
    return parsed(
        """
        a = local.block <slope = 0.2> (image, w0)
        features = local.block <slope = 0.1> (a, w1)
        """,
        weight("w0", (4, 3, 3, 3), 22),
        weight("w1", (4, 4, 3, 3), 23),
        functions="""
        <domain: "local", opset_import: ["" : 17, "local" : 1]>
        block <slope> (x, w) => (y) {
            c = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x, w)
            y = local.bent <slope: float = @slope> (c)
        }
        <domain: "local", opset_import: ["" : 17]>
        bent <slope> (x) => (y) { y = LeakyRelu <alpha: float = @slope> (x) }
        """,
    )


def control() -> onnx.ModelProto:
    """A choice and a loop that lead to another output."""
    proto = parsed(
        """
        a = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (image, w0)
        b = Relu (a)
        features = Conv <kernel_shape = [3, 3]> (b, w1)
        d = If (yes) <
            then_branch = taken () => (float[N,4,h,w] t) { t = Neg (b) },
            else_branch = other () => (float[N,4,h,w] o) { o = Identity (b) }
        >
        other_features = Loop (trips, yes, d) <body = turn
            (int64 i, bool before, float[N,4,h,w] x) => (bool after, float[N,4,h,w] y)
            { after = Identity (before) y = Add (x, x) }
        >
        """,
        weight("w0", (4, 3, 3, 3), 24),
        weight("w1", (4, 4, 3, 3), 25),
        stored("yes", True, np.bool_),
        stored("trips", 2),
    )
    proto.graph.output.append(free("other_features"))
    return proto


def quantised() -> onnx.ModelProto:
    """Weights of eight bits, and activations that pass through them."""
    chance = np.random.default_rng(26)
    return parsed(
        """
        q = QuantizeLinear (image, si, zi)
        i = DequantizeLinear (q, si, zi)
        w = DequantizeLinear <axis = 0> (w0, sw, zw)
        a = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (i, w)
        features = Relu (a)
        """,
        stored("si", 1 / 255, np.float32),
        stored("zi", 0, np.uint8),
        stored("w0", chance.integers(-127, 128, (4, 3, 3, 3)), np.int8),
        stored("sw", [0.01, 0.02, 0.01, 0.03], np.float32),
        stored("zw", [0, 0, 0, 0], np.int8),
    )


def half() -> onnx.ModelProto:
    """Numbers of sixteen bits, brought to thirty-two before they are used."""
    return parsed(
        """
        a = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (image, w0)
        s = Cast <to = 1> (scale)
        m = Mul (a, s)
        b = Softplus (m)
        c = Pow (b, two)
        d = ReduceMax <axes = [1], keepdims = 1> (c)
        features = Div (c, d)
        """,
        weight("w0", (4, 3, 3, 3), 27),
        stored("scale", [[[[1.5]], [[0.5]], [[2.0]], [[1.0]]]], np.float16),
        stored("two", 2.0, np.float32),
    )


def external() -> onnx.ModelProto:
    """Written with its weights in another file, and read again."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save_model(
            sample(), path, save_as_external_data=True, location="weights", size_threshold=0
        )
        return onnx.load_model(path)


SEEDS: dict[str, Callable[[], onnx.ModelProto]] = {
    make.__name__: make
    for make in (
        plain, keras, sample, classifier, attention, decoder, functions, control, quantised, half,
        external,
    )
}  # fmt: skip


@functools.cache
def seed(name: str) -> bytes:
    """Returns the bytes of a valid model."""
    from more_seeds import MORE

    return (SEEDS | MORE)[name]().SerializeToString(deterministic=True)
