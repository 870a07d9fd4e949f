"""Stored tensors whose data is not what their type and shape say, or is no number."""

from collections.abc import Sequence

import numpy as np
from onnx import TensorProto, helper

from corpus.base import (
    Case,
    Change,
    add,
    clear,
    put,
    table,
    tail,
)

FIT = r"does not fit its shape"
FINITE = r"not finite"
W0 = "graph.initializer.0"
K = "graph.initializer.2"
SHAPE = (4, 3, 3, 3)
COUNT = 108
HUGE = 2**40

NAN, INF = float("nan"), float("inf")

KINDS = {
    "float": TensorProto.FLOAT,
    "double": TensorProto.DOUBLE,
    "float16": TensorProto.FLOAT16,
    "bfloat16": TensorProto.BFLOAT16,
}


def typed(kind: int, **fields: object) -> TensorProto:
    """The first weight, of another type and with other data."""
    tensor = TensorProto(name="w0", data_type=kind, dims=SHAPE)
    for key, value in fields.items():
        if isinstance(value, bytes):
            setattr(tensor, key, value)
        else:
            getattr(tensor, key).extend(value)
    return tensor


def replaced(kind: int, **fields: object) -> Change:
    return put(W0, typed(kind, **fields))


def stored(kind: str, values: Sequence[float], raw: bool) -> Change:
    """Returns the change that adds four values, stored as `kind`, to what the encoder makes."""
    array = np.array(values).astype(helper.tensor_dtype_to_np_dtype(KINDS[kind]))
    content = array.tobytes() if raw else array.astype(np.float32)
    made = helper.make_tensor("k", KINDS[kind], [4, 1, 1], content, raw=raw)
    return tail("f = Cast<to = 1>(k) features = Add(encoded, f)", weights=[made])


def constant(text: str) -> Change:
    """Returns the change that adds a constant of a node to what the encoder makes."""
    return tail(f"k = Constant<value = {text}>() features = Add(encoded, k)")


#: Data that a shape of 4×3×3×3 float32 values cannot have.
MISFITS = {
    "raw-too-short": {"raw_data": bytes(4 * COUNT - 4)},
    "raw-too-long": {"raw_data": bytes(4 * COUNT + 4)},
    "raw-of-half-a-value": {"raw_data": bytes(4 * COUNT - 1)},
    "raw-empty": {"raw_data": b""},
    "nothing": {},
    "floats-too-few": {"float_data": [0.5] * (COUNT - 1)},
    "floats-too-many": {"float_data": [0.5] * (COUNT + 1)},
    "raw-and-floats": {"raw_data": bytes(4 * COUNT), "float_data": [0.5] * COUNT},
    "floats-as-doubles": {"double_data": [0.5] * COUNT},
    "floats-as-whole-numbers": {"int64_data": [1] * COUNT},
    "floats-as-text": {"string_data": [b"0.5"] * COUNT},
}

#: Shapes that no data of 432 bytes has.
DIMENSIONS = {
    "negative": [-4, 3, 3, 3],
    "negative-twice": [-4, -3, 3, 3],
    "product-of-2-to-the-80": [HUGE, HUGE],
    "product-that-wraps-to-108": [2**62, 4, 3, 9],
    "product-that-wraps-to-0": [2**32, 2**32, 3, 3],
    "of-2-to-the-63": [2**63 - 1],
    "of-2-to-the-40": [HUGE],
    "none": [],
    "of-nothing": [0, 3, 3, 3],
    "of-nothing-and-huge": [0, HUGE, HUGE, HUGE],
}

#: Types that a convolution does not take.
TYPES = {
    "undefined": 0,
    "99": 99,
    "minus-1": -1,
    "bool": TensorProto.BOOL,
    "int8": TensorProto.INT8,
    "uint8": TensorProto.UINT8,
    "float8": TensorProto.FLOAT8E4M3FN,
}

WIDER = {
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
    "complex64": TensorProto.COMPLEX64,
    "complex128": TensorProto.COMPLEX128,
}


def _size(kind: int) -> int:
    known = kind in TensorProto.DataType.values() and kind
    return helper.tensor_dtype_to_np_dtype(kind).itemsize if known else 1


CASES: list[Case] = [
    *table(
        "tensors",
        {
            **{
                f"data-{name}": (FIT, replaced(TensorProto.FLOAT, **fields))
                for name, fields in MISFITS.items()
            },
            **{
                f"dimensions-{name}": (rf"{FIT}|checker|ONNX Runtime", put(f"{W0}.dims", dims))
                for name, dims in DIMENSIONS.items()
            },
            **{
                f"type-{name}": (
                    rf"{FIT}|ONNX Runtime|convert",
                    replaced(kind, raw_data=bytes(_size(kind) * COUNT)),
                )
                for name, kind in (TYPES | WIDER).items()
            },
            "type-int4": (
                r"ONNX Runtime|convert",
                replaced(TensorProto.INT4, raw_data=bytes(COUNT // 2)),
            ),
            "type-string": (
                r"ONNX Runtime|convert|tensors of type",
                replaced(TensorProto.STRING, string_data=[b"0.5"] * COUNT),
            ),
            "type-string-raw": (FIT, replaced(TensorProto.STRING, raw_data=bytes(COUNT))),
            "dimensions-by-the-thousand": (
                rf"{FIT}|checker|ONNX Runtime|axes|dimension",
                put(f"{W0}.dims", [*SHAPE, *[1] * 1000]),
            ),
            "dimensions-by-the-thousand-in-a-constant": (
                r"checker|ONNX Runtime|axes|dimension|fit|rewritten|convert",
                tail("k = Constant<value = float[1] {0}>() features = Add(encoded, k)"),
                put("graph.node.5.attribute.0.t.dims", [1] * 1000),
            ),
            "segment": (
                rf"segment|{FIT}",
                put(f"{W0}.segment", TensorProto.Segment(begin=0, end=50)),
            ),
            "float16-beyond-16-bits": (
                rf"{FIT}|ONNX Runtime",
                stored("float16", np.zeros(4), False),
                put(f"{K}.int32_data", [1 << 20] * 4),
            ),
            "name-none": (
                r"checker|name",
                clear(f"{W0}.name"),
                put("graph.node.1.input", ["x", ""]),
            ),
            "constant-too-short": (
                FIT,
                constant("float[1] {0}"),
                put("graph.node.5.attribute.0.t.dims", [4]),
            ),
            "constant-of-2-to-the-80": (
                FIT,
                constant("float[1] {0}"),
                put("graph.node.5.attribute.0.t.dims", [HUGE, HUGE]),
            ),
            "constant-too-short-in-a-branch": (
                rf"{FIT}|no converter",
                tail(
                    "c = Constant<value = bool[1] {1}>() features = If(c)<"
                    "then_branch = t () => (float y) { k = Constant<value = float[1] {0}>()"
                    "y = Add(encoded, k) }, else_branch = e () => (float z) { z = Relu(encoded) }>"
                ),
                put("graph.node.6.attribute.0.g.node.0.attribute.0.t.dims", [4]),
            ),
            "constant-of-two-values": (
                r"has 2 values instead of one",
                tail("k = Constant<value_float = 0.0, value_int = 7>() features = Add(encoded, k)"),
            ),
            "constant-of-no-value": (
                r"has 0 values instead of one",
                tail("k = Constant()  features = Add(encoded, k)"),
            ),
        },
    ),
    *table(
        "tensors",
        {
            f"{'raw-' if raw else ''}{kind}-{what}": (rf"{FINITE}|type", stored(kind, bad, raw))
            for kind in KINDS
            for raw in (False, True)
            for what, bad in {"nan": (0, NAN, 0, 0), "infinity": (0, INF, -INF, 0)}.items()
        },
    ),
    *table(
        "tensors",
        {
            "nan-in-a-bias": (
                FINITE,
                add("graph.initializer", helper.make_tensor("b", 1, [4], [0, NAN, 0, 0])),
                put("graph.node.1.input", ["x", "w0", "b"]),
            ),
            "nan-in-a-constant": (
                FINITE,
                tail("k = Constant<value = float[1] {0}>() features = Add(encoded, k)"),
                put("graph.node.5.attribute.0.t.float_data", [NAN]),
            ),
            "nan-in-a-constant-of-one-float": (
                FINITE,
                tail("k = Constant<value_float = 0.0>() features = Add(encoded, k)"),
                put("graph.node.5.attribute.0.f", NAN),
            ),
            "nan-in-a-function": (
                FINITE,
                tail(
                    "features = f.g(encoded)",
                    functions='<domain: "f", opset_import: ["" : 17]> g (x) => (y)'
                    "{ k = Constant<value = float[1] {0}>() y = Add(x, k) }",
                ),
                put("functions.0.node.0.attribute.0.t.float_data", [NAN]),
            ),
            "infinity-behind-an-identity": (
                FINITE,
                add("graph.initializer", helper.make_tensor("b", 1, [4], [0, INF, 0, 0])),
                lambda m: m.graph.node.insert(0, helper.make_node("Identity", ["b"], ["b2"])),
                put("graph.node.2.input", ["x", "w0", "b2"]),
            ),
            "largest-numbers": (
                FINITE,
                replaced(TensorProto.FLOAT, float_data=[3e38] * COUNT),
            ),
        },
    ),
    *table(
        "tensors",
        {
            **{
                f"{'raw-' if raw else ''}{kind}-cast": (None, stored(kind, (0, 1, 0, 0), raw))
                for kind in KINDS
                for raw in (False, True)
                if kind != "bfloat16"  # Of which onnx2torch makes nothing.
            },
            "infinity-as-a-bound": (
                None,
                tail(
                    "low = Constant<value = float {0}>() high = Constant<value = float {1}>()"
                    "features = Clip(encoded, low, high)"
                ),
                put("graph.node.6.attribute.0.t.float_data", [INF]),
            ),
            "weights-in-constants": (
                None,
                lambda m: m.graph.node.insert(
                    0, helper.make_node("Constant", [], ["w0"], value=m.graph.initializer.pop(0))
                ),
            ),
            "unused-weights": (
                None,
                add("graph.initializer", helper.make_tensor("u", 1, [2], [1, 2])),
            ),
            "unused-weights-of-text": (
                None,
                add("graph.initializer", helper.make_tensor("u", 8, [2], [b"a", b"\xff"])),
            ),
        },
        alike=True,
    ),
]
