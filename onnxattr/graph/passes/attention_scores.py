"""The scores of an attention: a product, and what is done to it before the softmax."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from onnxattr.graph.passes import choices, products
from onnxattr.graph.passes.chains import made_by, number, other, rank_of, reader, stored
from onnxattr.graph.passes.choices import Choice, Condition
from onnxattr.graph.passes.products import Changed, Operand, Taken

#: A score that stands for −∞ where it replaces another: exp of it is 0 beside any real score.
_FORBIDDEN = -1e4

#: Added to any real score, this leaves nothing of it: where all are forbidden, all are alike.
_ABSORBING = {ir.DataType.DOUBLE: -1e18, ir.DataType.FLOAT: -1e9}

#: These may view the scores otherwise, as Swin's windows and TensorFlow's einsum do.
VIEWS = ("Reshape", "Squeeze", "Unsqueeze")

#: How many masks, scales and views lie between the two products at most.
_DEPTH = 8


@dataclass(frozen=True)
class Scores:
    """What a softmax takes: q·kᵀ·scale + the sum of the masks, and `fill` where it may not look.

    The first axis of the product may be seen as several while masks are added, and as one again
    afterwards. Then q, kᵀ, masks and `keep` are those with the axes split.

    Attributes:
        q: With what scales each query.
        k: Transposed.
        product: q·kᵀ as the graph has it, before anything is split.
        nodes: All nodes that make the scores.
        scale: A number.
        masks: What is added, first first.
        keep: Where the scores hold; elsewhere they are `fill`.
        condition: What `keep` is made of.
        fill: −∞ or a number that stands for it.
        sizes: Of the axes that the first one is split into, one of them -1 where it is free.
        joined: Whether these are one axis again.
    """

    q: Operand
    k: Operand
    product: ir.Value
    nodes: tuple[ir.Node, ...]
    scale: float = 1.0
    masks: tuple[Operand, ...] = ()
    keep: Operand | None = None
    condition: Condition | None = None
    fill: float = -math.inf
    sizes: tuple[int, ...] = ()
    joined: bool = False

    @property
    def axes(self) -> int:
        """How many axes the first one of the product is seen as now."""
        return len(self.sizes) if self.sizes and not self.joined else 1

    def leading(self, value: ir.Value) -> Sequence[int | ir.SymbolicDim] | None:
        """Returns the axes of `value` that stand for the first one of the product.

        None where the others are not those of the product, or of sizes that are not known.
        """
        if self.product.shape is None or value.shape is None or len(self.product.shape) < 3:
            return None
        rest, every = list(self.product.shape)[1:], list(value.shape)
        if not all(isinstance(size, int) for size in rest) or every[-len(rest) :] != rest:
            return None
        return every[: -len(rest)] or None

    def seen(self, operand: Operand) -> Operand | None:
        """Returns an operand of the scores as they are now, split as q and kᵀ are."""
        rank = rank_of(self.product)
        if not self.joined:
            return operand
        return products.split(operand, rank, self.sizes) if rank is not None else None

    def allowed(self, condition: Condition, fill: float, *nodes: ir.Node) -> Scores | None:
        """Returns these scores where a condition holds, and `fill` elsewhere."""
        keep = self.seen(_booleans(condition))
        if self.keep is not None or keep is None:
            return None
        every = (*self.nodes, *nodes)
        return dataclasses.replace(self, nodes=every, keep=keep, condition=condition, fill=fill)

    def allowed_too(self, condition: Condition) -> Scores | None:
        """Returns these scores where a condition holds, besides what forbids some already.

        That must be stored and leave something of each row, so that nothing but the condition can
        forbid all of what there was.
        """
        keep, known = self.seen(_booleans(condition)), choices.constant(condition)
        if self.keep is None or self.condition is None or keep is None or known is not None:
            return None
        before = choices.constant(self.condition)
        if before is None or not before.ndim or not before.any(axis=-1).all():
            return None
        rank = _larger(self.keep.rank, keep.rank)
        both = Changed(self.keep, "And", rank, (keep,))
        return dataclasses.replace(self, keep=both, condition=condition, fill=-math.inf)


def find(value: ir.Value | None, depth: int = _DEPTH) -> Scores | None:
    """Returns `value` as scores, if they come from a product."""
    node = made_by(value, "Add", "Div", "Einsum", "MatMul", "Mul", "Transpose", "Where", *VIEWS)
    if node is None or value is None or not depth:
        return None
    if node.op_type in VIEWS:
        return _viewed(value, depth)
    if node.op_type in ("Einsum", "MatMul", "Transpose"):
        return _product(node)
    choice = choices.choice(value)
    chosen = _chosen(choice, depth) if choice is not None else None
    if chosen is not None or node.op_type == "Where":
        return chosen
    for operand in node.inputs[: 1 if node.op_type == "Div" else 2]:
        rest = other(node, operand) if operand is not None else None
        inner = find(operand, depth - 1) if rest is not None else None
        if inner is None or rest is None or operand is None:
            continue
        changed = _masked if node.op_type == "Add" else _scaled
        found = changed(inner, operand, rest, node)
        if found is not None:
            return found
    return None


def _scaled(inner: Scores, scores: ir.Value, factor: ir.Value, node: ir.Node) -> Scores | None:
    """Returns the scores times a number, or times one number a query, or divided by it."""
    nodes = (*inner.nodes, node)
    if inner.masks or inner.keep is not None:
        return None
    known = number(factor, rank_of(scores) or 2)
    if known:
        scale = inner.scale * known if node.op_type == "Mul" else inner.scale / known
        return dataclasses.replace(inner, nodes=nodes, scale=scale)
    rank, shape = rank_of(scores), factor.shape
    if inner.joined or not rank or not shape or len(shape) > rank or shape[-1] != 1:
        return None
    # It is the same for all keys, so q may have it.
    q = Changed(inner.q, node.op_type, _larger(inner.q.rank, len(shape)), (Taken(factor),))
    return dataclasses.replace(inner, nodes=nodes, q=q)


def _masked(inner: Scores, scores: ir.Value, mask: ir.Value, node: ir.Node) -> Scores | None:
    """Returns the scores with a mask added, which may be a choice between 0 and as good as −∞."""
    # A number that replaces a score holds only as long as nothing is added to it.
    if inner.keep is not None and inner.fill != -math.inf:
        return None
    choice = choices.choice(mask) if inner.keep is None else None
    if choice is not None:
        yes, no = (number(v, 2) for v in (choice.yes, choice.no))
        if yes == 0 and no is not None and no <= _absorbing(mask):
            return inner.allowed(choice.condition, no, node)
        if no == 0 and yes is not None and yes <= _absorbing(mask):
            return inner.allowed(_opposite(choice.condition), yes, node)
    seen = inner.seen(Taken(mask))
    if seen is None:
        return None
    return dataclasses.replace(inner, nodes=(*inner.nodes, node), masks=(*inner.masks, seen))


def _chosen(choice: Choice, depth: int) -> Scores | None:
    """Returns the scores that a choice lets through."""
    for scores, rest, inverted in (
        (choice.yes, choice.no, False),
        (choice.no, choice.yes, True),
    ):
        nodes = choice.nodes(scores)
        fill = number(rest, rank_of(scores) or 2)
        if fill is None:
            fill, lowered = _lowered(rest, scores)
            nodes = [lowered, *choice.nodes(scores, rest)] if lowered is not None else nodes
        if fill is None or fill > _FORBIDDEN:
            continue
        inner = find(scores, depth - 1)
        if inner is None or inner.keep is not None:
            continue
        condition = _opposite(choice.condition) if inverted else choice.condition
        simple = _without_ones(condition, scores)
        if simple is not None:
            # What always holds is in a shape that is read from the scores.
            condition, nodes = simple, [*nodes, *choice.nodes(rest), *simple.nodes]
        return inner.allowed(condition, fill, *nodes)
    return None


def _lowered(value: ir.Value, scores: ir.Value) -> tuple[float | None, ir.Node | None]:
    """Returns what is added to the scores to give `value`, if that leaves nothing of them."""
    node = made_by(value, "Add", "Sub")
    if node is None or node.inputs[0] is not scores:
        return None, None
    step = number(other(node, scores), rank_of(scores) or 0)
    if step is None:
        return None, None
    fill = step if node.op_type == "Add" else -step
    return (fill, node) if fill <= _absorbing(value) else (None, None)


def _without_ones(condition: Condition, scores: ir.Value) -> Condition | None:
    """Returns a condition without what holds everywhere in the scores' own shape."""
    both = made_by(condition.value, "And")
    if both is None or condition.inverted:
        return None
    for value in both.inputs:
        rest, ones = other(both, value), made_by(value, "Expand")
        always = stored(ones.inputs[0]) if ones is not None else None
        if rest is None or ones is None or always is None or not always.all():
            continue
        nodes = [both, ones]
        while (node := made_by(nodes[-1].inputs[-1], "Cast", "Shape")) is not None:
            nodes.append(node)
            if node.op_type == "Shape" or len(nodes) > _DEPTH:
                break
        last = nodes[-1]
        if last.op_type == "Shape" and last.inputs[0] is scores and not last.attributes:
            return Condition(rest, False, (*condition.nodes, *nodes))
    return None


def _viewed(value: ir.Value, depth: int) -> Scores | None:
    """Returns the scores seen in another shape: the first axis as several, or these as one again.

    All others must stay as they are, and no mask may have made them larger.
    """
    nodes: list[ir.Node] = []
    source: ir.Value | None = value
    while (node := made_by(source, *VIEWS)) is not None and len(nodes) < _DEPTH:
        nodes.append(node)
        source = node.inputs[0]
    if source is None:
        return None
    inner = find(source, depth - 1)
    if inner is None:
        return None
    before, after = inner.leading(source), inner.leading(value)
    if before is None or after is None or len(before) != inner.axes:
        return None
    inner = dataclasses.replace(inner, nodes=(*inner.nodes, *nodes))
    if len(after) == 1:
        return dataclasses.replace(inner, joined=bool(inner.sizes))
    if inner.sizes or sum(not isinstance(size, int) for size in after) > 1:
        return None
    return _split(inner, tuple(size if isinstance(size, int) else -1 for size in after))


def _split(inner: Scores, sizes: tuple[int, ...]) -> Scores | None:
    rank = rank_of(inner.product) or 0
    parts = inner.q, inner.k, *inner.masks, *((inner.keep,) if inner.keep is not None else ())
    found = [part for p in parts if (part := products.split(p, rank, sizes)) is not None]
    if len(found) != len(parts):
        return None
    keep = found.pop() if inner.keep is not None else None
    q, k, *masks = found
    return dataclasses.replace(inner, q=q, k=k, masks=tuple(masks), keep=keep, sizes=sizes)


def _product(node: ir.Node) -> Scores | None:
    found = products.scores(node)
    if found is None:
        return None
    product = node if node.op_type != "Transpose" else made_by(node.inputs[0])
    assert product is not None, "what is turned is a product"
    nodes, scale, operands = list({node, product}), 1.0, []
    for taken in found:
        value, factor, step = _unscaled(taken.value, product)
        if stored(value) is not None:
            return None
        operands.append(dataclasses.replace(taken, value=value))
        scale *= factor
        nodes += [step] if step is not None else []
    return Scores(operands[0], operands[1], node.outputs[0], tuple(nodes), scale)


def _unscaled(value: ir.Value, product: ir.Node) -> tuple[ir.Value, float, ir.Node | None]:
    """Returns an operand of the product before a number scales it, the number and the node."""
    node = made_by(value, "Div", "Mul")
    if node is not None and reader(value) is product:
        for operand in node.inputs[: 1 if node.op_type == "Div" else 2]:
            rest = other(node, operand) if operand is not None else None
            factor = number(rest, rank_of(operand) or 1)
            if factor and operand is not None:
                return operand, factor if node.op_type == "Mul" else 1 / factor, node
    return value, 1.0, None


def _booleans(condition: Condition) -> Operand:
    """Returns a condition as the kernels take it."""
    operand: Operand = Taken(condition.value)
    if condition.value.dtype not in (None, ir.DataType.BOOL):
        operand = Changed(operand, "Cast", operand.rank, (), {"to": ir.DataType.BOOL})
    return Changed(operand, "Not", operand.rank) if condition.inverted else operand


def _opposite(condition: Condition) -> Condition:
    return dataclasses.replace(condition, inverted=not condition.inverted)


def _absorbing(value: ir.Value) -> float:
    return _ABSORBING.get(value.dtype, -math.inf) if value.dtype else -math.inf


def _larger(a: int | None, b: int | None) -> int | None:
    return None if a is None or b is None else max(a, b)
