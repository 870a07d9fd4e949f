"""Which tensor is attributed: the output of the encoder, found by walking back over the head."""

import dataclasses
from collections.abc import Iterable

import onnx
from onnx import TensorProto

from onnxattr.errors import UsageError
from onnxattr.graph.backwards import Walk
from onnxattr.graph.bottleneck import bottleneck
from onnxattr.graph.decisions import before_decisions
from onnxattr.graph.heads import find_head
from onnxattr.graph.walk import label, short
from onnxattr.limits import Limits
from onnxattr.registry import suggestion
from onnxattr.types import InputSpec, Model, Representation

#: Names that `at` understands; anything else is the name of a tensor.
PLACES = ("feature", "logits", "output", "bottleneck")

#: Outputs that a message names.
_LISTED = 8

_FLOATS = {TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16}


def representation(
    model: Model, at: str = "feature", spec: InputSpec | None = None, limits: Limits | None = None
) -> Representation:
    """Returns the tensor of `model` that is attributed, and the rule that found it.

    Args:
        model: A model as it was given.
        at: `feature`: the input of the classifying head, or the output where there is no head;
            `logits`: the output before softmax, sigmoid or argmax; `output`: the output as it is;
            `bottleneck`: the narrowest tensor between input and output; each of them with
            `:NAME` behind it for an output of that name, by default the first of floating point
            that depends on the input; or the name of a tensor.
        spec: How probes are fed to it, if that is known: the input that is followed, and its size.
        limits: What looking for a bottleneck may cost.

    Raises:
        UsageError: `at` is none of these, or there is no bottleneck.
        LimitError: The shapes that a bottleneck is found by are a bomb.
    """
    graph = model.proto.graph
    place, _, name = at.partition(":")
    outputs = [value.name for value in graph.output]
    if at in PLACES or (place in PLACES and name in outputs):
        walk = Walk.of(graph, spec.input if spec else None)
        output, rule = (name, "") if name else _first(graph, walk)
        found = _found(model, walk, place, output, spec, limits)
        return dataclasses.replace(found, rule=f"{found.rule}; {rule}") if rule else found
    names = {v for node in graph.node for v in node.output if v}
    if at in names:
        return Representation(at, "named")
    raise _unknown(model.name, at, outputs, names)


def _found(
    model: Model,
    walk: Walk,
    place: str,
    output: str,
    spec: InputSpec | None,
    limits: Limits | None,
) -> Representation:
    if place == "output":
        return Representation(output, "the output", output)
    logits, decision = before_decisions(walk, output)
    if place == "logits":
        rule = f"the input of the final {decision}" if decision else "the output"
        return Representation(logits, rule, output)
    feature = _feature(walk, output, logits, decision)
    if place == "feature":
        return feature
    source = spec.input if spec else None
    value, rule = bottleneck(model, source, feature.value, output, spec, limits)
    return Representation(value, rule, output)


def _feature(walk: Walk, output: str, logits: str, decision: str) -> Representation:
    head = find_head(walk, logits)
    if head is None:
        if decision:
            rule = f"the input of the final {decision}: no linear head before it"
            return Representation(logits, rule, output)
        return Representation(output, "the output: the graph ends without a head", output)
    called = label(head.node)
    if not head.data:
        rule = f"before the head, {called}, numbers are quantised"
        return Representation(logits, f"the logits: {rule}" if decision else rule, output)
    if walk.untouched(head.data):
        return Representation(head.made, f"the output of the only layer, {called}", output)
    return Representation(head.data, f"the input of the head, {called}", output)


def _first(graph: onnx.GraphProto, walk: Walk) -> tuple[str, str]:
    """Returns the output that counts, and why, where there are several.

    A classifier's label comes first in some files, and an output that is stored in others.
    """
    values = list(graph.output)
    live = [v for v in values if v.name in walk.live]
    floats = [v for v in live if v.type.tensor_type.elem_type in _FLOATS]
    chosen = (floats or live or values)[0].name
    if len(values) == 1:
        return chosen, ""
    if len(floats) == 1:
        rule = f"the only one of {len(values)} outputs of floating point"
    elif floats:
        rule = f"the first of {len(floats)} outputs of floating point"
    else:
        rule = f"the first of {len(values)} outputs"
    return chosen, f"`{short(chosen)}` is {rule}"


def _unknown(model: str, at: str, outputs: list[str], names: Iterable[str]) -> UsageError:
    place, colon, name = at.partition(":")
    listed = ", ".join(f"`{short(n)}`" for n in outputs[:_LISTED])
    listed += f" and {len(outputs) - _LISTED} more" if len(outputs) > _LISTED else ""
    if colon and place in PLACES:
        return UsageError(
            f"`{model}` has no output `{short(name)}`",
            hint=f"{suggestion(name, outputs)}its outputs are {listed}",
        )
    # A graph has hundreds of tensors: they are not listed.
    hint = suggestion(at, sorted({*names, *PLACES}))
    places = ", ".join(f"`{p}`" for p in PLACES)
    return UsageError(
        f"`{model}` has no tensor `{short(at)}`",
        hint=f"{hint}valid are {places}, each with `:OUTPUT` behind it (its outputs are {listed}), "
        "and the names of its tensors",
    )
