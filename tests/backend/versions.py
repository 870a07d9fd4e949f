"""Cases of the suite, told again in earlier opsets: it has most operators in their latest version.

Inputs that were attributes once (axes, shapes, bounds) become attributes again. What the result
must be, another engine says; where none knows that version nothing is tried.
"""

import functools
import itertools
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import torch
from cases import Case, arranged, is_core, suite
from compare import ATOL, RTOL, difference, to_torch
from gradients import runtime
from onnx import AttributeProto, helper
from onnx.reference import ReferenceEvaluator

import onnxattr

#: Attributes that became inputs of another name.
RENAMED = {("Pad", "constant_value"): "value", ("OneHot", "depth"): ""}


@dataclass(frozen=True)
class Earlier:
    """A case in an earlier opset.

    Attributes:
        label: Of the operator, with its since-version.
        case: The suite's.
        model: With everything fed.
        feeds: Its inputs.
        engine: Who says what the result must be.
        expected: That.
    """

    label: str
    case: Case
    model: onnx.ModelProto
    feeds: list[Any]
    engine: str
    expected: list[Any]


@functools.cache
def earlier() -> dict[str, Earlier]:
    """Returns all that can be told in earlier opsets, by the operator's label and the case."""
    found = {}
    for case in suite().values():
        if case.kind == "node" and is_core(case) and len(case.model.graph.node) == 1:
            for one in _of(case):
                found[f"{one.label}/{case.name}"] = one
    return found


@functools.cache
def _history() -> dict[str, list[onnx.defs.OpSchema]]:
    found: dict[str, list[onnx.defs.OpSchema]] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.domain == "":
            found.setdefault(schema.name, []).append(schema)
    return {name: sorted(schemas, key=lambda s: s.since_version) for name, schemas in found.items()}


def _of(case: Case) -> Iterator[Earlier]:
    node = case.model.graph.node[0]
    schemas = _history()[node.op_type]
    opset = case.model.opset_import[0].version
    now = max(s.since_version for s in schemas if s.since_version <= opset)
    current = next(s for s in schemas if s.since_version == now)
    for old, later in itertools.pairwise(schemas):
        if later.since_version > now or old.deprecated:
            continue
        model, names, feeds = arranged(case, "fed")
        values = dict(zip(names, feeds, strict=True))
        if not _adapt(model, values, current, old):
            continue
        model.opset_import[0].version = later.since_version - 1
        try:
            onnx.checker.check_model(model)
            onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
        except Exception:
            # It uses what that version did not have: a type, an attribute, broadcasting.
            continue
        feeds = [values[v.name] for v in model.graph.input]
        for engine in ("ONNX Runtime", "the reference"):
            expected = _expected(engine, model, feeds)
            if expected is not None:
                label = f"{node.op_type}_{old.since_version}"
                yield Earlier(label, case, model, feeds, engine, expected)
                break


def _adapt(
    model: onnx.ModelProto,
    values: dict[str, Any],
    current: onnx.defs.OpSchema,
    old: onnx.defs.OpSchema,
) -> bool:
    """Makes the node one of an earlier version, and says whether that can be."""
    node, graph = model.graph.node[0], model.graph
    known = {i.name for i in old.inputs}
    for formal, name in list(zip(current.inputs, node.input, strict=False)):
        attribute = RENAMED.get((node.op_type, formal.name), formal.name)
        if not name or formal.name in known or attribute not in old.attributes:
            continue
        value = values.pop(name).tolist()
        kind = AttributeProto.AttributeType.Value(old.attributes[attribute].type.name)
        if kind in (AttributeProto.FLOAT, AttributeProto.INT):
            value = np.ravel(value)[0].item() if np.size(value) else 0
        if kind in (AttributeProto.FLOAT, AttributeProto.FLOATS):
            value = np.asarray(value, np.float64).tolist()
        node.attribute.append(helper.make_attribute(attribute, value, attr_type=kind))
        inputs = ["" if n == name else n for n in node.input]
        node.input[:] = inputs
        graph.input.remove(next(v for v in graph.input if v.name == name))
    while node.input and not node.input[-1]:
        del node.input[-1]
    for attribute in list(node.attribute):
        if attribute.name not in old.attributes:
            default = current.attributes[attribute.name].default_value
            if helper.get_attribute_value(attribute) != helper.get_attribute_value(default):
                return False
            node.attribute.remove(attribute)
    return True


def _expected(engine: str, model: onnx.ModelProto, feeds: list[Any]) -> list[Any] | None:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            if engine == "ONNX Runtime":
                return list(runtime(model)(feeds))
            names = [v.name for v in model.graph.input]
            return ReferenceEvaluator(model).run(None, dict(zip(names, feeds, strict=True)))
        except Exception:
            # It does not know that version, or has no such types.
            return None


@functools.cache
def problem(key: str) -> str:
    """Returns what is wrong with a case in an earlier opset, or an empty string."""
    one = earlier()[key]
    try:
        with torch.no_grad():
            got = onnxattr.to_torch(one.model)(*map(to_torch, one.feeds))
    except Exception as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    got = list(got) if isinstance(got, tuple) else [got]
    return difference(one.expected, got, RTOL, ATOL)
