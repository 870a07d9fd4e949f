"""The arithmetic of sizes: what operators on few integers give, as far as these are known."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import onnx_ir as ir

from onnxattr.graph.walk import STANDARD

#: Numbers of a value that is computed: shapes and indices are short.
MAX_NUMBERS = 256

#: Numbers of which some may be unknown: a name stands for a free dimension, None for anything.
Numbers = np.ndarray[Any, np.dtype[np.object_]]

#: From a node and the numbers of its inputs, None where nothing is known of them.
Rule = Callable[[ir.Node, list[Numbers | None]], Numbers | None]


class Product(str):
    """A free size times a number, which is equal to no name that a vendor may have given."""

    number: int
    name: str

    def __new__(cls, number: int, name: str) -> Product:
        """Returns `number` times the size that is called `name`."""
        self = super().__new__(cls, f"{number}·{name}")
        self.number, self.name = number, name
        return self

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Product):
            return False
        return (self.number, self.name) == (other.number, other.name)

    def __hash__(self) -> int:
        return hash((self.number, self.name))


def product(sizes: Iterable[int | str | None]) -> tuple[int, list[str]] | None:
    """Returns the product of sizes: of the known ones, and the names of the free ones in order."""
    number, names = 1, []
    for size in sizes:
        if size is None:
            return None
        if isinstance(size, Product):
            number *= size.number
            names.append(size.name)
        elif isinstance(size, str):
            names.append(size)
        else:
            number *= size
    return number, sorted(names)


def _array(values: Any) -> Numbers:
    return np.asarray(values, dtype=object)


def _attribute(node: ir.Node, name: str, default: Any) -> Any:
    attribute = node.attributes.get(name)
    return default if attribute is None else attribute.value


def sizes_of(value: ir.Value | None) -> list[int | str | None] | None:
    """Returns the sizes of a value: a free one is its name, or None if it has no name."""
    if value is None or value.shape is None:
        return None
    return [d.value if isinstance(d, ir.SymbolicDim) else d for d in value.shape]


def _shape(node: ir.Node, _: list[Numbers | None]) -> Numbers | None:
    sizes = sizes_of(node.inputs[0])
    if sizes is None:
        return None
    start, end = _attribute(node, "start", 0), _attribute(node, "end", len(sizes))
    return _array(sizes[start:end])


def _size(node: ir.Node, _: list[Numbers | None]) -> Numbers | None:
    sizes = sizes_of(node.inputs[0])
    if sizes is None or not all(isinstance(s, int) for s in sizes):
        return None
    return _array(math.prod(s for s in sizes if isinstance(s, int)))


def _same(node: ir.Node, inputs: list[Numbers | None]) -> Numbers | None:
    return inputs[0]


def _cast(node: ir.Node, inputs: list[Numbers | None]) -> Numbers | None:
    to = ir.DataType(_attribute(node, "to", 0))
    if inputs[0] is None:
        return None
    if to == ir.DataType.BOOL:
        return _each(lambda n: n if isinstance(n, str) else bool(n), inputs[0])
    # A free size stays what it is in every type of number.
    if to.is_integer():
        return _each(lambda n: n if isinstance(n, str) else int(n), inputs[0])
    return _each(float, inputs[0]) if to == ir.DataType.DOUBLE else None


def _each(function: Callable[..., Any], *arrays: Numbers) -> Numbers:
    """Returns a function of numbers, broadcast; unknown where one of them is."""

    def compute(*numbers: Any) -> Any:
        return None if any(n is None for n in numbers) else function(*numbers)

    return _array(np.frompyfunc(compute, len(arrays), 1)(*arrays))


def _elementwise(function: Callable[..., Any]) -> Rule:
    def on_numbers(*numbers: Any) -> Any:
        return None if any(isinstance(n, str) for n in numbers) else function(*numbers)

    def rule(node: ir.Node, inputs: list[Numbers | None]) -> Numbers | None:
        arrays = [a for a in inputs if a is not None]
        return _each(on_numbers, *arrays) if len(arrays) == len(inputs) else None

    return rule


def _divide(a: Any, b: Any) -> Any:
    if isinstance(a, float) or isinstance(b, float):
        return a / b
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def _mod(node: ir.Node, inputs: list[Numbers | None]) -> Numbers | None:
    """Of integers, with the sign of the divisor."""
    numbers = [n for a in inputs if a is not None for n in a.reshape(-1)]
    if _attribute(node, "fmod", 0) or any(isinstance(n, float) for n in numbers):
        return None
    return _elementwise(operator.mod)(node, inputs)


def _equal(node: ir.Node, inputs: list[Numbers | None]) -> Numbers | None:
    a, b = inputs
    if a is None or b is None:
        return None
    return _each(_same_size, a, b)


def _same_size(a: Any, b: Any) -> bool | None:
    """Whether two sizes are equal, as far as it is known.

    Those of one name are, those of two names may be. A free size is taken to be none of the marks:
    0 and below.
    """
    free = [isinstance(n, str) for n in (a, b)]
    if not any(free):
        return bool(a == b)
    if all(free):
        return True if a == b else None
    return False if (b if free[0] else a) <= 0 else None


def _gather(node: ir.Node, inputs: list[Numbers | None]) -> Numbers | None:
    data, index = inputs
    if (
        data is None
        or index is None
        or data.ndim != 1
        or _attribute(node, "axis", 0) not in (0, -1)
    ):
        return None
    return _array(data[index.astype(np.int64)])


def _slice(node: ir.Node, inputs: list[Numbers | None]) -> Numbers | None:
    if "starts" in node.attributes:
        inputs = [inputs[0], *(_array(node.attributes[n].value) for n in ("starts", "ends"))]
    data, starts, ends, axes, steps = [*inputs, None, None][:5]
    axes = _array([0]) if len(inputs) < 4 else axes
    steps = _array([1]) if len(inputs) < 5 else steps
    if data is None or starts is None or ends is None or steps is None or not data.ndim:
        return None
    # A list has one axis, whatever is said of it.
    if data.ndim > 1 and axes is None:
        return None
    (start,), (end,), (step,) = starts, ends, steps
    axis = 0 if data.ndim == 1 or axes is None else int(axes[0]) % data.ndim
    if step < 0 and end < -data.shape[axis]:
        end = None
    return _array(data[(*[slice(None)] * axis, slice(start, end, step))])


def _concat(node: ir.Node, inputs: list[Numbers | None]) -> Numbers | None:
    arrays = []
    for value, numbers in zip(node.inputs, inputs, strict=True):
        if numbers is not None:
            arrays.append(numbers)
            continue
        sizes = sizes_of(value)
        if sizes is None or len(sizes) != 1 or not isinstance(sizes[0], int):
            return None
        if sizes[0] > MAX_NUMBERS:
            return None
        arrays.append(_array([None] * sizes[0]))
    return np.concatenate(arrays) if all(a.ndim == 1 for a in arrays) else None


def _squeeze(node: ir.Node, inputs: list[Numbers | None]) -> Numbers | None:
    data = inputs[0]
    return data.reshape(()) if data is not None and data.shape == (1,) else None


def _unsqueeze(node: ir.Node, inputs: list[Numbers | None]) -> Numbers | None:
    data = inputs[0]
    return data.reshape(1) if data is not None and data.ndim == 0 else None


def _reshape(node: ir.Node, inputs: list[Numbers | None]) -> Numbers | None:
    data, shape = inputs
    if data is None or shape is None or any(n is None or n == 0 for n in shape):
        return None
    return data.reshape([int(n) for n in shape])


def _transpose(node: ir.Node, inputs: list[Numbers | None]) -> Numbers | None:
    data, perm = inputs[0], _attribute(node, "perm", None)
    if data is None or (perm is not None and sorted(perm) != list(range(data.ndim))):
        return None
    return _array(data.transpose(perm))


def _reduce_prod(node: ir.Node, inputs: list[Numbers | None]) -> Numbers | None:
    data = inputs[0]
    whole = product(data) if data is not None and data.ndim == 1 else None
    if whole is None or len(whole[1]) > 1:
        return None
    number, names = whole
    size: Any = number if not names else names[0] if number == 1 else Product(number, names[0])
    return _array([size] if _attribute(node, "keepdims", 1) else size)


def _constant_of_shape(node: ir.Node, inputs: list[Numbers | None]) -> Numbers | None:
    shape, fill = inputs[0], _attribute(node, "value", None)
    if shape is None or shape.shape not in ((0,), (1,)):
        return None
    number = 0.0 if fill is None else fill.numpy().reshape(-1)[0].item()
    sizes = [int(n) for n in shape]
    return np.full(sizes, number, dtype=object) if math.prod(sizes) <= MAX_NUMBERS else None


def _range(node: ir.Node, inputs: list[Numbers | None]) -> Numbers | None:
    if any(a is None or not isinstance(a.reshape(-1)[0], int) for a in inputs):
        return None
    window = range(*(int(a.reshape(-1)[0]) for a in inputs if a is not None))
    return _array(list(window)) if len(window) <= MAX_NUMBERS else None


def _where(node: ir.Node, inputs: list[Numbers | None]) -> Numbers | None:
    condition, a, b = inputs
    if condition is None or a is None or b is None:
        return None
    choose = np.frompyfunc(lambda c, x, y: None if c is None else (x if c else y), 3, 1)
    return _array(choose(condition, a, b))


def _constant(node: ir.Node, _: list[Numbers | None]) -> Numbers | None:
    # All others are stored before: only a graph that returns one keeps it.
    tensor = _attribute(node, "value", None)
    return None if tensor is None else numbers_of(tensor)


RULES: dict[str, Rule] = {
    "Constant": _constant,
    "Shape": _shape,
    "Size": _size,
    "Identity": _same,
    "Cast": _cast,
    "Gather": _gather,
    "Slice": _slice,
    "Concat": _concat,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    "Reshape": _reshape,
    "ReduceProd": _reduce_prod,
    "ConstantOfShape": _constant_of_shape,
    "Range": _range,
    "Where": _where,
    "Equal": _equal,
    "Add": _elementwise(operator.add),
    "Sub": _elementwise(operator.sub),
    "Mul": _elementwise(operator.mul),
    "Div": _elementwise(_divide),
    "Neg": _elementwise(operator.neg),
    "Min": _elementwise(min),
    "Max": _elementwise(max),
    "Floor": _elementwise(lambda n: float(math.floor(n))),
    "Ceil": _elementwise(lambda n: float(math.ceil(n))),
    "Mod": _mod,
    "Less": _elementwise(operator.lt),
    "Greater": _elementwise(operator.gt),
    "LessOrEqual": _elementwise(operator.le),
    "GreaterOrEqual": _elementwise(operator.ge),
    "Not": _elementwise(operator.not_),
    "And": _elementwise(lambda a, b: a and b),
    "Or": _elementwise(lambda a, b: a or b),
}


def numbers_of(tensor: ir.TensorProtocol) -> Numbers | None:
    """Returns the numbers of a tensor, if they are few, and of a type that counts."""
    whole = tensor.dtype.is_integer() or tensor.dtype == ir.DataType.BOOL
    single = tensor.dtype == ir.DataType.DOUBLE and tensor.size == 1
    if tensor.size > MAX_NUMBERS or not (whole or single):
        return None
    # As Python's numbers, which may be mixed with names and never overflow.
    return np.asarray(tensor.numpy().tolist(), dtype=object)


def stored_numbers(value: ir.Value) -> Numbers | None:
    """Returns the numbers of a value, if it is stored; see `numbers_of`."""
    return None if value.const_value is None else numbers_of(value.const_value)


def computed(node: ir.Node, inputs: list[Numbers | None]) -> Numbers | None:
    """Returns the numbers of a node's only output, None where they are not known."""
    if node.domain not in STANDARD or node.op_type not in RULES or len(node.outputs) != 1:
        return None
    try:
        numbers = RULES[node.op_type](node, inputs)
    except (ArithmeticError, IndexError, TypeError, ValueError):
        # What a graph asks for and nobody can compute is left to fail where it is run.
        return None
    if numbers is None or numbers.size > MAX_NUMBERS:
        return None
    return numbers if _fits(numbers, node.outputs[0].dtype) else None


def _fits(numbers: Numbers, dtype: ir.DataType | None) -> bool:
    """Whether numbers are what a graph computes in a type: it rounds and wraps, Python does not."""
    if dtype is None or dtype == ir.DataType.DOUBLE:
        return True
    if dtype.is_floating_point():
        return False
    try:
        _ = np.array([n for n in numbers.reshape(-1) if isinstance(n, int)], dtype.numpy())
    except OverflowError:
        return False
    return True
