"""Networks that run, and whose maps would be zero, noise, or no numbers."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from corpus.base import EITHER, Case, Change, opset, put, table, tail

ZERO = r"all of its maps are zero or not finite|same on every probe"
FINITE = r"not finite"
DISAGREE = r"ONNX Runtime disagree"
UNCONVERTED = r"no converter for these operators"
CANCEL = r"units of .* cancel"


def scaled(factor: float, *which: int) -> Change:
    """Returns the change that multiplies weights."""

    def change(proto) -> None:
        for i in which or (0, 1):
            tensor = proto.graph.initializer[i]
            values = (numpy_helper.to_array(tensor) * np.float64(factor)).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))

    return change


def biased(value: float) -> Change:
    """Returns the change that adds to the second convolution, before its rectifier."""

    def change(proto) -> None:
        bias = helper.make_tensor("b", TensorProto.FLOAT, [4], [value] * 4)
        proto.graph.initializer.append(bias)
        proto.graph.node[3].input.append("b")

    return change


def k(number: float, name: str = "k") -> str:
    return f"{name} = Constant<value = float {{{number!r}}}>() "


def ones(*names: str) -> str:
    """Text of constants, each of as many ones as the encoder has channels."""
    return " ".join(f"{n} = Constant<value = float[4] {{1.0, 1.0, 1.0, 1.0}}>()" for n in names)


RANDOM = {
    "random-normal": "r = RandomNormalLike(encoded) features = Add(encoded, r)",
    "random-uniform": "r = RandomUniformLike(encoded) features = Add(encoded, r)",
    "bernoulli": "p = Sigmoid(encoded) b = Bernoulli(p) features = Mul(encoded, b)",
    "multinomial": "f = Flatten(encoded) m = Multinomial<sample_size = 5>(f)"
    "features = Cast<to = 1>(m)",
    "dropout-that-drops": f"{k(0.5)}t = Constant<value = bool {{1}}>()"
    "features = Dropout(encoded, k, t)",
    "dropout-with-a-seed": f"{k(0.5)}t = Constant<value = bool {{1}}>()"
    "features = Dropout<seed = 7>(encoded, k, t)",
}

#: Finite nowhere, or not on every probe.
NOT_FINITE = {
    "log-of-negatives": "n = Neg(encoded) features = Log(n)",
    "log-of-zero": "features = Log(encoded)",
    "sqrt-of-negatives": f"{k(1.0)}n = Neg(encoded) s = Sub(n, k) features = Sqrt(s)",
    "zero-by-zero": "z = Sub(encoded, encoded) features = Div(z, z)",
    "by-zero": f"{k(0.0)}features = Div(encoded, k)",
    "power-of-negatives": f"{k(0.5)}n = Neg(encoded) o = Sub(n, k) features = Pow(o, k)",
    "exp-overflow": f"{k(1e4)}m = Mul(encoded, k) o = Add(m, k) features = Exp(o)",
    "infinity-minus-infinity": f"{k(3e38)}m = Add(encoded, k) p = Mul(m, k) features = Sub(p, p)",
    "float16-overflow": f"{k(1e6)}m = Add(encoded, k) h = Cast<to = 10>(m)"
    "features = Cast<to = 1>(h)",
    "acos-beyond-1": f"{k(5.0)}m = Add(encoded, k) features = Acos(m)",
    "softmax-of-infinities": f"{k(3e38)}m = Add(encoded, k) p = Mul(m, k) s = Softmax<axis = 1>(p)"
    "features = Mul(s, encoded)",
}

#: Finite forward, but no gradient gets through.
NO_GRADIENT = {
    "round": "features = Round(encoded)",
    "floor": "features = Floor(encoded)",
    "ceil": "features = Ceil(encoded)",
    "sign": "features = Sign(encoded)",
    "times-zero": f"{k(0.0)}features = Mul(encoded, k)",
    "less-itself": "features = Sub(encoded, encoded)",
    "cast-to-bytes": "b = Cast<to = 2>(encoded) features = Cast<to = 1>(b)",
    "cast-to-whole-numbers": "b = Cast<to = 7>(encoded) features = Cast<to = 1>(b)",
    "comparison": f"{k(0.5)}b = Greater(encoded, k) features = Cast<to = 1>(b)",
    "shape": "s = Shape(encoded) features = Cast<to = 1>(s)",
    "constant-output": "s = Shape(encoded) features = ConstantOfShape(s)",
    "tanh-saturated": f"{k(1e6)}m = Mul(encoded, k) o = Add(m, k) features = Tanh(o)",
    "clip-that-always-clips": f"{k(-2.0)}{k(-1.0, 'h')}features = Clip(encoded, k, h)",
    "clip-turned-round": f"{k(1.0)}{k(-1.0, 'h')}features = Clip(encoded, k, h)",
    "hard-sigmoid-saturated": f"{k(1e3)}o = Add(encoded, k) p = HardSigmoid(o)"
    "features = Identity(p)",
    "one-hot-of-the-largest": f"i = ArgMax<axis = 1>(encoded) {k(4.0)}d = Cast<to = 7>(k)"
    "v = Constant<value = float[2] {0.0, 1.0}>() features = OneHot(i, d, v)",
    "hardmax": "h = Hardmax<axis = 1>(encoded) r = Relu(h) features = Identity(r)",
}

CASES: list[Case] = [
    *table(
        "numerics",
        {
            **{
                name: (rf"it is random|{UNCONVERTED}|convert", opset(15), tail(text))
                for name, text in RANDOM.items()
            },
            **{name: (rf"{FINITE}|{UNCONVERTED}", tail(text)) for name, text in NOT_FINITE.items()},
            **{
                name: (
                    rf"{ZERO}|{UNCONVERTED}|gradient|convert|{DISAGREE}|{CANCEL}|type",
                    tail(text),
                )
                for name, text in NO_GRADIENT.items()
            },
            "text-output": (
                rf"{UNCONVERTED}|convert|type",
                tail("features = Cast<to = 8>(encoded)"),
                put("graph.output.0.type.tensor_type.elem_type", TensorProto.STRING),
            ),
            "truth-output": (
                r"gradient|type",
                tail(f"{k(0.5)}features = Greater(encoded, k)"),
                put("graph.output.0.type.tensor_type.elem_type", TensorProto.BOOL),
            ),
            "norm-at-zero": (
                rf"{FINITE}|gradient|{ZERO}",
                tail(f"{k(0.0)}z = Mul(encoded, k) features = ReduceL2<axes = [1]>(z)"),
            ),
            "weights-all-zero": (ZERO, scaled(0.0)),
            "weights-of-the-first-layer-zero": (ZERO, scaled(0.0, 0)),
            "weights-too-small": (rf"{ZERO}|gradient", scaled(1e-30)),
            "weights-too-large": (FINITE, scaled(1e30)),
            "rectifier-that-is-dead": (ZERO, biased(-1e9)),
            "mean-that-is-removed": (
                CANCEL,
                tail("m = ReduceMean<axes = [1, 2, 3]>(encoded) features = Sub(encoded, m)"),
            ),
            "statistics-of-the-batch": (
                rf"other probes of the batch|{UNCONVERTED}",
                tail("m = ReduceMean<axes = [0]>(encoded) features = Sub(encoded, m)"),
            ),
            "batch-norm-in-training": (
                r"other probes of the batch",
                tail(
                    f"{ones('s', 't', 'u', 'w')}"
                    "features, m, v = BatchNormalization<training_mode = 1>(encoded, s, t, u, w)"
                ),
            ),
            # ONNX Runtime writes the new mean and variance into the old, and the scale is the same.
            "batch-norm-in-training-of-one-vector": (
                r"a second run on the same probes gives another output",
                tail(
                    f"{ones('s')}"
                    "features, m, v = BatchNormalization<training_mode = 1>(encoded, s, s, s, s)"
                ),
            ),
            "maximum-of-the-batch": (
                r"other probes of the batch",
                tail("m = ReduceMax<keepdims = 0>(encoded) features = Add(encoded, m)"),
            ),
            "output-that-depends-on-nothing": (
                rf"{ZERO}|gradient|depend",
                tail("features = Constant<value = float[1] {1.0}>()"),
            ),
            "output-of-nothing": (
                rf"{ZERO}|gradient|depend|empty|no values|{UNCONVERTED}|ONNX Runtime",
                tail(
                    "a = Constant<value = int64[1] {0}>() x1 = Constant<value = int64[1] {1}>()"
                    "features = Slice(encoded, a, a, x1)"
                ),
            ),
        },
    ),
    *table(
        "numerics",
        {
            "labels": (
                None,
                tail("features = ArgMax<axis = 1>(encoded)"),
                put("graph.output.0.type.tensor_type.elem_type", TensorProto.INT64),
            ),
            "softmax-at-the-end": (None, tail("features = Softmax<axis = 1>(encoded)")),
            "dropout-of-inference": (
                None,
                tail(
                    f"{k(0.9)}t = Constant<value = bool {{0}}>() features = Dropout(encoded, k, t)"
                ),
            ),
            "weights-scaled": (None, scaled(1e-6, 0)),
            # The square root of a square that is zero: its gradient is no infinity times zero.
            "sqrt-at-zero": (
                None,
                tail(
                    f"{k(0.0)}z = Mul(encoded, k) m = Mul(z, z) s = Sqrt(m)"
                    "features = Add(encoded, s)"
                ),
            ),
            # Its sum is constant; what is attributed is before it.
            "softmax-that-is-summed": (
                None,
                tail(f"{k(2.0)}s = Softmax<axis = 1>(encoded) features = Mul(s, k)"),
            ),
            "outputs-scaled": (None, tail(f"{k(1e30)}features = Mul(encoded, k)")),
        },
        alike=True,
    ),
    # Whether numbers below 1e-38 are kept or made zero is left to the machine.
    *table(
        "numerics",
        {"denormal-numbers": (rf"{ZERO}|{DISAGREE}|gradient", scaled(1e-39, 1))},
        expected=EITHER,
    ),
]
