"""What is read: one hash for the same bytes however they come, and nothing beside the model."""

import hashlib
import os

import numpy as np
import onnx
import pytest

import onnxattr
from onnxattr.errors import ModelFileError, SupportError
from onnxattr.graph.load import load

TEXT = "(float[N,4] x) => (float[N,4] y) { y = Mul(x, w) }"


@pytest.fixture
def proto(build):
    return build(TEXT, w=np.arange(4, dtype=np.float32))


@pytest.fixture
def split(proto, tmp_path):
    """A model with external data, as a path and the file beside it."""
    path = tmp_path / "model.onnx"
    proto.graph.name = "the graph"
    onnx.save(
        proto, path, save_as_external_data=True, location="weights.bin", size_threshold=0
    )  # fmt: skip
    return path, tmp_path / "weights.bin"


def test_path_bytes_and_proto_agree(proto, tmp_path):
    data = proto.SerializeToString(deterministic=True)
    path = tmp_path / "some model.onnx"
    path.write_bytes(data)
    models = [load(path), load(str(path)), load(data), load(proto)]
    assert {m.sha256 for m in models} == {hashlib.sha256(data).hexdigest()}
    assert all(m.proto == proto for m in models)
    assert [m.name for m in models] == ["some model", "some model", "model", "model"]
    assert [m.path for m in models] == [path, path, None, None]
    assert {(m.opset, m.parameters) for m in models} == {(17, 4)}


def test_the_proto_is_copied(proto):
    model = load(proto)
    proto.graph.name = "changed"
    assert model.proto.graph.name != "changed"


def test_external_data_is_read_in(split, proto):
    model = load(split[0])
    (tensor,) = model.proto.graph.initializer
    assert not tensor.external_data
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(tensor), np.arange(4))
    assert model.parameters == 4


@pytest.mark.parametrize("which", [0, 1], ids=["graph", "weights"])
def test_every_byte_counts_in_the_hash(split, which):
    before = load(split[0]).sha256
    assert load(split[0]).sha256 == before
    data = bytearray(split[which].read_bytes())
    # The last byte of a weight, or one of the graph's name.
    data[data.index(b"the graph") if which == 0 else -1] ^= 1
    split[which].write_bytes(data)
    assert load(split[0]).sha256 != before


def test_external_data_that_is_gone(split):
    split[1].unlink()
    with pytest.raises(ModelFileError, match=r"weights\.bin` is missing"):
        load(split[0])


def test_external_data_that_is_cut_short(split):
    split[1].write_bytes(split[1].read_bytes()[:-4])
    with pytest.raises(ModelFileError):
        load(split[0])


def test_bytes_cannot_bring_external_data(split):
    with pytest.raises(ModelFileError, match="bytes cannot bring") as caught:
        load(split[0].read_bytes())
    assert caught.value.model == "model"


@pytest.mark.parametrize("place", ["..", "absolute", "symlink", "hardlink", "directory"])
def test_external_data_elsewhere_is_refused(split, tmp_path, tmp_path_factory, place):
    secret = tmp_path_factory.mktemp("elsewhere") / "secret.bin"
    secret.write_bytes(split[1].read_bytes())
    location = "weights.bin"
    split[1].unlink()
    if place == "..":
        location = os.path.relpath(secret, tmp_path)
    elif place == "absolute":
        location = str(secret)
    elif place == "symlink":
        split[1].symlink_to(secret)
    elif place == "hardlink":
        split[1].hardlink_to(secret)
    else:
        split[1].mkdir()
    proto = onnx.load(split[0], load_external_data=False)
    for entry in proto.graph.initializer[0].external_data:
        if entry.key == "location":
            entry.value = location
    split[0].write_bytes(proto.SerializeToString())
    with pytest.raises(ModelFileError):
        load(split[0])


def test_external_data_hidden_in_a_function_is_refused(build, tmp_path):
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(16))
    functions = """<domain: "f", opset_import: ["" : 17]>
        read (x) => (y) { c = Constant<value = float[4] {1, 2, 3, 4}>() y = Add(x, c) }"""
    text = "(float[4] x) => (float[4] y) { y = f.read(x) }"
    proto = build(text, imports=', "f" : 1', functions=functions)
    tensor = proto.functions[0].node[0].attribute[0].t
    tensor.ClearField("float_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=str(secret))
    with pytest.raises(ModelFileError):
        load(proto)


def test_our_domain_is_reserved(build):
    text = "(float[N] x) => (float[N] y) { y = onnxattr.Outputs(x) }"
    with pytest.raises(ModelFileError, match="reserved"):
        load(build(text, imports=', "onnxattr" : 1'))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty"),
        (b"not a model", "not an ONNX model"),
        (b"\x08\x08garbage", "damaged"),
        (b"\x08\x08", "no ONNX graph"),
    ],
)
def test_what_is_no_model(data, says):
    with pytest.raises(ModelFileError, match=says):
        load(data)


def test_every_truncation_is_told(proto):
    data = proto.SerializeToString()
    for end in range(0, len(data), 3):
        with pytest.raises((ModelFileError, SupportError)):
            load(data[:end])


def test_what_is_no_file(tmp_path):
    with pytest.raises(ModelFileError, match="does not exist"):
        load(tmp_path / "none.onnx")
    with pytest.raises(ModelFileError, match="not a regular file"):
        load(tmp_path)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.onnx")
    with pytest.raises(ModelFileError, match="not a regular file"):
        load(tmp_path / "pipe.onnx")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite(build, value):
    text = "(float[N,2] x) => (float[N,2] y) { y = MatMul(x, w) }"
    with pytest.raises(ModelFileError, match="2 of 4 values of the weight `w`"):
        load(build(text, w=np.array([[1, value], [value, 2]], np.float32)))


def test_an_infinity_may_be_a_mask(build):
    load(build("(float[N,2] x) => (float[N,2] y) { y = Add(x, m) }",
               m=np.array([0, -np.inf], np.float32)))  # fmt: skip


def test_all_unknown_operators_are_named_at_once(build):
    text = "(float[N] x) => (float[N] y) { a = Erfc(x) b = Erfc(a) y = TFL_GELU(b) }"
    with pytest.raises(SupportError, match=r"`Erfc` \(2\), `TFL_GELU` \(1\)"):
        load(build(text))


def test_a_future_opset_is_told(build):
    proto = build(TEXT, w=np.ones(4, np.float32))
    proto.opset_import[0].version = onnx.defs.onnx_opset_version() + 1
    with pytest.raises(SupportError, match="the installed onnx knows"):
        load(proto)


def test_the_checker_is_asked(build):
    with pytest.raises(ModelFileError, match="checker"):
        load(build("(float[N] x) => (float[N] y) { y = Relu(nowhere) }"))


@pytest.mark.parametrize(
    ("producer", "version", "graph", "framework", "exporter"),
    [
        ("pytorch", "2.14.1+cu130", "main_graph", "PyTorch", "pytorch 2.14.1+cu130"),
        ("tf2onnx", "1.16.1 15c810", "tf2onnx", "TensorFlow", "tf2onnx 1.16.1"),
        ("jax2onnx", "0.17", "g", "JAX", "jax2onnx 0.17"),
        ("skl2onnx", "1.19", "g", "scikit-learn", "skl2onnx 1.19"),
        ("OnnxMLTools", "1.7.0", "g", "ONNXMLTools", "OnnxMLTools 1.7.0"),
        ("keras2onnx", "1.7.0", "g", "Keras", "keras2onnx 1.7.0"),
        ("onnx.quantize", "0.1.0", "g", "ONNX Runtime quantiser", "onnx.quantize 0.1.0"),
        ("", "", "PaddlePaddle Graph 1", "Paddle", "paddle2onnx"),
        ("", "", "g", "unknown", "unknown"),
        ("MyTool", "3", "g", "unknown", "MyTool 3"),
    ],
)
def test_origin(proto, producer, version, graph, framework, exporter):
    proto.producer_name, proto.producer_version, proto.graph.name = producer, version, graph
    origin = load(proto).origin
    assert (origin.framework, origin.exporter) == (framework, exporter)


def test_the_facade_offers_it(proto):
    assert onnxattr.load(proto).opset == 17


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_damaged_weights_in_a_constant_node_are_found_by_its_output(bad):
    """Paddle stores weights so, in tensors that have no name of their own."""
    weight = np.full((4, 3, 1, 1), bad, np.float32)
    nodes = [
        onnx.helper.make_node(
            "Constant", [], ["kernel"], value=onnx.numpy_helper.from_array(weight)
        ),
        onnx.helper.make_node("Conv", ["x", "kernel"], ["y"]),
    ]
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        nodes, "g", [value("x", 1, ["N", 3, 8, 8])], [value("y", 1, ["N", 4, 8, 8])]
    )
    proto = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    with pytest.raises(ModelFileError, match="12 of 12 values of the weight `kernel`"):
        load(proto)


@pytest.mark.parametrize("opset", [18, 20])
def test_an_operator_that_was_taken_back_later_is_read(build, opset):
    """The checker calls GroupNormalization of opset 18 deprecated; ONNX Runtime runs it."""
    text = "(float[N,4,3] x) => (float[N,4,3] y) { y = GroupNormalization<num_groups=2>(x, s, b) }"
    weights = {"s": np.ones(2, np.float32), "b": np.zeros(2, np.float32)}
    model = load(build(text, opset=opset, ir_version=9, **weights))
    assert model.opset == opset


def test_experiments_that_onnx_took_back_are_read(build):
    text = """(float[1,3,4,4] x) => (float[1,3,4,4] y) {
        y = ImageScaler<scale = 0.5, bias = [0.1, 0.2, 0.3]>(x) }"""
    assert load(build(text, opset=7, ir_version=3)).opset == 7
    with pytest.raises(SupportError, match="ImageScaler"):
        load(build(text, opset=13))


def test_operators_of_an_operator_set_that_is_not_imported_are_named(build):
    proto = build("(float[2] x) => (float[2] y) { y = Relu(x) }")
    proto.opset_import[0].domain = "com.vendor"
    with pytest.raises(SupportError, match=r"opset 0 of ONNX does not have: `Relu` \(1\)"):
        load(proto)
