"""Random graphs for a batch of one, in which the batch is moved, merged, lost and mixed."""

import math
import random

import numpy as np
from onnx import helper, numpy_helper

#: Numbers of a value beyond which it does not grow.
LARGEST = 400


class Graph:
    """A graph that grows by one operator at a time; shapes are known all along.

    Args:
        seed: Of everything random in it.
        opset: Version of ONNX's operators.
    """

    def __init__(self, seed, opset=17):
        self.pick, self.noise = random.Random(seed), np.random.default_rng(seed)
        self.opset, self.nodes, self.stored = opset, [], []
        self.input = self.pick.choice([(1, 12), (1, 3, 4), (1, 4, 2, 3), (1, 2, 6), (1, 1, 4, 3)])
        self.shapes = {"x": self.input}

    def store(self, array):
        self.stored.append(numpy_helper.from_array(np.asarray(array), f"c{len(self.stored)}"))
        return self.stored[-1].name

    def weight(self, *shape):
        return self.store(self.noise.normal(size=shape).astype(np.float32))

    def integers(self, *numbers):
        return self.store(np.array(numbers, np.int64))

    def add(self, op, inputs, shape, outputs=1, **attributes):
        if math.prod(shape) > LARGEST or 0 in shape or len(shape) > 5:
            return None
        names = [f"n{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op, inputs, names, **attributes))
        self.shapes |= dict.fromkeys(names, tuple(shape))
        return names[0]

    def grow(self):
        """Adds one operator, or none where the one that was drawn does not fit."""
        x = self.pick.choice(list(self.shapes)[-4:])
        shape = self.shapes[x]
        axis = self.pick.randrange(len(shape)) if shape else 0
        if shape:
            self.pick.choice(OPERATORS)(self, x, shape, axis)

    def finish(self):
        """Returns the model; its output is the last value, or that in one row."""
        last = list(self.shapes)[-1]
        shape = self.shapes[last]
        if not self.nodes or shape[:1] != (1,) or self.pick.random() < 0.5:
            row = (1, math.prod(shape))
            last, shape = self.add("Reshape", [last, self.integers(*row)], row), row
        given = [helper.make_tensor_value_info("x", 1, self.input)]
        made = [helper.make_tensor_value_info(last, 1, shape)]
        graph = helper.make_graph(self.nodes, "g", given, made, self.stored)
        imports = [helper.make_opsetid("", self.opset)]
        return helper.make_model(graph, opset_imports=imports, ir_version=8)


def regroup(g, x, shape, axis):
    sizes, left = [1] * g.pick.randint(1, 5), math.prod(shape)
    for prime in (2, 2, 2, 2, 2, 2, 3, 3, 3, 3):
        if left % prime == 0:
            left //= prime
            sizes[g.pick.randrange(len(sizes))] *= prime
    sizes[-1] *= left
    target = list(sizes)
    if g.pick.random() < 0.3:
        target[g.pick.randrange(len(target))] = -1
    g.add("Reshape", [x, g.integers(*target)], sizes)


def transpose(g, x, shape, axis):
    order = g.pick.sample(range(len(shape)), len(shape))
    return g.add("Transpose", [x], [shape[i] for i in order], perm=order)


def product(g, x, shape, axis):
    others = [(v, s) for v, s in g.shapes.items() if len(s) > 1 and len(shape) > 1]
    fit = [(v, s) for v, s in others if s[-2] == shape[-1] and compatible(s[:-2], shape[:-2])]
    if fit and g.pick.random() < 0.7:
        other, sizes = g.pick.choice(fit)
        batch = np.broadcast_shapes(shape[:-2], sizes[:-2])
        g.add("MatMul", [x, other], (*batch, shape[-2], sizes[-1]))
    elif len(shape) > 1 and g.pick.random() < 0.3:
        g.add("MatMul", [g.weight(3, shape[-2]), x], (*shape[:-2], 3, shape[-1]))
    else:
        g.add("MatMul", [x, g.weight(shape[-1], 2)], (*shape[:-1], 2))


def square(g, x, shape, axis):
    order = [*range(len(shape) - 2), len(shape) - 1, len(shape) - 2]
    if len(shape) > 1:
        turned = g.add("Transpose", [x], [shape[i] for i in order], perm=order)
        g.add("MatMul", [x, turned], (*shape[:-1], shape[-2]))


def compatible(first, second):
    return all(1 in (a, b) or a == b for a, b in zip(first[::-1], second[::-1], strict=False))


def operate(g, x, shape, axis):
    other, sizes = g.pick.choice(list(g.shapes.items()))
    if g.pick.random() < 0.5 or not compatible(sizes, shape):
        sizes = [n if g.pick.random() < 0.6 else 1 for n in shape][g.pick.randint(0, len(shape)) :]
        other = g.weight(*sizes)
    g.add(g.pick.choice(["Add", "Mul", "Max"]), [x, other], np.broadcast_shapes(shape, sizes))


def along(g, x, shape, axis):
    op = g.pick.choice(["Softmax", "LogSoftmax", "LayerNormalization", "CumSum", "Tanh"])
    if op == "Tanh":
        g.add(op, [x], shape)
    elif op == "CumSum":
        g.add(op, [x, g.store(np.int64(axis))], shape)
    else:
        scale = [g.weight(*shape[axis:])] if op == "LayerNormalization" else []
        g.add(op, [x, *scale], shape, axis=axis)


def reduce(g, x, shape, axis):
    keep = g.pick.randint(0, 1)
    sizes = [1 if i == axis else n for i, n in enumerate(shape) if keep or i != axis]
    if g.pick.random() < 0.5:
        g.add("ReduceSum", [x, g.integers(axis)], sizes, keepdims=keep)
    else:
        g.add("ReduceMean", [x], sizes, axes=[axis], keepdims=keep)


def join(g, x, shape, axis):
    values = [v for v, s in g.shapes.items() if s == shape]
    other = g.pick.choice([*values, g.weight(*shape)])
    pair = g.pick.sample([x, other], 2)
    g.add("Concat", pair, [n * (2 if i == axis else 1) for i, n in enumerate(shape)], axis=axis)


def pick(g, x, shape, axis):
    size = shape[axis]
    indices = g.pick.choice([0, [0], [size - 1, 0], list(range(size)), [[0], [size - 1]]])
    sizes = (*shape[:axis], *np.shape(indices), *shape[axis + 1 :])
    g.add("Gather", [x, g.store(np.int64(indices))], sizes, axis=axis)


def cut(g, x, shape, axis):
    begin, end = g.pick.choice([(0, shape[axis]), (0, 2**63 - 1), (shape[axis] // 2, shape[axis])])
    sizes = [len(range(n)[begin:end]) if i == axis else n for i, n in enumerate(shape)]
    g.add("Slice", [x, *map(g.integers, (begin, end, axis))], sizes)


def split(g, x, shape, axis):
    if shape[axis] % 2 == 0:
        sizes = [n // 2 if i == axis else n for i, n in enumerate(shape)]
        g.add("Split", [x], sizes, outputs=2, axis=axis)


def squeeze(g, x, shape, axis):
    if shape[axis] == 1 and len(shape) > 1:
        g.add("Squeeze", [x, g.integers(axis)], shape[:axis] + shape[axis + 1 :])
    else:
        g.add("Unsqueeze", [x, g.integers(axis)], (*shape[:axis], 1, *shape[axis:]))


def flatten(g, x, shape, axis):
    g.add("Flatten", [x], (math.prod(shape[:axis]), math.prod(shape[axis:])), axis=axis)


def widen(g, x, shape, axis):
    if g.pick.random() < 0.5:
        times = [g.pick.choice([1, 1, 2]) for _ in shape]
        sizes = [a * b for a, b in zip(shape, times, strict=True)]
        g.add("Tile", [x, g.integers(*times)], sizes)
    else:
        target = [2 if n == 1 and g.pick.random() < 0.4 else n for n in shape]
        g.add("Expand", [x, g.integers(*target)], target)


def einsum(g, x, shape, axis):
    other, sizes = g.pick.choice([(v, s) for v, s in g.shapes.items() if len(s) < 5])
    first, second = "abcde"[: len(shape)], ""
    letters = dict(zip(first, shape, strict=True))
    for size in sizes:
        free = [c for c in first if letters[c] == size and c not in second]
        second += g.pick.choice(free) if free and g.pick.random() < 0.8 else "fghi"[len(second)]
        letters[second[-1]] = size
    kept = [c for c in letters if g.pick.random() < 0.7] or [first[0]]
    g.pick.shuffle(kept)
    equation = f"{first},{second}->{''.join(kept)}"
    g.add("Einsum", [x, other], [letters[c] for c in kept], equation=equation)


def layer(g, x, shape, axis):
    if len(shape) == 2:
        turned, bias = g.pick.randint(0, 1), g.pick.choice([(2,), (1, 1)])
        rows, units = shape[::-1] if turned else shape
        g.add("Gemm", [x, g.weight(units, 2), g.weight(*bias)], (rows, 2), transA=turned)
    elif len(shape) == 4 and min(shape[2:]) > 1:
        sizes = (shape[0], 2, shape[2] - 1, shape[3] - 1)
        g.add("Conv", [x, g.weight(2, shape[1], 2, 2)], sizes)
    elif len(shape) > 1:
        numbers = [g.weight(shape[1]) for _ in range(3)]
        variance = g.store(np.full(shape[1], 2, np.float32))
        g.add("BatchNormalization", [x, *numbers, variance], shape)


OPERATORS = [
    *[regroup, transpose] * 4,
    *[product, square, operate, join] * 2,
    along, reduce, pick, cut, split, squeeze, flatten, widen, einsum, layer,
]  # fmt: skip


def model(seed):
    """Returns the model of a seed, and what its input may be."""
    graph = Graph(seed)
    for _ in range(graph.pick.randint(2, 9)):
        graph.grow()
    return graph.finish(), graph.noise.normal(size=(3, *graph.input[1:])).astype(np.float32)
