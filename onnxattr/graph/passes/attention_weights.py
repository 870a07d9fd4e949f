"""The weights of an attention: what is done to the scores' softmax before the second product."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import onnx_ir as ir

from onnxattr.graph.passes import choices
from onnxattr.graph.passes.attention_scores import VIEWS, Scores
from onnxattr.graph.passes.chains import axes_of, made_by, number, rank_of, reader
from onnxattr.graph.passes.choices import Choice, Condition


@dataclass(frozen=True)
class Weights:
    """What mixes the values.

    Attributes:
        scores: Of which these are the softmax; what the weights forbid is forbidden to them.
        value: As the second product takes it.
        nodes: Those between the softmax and the product.
        cleaned: Whether what is no number is made zero.
        zeroed: Whether they are zero where `scores.keep` does not hold.
    """

    scores: Scores
    value: ir.Value
    nodes: tuple[ir.Node, ...] = ()
    cleaned: bool = False
    zeroed: bool = False

    def then(self, *nodes: ir.Node, **changes: bool | Scores) -> Weights:
        """Returns the weights after `nodes`, the last of which makes them."""
        value, every = nodes[-1].outputs[0], (*self.nodes, *nodes)
        return dataclasses.replace(self, value=value, nodes=every, **changes)  # type: ignore[arg-type]


def follow(scores: Scores, softmax: ir.Node, opset: int) -> Weights:
    """Returns the weights that a softmax of the scores becomes."""
    weights = Weights(scores, softmax.outputs[0])
    for step in (_without_nan, _zeroed, _shared_out_anew):
        weights = step(weights) or weights
    weights = _without_dropout(weights, opset) or weights
    return _joined(weights) or weights


def _without_nan(weights: Weights) -> Weights | None:
    """Returns the weights after a `Where` that makes NaN zero."""
    users = {use.node.op_type: use.node for use in weights.value.uses()}
    test, where = users.get("IsNaN"), users.get("Where")
    if test is None or where is None or len(weights.value.uses()) != 2:
        return None
    condition, yes, no = where.inputs
    if condition is not test.outputs[0] or no is not weights.value or number(yes, 2) != 0:
        return None
    return weights.then(test, where, cleaned=True)


def _zeroed(weights: Weights) -> Weights | None:
    """Returns the weights after a choice that makes zero what the scores forbid already."""
    condition = weights.scores.condition
    node = reader(weights.value, "Mul", "Where")
    if node is not None and node.op_type == "Mul":
        node = reader(node.outputs[0], "Add")
    choice = choices.choice(node.outputs[0]) if node is not None else None
    if choice is None or condition is None:
        return None
    inverted = choice.no is weights.value
    passed, rest = (choice.no, choice.yes) if inverted else (choice.yes, choice.no)
    if passed is not weights.value or number(rest, rank_of(passed)) != 0:
        return None
    if _inverted(choice.condition, inverted) != condition:
        return None
    return weights.then(*choice.nodes(passed), zeroed=True)


def _inverted(condition: Condition, inverted: bool) -> Condition:
    return dataclasses.replace(condition, inverted=condition.inverted != inverted)


def _shared_out_anew(weights: Weights) -> Weights | None:
    """Returns the weights after w·m ÷ Σ w·m, with m of 0 and 1: those of scores so masked.

    Where the sum is zero, so are they.
    """
    scores, times = weights.scores, reader(weights.value, "Mul")
    masked = times.outputs[0] if times is not None else None
    if times is None or masked is None or weights.zeroed or weights.cleaned:
        return None
    conditions = [c for value in times.inputs if (c := choices.gate(value)) is not None]
    users = {use.node.op_type: use.node for use in masked.uses()}
    total, share = users.get("ReduceSum"), users.get("Div")
    if len(conditions) != 1 or total is None or share is None or len(masked.uses()) != 2:
        return None
    choice = _where_positive(total, share)
    rank = rank_of(masked)
    whole = axes_of(total) in ([-1], [rank - 1]) if rank is not None else False
    if choice is None or not whole or share.inputs[0] is not masked:
        return None
    kept = total.attributes["keepdims"].as_int() if "keepdims" in total.attributes else 1
    below = _sums(share.inputs[1], total, choice.condition)
    if not kept or below is None:
        return None
    allowed = scores.allowed(conditions[0], -math.inf) or scores.allowed_too(conditions[0])
    if allowed is None:
        return None
    test = choice.condition.value.producer()
    assert test is not None, "it compares"
    nodes = times, total, test, *below, share, *choice.nodes(choice.yes)
    return weights.then(*nodes, scores=allowed, zeroed=True)


def _where_positive(total: ir.Node, share: ir.Node) -> Choice | None:
    """Returns the choice of the shares where their sum is above zero, and of zero elsewhere."""
    where = reader(share.outputs[0], "Where")
    choice = choices.choice(where.outputs[0]) if where is not None else None
    if choice is None or choice.yes is not share.outputs[0] or number(choice.no, 2) != 0:
        return None
    test = made_by(choice.condition.value, "Greater")
    if test is None or choice.condition.inverted or test.inputs[0] is not total.outputs[0]:
        return None
    return choice if number(test.inputs[1], 2) == 0 else None


def _sums(value: ir.Value | None, total: ir.Node, positive: Condition) -> list[ir.Node] | None:
    """Returns the nodes that choose the sums where they are positive; None if `value` is not so."""
    if value is total.outputs[0]:
        return []
    choice = choices.choice(value)
    if choice is None or choice.yes is not total.outputs[0] or choice.condition != positive:
        return None
    return choice.nodes(choice.yes)


def _without_dropout(weights: Weights, opset: int) -> Weights | None:
    node = reader(weights.value, "Dropout")
    # Before opset 7 an attribute says whether it is active.
    if node is None or opset < 7 or (len(node.inputs) > 2 and node.inputs[2] is not None):
        return None
    return weights.then(node)


def _joined(weights: Weights) -> Weights | None:
    """Returns the weights after the axes that the scores were split into are one again."""
    scores, value = weights.scores, weights.value
    if not scores.sizes or scores.joined:
        return None
    nodes: list[ir.Node] = []
    while (node := reader(value, *VIEWS)) is not None:
        nodes.append(node)
        value = node.outputs[0]
    before, after = scores.leading(weights.value), scores.leading(value)
    if before is None or after is None or (len(before), len(after)) != (scores.axes, 1):
        return None
    return weights.then(*nodes, scores=dataclasses.replace(scores, joined=True))
