"""What decides at a graph's end: operators that make probabilities, labels or choices of logits."""

from collections.abc import Iterator

import onnx

from onnxattr.graph.backwards import SIDE, Walk

#: Operators that turn logits into probabilities or labels, with the input that they decide by. The
#: sum over a softmax is constant, so its gradient is zero; labels have none at all.
_DECISIONS = {
    "ArgMax": 0,
    "ArgMin": 0,
    "Hardmax": 0,
    "LogSoftmax": 0,
    "NonMaxSuppression": 1,
    "Sigmoid": 0,
    "Softmax": 0,
    "TopK": 0,
}

#: Operators that choose among values, or rescale all of them: what lies before them is looked at
#: for a decision, and is no representation by itself.
_SELECTIONS = {
    "LabelEncoder", "Normalizer", "ReduceMax", "Slice", "Split", "Upsample", "Resize",
}  # fmt: skip

_GATHERS = {"ArrayFeatureExtractor", "Gather", "GatherElements", "GatherND"}

#: How many inputs of a Concat are compared.
_JOINED = 8


def before_decisions(walk: Walk, value: str) -> tuple[str, str]:
    """Returns the tensor before the last decision on the way to `value`, and what decides.

    Where nothing does: `value` itself, and ''.
    """
    found, decision, current = value, "", value
    while (node := walk.producers.get(current)) is not None:
        decided = _decision(walk, node)
        if decided is not None:
            found, name = decided
            decision, current = decision or name, found
            continue
        before = _before(walk, node)
        if before is None:
            break
        current = before
    return found, decision


def _decision(walk: Walk, node: onnx.NodeProto) -> tuple[str, str] | None:
    """Returns what a node decides by, and what to call it."""
    place = _DECISIONS.get(node.op_type)
    if place is not None:
        return (node.input[place], node.op_type) if len(node.input) > place else None
    if node.op_type in _GATHERS and len(node.input) > 1 and node.input[0] in walk.live:
        chooser = _chooser(walk, node.input[1])
        if chooser is None:
            return None
        if chooser.op_type == "NonMaxSuppression":
            return _decision(walk, chooser)
        return node.input[0], f"choice by {chooser.op_type}"
    return _written_out(walk, node)


def _chooser(walk: Walk, value: str) -> onnx.NodeProto | None:
    """Returns the node that made an index of what was found best, or None."""
    for _ in range(SIDE):
        node = walk.producers.get(value)
        if node is None or node.op_type in ("ArgMax", "NonMaxSuppression", "TopK"):
            return node
        live = [v for v in node.input if v in walk.live]
        if not live:
            return None
        value = live[0]
    return None


def _written_out(walk: Walk, node: onnx.NodeProto) -> tuple[str, str] | None:
    """Returns the logits of a softmax or a sigmoid that was written as a chain, and its name.

    e^(x − max x) / Σ e^(x − max x); x − log Σ e^x, and e to the power of that; 1 / (1 + e^−x).
    """
    kind, inputs = node.op_type, list(node.input)
    if kind in ("Div", "Mul") and len(inputs) == 2:
        for share, whole in (inputs, inputs[::-1]) if kind == "Mul" else (inputs,):
            under = _input_of(walk, whole, "Reciprocal") if kind == "Mul" else whole
            power, summed = _input_of(walk, share, "Exp"), _input_of(walk, under, "ReduceSum")
            if power and summed and walk.source(summed) == walk.source(share):
                return _shifted(walk, power), "softmax"
    if kind == "Div" and len(inputs) == 2 and inputs[0] not in walk.live:
        return _sigmoid(walk, inputs[1])
    if kind == "Reciprocal" and inputs:
        return _sigmoid(walk, inputs[0])
    if kind == "Sub" and len(inputs) == 2 and (logits := _log_softmax(walk, inputs)):
        return logits, "log-softmax"
    if kind == "Exp" and inputs:
        below = walk.producers.get(walk.source(inputs[0]))
        if below is not None and below.op_type == "LogSoftmax":
            return below.input[0], "softmax"
        if below is not None and below.op_type == "Sub" and len(below.input) == 2:
            logits = _log_softmax(walk, list(below.input))
            return (logits, "softmax") if logits else None
    return None


def _log_softmax(walk: Walk, inputs: list[str]) -> str:
    """Returns x of x − log Σ e^x, or ''."""
    given, less = inputs
    summed = _input_of(walk, less, "ReduceLogSumExp")
    if not summed:
        summed = _input_of(walk, _input_of(walk, _input_of(walk, less, "Log"), "ReduceSum"), "Exp")
    return _shifted(walk, given) if summed and walk.source(summed) == walk.source(given) else ""


def _sigmoid(walk: Walk, under: str) -> tuple[str, str] | None:
    """Returns x of 1 + e^−x."""
    node = walk.producers.get(walk.source(under))
    if node is None or node.op_type != "Add" or len(node.input) != 2:
        return None
    live = [v for v in node.input if v in walk.live]
    below = walk.producers.get(_input_of(walk, live[0], "Exp")) if len(live) == 1 else None
    if below is None or below.op_type not in ("Mul", "Neg"):
        return None
    live = [v for v in below.input if v in walk.live]
    return (live[0], "sigmoid") if len(live) == 1 else None


def _shifted(walk: Walk, value: str) -> str:
    """Returns x of x − max x, and any other value as it is."""
    node = walk.producers.get(walk.source(value))
    if node is not None and node.op_type == "Sub" and len(node.input) == 2:
        given, less = map(str, node.input)
        largest = _input_of(walk, less, "ReduceMax")
        if largest and walk.source(largest) == walk.source(given):
            return given
    return value


def _input_of(walk: Walk, value: str, kind: str) -> str:
    """Returns the input of the node that made `value`, if it is of a kind; else ''."""
    for _ in range(SIDE):
        node = walk.producers.get(walk.source(value)) if value else None
        if node is None or not node.input:
            break
        if node.op_type == kind:
            return str(node.input[0])
        live = [v for v in node.input if v in walk.live]
        # A sum is made as wide as what it divides; a maximum is kept above −∞.
        if node.op_type not in ("Expand", "Max") or len(live) != 1:
            break
        value = live[0]
    return ""


def _before(walk: Walk, node: onnx.NodeProto) -> str | None:
    """Returns what a decision is looked for in before a node that decides nothing."""
    before = walk.carried(node) or walk.scaled(node)
    if before is None and node.op_type in _SELECTIONS and node.input:
        return str(node.input[0])
    if before is None and node.op_type in _GATHERS and len(node.input) > 1:
        # A table of labels is read by the number of the best, a vector by a fixed number.
        return str(node.input[node.input[0] not in walk.live])
    return _joined(walk, node) if before is None and node.op_type == "Concat" else before


def _joined(walk: Walk, node: onnx.NodeProto) -> str | None:
    """Returns what all inputs of a Concat are made of: 1 − p and p come from p."""
    live = [v for v in node.input if v in walk.live]
    if not live or len(live) > _JOINED:
        return None
    ways = [list(_way(walk, v)) for v in live]
    return next((v for v in ways[0] if all(v in way for way in ways[1:])), None)


def _way(walk: Walk, value: str) -> Iterator[str]:
    for _ in range(SIDE):
        yield value
        node = walk.producers.get(value)
        before = walk.carried(node) or walk.scaled(node) if node is not None else None
        if before is None:
            return
        value = before
