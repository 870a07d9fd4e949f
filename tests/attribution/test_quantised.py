"""Quantised models: compared with ONNX Runtime, and attributed like the models they were."""

import numpy as np
import onnx
import pytest
from nets import SIZE, Net, network, probes

from onnxattr.attribution.check import check_gradient
from onnxattr.attribution.engine import Engine
from onnxattr.convert.parity import QUANTISED, TOLERANCE, Gate


class Calibration:
    def __init__(self, layout):
        rng = np.random.default_rng(0)
        shape = (1, 3, SIZE, SIZE) if layout == "NCHW" else (1, SIZE, SIZE, 3)
        # What probes become by the range, means and deviations of `nets.RANGE`.
        draw = lambda: rng.uniform(-2.4, 1.8, shape).astype(np.float32)  # noqa: E731
        self.batches = iter([{"x": draw()} for _ in range(16)])

    def get_next(self):
        return next(self.batches, None)


@pytest.fixture(params=["QDQ", "QOperator", "dynamic"])
def quantise(request, tmp_path):
    """Returns a function from a file's bytes to those of ONNX Runtime's quantised form."""
    quantization = pytest.importorskip("onnxruntime.quantization")

    def run(data, layout):
        before, after = tmp_path / "net.onnx", tmp_path / "small.onnx"
        before.write_bytes(data)
        if request.param == "dynamic":
            quantization.quantize_dynamic(before, after)
        else:
            form = quantization.QuantFormat[request.param]
            quantization.quantize_static(before, after, Calibration(layout), quant_format=form)
        return after.read_bytes()

    return run


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_a_quantised_net_is_attributed_like_the_net_it_was(quantise, layout):
    data = Net.random("Relu", 3).onnx(layout=layout)
    small, whole = network(quantise(data, layout)), network(data)
    assert small.spec.layout == layout
    gate, images = Gate(small), probes(12).images
    assert gate.check(images) <= gate.tolerance == QUANTISED
    ours, theirs = (Engine(n).maps(images)[0].reshape(12, -1) for n in (small, whole))
    cosines = (ours * theirs).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)
    assert np.median(cosines) > 0.9
    assert check_gradient(small, gate, images) is None


@pytest.mark.filterwarnings("ignore")
def test_what_is_quantised_by_the_batch_is_run_alone(quantise, request):
    data = quantise(Net.random("Relu", 3).onnx(), "NCHW")
    dynamic = any(
        n.op_type == "DynamicQuantizeLinear" for n in onnx.load_from_string(data).graph.node
    )
    assert network(data).spec.batch == (1 if dynamic else None)


@pytest.mark.parametrize(
    "body",
    [
        "y = com.microsoft.QuickGelu(x)",
        "d = QuantizeLinear(x, s, z) y = Relu(x)",
        "q = QuantizeLinear(s, s, z) w = DequantizeLinear(q, s, z) y = Mul(x, w)",
    ],
    ids=["a name that begins alike", "an operator that nothing reads", "weights alone"],
)
def test_a_model_that_is_not_rounded_is_held_to_the_tolerance(body):
    header = '<ir_version: 8, opset_import: ["" : 17, "com.microsoft" : 1]> g '
    dims = f"float[N,3,{SIZE},{SIZE}]"
    proto = onnx.parser.parse_model(f"{header} ({dims} x) => ({dims} y) {{ {body} }}")
    for name, value in (("s", np.float32(0.5)), ("z", np.uint8(3))):
        if f"{name}," in body or f"{name})" in body:
            proto.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
    net = network(proto.SerializeToString())
    gate = Gate(net)
    assert not gate.quantised
    assert gate.tolerance == TOLERANCE[gate.dtype]
    assert check_gradient(net, gate, probes(4).images) is not None
