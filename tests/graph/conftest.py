"""Small graphs from text, two engines to run them, and the contract of a pass."""

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from onnx import numpy_helper, parser
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun


def _build(text, *, opset=17, ir_version=8, imports="", functions="", **weights):
    header = f'<ir_version: {ir_version}, opset_import: ["" : {opset}{imports}]>'
    proto = parser.parse_model(f"{header} g {text} {functions}")
    for name, array in weights.items():
        proto.graph.initializer.append(numpy_helper.from_array(np.asarray(array), name))
    return proto


class Outputs(OpRun):
    """What our last node means, for the reference evaluator."""

    op_domain = "onnxattr"

    def _run(self, *values):
        return values


def _reference(proto, *feeds):
    evaluator = ReferenceEvaluator(proto, new_ops=[Outputs])
    return evaluator.run(None, dict(zip(evaluator.input_names, feeds, strict=True)))


def _runtime(proto, *feeds):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, dict(zip([i.name for i in session.get_inputs()], feeds, strict=True)))


def _rewrite(step, proto):
    """Runs a pass and holds it to its contract: honest, and idempotent."""
    # A copy: onnx-ir shares its tensors with the proto, and renames them there.
    graph = ir.from_proto(onnx.ModelProto.FromString(proto.SerializeToString()))
    before = ir.to_proto(graph).SerializeToString(deterministic=True)
    result = step(graph)
    rewritten = ir.to_proto(result.model)
    after = rewritten.SerializeToString(deterministic=True)
    assert result.modified == (before != after), "`modified` does not tell the truth"
    again = step(result.model)
    assert not again.modified, "a second run claims to have changed something"
    assert ir.to_proto(again.model).SerializeToString(deterministic=True) == after
    return onnx.ModelProto.FromString(after)


@pytest.fixture
def build():
    """`build("(float[N,3] x) => (float[N,2] y) { y = Gemm(x, w) }", w=array)` → ModelProto."""
    return _build


@pytest.fixture
def reference():
    """Runs a model, dialect included, on onnx's reference evaluator."""
    return _reference


@pytest.fixture
def runtime():
    """Runs a model on ONNX Runtime."""
    return _runtime


@pytest.fixture
def rewrite():
    """Runs a pass on a ModelProto and returns the rewritten one."""
    return _rewrite


@pytest.fixture
def noise():
    """`noise(2, 3)` → float32 array of that shape, always the same."""

    def draw(*shape, seed=0):
        return np.random.default_rng(seed).normal(size=shape).astype(np.float32)

    return draw
