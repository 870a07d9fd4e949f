"""Networks that ONNX Runtime's quantiser rounds to eight bits: values, and the float's gradient."""

import numpy as np
import pytest

ort = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("onnxscript", reason="torch's exporter needs onnxscript")
quantization = pytest.importorskip("onnxruntime.quantization")

import onnxattr  # noqa: E402

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::UserWarning", "ignore::torch.jit.TracerWarning"
)

KIND, FORM = quantization.QuantType, quantization.QuantFormat
STATIC = {
    "pairs": {"quant_format": FORM.QDQ},
    "pairs_unsigned": {
        "quant_format": FORM.QDQ,
        "activation_type": KIND.QUInt8,
        "weight_type": KIND.QUInt8,
    },
    "pairs_by_channel": {"quant_format": FORM.QDQ, "per_channel": True},
    "operators": {"quant_format": FORM.QOperator},
    "operators_by_channel": {"quant_format": FORM.QOperator, "per_channel": True},
}
SIZE = 32


class Convolutions(torch.nn.Module):
    """What quantisers treat in ways of their own: sums, joins, gates, pools, rectifiers."""

    def __init__(self):
        super().__init__()
        self.first, self.second = self.block(3, 16, stride=2), self.block(16, 16)
        self.third = self.block(32, 32, stride=2, groups=8)
        self.gate, self.head = torch.nn.Conv2d(16, 16, 1), torch.nn.Linear(32, 5)

    @staticmethod
    def block(channels, width, **named):
        conv = torch.nn.Conv2d(channels, width, 3, padding=1, bias=False, **named)
        return torch.nn.Sequential(conv, torch.nn.BatchNorm2d(width), torch.nn.ReLU6())

    def forward(self, image):
        first = self.first(image)
        value = self.second(first) + first
        value = value * torch.sigmoid(self.gate(value.mean((2, 3), keepdim=True)))
        value = torch.cat([value, torch.nn.functional.max_pool2d(first, 3, 1, 1)], 1)
        return self.head(torch.nn.functional.avg_pool2d(self.third(value), 8).flatten(1))


class Perceptron(torch.nn.Sequential):
    def __init__(self):
        first, second = torch.nn.Linear(3 * SIZE * SIZE, 64), torch.nn.Linear(64, 64)
        last = torch.nn.Linear(64, 5)
        nn = torch.nn
        super().__init__(nn.Flatten(), first, nn.GELU(), second, nn.LeakyReLU(), last)


NETWORKS = {"convolutions": Convolutions, "perceptron": Perceptron}


def images(count):
    """Return smooth noise, so that rounding does not drown what the network sees."""
    coarse = torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    return torch.nn.functional.interpolate(coarse, size=(SIZE, SIZE), mode="bilinear")


class Reader(quantization.CalibrationDataReader):
    def __init__(self, name):
        self.batches = iter([{name: images(16).numpy()}])

    def get_next(self):
        return next(self.batches, None)


@pytest.fixture(scope="module", params=NETWORKS)
def exported(request, tmp_path_factory):
    """A network whose batch normalisation knows its input, and its file."""
    torch.manual_seed(0)
    network = NETWORKS[request.param]()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = None
        network.train()(images(16))
    network.eval()
    path = tmp_path_factory.mktemp(request.param) / "float.onnx"
    # The quantiser refuses what the default exporter notes down of shapes.
    torch.onnx.export(
        network,
        (images(2),),
        str(path),
        dynamo=False,
        input_names=["x"],
        dynamic_axes={"x": {0: "batch"}},
    )
    return network, path


def quantised(path, how):
    target = path.with_name(f"{how}.onnx")
    if how == "dynamic":
        quantization.quantize_dynamic(path, target, weight_type=KIND.QUInt8)
    else:
        quantization.quantize_static(path, target, Reader("x"), **STATIC[how])
    return target


def runtime(path, x):
    """Return the first output, of the file as it is."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    # Several threads share a batch, and each rounds its hidden states by their own range.
    options.intra_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x.detach().numpy()})[0]


@pytest.mark.parametrize("how", [*STATIC, "dynamic"])
def test_quantised_network(exported, how):
    network, path = exported
    path = quantised(path, how)
    x = images(4).requires_grad_()
    output = onnxattr.to_torch(path)(x)
    reference = runtime(path, x)
    error = np.abs(output.detach().numpy() - reference).max() / np.abs(reference).max()
    # Where a sum lies on a boundary, its order decides on one step or the next.
    assert error < 0.03

    noise = torch.randn(output.shape, generator=torch.Generator().manual_seed(2))
    (gradient,) = torch.autograd.grad((output * noise).sum(), x)
    (wanted,) = torch.autograd.grad((network(x) * noise).sum(), x)
    cosine = torch.nn.functional.cosine_similarity(gradient.ravel(), wanted.ravel(), dim=0)
    assert cosine > 0.95


@pytest.mark.usefixtures("exact_eight_bits")
@pytest.mark.parametrize("kind", [KIND.QUInt8, KIND.QInt8], ids=["unsigned", "by_channel"])
def test_quantised_recurrent_layers(tmp_path, kind):
    torch.manual_seed(0)
    network = torch.nn.LSTM(6, 8, num_layers=2, bidirectional=True).eval()
    steps = torch.randn(7, 2, 6)
    path, target = tmp_path / "float.onnx", tmp_path / "quantised.onnx"
    torch.onnx.export(network, (steps,), str(path), dynamo=False, input_names=["x"])
    per_channel = kind == KIND.QInt8
    quantization.quantize_dynamic(path, target, weight_type=kind, per_channel=per_channel)
    module = onnxattr.to_torch(target)
    assert "dynamic_quantize_lstm" in repr(module)
    x = steps.requires_grad_()
    output, wanted = module(x)[0], network(x)[0]
    np.testing.assert_allclose(output.detach().numpy(), runtime(target, x), atol=1e-6)
    gradient, reference = (torch.autograd.grad((y * y).sum(), x)[0] for y in (output, wanted))
    assert torch.nn.functional.cosine_similarity(gradient.ravel(), reference.ravel(), dim=0) > 0.99
