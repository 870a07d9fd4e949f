"""What all adapters do to files and examples, without any framework."""

import math

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnxattr_adapters import ExportError, _source
from onnxattr_adapters._file import check, save, stamp
from onnxattr_adapters._tf2onnx import mend, settle

VALUES = np.linspace(-4, 4, 33, dtype=np.float32)


def model(*nodes, constants=(), outputs=("y",)):
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [33])
    results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [33]) for name in outputs]
    graph = helper.make_graph(nodes, "g", [value], results, list(constants))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)


def run(proto, **inputs):
    onnx.checker.check_model(proto)
    return ReferenceEvaluator(proto).run(None, inputs)


def test_erfc_becomes_what_it_means():
    proto = model(helper.make_node("Erfc", ["x"], ["y"]))
    mend(proto)
    (result,) = run(proto, x=VALUES)
    np.testing.assert_allclose(result, [math.erfc(v) for v in VALUES], atol=1e-6)


@pytest.mark.parametrize("approximate", [0, 1])
def test_tflite_gelu_becomes_what_it_means(approximate):
    proto = model(helper.make_node("TFL_GELU", ["x"], ["y"], approximate=approximate))
    mend(proto)
    (result,) = run(proto, x=VALUES)
    if approximate:
        bend = [math.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v**3)) for v in VALUES]
    else:
        bend = [math.erf(v / math.sqrt(2)) for v in VALUES]
    np.testing.assert_allclose(result, 0.5 * VALUES * (1 + np.array(bend)), atol=1e-6)


def test_erfc_within_a_branch_is_mended():
    def branch(operator):
        node = helper.make_node(operator, ["x"], ["b"])
        result = helper.make_tensor_value_info("b", TensorProto.FLOAT, [33])
        return helper.make_graph([node], operator, [], [result])

    condition = numpy_helper.from_array(np.array(True), "c")
    choice = helper.make_node(
        "If", ["c"], ["y"], then_branch=branch("Erfc"), else_branch=branch("Relu")
    )
    proto = model(choice, constants=[condition])
    mend(proto)
    (result,) = run(proto, x=VALUES)
    np.testing.assert_allclose(result, [math.erfc(v) for v in VALUES], atol=1e-6)


def test_constants_folded_in_another_order_give_the_same_bytes():
    def folded(first, second):
        one = numpy_helper.from_array(np.float32([2]), f"const_fold_opt__{first}")
        two = numpy_helper.from_array(np.float32([5]), f"const_fold_opt__{second}")
        return model(
            helper.make_node("Mul", ["x", one.name], ["m"]),
            helper.make_node("Add", ["m", two.name], ["y"]),
            constants=[one, two] if first < second else [two, one],
        )

    protos = [folded(7, 8), folded(8, 7), folded(0, 1)]
    for proto in protos:
        settle(proto)
        np.testing.assert_allclose(run(proto, x=VALUES)[0], 2 * VALUES + 5)
    assert len({proto.SerializeToString(deterministic=True) for proto in protos}) == 1


def test_a_stamp_replaces_an_older_one_and_leaves_others():
    proto = model(helper.make_node("Relu", ["x"], ["y"]))
    proto.metadata_props.add(key="author", value="somebody")
    proto.metadata_props.add(key="onnxattr.range", value="0 1")
    stamp(proto, {"layout": "NHWC", "range": (0, 255), "mean": (0.485, 0.456), "gamma": 2.2})
    stamped = {entry.key: entry.value for entry in proto.metadata_props}
    assert stamped == {
        "author": "somebody",
        "onnxattr.layout": "NHWC",
        "onnxattr.range": "0 255",
        "onnxattr.mean": "0.485 0.456",
        "onnxattr.gamma": "2.2",
    }


def test_a_size_is_height_times_width_and_single_precision_leaves_no_tail():
    proto = model(helper.make_node("Relu", ["x"], ["y"]))
    stamp(proto, {"size": (224, 160), "std": [np.float32(0.225)]})
    stamped = {entry.key: entry.value for entry in proto.metadata_props}
    assert stamped["onnxattr.size"] == "224x160"
    assert float(stamped["onnxattr.std"]) == pytest.approx(0.225, rel=1e-7)


def test_a_file_that_differs_is_refused_and_a_wider_tolerance_is_the_callers(tmp_path):
    pytest.importorskip("onnxruntime")
    path = tmp_path / "net.onnx"
    save(model(helper.make_node("Relu", ["x"], ["y"])), path)
    reference = np.maximum(VALUES, 0) * np.float32(1.001)
    with pytest.raises(ExportError, match="differs from the model by"):
        check(path, [VALUES], [reference])
    check(path, [VALUES], [reference], tolerance=0.01)


def test_examples_are_noise_of_the_shape_and_type_and_the_same_each_time(tmp_path):
    np.save(tmp_path / "own.npy", np.arange(6).reshape(2, 3))
    texts = ["2x3x8x8", "2x7:int64", "4:float16", "3:bool", str(tmp_path / "own.npy")]
    first, again = _source.arrays(texts), _source.arrays(texts)
    assert [a.shape for a in first] == [(2, 3, 8, 8), (2, 7), (4,), (3,), (2, 3)]
    assert [a.dtype.name for a in first] == ["float32", "int64", "float16", "bool", "int64"]
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert 0 <= first[0].min() < first[0].max() <= 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("big", "an example is a shape such as 2x3x224x224, not `big`"),
        ("2x", "not `2x`"),
        ("2x-3", "not `2x-3`"),
        ("2x3:complex64", "a type that is no number"),
        ("2x3:nonsense", "a type that is no number"),
        ("2x3:object", "a type that is no number"),
        ("99999x99999x99999", "more than 268435456 elements"),
        ("missing.npy", "the example `missing.npy`"),
        ("pickled.npy", "the example `pickled.npy`"),
    ],
)
def test_what_is_no_example_is_refused(tmp_path, monkeypatch, text, reason):
    monkeypatch.chdir(tmp_path)
    np.save("pickled.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ExportError) as caught:
        _source.arrays([text])
    assert reason in str(caught.value)


def test_an_object_that_is_not_there_is_told_in_one_line(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "raises_at_import.py").write_text("raise ValueError('first\\nsecond')\n")
    for source, reason in (
        ("no_such_module:make", "cannot be imported: ModuleNotFoundError: No module named"),
        ("raises_at_import:make", "cannot be imported: ValueError: first"),
        ("math:no_such_thing", "the module `math` has no `no_such_thing`"),
    ):
        with pytest.raises(ExportError) as caught:
            _source.load_object(source)
        assert reason in str(caught.value)
    assert _source.load_object("os:path.join")("a", "b")
