"""What is refused before anybody else reads a graph, and what is not."""

import contextlib

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper, parser

from onnxattr.errors import LimitError, ModelFileError
from onnxattr.graph.load import load
from onnxattr.limits import Limits

TEXT = "(float[N,4] x) => (float[N,4] y) { h = Mul(x, w) y = Relu(h) }"


@pytest.fixture
def proto(build):
    return build(TEXT, w=np.arange(4, dtype=np.float32))


def function(name, body, domain="f"):
    header = f'<domain: "{domain}", opset_import: ["" : 17, "{domain}" : 1]>'
    return parser.parse_function(f"{header} {name} (a) => (b) {{{body}}}")


def with_functions(proto, *functions):
    proto.functions.extend(functions)
    proto.opset_import.append(helper.make_opsetid("f", 1))
    proto.graph.node[-1].domain, proto.graph.node[-1].op_type = "f", functions[-1].name
    return proto


def test_nodes_are_counted_at_every_depth(proto, build):
    nested = build(
        "(float[N,4] x, bool c) => (float[N,4] y) { y = If (c) <"
        "then_branch = t () => (float[N,4] a) { a = Relu(x) },"
        "else_branch = e () => (float[N,4] b) { n = Neg(x) b = Abs(n) }> }"
    )
    load(nested, limits=Limits(nodes=4))
    with pytest.raises(LimitError, match="it has 4 nodes, and 3 are allowed"):
        load(nested, limits=Limits(nodes=3))
    counted = with_functions(proto, function("F", "c = Neg(a) b = Abs(c)"))
    with pytest.raises(LimitError, match="it has 4 nodes, and 3 are allowed"):
        load(counted, limits=Limits(nodes=3))


def test_functions_count_at_every_call(proto):
    """31 functions, each of which calls the one before it twice: 2³⁰ nodes."""
    functions = [function("F0", "b = Relu(a)")]
    functions += [function(f"F{i}", f"c = f.F{i - 1}(a) b = f.F{i - 1}(c)") for i in range(1, 31)]
    small = with_functions(onnx.ModelProto.FromString(proto.SerializeToString()), *functions[:8])
    assert load(small, limits=Limits(expansion=129)).opset == 17
    with pytest.raises(LimitError, match="it has 129 nodes, and 128 are allowed"):
        load(small, limits=Limits(expansion=128))
    with pytest.raises(LimitError, match=r"inlined it has 1,073,741,825 nodes"):
        load(with_functions(proto, *functions))


@pytest.mark.parametrize("cycle", [("F",), ("F", "G"), ("F", "G", "H")])
def test_functions_that_call_themselves(proto, cycle):
    functions = [
        function(name, f"b = f.{cycle[(i + 1) % len(cycle)]}(a)") for i, name in enumerate(cycle)
    ]
    with pytest.raises(ModelFileError, match="calls itself"):
        load(with_functions(proto, *functions))


def test_a_chain_of_functions_deeper_than_any_stack(proto):
    functions = [function("F0", "b = Relu(a)")]
    functions += [function(f"F{i}", f"b = f.F{i - 1}(a)") for i in range(1, 5000)]
    with pytest.raises(LimitError, match="are allowed"):
        load(with_functions(proto, *functions), limits=Limits(nodes=4000))


@pytest.mark.parametrize("where", ["node", "value", "graph", "producer_name", "key", "dim"])
def test_names_have_a_length(proto, where):
    name = "n" * 101
    if where == "node":
        proto.graph.node[0].name = name
    elif where == "value":
        proto.graph.node[0].output[0] = proto.graph.node[1].input[0] = name
    elif where == "graph":
        proto.graph.name = name
    elif where == "producer_name":
        proto.producer_name = name
    elif where == "key":
        proto.metadata_props.add(key=name, value="v")
    else:
        proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param = name
    load(proto)
    with pytest.raises(LimitError, match="has 101 characters, and 100 are allowed: `nnn"):
        load(proto, limits=Limits(name=100))


def test_texts_may_be_long(proto):
    proto.doc_string = proto.graph.node[0].doc_string = "d" * 10_000
    proto.metadata_props.add(key="classes", value="v" * 10_000)
    load(proto, limits=Limits(name=100))


def test_strings_that_are_no_text(proto):
    proto.graph.node[0].name = "somenode"
    data = proto.SerializeToString().replace(b"somenode", b"some\xff\xfede")
    with pytest.raises(ModelFileError, match=r"not UTF-8|cannot be decoded"):
        load(data)


def double(proto, what):
    graph = proto.graph
    if what == "initializers":
        graph.initializer.append(numpy_helper.from_array(np.ones(4, np.float32), "w"))
    elif what == "inputs":
        graph.input.append(graph.input[0])
    elif what == "outputs":
        graph.output.append(graph.output[0])
    else:
        one = function("F", "b = Relu(a)")
        with_functions(proto, one, one)


@pytest.mark.parametrize("what", ["initializers", "inputs", "outputs", "functions"])
def test_names_that_stand_for_two_things(proto, what):
    double(proto, what)
    with pytest.raises(ModelFileError, match=f"{what} are called `"):
        load(proto)


def tensor(kind, dims, **fields):
    made = TensorProto(data_type=kind, dims=dims, name="w")
    for field, value in fields.items():
        if field == "raw_data":
            made.raw_data = value
        else:
            getattr(made, field).extend(value)
    return made


FLOAT, INT4, HALF = TensorProto.FLOAT, TensorProto.INT4, TensorProto.FLOAT16


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (tensor(FLOAT, [4], raw_data=bytes(15)), "15 bytes instead of 16"),
        (tensor(FLOAT, [4], raw_data=bytes(20)), "20 bytes instead of 16"),
        (tensor(FLOAT, [4], float_data=[1.0] * 3), "3 values instead of 4"),
        (tensor(FLOAT, [4]), "0 values instead of 4"),
        (tensor(FLOAT, [-4], raw_data=bytes(16)), "a dimension is -4"),
        (tensor(FLOAT, [4], int64_data=[1] * 4), "int64_data do not go together"),
        (tensor(FLOAT, [4], raw_data=bytes(16), float_data=[1.0] * 4), "raw_data and float_data"),
        (tensor(FLOAT, [2**40, 2**40], raw_data=bytes(16)), "more than any memory holds"),
        (tensor(FLOAT, [2**62, 4], raw_data=bytes(16)), "more than any memory holds"),
        (tensor(HALF, [4], raw_data=bytes(16)), "16 bytes instead of 8"),
        (tensor(INT4, [4], raw_data=bytes(4)), "4 bytes instead of 2"),
        (tensor(99, [4], raw_data=bytes(16)), "its type 99 is unknown"),
        (tensor(TensorProto.COMPLEX64, [4], float_data=[1.0] * 4), "4 values instead of 8"),
        (tensor(TensorProto.STRING, [4], raw_data=bytes(4)), "strings cannot be raw"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("place", ["initializer", "constant", "unused"])
def test_data_that_does_not_fit_its_shape(proto, made, reason, place):
    if place == "initializer":
        proto.graph.initializer[0].CopyFrom(made)
    elif place == "constant":
        del proto.graph.initializer[:]
        proto.graph.node.insert(0, helper.make_node("Constant", [], ["w"], value=made))
    else:
        made.name = "nobody's"
        proto.graph.initializer.append(made)
    with pytest.raises(ModelFileError, match="does not fit its shape: ") as caught:
        load(proto)
    assert reason in caught.value.message


@pytest.mark.parametrize("kind", sorted(set(TensorProto.DataType.values()) - {0, 8}))
def test_data_of_every_type_as_onnx_writes_it(proto, kind):
    """As raw bytes and in the typed field, of an odd number of elements."""
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    values = np.ones(5, dtype)
    stored = [numpy_helper.from_array(values, "raw")]
    # onnx writes some of its newest types as raw bytes only.
    with contextlib.suppress(TypeError, ValueError, KeyError):
        stored.append(helper.make_tensor("typed", kind, [5], values.tolist()))
    proto.graph.initializer.extend(stored)
    load(proto)


def test_sparse_tensors_are_refused(proto):
    values = numpy_helper.from_array(np.ones(1, np.float32), "s")
    indices = numpy_helper.from_array(np.zeros(1, np.int64), "i")
    proto.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [4]))
    with pytest.raises(ModelFileError, match="is sparse"):
        load(proto)


def test_file_size(proto, tmp_path):
    data = proto.SerializeToString()
    path = tmp_path / "m.onnx"
    path.write_bytes(data)
    for source in (path, data, proto):
        load(source, limits=Limits(file_size=len(data)))
        with pytest.raises(LimitError, match="are allowed"):
            load(source, limits=Limits(file_size=len(data) - 1))


def test_external_data_counts_for_the_file_size(proto, tmp_path):
    path = tmp_path / "m.onnx"
    onnx.save(proto, path, save_as_external_data=True, location="w.bin", size_threshold=0)
    total = path.stat().st_size + (tmp_path / "w.bin").stat().st_size
    load(path, limits=Limits(file_size=total))
    with pytest.raises(LimitError, match="with its external data"):
        load(path, limits=Limits(file_size=total - 1))


def test_a_small_file_that_is_read_many_times(tmp_path, build):
    """Two hundred tensors over one file of a megabyte are two hundred megabytes."""
    proto = build(TEXT, w=np.arange(4, dtype=np.float32))
    (tmp_path / "w.bin").write_bytes(bytes(1 << 20))
    for number in range(200):
        made = TensorProto(data_type=FLOAT, dims=[1 << 18], name=f"t{number}", data_location=1)
        made.external_data.add(key="location", value="w.bin")
        proto.graph.initializer.append(made)
    path = tmp_path / "m.onnx"
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(LimitError, match="are allowed for a file with its external data"):
        load(path, limits=Limits(file_size=100 << 20))


def test_operator_set_may_be_imported_twice_in_the_same_words_only(proto):
    proto.opset_import.append(helper.make_opsetid("", 17))
    assert load(proto).opset == 17
    proto.opset_import[-1].version = 16
    with pytest.raises(ModelFileError, match=r"imports the operator set `ai.onnx` 2 times"):
        load(proto)
