"""Operators of newer opsets are said in opset 17, or not at all."""

import itertools

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import defs

from onnxattr.graph import passes
from onnxattr.graph.load import load
from onnxattr.graph.normalise import normalise
from onnxattr.graph.passes.opset import _REWRITES, _SAME_UNTIL, TARGET

NEWEST = defs.onnx_opset_version()
NEWER = range(TARGET + 1, NEWEST + 1)

#: Attributes that a later version added and that a later reading does not need: `saturate` and
#: `round_mode` are for 8-bit floats, `stash_type` for the counter of 16-bit ranges.
MEANINGLESS_HERE = {"Cast": {"saturate", "round_mode"}, "Range": {"stash_type"}}


def signature(schema, without=frozenset()):
    return {
        "attributes": {
            name: (a.type.name, a.required, a.default_value.SerializeToString())
            for name, a in schema.attributes.items()
            if name not in without
        },
        "inputs": [(i.name, i.option.name, i.min_arity) for i in schema.inputs],
        "outputs": [(o.name, o.option.name, o.min_arity) for o in schema.outputs],
    }


def admitted(schema):
    by_name = {c.type_param_str: set(c.allowed_type_strs) for c in schema.type_constraints}
    return [by_name.get(v.type_str, {v.type_str}) for v in (*schema.inputs, *schema.outputs)]


@pytest.mark.parametrize(("op", "until"), _SAME_UNTIL.items(), ids=_SAME_UNTIL)
def test_the_table_of_unchanged_operators_is_true(op, until):
    old = defs.get_schema(op, TARGET, "")
    versions = sorted({defs.get_schema(op, v, "").since_version for v in range(TARGET, until + 1)})
    assert versions[-1] == until, "the table names a version that changed nothing"
    assert until > TARGET
    for version in versions:
        new = defs.get_schema(op, version, "")
        assert signature(new, MEANINGLESS_HERE.get(op, ())) == signature(old)
        for before, after in zip(admitted(old), admitted(new), strict=True):
            assert before <= after, "a version that admits fewer types is another operator"


SPLIT = "(float[7,4] x) => ({outputs}) {{ {names} = Split<{attributes}>(x) }}"
REDUCTIONS = [
    "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean",
    "ReduceMin", "ReduceProd", "ReduceSumSquare",
]  # fmt: skip


def check_same(proto, reference, runtime, rewrite, *feeds):
    inferred = onnx.shape_inference.infer_shapes(proto, data_prop=True)
    aligned = rewrite(passes.AlignOpset(), inferred)
    assert {o.domain: o.version for o in aligned.opset_import}[""] == TARGET
    assert not any(n.domain for n in aligned.graph.node)
    for ours, theirs in zip(runtime(aligned, *feeds), reference(proto, *feeds), strict=True):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    return aligned


@pytest.mark.parametrize("opset", NEWER)
@pytest.mark.parametrize("op", REDUCTIONS)
def test_reductions(build, reference, runtime, rewrite, noise, op, opset):
    x = np.abs(noise(2, 3, 4)) + 0.5
    text = f"(float[2,3,4] x) => (float[2,1,4] y) {{ y = {op}(x, axes) }}"
    proto = build(text, opset=opset, axes=np.array([-2]))
    aligned = check_same(proto, reference, runtime, rewrite, x)
    assert len(aligned.graph.node[0].input) == 1


@pytest.mark.parametrize("op", REDUCTIONS)
@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("noop", [0, 1])
@pytest.mark.parametrize("axes", ["absent", "blank", "empty", "two"])
def test_reductions_without_axes(
    build, reference, runtime, rewrite, noise, op, keepdims, noop, axes
):
    given = {"absent": "x", "blank": "x, ", "empty": "x, axes", "two": "x, axes"}[axes]
    stored = {"empty": {"axes": np.zeros(0, np.int64)}, "two": {"axes": np.array([0, 2])}}
    text = (
        f"(float[2,3,4] x) => (float y) "
        f"{{ y = {op}<keepdims = {keepdims}, noop_with_empty_axes = {noop}>({given}) }}"
    )
    proto = build(text, opset=18, **stored.get(axes, {}))
    del proto.graph.output[0].type.tensor_type.shape.dim[:]
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    # Both signs, and no zero: a reduction over no axes still takes the absolute value or square.
    x = noise(2, 3, 4) if op != "ReduceLogSum" else np.abs(noise(2, 3, 4)) + 0.5
    check_same(proto, reference, runtime, rewrite, x)


@pytest.mark.parametrize("opset", NEWER)
@pytest.mark.parametrize("axis", [0, -2])
def test_split_into_uneven_parts(build, reference, runtime, rewrite, noise, opset, axis):
    text = SPLIT.format(
        outputs="float[3,4] a, float[3,4] b, float[1,4] c",
        names="a, b, c",
        attributes=f"axis = {axis}, num_outputs = 3",
    )
    aligned = check_same(build(text, opset=opset), reference, runtime, rewrite, noise(7, 4))
    assert len(aligned.graph.node[0].input) == 2


def test_split_with_sizes_stays_as_it_is(build, reference, runtime, rewrite, noise):
    text = "(float[7,4] x) => (float[2,4] a, float[5,4] b) { a, b = Split(x, sizes) }"
    check_same(
        build(text, opset=18, sizes=np.array([2, 5])), reference, runtime, rewrite, noise(7, 4)
    )


def test_constants_of_ours_do_not_take_a_vendors_name(build, reference, runtime, rewrite, noise):
    text = """(float[7,4] x) => (float[4,4] a, float[3,4] b) {
        h = Add(x, w) a, b = Split<num_outputs = 2>(h) }"""
    proto = build(text, opset=18, w=np.full(4, 5, np.float32))
    for name in ("onnxattr.constant.0", "onnxattr.constant.1"):
        renamed = onnx.ModelProto()
        renamed.CopyFrom(proto)
        renamed.graph.initializer[0].name = renamed.graph.node[0].input[1] = name
        check_same(renamed, reference, runtime, rewrite, noise(7, 4))


@pytest.mark.parametrize("opset", NEWER)
@pytest.mark.parametrize(
    ("given", "shape"),
    [
        ("x, pads4", (4, 7)),
        ("x, pads4, value", (4, 7)),
        ('x, pads1, value, axes', (2, 6)),
        ('x, pads1, , axes', (2, 6)),
    ],
)  # fmt: skip
def test_pad(build, reference, runtime, rewrite, noise, opset, given, shape):
    text = f"(float[2,3] x) => (float[{shape[0]},{shape[1]}] y) {{ y = Pad({given}) }}"
    stored = {
        "pads4": np.array([1, 0, 1, 4]),
        "pads1": np.array([1, 2]),
        "value": np.float32(7),
        "axes": np.array([-1]),
    }
    used = {k: v for k, v in stored.items() if k in given}
    check_same(build(text, opset=opset, **used), reference, runtime, rewrite, noise(2, 3))


@pytest.mark.parametrize("opset", [7, 13, 17])
def test_older_graphs_are_left_alone(build, rewrite, opset):
    proto = build("(float[N] x) => (float[N] y) { y = Relu(x) }", opset=opset)
    assert rewrite(passes.AlignOpset(), proto) == ir.to_proto(ir.from_proto(proto))


INEXPRESSIBLE = [
    ("ReduceMean", "18", "(float[2,3] x, int64[1] k) => (float[2,1] y) { y = ReduceMean(x, k) }"),
    ("Split", "18", "(float[N,3] x) => (float[a,3] y, float[b,3] z) "
                    "{ y, z = Split<num_outputs = 2>(x) }"),
    ("Split", "18", "(float[5,3] x) => (float[2,3] y, float[2,3] z, float[1,3] a, float[0,3] b) "
                    "{ y, z, a, b = Split<num_outputs = 4>(x) }"),
    ("Pad", "19", '(float[2,3] x, int64[4] p) => (float[a,b] y) { y = Pad<mode = "wrap">(x, p) }'),
    ("Pad", "18", "(float[2,3] x, int64[2] p, int64[1] k) => (float[a,b] y) { y = Pad(x, p, , k)}"),
    ("Resize", "19", "(float[1,1,2,2] x, float[4] s) => (float[a,b,c,d] y) { y = Resize(x, , s) }"),
    ("GlobalMaxPool", "22", "(float[1,1,2,2] x) => (float[1,1,1,1] y) { y = GlobalMaxPool(x) }"),
    ("IsNaN", "20", "(float[2] x) => (bool[2] y) { y = IsNaN(x) }"),
]  # fmt: skip


@pytest.mark.parametrize(("op", "since", "text"), INEXPRESSIBLE)
def test_what_cannot_be_said_is_never_read_by_its_older_meaning(build, op, since, text):
    proto = build(text, opset=int(since), ir_version=10)
    proto.graph.node[0].name = "the vendor's name"
    dialect = normalise(load(proto))
    node = dialect.proto.graph.node[0]
    assert (node.domain, node.op_type) == ("onnxattr", f"{op}_{since}")
    assert dialect.names.nodes[node.name].name == "the vendor's name"


def test_no_operator_of_any_opset_slips_through():
    """Whatever stays in the default domain is the same operator at opset 17, or was rewritten."""
    slipped = []
    checked = 0
    names = {s.name for s in defs.get_all_schemas() if s.domain == ""}
    for op, opset in itertools.product(sorted(names), NEWER):
        if not defs.has(op, opset, "") or defs.get_schema(op, opset, "").since_version <= TARGET:
            continue
        x = ir.val("x", shape=ir.Shape([4, 4]), type=ir.TensorType(ir.DataType.FLOAT))
        node = ir.Node("", op, [x], num_outputs=1)
        graph = ir.Graph([x], node.outputs, nodes=[node], opset_imports={"": opset}, name="g")
        model = ir.Model(graph, ir_version=10)
        passes.UseOwnOperators(())(passes.AlignOpset()(model).model)
        (after,) = model.graph
        checked += 1
        if after.domain == "" and op not in _SAME_UNTIL and op not in _REWRITES:
            slipped.append((op, opset))
    assert not slipped
    assert checked > 300
