"""Every operator has a row; what needs no rule is linear, and every rule conserves relevance.

The cases are those of the ONNX backend suite and our own, in float64: each node of them alone, at
the inputs that it has there, and those of ONNX Runtime's operators, of which that has none.
"""

import functools

import numpy as np
import own_nodes
import pytest
import torch
from cases import arranged, suite
from compare import to_torch
from euler import balance, call_of, flat, is_wide, mapped
from gradients import wide, widened
from own_cases import ALL as OWN

import onnxattr.attribution.rules.operators  # noqa: F401 - fills the table
from onnxattr.attribution.rules.composites import LAYERS
from onnxattr.attribution.rules.table import ROWS, key
from onnxattr.convert.ops import OPERATORS
from onnxattr.convert.ops.calls import Call
from onnxattr.convert.support import require_support
from onnxattr.convert.torch import convert, module_name
from onnxattr.errors import OnnxattrError
from onnxattr.graph.load import load
from onnxattr.graph.normalise import normalise
from onnxattr.limits import Limits

#: Cases of one operator.
MOST = 3

#: Functions of one number that are not zero at zero: f(0) is a bias.
RAISED = {
    "Acos",
    "Clip",
    "Cos",
    "Cosh",
    "Exp",
    "HardSigmoid",
    "Pow",
    "Sigmoid",
    "Softplus",
    ".Affine",
    ".ImageScaler",
    ".ParametricSoftplus",
    "com.microsoft.FusedConv",
    "com.microsoft.FusedGemm",
}

#: Those that keep their gradient, of which it is known that it does not conserve.
TANGENT = {"LogSoftmax", "ReduceLogSumExp", "Softmax", "com.microsoft.BiasSoftmax"}

#: They give something else each time.
RANDOM = {"Bernoulli", "RandomNormalLike", "RandomUniformLike"}

#: Modules of their own, of what no rule changes.
NO_CALLS = {"Entrance", "Outputs", "ai.onnx.ml.Imputer", "ai.onnx.ml.Scaler"}

OPERATORS_OF_ROWS = sorted({key(name) for name in OPERATORS})


def test_every_operator_has_a_row_and_every_row_an_operator():
    assert sorted(ROWS) == OPERATORS_OF_ROWS


def test_what_is_refused_says_why_and_has_nothing_else():
    for name, row in ROWS.items():
        assert not (row.refuse and (row.rule or row.layer)), name


@functools.cache
def nodes():
    """The nodes of all cases, by operator: calls, and the arguments that they got."""
    found = {}
    for own in own_nodes.ALL:
        versions = [entry for name, entry in OPERATORS.items() if key(name) == own.operator]
        call = call_of(versions[-1].function, own.attributes, own.outputs)
        found.setdefault(own.operator, []).append(("our own", call, own.arguments))
    for id, case in suite().items():
        if case.kind == "node" and not case.name.endswith("_expanded"):
            collect(found, functools.partial(arranged, case, "fed"), id)
    for own in OWN:
        collect(
            found, lambda own=own: (own.model, list(own.given), list(own.given.values())), own.label
        )
    return found


def collect(found, make, id):
    proto, _, feeds = make()
    if all(len(found.get(node.op_type, ())) >= MOST for node in proto.graph.node):
        return
    try:
        dialect = normalise(load(widened(proto)))
        require_support(dialect)
        module, refused = convert(dialect, Limits(), hold=True)
    except (OnnxattrError, ValueError):
        return
    if refused:
        return
    module.eval()
    handles = []
    for node in dialect.proto.graph.node:
        call = getattr(module, module_name(node), None)
        rows = found.setdefault(key(node.op_type), [])
        if isinstance(call, Call) and len(rows) < MOST:
            handles.append(call.register_forward_pre_hook(functools.partial(note, rows, id)))
    try:
        with torch.no_grad():
            module(*(to_torch(wide(v)) if v is not None else None for v in feeds))
    except Exception:
        return  # What the suite's own tests say.
    finally:
        for handle in handles:
            handle.remove()


def note(rows, id, call, values):
    arguments = list(call._arguments(values))
    if len(rows) < MOST and any(map(is_wide, flat(arguments))):
        rows.append((id, call, [mapped(a, finite) for a in arguments]))


def finite(tensor):
    return torch.nan_to_num(tensor, nan=0.5, posinf=3.0, neginf=-3.0)


@pytest.mark.parametrize("operator", OPERATORS_OF_ROWS)
def test_an_operator_conserves_relevance(operator):
    row = ROWS[operator]
    if row.refuse:
        pytest.skip(f"refused: {row.refuse}")
    tried = 0
    for id, call, arguments in nodes().get(operator, ()):
        try:
            found = balance(call, operator, arguments)
        except OnnxattrError:
            continue
        if found is None or not np.isfinite([found.total, found.signal]).all():
            continue
        tried += 1
        assert found.moved <= 1e-9 * (1 + found.size) or operator in RANDOM, id
        assert found.others == 0, id
        if row.signal == ():
            assert found.signal == 0, id
        elif operator not in TANGENT:
            assert found.error(intercept=operator in RAISED) <= 1e-9, (id, found)
    assert tried or row.signal == () or operator in NO_CALLS


def test_layers_are_called_as_composites_call_them():
    assert {row.layer for row in ROWS.values() if row.layer} == set(LAYERS)
