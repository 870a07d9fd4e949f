"""Operators that multiply by stored weights, and the weights as rows of outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from onnxattr.lineage.stored import Store, attribute, dequantised

_Array = np.ndarray[Any, Any]

#: Numbers of a grouped convolution that is written out as one of a single group.
_WIDE = 2**24


@dataclass(eq=False)
class Product:
    """An operator with stored weights.

    Attributes:
        operator: What it is called.
        weight: [out, in, …].
        bias: [out], or None.
        source: What the node reads the weights from: stored, or unpacked from what is.
        operand: Which input of the node is multiplied.
        reads: Axes of that input along which the columns lie; None where that is not known.
        axis: Axes of the output along which the rows lie; None where that is not known.
        sizes: Sizes of these axes, where they are several.
        rank: Axes of the input and the output, where the operator fixes it.
        groups: Of a convolution.
        depthwise: Whether each row reads the channel of the same place.
    """

    operator: str
    weight: _Array
    bias: _Array | None
    source: ir.Value | None
    operand: int = 0
    reads: tuple[int, ...] | None = None
    axis: tuple[int, ...] | None = None
    sizes: tuple[int, ...] = ()
    rank: int | None = None
    groups: int = 1
    depthwise: bool = False


def stored_root(value: ir.Value | None) -> ir.Value | None:
    """Returns the initializer that a value is unpacked from."""
    for _ in range(16):
        node = value.producer() if value is not None else None
        if node is None:
            break
        value = node.inputs[0]
    return value if value is not None and value.is_initializer() else None


def _input(node: ir.Node, place: int) -> ir.Value | None:
    return node.inputs[place] if len(node.inputs) > place else None


def _trimmed(weight: _Array) -> _Array:
    """Returns kernels without borders of zeros, by which a convolution looks like a larger one."""
    for axis in range(2, weight.ndim):
        while weight.shape[axis] > 2:
            ends = np.take(weight, (0, -1), axis=axis)
            if ends.any():
                break
            inner = [slice(None)] * weight.ndim
            inner[axis] = slice(1, -1)
            weight = weight[tuple(inner)]
    return weight


def _convolution(
    node: ir.Node,
    weight: _Array | None,
    bias: _Array | None,
    source: ir.Value | None,
    *,
    name: str = "Conv",
    operand: int = 0,
) -> Product | None:
    if weight is None or weight.ndim < 3 or weight.size == 0:
        return None
    groups = int(attribute(node, "group", 1))
    if groups < 1:
        return None
    if name == "ConvTranspose":
        if weight.shape[0] % groups:
            return None
        # [in, out/groups, …], the inputs of one group behind one another.
        parts = weight.reshape(groups, weight.shape[0] // groups, *weight.shape[1:])
        weight = np.moveaxis(parts, 2, 1).reshape(-1, weight.shape[0] // groups, *weight.shape[2:])
    if len(weight) % groups:
        return None
    weight = _trimmed(weight)
    inputs = weight.shape[1] * groups
    depthwise = weight.shape[1] == 1 and groups == len(weight) and groups > 1
    if groups > 1 and not depthwise and len(weight) * inputs * weight[0, 0].size <= _WIDE:
        wide = np.zeros((len(weight), inputs, *weight.shape[2:]), weight.dtype)
        each_in, each_out = weight.shape[1], len(weight) // groups
        for g in range(groups):
            rows = slice(g * each_out, (g + 1) * each_out)
            wide[rows, g * each_in : (g + 1) * each_in] = weight[rows]
        weight, groups = wide, 1
    return Product(
        name,
        weight.astype(np.float64, copy=False) if weight.dtype.kind in "iu" else weight,
        None if bias is None or bias.shape != (len(weight),) else bias,
        source,
        operand,
        reads=(1,),
        axis=(1,),
        rank=weight.ndim,
        groups=groups,
        depthwise=depthwise,
    )


def _conv(node: ir.Node, store: Store) -> Product | None:
    value = _input(node, 1)
    name = "ConvTranspose" if node.op_type == "ConvTranspose" else "Conv"
    return _convolution(node, store.read(value), store.read(_input(node, 2)), value, name=name)


def _conv_integer(node: ir.Node, store: Store) -> Product | None:
    value = _input(node, 1)
    weight = _shifted(store.read(value), store.read(_input(node, 3)), 0)
    return _convolution(node, _scaled(node, weight, store, (0,)), None, value)


def _q_conv(node: ir.Node, store: Store) -> Product | None:
    held = [store.read(_input(node, i)) for i in range(9)]
    scale, weight, own, zero, bias = held[1], held[3], held[4], held[5], held[8]
    if weight is None or own is None:
        return None
    real = dequantised(weight, own, zero, 0)
    shift = None
    if bias is not None and scale is not None:
        shift = np.asarray(bias.astype(np.float64) * scale.reshape(-1)[0] * own.reshape(-1))
    return _convolution(node, real, shift, node.inputs[3])


def _shifted(weight: _Array | None, zero: _Array | None, axis: int) -> _Array | None:
    if weight is None:
        return None
    return dequantised(weight, np.ones(()), zero, axis)


def _scaled(
    node: ir.Node, weight: _Array | None, store: Store, along: tuple[int, ...]
) -> _Array | None:
    """Returns integer weights times the scale that the node's result is multiplied by later.

    Dynamic quantisation writes Cast and Mul behind the product; the scale is that of the input, not
    stored, times that of the weights, stored.
    """
    if weight is None:
        return None
    value = node.outputs[0]
    for _ in range(4):
        uses = list(value.uses())
        if len(uses) != 1:
            return weight
        reader = uses[0].node
        if reader.op_type == "Mul":
            factor = reader.inputs[1 - uses[0].idx]
            scale = _factor(factor, store)
            if scale is None:
                return weight
            if scale.size == 1:
                return weight * float(scale.reshape(-1)[0])
            if scale.size != weight.shape[along[0]]:
                return weight
            shape = [-1 if a == along[0] else 1 for a in range(weight.ndim)]
            return weight * scale.reshape(shape).astype(np.float64)
        if reader.op_type not in ("Cast", "Add", "Transpose"):
            return weight
        value = reader.outputs[0]
    return weight


def _factor(value: ir.Value | None, store: Store) -> _Array | None:
    """Returns what is stored of a product of scales."""
    known = store.read(value)
    if known is not None or value is None:
        return known
    node = value.producer()
    if node is None or node.op_type != "Mul":
        return None
    return next((f for f in (store.read(v) for v in node.inputs) if f is not None), None)


def _matrix(
    weight: _Array | None,
    bias: _Array | None,
    source: ir.Value | None,
    *,
    name: str = "MatMul",
    operand: int = 0,
    rank: int | None = None,
) -> Product | None:
    """Returns a product with a matrix [in, out]."""
    if weight is None or weight.ndim != 2 or weight.size == 0:
        return None
    turned = weight.T
    shift = None if bias is None else bias.reshape(-1)
    if shift is not None and shift.shape != (len(turned),):
        shift = None
    return Product(name, turned, shift, source, operand, reads=(-1,), axis=(-1,), rank=rank)


def _matmul(node: ir.Node, store: Store) -> Product | None:
    first, second = _input(node, 0), _input(node, 1)
    weight = store.read(second)
    if weight is not None:
        if store.read(first) is not None:
            return None
        return _matrix(weight, None, second)
    weight = store.read(first)
    if weight is None or weight.ndim != 2 or weight.size == 0:
        return None
    # [out, in] from the left: the axis before the last is read.
    return Product("MatMul", weight, None, first, 1, reads=(-2,), axis=(-2,))


def _gemm(node: ir.Node, store: Store) -> Product | None:
    value = _input(node, 1)
    weight = store.read(value)
    if weight is None or weight.ndim != 2 or attribute(node, "transA", 0):
        return None
    weight = weight.T if attribute(node, "transB", 0) else weight
    bias = store.read(_input(node, 2))
    alpha, beta = float(attribute(node, "alpha", 1.0)), float(attribute(node, "beta", 1.0))
    weight = weight if alpha == 1 else weight * alpha
    bias = bias if bias is None or beta == 1 else bias * beta
    return _matrix(weight, bias, value, name="Gemm", rank=2)


def _q_matmul(node: ir.Node, store: Store) -> Product | None:
    value = _input(node, 3)
    held = [store.read(_input(node, i)) for i in (3, 4, 5)]
    if held[0] is None or held[1] is None:
        return None
    return _matrix(dequantised(held[0], held[1], held[2], -1), None, value)


def _q_gemm(node: ir.Node, store: Store) -> Product | None:
    value = _input(node, 3)
    held = [store.read(_input(node, i)) for i in (3, 4, 5)]
    if held[0] is None or held[1] is None or attribute(node, "transA", 0):
        return None
    turned = bool(attribute(node, "transB", 0))
    weight = dequantised(held[0], held[1], held[2], 0 if turned else 1)
    return _matrix(weight.T if turned else weight, None, value, name="Gemm", rank=2)


def _matmul_integer(node: ir.Node, store: Store) -> Product | None:
    value = _input(node, 1)
    weight = _shifted(store.read(value), store.read(_input(node, 3)), -1)
    return _matrix(_scaled(node, weight, store, (1,)), None, value)


def _dynamic_matmul(node: ir.Node, store: Store) -> Product | None:
    # DynamicQuantizeMatMul(a, b, scale, zero, bias); MatMulIntegerToFloat has them elsewhere.
    own = node.op_type == "DynamicQuantizeMatMul"
    scale, zero, bias = (2, 3, 4) if own else (3, 5, 6)
    value = _input(node, 1)
    held = [store.read(_input(node, i)) for i in (1, scale, zero, bias)]
    if held[0] is None or held[1] is None:
        return None
    return _matrix(dequantised(held[0], held[1], held[2], -1), held[3], value)


def _einsum(node: ir.Node, store: Store) -> Product | None:
    equation = attribute(node, "equation", "")
    left, arrow, result = str(equation).replace(" ", "").partition("->")
    terms = left.split(",")
    if not arrow or len(terms) != 2 or len(node.inputs) != 2:
        return None
    for place in (1, 0):
        weight, read, held = store.read(node.inputs[place]), terms[1 - place], terms[place]
        if weight is None or store.read(node.inputs[1 - place]) is not None:
            continue
        if not (read + held + result).isalpha() or weight.ndim != len(held):
            return None
        if any(len(set(t)) != len(t) for t in (read, held, result)):
            return None
        inner = [c for c in read if c in held and c not in result]
        outer = [c for c in result if c in held and c not in read]
        if not inner or set(inner) | set(outer) != set(held):
            return None
        turned = np.transpose(weight, [held.index(c) for c in (*outer, *inner)])
        sizes = turned.shape[: len(outer)]
        rows = int(np.prod(sizes))
        return Product(
            "MatMul",
            turned.reshape(rows, -1),
            None,
            node.inputs[place],
            1 - place,
            reads=tuple(read.index(c) - len(read) for c in inner),
            axis=tuple(result.index(c) - len(result) for c in outer),
            sizes=sizes,
        )
    return None


def _embedding(node: ir.Node, store: Store) -> Product | None:
    value = _input(node, 0)
    table = store.read(value)
    if table is None or table.ndim != 2 or table.dtype.kind != "f" or attribute(node, "axis", 0):
        return None
    if store.read(_input(node, 1)) is not None:
        return None
    return Product("Embedding", table.T, None, value, 1, axis=(-1,))


def _recurrent(node: ir.Node, store: Store) -> Product | None:
    """Returns what a recurrent layer multiplies its input by; its state has an order of its own."""
    value = _input(node, 1)
    weight = store.read(value)
    if weight is None or weight.ndim != 3:
        return None
    rows = weight.reshape(-1, weight.shape[2])
    return Product(node.op_type, rows, None, value, 0, reads=(-1,), rank=3)


#: By operator: what reads its weights, or None where they are not stored.
PRODUCTS: Mapping[str, Callable[[ir.Node, Store], Product | None]] = {
    "Conv": _conv,
    "FusedConv": _conv,
    "ConvTranspose": _conv,
    "ConvInteger": _conv_integer,
    "QLinearConv": _q_conv,
    "MatMul": _matmul,
    "FusedMatMul": _matmul,
    "Gemm": _gemm,
    "FusedGemm": _gemm,
    "QLinearMatMul": _q_matmul,
    "QGemm": _q_gemm,
    "MatMulInteger": _matmul_integer,
    "DynamicQuantizeMatMul": _dynamic_matmul,
    "MatMulIntegerToFloat": _dynamic_matmul,
    "Einsum": _einsum,
    "Gather": _embedding,
    "GRU": _recurrent,
    "LSTM": _recurrent,
    "RNN": _recurrent,
}
