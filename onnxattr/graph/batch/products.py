"""Products and recurrent layers: the batch lies on axes that are not summed over."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

from onnxattr.graph.arithmetic import sizes_of
from onnxattr.graph.batch.layouts import Layout, Step
from onnxattr.graph.batch.rules import (
    Given,
    alike,
    attribute,
    broadcast,
    given_at,
    rule,
    size_at,
)

#: Where the factors of a matrix product are.
_FACTORS = {"MatMul": (0, 1), "MatMulInteger": (0, 1), "QLinearMatMul": (0, 3)}


@rule("MatMul MatMulInteger", places=(0, 1))
@rule("QLinearMatMul", places=(0, 3))
def _matmul(node: ir.Node, given: Given) -> Iterator[Step]:
    places = _FACTORS[node.op_type]
    sizes = [sizes_of(node.inputs[i]) for i in places]
    scales = [sizes_of(v) for i, v in enumerate(node.inputs) if i not in places and v]
    if any(not s for s in sizes) or any(s not in ([], [1]) for s in scales):
        return
    ranks = [len(s or []) for s in sizes]
    rank = max(ranks)
    if 1 in ranks:
        # A vector with a batch is summed over it; as the second factor it takes the last axis away.
        layout, vector = (given[i] for i in places)
        if ranks[1] == 1 and not vector and layout and layout.axis < rank - 1:
            yield Step((layout,))
        return
    # What is summed over: the last axis of the first factor, the one before it of the second.
    summed, kept = (rank - 1, rank - 2), (rank - 2, rank - 1)
    step = broadcast(node, given, places, rank)
    at = [
        layout.axis + rank - r if (layout := given[i]) else None
        for i, r in zip(places, ranks, strict=True)
    ]
    if any(a is not None and a == s for a, s in zip(at, summed, strict=True)):
        return
    alone = [a for a, k in zip(at, kept, strict=True) if a == k]
    if alone:
        if None in at:
            (layout,) = (x for i in places if (x := given[i]))
            yield Step((layout.at(alone[0]),))
    elif step:
        yield step


@rule("Gemm", places=(0, 1, 2))
def _gemm(node: ir.Node, given: Given) -> Iterator[Step]:
    rows, columns = int(attribute(node, "transA", 0)), 1 - int(attribute(node, "transB", 0))
    first, second = given[:2]
    bias = given[2] if len(given) > 2 else None
    if bool(first) == bool(second):
        return
    if first and first.axis == rows:
        layout = first.at(0)
    elif second and second.axis == columns:
        layout = second.at(1)
    else:
        return
    if not given_at(node, 2):
        yield Step((layout,))
        return
    size, sizes = size_at(node.inputs[2], layout.axis, 2), sizes_of(node.inputs[2])
    if sizes is None:
        return
    at = layout.axis - (2 - len(sizes))
    if bias:
        if bias == layout.at(at):
            yield Step((layout,))
    elif size == 1:
        yield Step((layout,))
    elif size == layout.size:
        yield Step((layout,), {2: layout.at(at)})


@rule("Einsum", places=None)
def _einsum(node: ir.Node, given: Given) -> Iterator[Step]:
    terms, result = _terms(node)
    layouts: dict[str, Layout] = {}
    for term, layout in zip(terms, given, strict=False):
        if layout:
            letter = term[layout.axis] if layout.axis < len(term) else ""
            layouts.setdefault(letter, layout)
            if layouts[letter][1:] != layout[1:]:
                return
    if len(layouts) != 1:
        return
    ((letter, layout),) = layouts.items()
    if result.count(letter) != 1 or any(term.count(letter) > 1 for term in terms):
        return
    repeats = {}
    for i, (term, value) in enumerate(zip(terms, node.inputs, strict=False)):
        if given[i] or letter not in term:
            continue
        at, sizes = term.index(letter), sizes_of(value)
        if not sizes or sizes[at] != layout.size:
            return
        repeats[i] = layout.at(at)
    yield Step((layout.at(result.index(letter)),), repeats)


def _terms(node: ir.Node) -> tuple[list[list[str]], list[str]]:
    """Returns the axes of each operand and of the result; those of an ellipsis are numbered."""
    left, arrow, right = str(attribute(node, "equation", "")).replace(" ", "").partition("->")
    ranks = [len(sizes_of(v) or []) for v in node.inputs]
    terms = left.split(",")
    if not arrow or len(terms) != len(ranks):
        return [], []
    wide = max(
        (r - len(t.replace("...", "")) for r, t in zip(ranks, terms, strict=True)), default=0
    )

    def axes(term: str, rank: int) -> list[str]:
        begin, dots, end = term.partition("...")
        hidden = rank - len(begin) - len(end) if dots else 0
        return [*begin, *(str(i) for i in range(wide - hidden, wide)), *end]

    return [axes(t, r) for t, r in zip(terms, ranks, strict=True)], axes(
        right, wide + len(right.replace("...", ""))
    )


@rule("RNN GRU LSTM", places=(0, 4, 5, 6))
def _recurrent(node: ir.Node, given: Given) -> Iterator[Step]:
    first = int(attribute(node, "layout", 0))
    layout = given[0]
    axes = {0: 0 if first else 1, 4: 0, 5: 0 if first else 1, 6: 0 if first else 1}
    if not layout or layout.axis != axes[0]:
        return
    repeats = {}
    for i in (4, 5, 6):
        if not given_at(node, i):
            continue
        wanted, sizes = layout.at(axes[i]), sizes_of(node.inputs[i])
        if given[i] is None and sizes and len(sizes) > axes[i] and sizes[axes[i]] == layout.size:
            repeats[i] = wanted
        elif given[i] != wanted:
            return
    states = layout.at(0 if first else 1)
    outputs = (layout.at(0 if first else 2), states, states)
    yield Step(outputs[: len(node.outputs)], repeats)


@rule("Attention", places=(0, 1, 2, 3))
def _attention(node: ir.Node, given: Given) -> Iterator[Step]:
    step = alike(node, given, (0, 1, 2))
    layout = step.outputs[0] if step else None
    more = any(given_at(node, i) for i in range(4, len(node.inputs)))
    if not step or not layout or layout.axis or more:
        return
    if given_at(node, 3):
        # A mask is broadcast to [batch, head, query, key].
        mask, sizes = given[3], sizes_of(node.inputs[3])
        same = mask == layout and len(sizes or []) == 4
        if not same and (mask or size_at(node.inputs[3], 0, 4) != 1):
            return
    yield step
