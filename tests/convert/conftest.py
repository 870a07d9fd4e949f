"""Small graphs from text, random probes, and ONNX Runtime as the judge."""

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import numpy_helper, parser

from onnxattr.types import Probes


def _build(text, *, opset=17, ir_version=8, imports="", functions="", **weights):
    header = f'<ir_version: {ir_version}, opset_import: ["" : {opset}{imports}]>'
    proto = parser.parse_model(f"{header} g {text} {functions}")
    for name, array in weights.items():
        proto.graph.initializer.append(numpy_helper.from_array(np.asarray(array), name))
    return proto


def _runtime(proto, *feeds):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, dict(zip([i.name for i in session.get_inputs()], feeds, strict=True)))


@pytest.fixture(autouse=True)
def _one_thread():
    """Nets this small only lose by being shared among threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def build():
    """`build("(float[N,3] x) => (float[N,2] y) { y = Gemm(x, w) }", w=array)` → ModelProto."""
    return _build


@pytest.fixture
def runtime():
    """Runs a model on ONNX Runtime."""
    return _runtime


@pytest.fixture
def noise():
    """`noise(2, 3)` → float32 array of that shape, always the same."""

    def draw(*shape, seed=0):
        return np.random.default_rng(seed).normal(size=shape).astype(np.float32)

    return draw


@pytest.fixture
def probes():
    """`probes(5)` → that many random images of 12×12 pixels."""

    def draw(count):
        images = np.random.default_rng(count).integers(0, 256, (count, 12, 12, 3), np.uint8)
        return Probes(images, tuple(f"p{i}" for i in range(count)), "", "random")

    return draw


@pytest.fixture
def image_net(noise):
    """`image_net()` → a net of two convolutions and a head, for 8×8 RGB images."""

    def make(*, layout="NCHW", batch="N", functions="", imports="", opset=17):
        dims = f"{batch},3,8,8" if layout == "NCHW" else f"{batch},8,8,3"
        first = "t = Identity(x)" if layout == "NCHW" else "t = Transpose<perm=[0,3,1,2]>(x)"
        proto = _build(
            f"""(float[{dims}] x) => (float[{batch},5] y) {{
                {first}
                a = Conv<pads=[1,1,1,1]>(t, w1, b1)
                n = BatchNormalization(a, s, o, m, v)
                r = Relu(n)
                p = AveragePool<kernel_shape=[3,3], strides=[2,2], pads=[0,0,1,1]>(r)
                c = Conv<auto_pad="SAME_UPPER", strides=[2,2]>(p, w2)
                e = Sigmoid(c)
                g = GlobalAveragePool(e)
                f = Flatten(g)
                l = Gemm(f, w3, b3)
                y = Softmax(l)
            }}""",
            opset=opset,
            functions=functions,
            imports=imports,
            w1=noise(4, 3, 3, 3, seed=1),
            b1=noise(4, seed=2),
            s=noise(4, seed=3),
            o=noise(4, seed=4),
            m=noise(4, seed=5),
            v=np.abs(noise(4, seed=6)) + 0.5,
            w2=noise(6, 4, 3, 3, seed=7),
            w3=noise(6, 5, seed=8),
            b3=noise(5, seed=9),
        )
        names = [
            "transpose",
            "conv1",
            "bn1",
            "act1",
            "pool1",
            "conv2",
            "act2",
            "gap",
            "flat",
            "fc",
            "prob",
        ]
        for node, name in zip(proto.graph.node, names, strict=True):
            node.name = name
        return proto

    return make
