"""Each pass: before and after, its contract (in the fixture `rewrite`), outputs unchanged."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from onnx_ir.passes import common

import onnxattr
from onnxattr.errors import ModelFileError, SupportError
from onnxattr.graph import passes
from onnxattr.graph.load import load
from onnxattr.graph.normalise import normalise
from onnxattr.types import OnnxNode


def operators(proto):
    return [node.op_type for node in proto.graph.node]


def computed(proto, *feeds):
    """What the converted module of a model gives: the dialect is read by nothing else."""
    outputs = onnxattr.to_torch(proto)(*map(torch.from_numpy, feeds))
    return [y.numpy() for y in (outputs if isinstance(outputs, tuple) else (outputs,))]


def ints(node, name):
    return next((list(a.ints) for a in node.attribute if a.name == name), None)


# Cut


BRANCHES = "(float[N,4] x) => (float[N,4] y, float[N,4] z) { h = Relu(x) y = Neg(h) z = Abs(h) }"


def test_cut_makes_a_tensor_in_the_middle_the_output(build, rewrite, runtime, reference, noise):
    proto, x = build(BRANCHES), noise(2, 4)
    cut = rewrite(passes.Cut(["h"]), proto)
    assert [o.name for o in cut.graph.output] == ["h"]
    np.testing.assert_array_equal(reference(cut, x)[0], np.maximum(x, 0))


def test_cut_orders_and_repeats_outputs_as_asked(build, rewrite):
    cut = rewrite(passes.Cut(["z", "y"]), build(BRANCHES))
    assert [o.name for o in cut.graph.output] == ["z", "y"]


def test_cut_at_the_outputs_changes_nothing(build, rewrite):
    proto = build(BRANCHES)
    assert operators(rewrite(passes.Cut(["y", "z"]), proto)) == ["Relu", "Neg", "Abs"]


def test_cut_takes_inputs_and_initializers(build, rewrite):
    proto = build("(float[2] x) => (float[2] y) { y = Add(x, w) }", w=np.ones(2, np.float32))
    assert [o.name for o in rewrite(passes.Cut(["w", "x"]), proto).graph.output] == ["w", "x"]


def test_cut_refuses_a_tensor_that_is_not_there(build):
    with pytest.raises(KeyError):
        passes.Cut(["nowhere"])(ir.from_proto(build(BRANCHES)))


# Freeze


def test_freeze_fixes_all_but_the_batch(build, rewrite, runtime, noise):
    proto = build("(float[N,3,H,W] x) => (float[N,3,H,W] y) { y = Relu(x) }")
    frozen = rewrite(passes.Freeze("x", ["batch", 3, 5, 6]), proto)
    dims = frozen.graph.input[0].type.tensor_type.shape.dim
    assert [d.dim_value or d.dim_param for d in dims] == ["batch", 3, 5, 6]
    x = noise(2, 3, 5, 6)
    np.testing.assert_array_equal(runtime(frozen, x), runtime(proto, x))


def test_freeze_of_what_is_fixed_changes_nothing(build, rewrite):
    proto = build("(float[1,3,5,6] x) => (float[1,3,5,6] y) { y = Relu(x) }")
    rewrite(passes.Freeze("x", [1, 3, 5, 6]), proto)


# ExplicitPads

POOL = "(float[2,3,{size},{size}] x) => (float[a,b,c,d] y) {{ y = {op}<{attributes}>(x) }}"


@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize("size", [7, 8])
@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (2, 1), (2, 2), (3, 1), (3, 2), (5, 3)])
@pytest.mark.parametrize("op", ["MaxPool", "AveragePool", "Conv"])
def test_pads_mean_what_auto_pad_meant(
    build, rewrite, runtime, noise, op, kernel, stride, size, mode
):
    attributes = f'auto_pad = "{mode}", strides = [{stride}, {stride}]'
    x = noise(2, 3, size, size)
    if op == "Conv":
        text = POOL.format(size=size, op=op, attributes=attributes).replace("(x) }", "(x, w) }")
        proto = build(text, w=noise(4, 3, kernel, kernel, seed=1))
    else:
        attributes += f", kernel_shape = [{kernel}, {kernel}]"
        proto = build(POOL.format(size=size, op=op, attributes=attributes))
    explicit = rewrite(passes.ExplicitPads(), onnx.shape_inference.infer_shapes(proto))
    (node,) = explicit.graph.node
    assert all(a.name != "auto_pad" for a in node.attribute)
    np.testing.assert_allclose(runtime(explicit, x), runtime(proto, x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("mode", "pads"), [("SAME_UPPER", [0, 0, 1, 1]), ("SAME_LOWER", [1, 1, 0, 0])]
)
def test_odd_padding_goes_to_the_end_that_the_mode_names(build, rewrite, mode, pads):
    text = POOL.format(
        size=8, op="MaxPool", attributes=f'auto_pad="{mode}", kernel_shape=[3,3], strides=[2,2]'
    )
    assert ints(rewrite(passes.ExplicitPads(), build(text)).graph.node[0], "pads") == pads


def test_a_stride_of_one_needs_no_size(build, rewrite):
    text = '(float[N,C,H,W] x) => (float[a,b,c,d] y) { y = Conv<auto_pad="SAME_UPPER">(x, w) }'
    proto = build(text, w=np.ones((1, 3, 3, 4), np.float32))
    (node,) = rewrite(passes.ExplicitPads(), proto).graph.node
    assert ints(node, "pads") == [1, 1, 1, 2]


@pytest.mark.parametrize(
    "attributes",
    [
        'auto_pad = "SAME_UPPER", kernel_shape = [3, 3], strides = [2, 2]',
        'auto_pad = "SAME_UPPER", kernel_shape = [3, 3], dilations = [2, 2]',
        "kernel_shape = [3, 3], pads = [1, 1, 1, 1]",
    ],
    ids=["a size is not known", "engines disagree on dilations", "nothing to do"],
)
def test_pads_are_not_guessed(build, rewrite, attributes):
    proto = build(f"(float[N,3,H,W] x) => (float[N,3,a,b] y) {{ y = MaxPool<{attributes}>(x) }}")
    after = rewrite(passes.ExplicitPads(), proto).graph.node[0]
    assert sorted(a.name for a in after.attribute) == sorted(
        a.name for a in proto.graph.node[0].attribute
    )


# UseOwnOperators


@pytest.mark.parametrize(
    ("opset", "labels"),
    [(6, ["Relu_6", "Clip_6"]), (11, ["Relu_6", "Clip_11"]), (15, ["Relu_14", "Clip_13"])],
)
def test_operators_move_with_the_version_that_last_changed_them(build, rewrite, opset, labels):
    proto = build("(float[N] x) => (float[N] y) { h = Relu(x) y = Clip(h) }", opset=opset)
    own = rewrite(passes.UseOwnOperators(), proto)
    assert [(n.op_type, n.domain) for n in own.graph.node] == [(op, "onnxattr") for op in labels]
    assert {o.domain: o.version for o in own.opset_import}["onnxattr"] == 1


def test_other_domains_move_with_their_name(build, rewrite):
    text = "(float[N] x) => (float[N] y) { y = com.microsoft.Gelu(x) }"
    own = rewrite(passes.UseOwnOperators(), build(text, imports=', "com.microsoft" : 1'))
    assert [(n.op_type, n.domain) for n in own.graph.node] == [("com.microsoft.Gelu", "onnxattr")]


IF = """(float[2] x, bool c) => (float[2] y) { y = If (c) <
    then_branch = a () => (float[2] p) { p = Neg(x) },
    else_branch = b () => (float[2] q) { q = Abs(x) }> }"""


def test_operators_of_subgraphs_move_too(build, rewrite):
    own = rewrite(passes.UseOwnOperators(), build(IF))
    (node,) = own.graph.node
    assert [b.g.node[0].op_type for b in node.attribute] == ["Neg_13", "Abs_13"]


# KeepFunctionOpsets


def test_a_function_is_read_by_its_own_opset(build):
    """Of opset 12 Softmax flattens from axis 1, of opset 13 it takes the last axis."""
    functions = """<domain: "f", opset_import: ["" : 12]> g (x) => (y) { y = Softmax(x) }"""
    text = "(float[2,2,2] x) => (float[2,2,2] y) { h = f.g(x) y = Softmax(h) }"
    graph = ir.from_proto(build(text, opset=13, imports=', "f" : 1', functions=functions))
    steps = (passes.KeepFunctionOpsets(), common.InlinePass(), passes.UseOwnOperators())
    assert [step(graph).modified for step in steps] == [True, True, True]
    assert operators(ir.to_proto(graph)) == ["Softmax_11", "Softmax_13"]


def test_functions_of_older_opsets_are_inlined(build, noise):
    """The checker admits them where the operators have not changed since."""
    functions = """<domain: "f", opset_import: ["" : 12]> g (x) => (y) { y = Sin(x) }"""
    text = "(float[2] x) => (float[2] y) { y = f.g(x) }"
    proto, x = build(text, imports=', "f" : 1', functions=functions), noise(2)
    np.testing.assert_allclose(computed(proto, x)[0], np.sin(x), rtol=1e-6)


# TakeOutStored


def test_what_is_stored_leaves_the_graph_and_is_not_copied(build):
    proto = build("(float[2,2] x) => (float[2,2] y) { h = Mul(x, w) y = Add(h, w) }",
                  w=np.ones((2, 2), np.float32))  # fmt: skip
    model = load(proto)
    dialect = normalise(model)
    assert operators(dialect.proto) == ["Parameter", "Mul_14", "Add_14", "Outputs"]
    assert not dialect.proto.graph.initializer
    (array,) = dialect.stored.values()
    original = np.frombuffer(model.proto.graph.initializer[0].raw_data, np.float32)
    np.testing.assert_array_equal(array.reshape(-1), original)
    assert not array.flags.owndata


# JoinOutputs


def test_outputs_end_in_one_node_in_order(build, rewrite, reference, noise):
    proto, x = build(BRANCHES), noise(2, 4)
    joined = rewrite(passes.JoinOutputs(), proto)
    last = joined.graph.node[-1]
    assert (last.op_type, last.domain, list(last.input)) == ("Outputs", "onnxattr", ["y", "z"])
    np.testing.assert_array_equal(reference(joined, x), reference(proto, x))


# Rename


def test_rename_leaves_no_vendor_name(build, rewrite, runtime, noise):
    proto = build(
        "(float[N,4] input) => (float[N,4] output) { h = Relu(input) output = Mul(h, weight) }",
        weight=np.full(4, 2, np.float32),
    )
    for i, node in enumerate(proto.graph.node):
        node.name = f"layer {i}"
    renamed = rewrite(passes.Rename(), proto)
    assert [n.name for n in renamed.graph.node] == ["n0", "n1"]
    assert [i.name for i in renamed.graph.input] == ["v0"]
    assert [i.name for i in renamed.graph.initializer] == ["v1"]
    assert renamed.graph.name == "graph"
    x = noise(2, 4)
    np.testing.assert_array_equal(runtime(renamed, x), runtime(proto, x))


def test_rename_copes_with_names_that_are_ours_already(build, rewrite, runtime, noise):
    text = "(float[N,4] v2) => (float[N,4] v0) { v1 = Relu(v2) v0 = Neg(v1) }"
    proto, x = build(text), noise(2, 4)
    np.testing.assert_array_equal(runtime(rewrite(passes.Rename(), proto), x), runtime(proto, x))


# Remember


def test_remember_changes_nothing_and_survives_a_rename(build):
    graph = ir.from_proto(build(BRANCHES))
    before = ir.to_proto(graph).SerializeToString(deterministic=True)
    assert not passes.Remember()(graph).modified
    assert ir.to_proto(graph).SerializeToString(deterministic=True) == before
    passes.Rename()(graph)
    assert [passes.vendor_name(n.outputs[0]) for n in graph.graph] == ["h", "y", "z"]
    assert not passes.Remember()(graph).modified
    assert [passes.vendor_name(n.outputs[0]) for n in graph.graph] == ["h", "y", "z"]


# The whole sequence


def test_normalise_keeps_its_input(build):
    text = "(float[N,4] x) => (float[N,4] y) { y = Mul(x, w) }"
    model = load(build(text, w=np.ones(4, np.float32)))
    before = model.proto.SerializeToString(deterministic=True)
    dialect = normalise(model)
    assert model.proto.SerializeToString(deterministic=True) == before
    assert dialect.sha256 == model.sha256
    assert not model.names.nodes


def test_normalise_is_deterministic(build):
    first, second = (normalise(load(build(BRANCHES))).proto for _ in range(2))
    assert first.SerializeToString(deterministic=True) == second.SerializeToString(
        deterministic=True
    )


def test_names_lead_back_to_the_vendor(build):
    proto = build(BRANCHES)
    for node, name in zip(proto.graph.node, ("a", "b", "c"), strict=True):
        node.name = name
    dialect = normalise(load(proto))
    assert [dialect.names.nodes[n.name] for n in dialect.proto.graph.node[:3]] == [
        OnnxNode("Relu", "a"),
        OnnxNode("Neg", "b"),
        OnnxNode("Abs", "c"),
    ]
    assert [dialect.names.values[n.output[0]] for n in dialect.proto.graph.node[:3]] == [*"hyz"]


def test_names_survive_a_rewrite(build):
    proto = build("(float[N,4] x) => (float[N,1] y) { y = ReduceMean(x, axes) }", opset=18,
                  axes=np.array([1]))  # fmt: skip
    proto.graph.node[0].name = "pool"
    dialect = normalise(load(proto))
    node = dialect.proto.graph.node[1]
    assert dialect.names.nodes[node.name] == OnnxNode("ReduceMean", "pool")
    assert dialect.names.values[node.output[0]] == "y"


def test_constants_become_initializers_and_identities_go(build, reference, noise):
    text = """(float[N,2] x) => (float[N,2] y) {
        c = Constant<value = float[2] {1, 2}>() d = Identity(c) h = Add(x, d) y = Identity(h) }"""
    proto, x = build(text), noise(3, 2)
    dialect = normalise(load(proto)).proto
    assert operators(dialect) == ["Parameter", "Add_14", "Outputs"]
    np.testing.assert_array_equal(computed(proto, x), reference(proto, x))


def test_dead_nodes_go(build):
    text = "(float[N] x) => (float[N] y) { y = Relu(x) a = Neg(x) b = Abs(a) }"
    assert operators(normalise(load(build(text))).proto) == ["Relu_14", "Outputs"]


def test_functions_are_inlined(build, noise):
    functions = """
        <domain: "f", opset_import: ["" : 17, "f" : 1]> outer (x) => (y) { h = f.inner(x) y = Neg(h) }
        <domain: "f", opset_import: ["" : 17]>
        inner (x) => (y) { c = Constant<value = float {2}>() y = Mul(x, c) }"""  # noqa: E501
    text = "(float[N] x) => (float[N] y) { h = f.outer(x) y = f.inner(h) }"
    proto, x = build(text, imports=', "f" : 1', functions=functions), noise(3)
    dialect = normalise(load(proto)).proto
    assert [op for op in operators(dialect) if op != "Parameter"] == [
        "Mul_14", "Neg_13", "Mul_14", "Outputs"]  # fmt: skip
    assert not dialect.functions
    np.testing.assert_array_equal(computed(proto, x)[0], -4 * x)


def test_functions_may_not_bring_nodes_of_our_domain(build):
    functions = """<domain: "f", opset_import: ["" : 17, "onnxattr" : 1]>
        trick (x) => (y) { y = onnxattr.Gelu_20(x) }"""
    text = "(float[N] x) => (float[N] y) { y = f.trick(x) }"
    proto = build(text, imports=', "f" : 1', functions=functions)
    with pytest.raises(ModelFileError, match="reserved"):
        normalise(load(proto))


def test_initializers_that_are_inputs_too_are_weights(build, noise):
    text = "(float[N,2] x, float[2] w) => (float[N,2] y) { y = Mul(x, w) }"
    proto = build(text, ir_version=3, opset=8, w=np.array([2, 3], np.float32))
    dialect = normalise(load(proto)).proto
    assert len(dialect.graph.input) == 1
    x = noise(3, 2)
    np.testing.assert_array_equal(computed(proto, x)[0], x * np.float32([2, 3]))


def test_what_the_vendor_says_of_shapes_is_not_believed(build):
    proto = build("(float[N,4] x) => (float[N,4] y) { h = Relu(x) y = Neg(h) }")
    proto.graph.value_info.append(
        onnx.helper.make_tensor_value_info("h", onnx.TensorProto.FLOAT, [1, 2, 3])
    )
    dialect = normalise(load(proto)).proto
    (info,) = (v for v in dialect.graph.value_info if v.name == dialect.graph.node[0].output[0])
    assert [d.dim_value for d in info.type.tensor_type.shape.dim][1:] == [4]


def test_negative_sizes_are_free_sizes(build):
    proto = build("(float[N,3,8,8] x) => (float[N,3,8,8] y) { y = Relu(x) }")
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = -1
    dims = normalise(load(proto)).proto.graph.input[0].type.tensor_type.shape.dim
    assert [d.dim_value for d in dims] == [0, 3, 8, 8]
    assert not dims[0].HasField("dim_value")


def test_docs_and_metadata_are_left_behind(build):
    proto = build(BRANCHES)
    proto.doc_string = proto.graph.doc_string = proto.graph.node[0].doc_string = "SECRET"
    proto.metadata_props.add(key="SECRET", value="SECRET")
    proto.graph.metadata_props.add(key="SECRET", value="SECRET")
    proto.graph.node[0].metadata_props.add(key="SECRET", value="SECRET")
    assert b"SECRET" not in normalise(load(proto)).proto.SerializeToString()


def test_a_failing_pass_is_named(build):
    model = load(build(BRANCHES))
    with pytest.raises(SupportError, match="Cut failed"):
        normalise(model, outputs=["nowhere"])
