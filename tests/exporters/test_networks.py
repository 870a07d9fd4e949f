"""Networks of many frameworks: outputs and input gradients of the file are those of the original.

Makers (`makers/*_maker.py`) export in a process of their own, each by the interpreter that the
environment variable of its framework names, such as SKLEARN_PYTHON; by default that of the tests.
PaddlePaddle's exporter needs an older onnx than we do, and that of JAX brings the other package of
ONNX Runtime, so both live in environments of their own:

    python3.11 -m venv paddle && python3.11 -m venv jax
    paddle/bin/pip install paddlepaddle paddle2onnx 'onnx<=1.17' packaging
    jax/bin/pip install jax flax jax2onnx
    PADDLE_PYTHON=paddle/bin/python JAX_PYTHON=jax/bin/python pytest -m exporters -k "paddle or jax"
"""

import functools
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import pytest

ort = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
torch = pytest.importorskip("torch", reason="PyTorch is not installed")

import onnxattr  # noqa: E402
from onnxattr.graph.load import load  # noqa: E402
from onnxattr.graph.outputs import representation  # noqa: E402

# Where TensorFlow was imported first, torch finds CUDA's libraries in disorder, and needs none.
pytestmark = pytest.mark.filterwarnings("ignore:CUDA initialization:UserWarning")

MAKERS = Path(__file__).resolve().parent / "makers"
TORCH = (
    "resnet18 mobilenet_v3_small efficientnet_b0 shufflenet_v2 densenet convnext vit swin unet "
    "spatial_transformer encoder bert einsum lstm gru"
)
#: Whose parts others have too: the default exporter takes its time.
LEGACY = "mobilenet_v2 inception_v3 lraspp deeplab"
BAKED = "resnet18 vit swin convnext encoder bert einsum unet lstm"
OLD = "mobilenet_v3_small shufflenet_v2 unet bert lstm"


#: In which each softmax is that of an attention, and fused.
ATTENTION = ("vit", "swin", "bert", "encoder", "masked", "masking")


@dataclass(frozen=True)
class Framework:
    """How the networks of a framework are made.

    Attributes:
        maker: The script.
        needs: Packages that its interpreter must have.
        names: The networks, with blanks between them.
        environment: Variables that it is run with.
        slope: Least cosine of the gradient with the framework's.
    """

    maker: str
    needs: tuple[str, ...]
    names: str
    environment: dict[str, str] = field(default_factory=dict)
    slope: float = 0.9999


def keras(backend, names, *needs):
    environment = {"KERAS_BACKEND": backend}
    return Framework("keras_maker", ("keras", *needs), names, environment)


def variants(names, *kinds):
    return " ".join(f"{name}-{kind}" for name in names.split() for kind in kinds)


FRAMEWORKS = {
    "torch": Framework(
        "torch_maker",
        ("torch", "torchvision", "onnxscript"),
        f"{variants(TORCH, 'default', 'legacy')} {variants(LEGACY, 'legacy')} "
        f"{variants(BAKED, 'baked', 'baked_default')} "
        f"{variants(OLD, 'opset11', 'opset13', 'opset17')}",
    ),
    "keras_tensorflow": keras(
        "tensorflow",
        "cnn decoder mobile vit masked masking convolution_in_time lstm gru lstm_both_ways",
        "tensorflow",
        "tf2onnx",
    ),
    # What is missing its own exporter cannot export.
    "keras_torch": keras(
        "torch",
        "cnn decoder mobile masked convolution_in_time lstm gru lstm_both_ways",
        "torch",
        "onnxscript",
    ),
    # Likewise. It writes pools of two axes with four, and zero for what may look at nothing.
    "keras_jax": keras("jax", "mobile vit masked convolution_in_time lstm gru", "jax", "jax2onnx"),
    "tf2onnx": keras(
        "tensorflow",
        "cnn-saved decoder-saved mobile-saved vit-saved gru-saved lstm_both_ways-saved "
        "cnn-baked mobile-baked vit-baked "
        "cnn-tflite decoder-tflite mobile-tflite convolution_in_time-tflite lstm-tflite gru-tflite",
        "tensorflow",
        "tf2onnx",
    ),
    "jax": Framework(
        "jax_maker",
        ("jax", "flax", "jax2onnx"),
        "cnn cnn_nchw vit mlp lstm gru functional branches loop",
    ),
    "paddle": Framework(
        "paddle_maker",
        ("paddle", "paddle2onnx"),
        "cnn resnet18 resnet18-baked resnet18-opset9 mobilenet_v2 mobilenet_v3 shufflenet encoder "
        "encoder-baked encoder-opset9 lstm gru",
    ),
    "sklearn": Framework(
        "sklearn_maker",
        ("sklearn", "skl2onnx"),
        "mlp_relu mlp_tanh mlp_logistic logistic scaled range norm_l2 norm_l1 components power "
        "discriminant bayes svc_rbf svc_linear svc_polynomial svc_sigmoid svc_scaled linear_svc "
        "linear mlp_regressor mlp_regressor_scaled svr svr_linear process zipmap",
        slope=0.999,
    ),
}
#: How networks are exported for a batch of one.
SINGLE = ("-baked", "-baked_default", "-tflite")
#: Which ones keep it: of what a loop does with a batch nothing is known.
LOOPS = ("lstm-tflite", "gru-tflite")
CASES = [(kind, name) for kind, framework in FRAMEWORKS.items() for name in framework.names.split()]
LABELS = [f"{kind}-{name}" for kind, name in CASES]


@functools.cache
def interpreter(kind):
    """Return the interpreter for a framework, or None where it lacks a package."""
    name = "KERAS" if kind == "tf2onnx" else kind.rpartition("_")[2].upper()
    python = os.environ.get(f"{name}_PYTHON", sys.executable)
    find = f"import importlib.util as u; print(all(map(u.find_spec, {FRAMEWORKS[kind].needs})))"
    found = subprocess.run([python, "-c", find], capture_output=True, text=True, check=False)
    return python if found.stdout.strip() == "True" else None


@pytest.fixture(scope="session")
def made(request, tmp_path_factory):
    """Return the file of a network; all networks of a framework are made by one process."""
    wanted = [item.callspec.params for item in request.session.items if is_network(item)]
    folders = {}

    def make(kind):
        framework, python = FRAMEWORKS[kind], interpreter(kind)
        if python is None:
            pytest.skip(f"not all of {', '.join(framework.needs)} are installed")
        folder = tmp_path_factory.mktemp(kind)
        names = dict.fromkeys(case["name"] for case in wanted if case["kind"] == kind)
        command = [python, str(MAKERS / f"{framework.maker}.py"), str(folder), *names]
        (folder / "log").write_bytes(
            subprocess.run(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={"OMP_NUM_THREADS": "1"} | os.environ | framework.environment,
                timeout=900,
                check=False,
            ).stdout
        )
        return folder

    def find(kind, name):
        folders[kind] = folders.get(kind) or make(kind)
        reason = folders[kind] / f"{name}.error"
        if reason.exists():
            pytest.fail(f"cannot be exported: {reason.read_text().strip()[-2000:]}")
        if not (folders[kind] / f"{name}.npz").exists():
            pytest.fail(f"its maker ended early: {(folders[kind] / 'log').read_text()[-2000:]}")
        return folders[kind] / f"{name}.onnx"

    return find


def is_network(item):
    tests = (test_network, test_members_of_a_batch, test_ends)
    return getattr(item, "originalname", None) in [test.__name__ for test in tests]


def as_tuple(result):
    return result if isinstance(result, tuple) else (result,)


def difference(array, reference):
    """Return max|Δ| / max|reference|."""
    assert array.shape == reference.shape
    assert array.dtype == reference.dtype
    return np.abs(array - reference).max() / np.abs(reference).max()


def runtime(path, inputs):
    options = ort.SessionOptions()
    options.log_severity_level = 4
    # What its optimiser makes of a file is not always what the file says.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    outputs = session.run(None, dict(zip(names, inputs, strict=True)))
    return [output for output in map(dense, outputs) if output.dtype == np.float32]


def dense(output):
    """Return an array; classifiers of scikit-learn give a list of dictionaries by default."""
    if isinstance(output, list):
        return np.float32([list(row.values()) for row in output])
    return output


@pytest.mark.parametrize(("kind", "name"), CASES, ids=LABELS)
def test_network(kind, name, made):
    path = made(kind, name)
    native = dict(np.load(path.with_suffix(".npz")))
    inputs = [native[f"input_{i}"] for i in range(sum(key.startswith("input_") for key in native))]
    tensors = [torch.from_numpy(array) for array in inputs]
    for i, tensor in enumerate(tensors):
        tensor.requires_grad_(f"gradient_{i}" in native)
    module = onnxattr.to_torch(path)
    if name.partition("-")[0] in ATTENTION:
        calls = [repr(child) for child in module.children()]
        assert any("fused_attention" in call for call in calls)
        assert not any("softmax" in call for call in calls)
    result = as_tuple(module(*tensors))
    outputs = [output for output in result if output.dtype is torch.float32]

    for output, reference in zip(outputs, runtime(path, inputs), strict=True):
        assert difference(output.detach().numpy(), reference) < 1e-4
    for i, output in enumerate(outputs):
        reference = native[f"output_{i}"].astype(np.float32).reshape(output.shape)
        assert difference(output.detach().numpy(), reference) < 1e-4

    rng = np.random.default_rng(7)
    noise = [torch.from_numpy(rng.standard_normal(o.shape).astype(np.float32)) for o in outputs]
    sum((o * w).sum() for o, w in zip(outputs, noise, strict=True)).backward()
    for i, tensor in enumerate(tensors):
        if tensor.requires_grad:
            gradient = tensor.grad.double().numpy().ravel()
            reference = native[f"gradient_{i}"].astype(np.float64).ravel()
            lengths = np.linalg.norm(gradient), np.linalg.norm(reference)
            assert gradient @ reference > FRAMEWORKS[kind].slope * lengths[0] * lengths[1]
            assert lengths[0] == pytest.approx(lengths[1], rel=1e-2)


@pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, name) for kind, name in CASES if name.endswith(SINGLE) and name not in LOOPS],
)
def test_members_of_a_batch(kind, name, made):
    """A file for a batch of one takes any: each member gives what ONNX Runtime gives for it."""
    path = made(kind, name)
    native = dict(np.load(path.with_suffix(".npz")))
    single = [native[f"input_{i}"] for i in range(sum(key.startswith("input_") for key in native))]
    batch = [np.concatenate([np.roll(x, i, axis=-1) for i in range(4)]) for x in single]
    module = onnxattr.to_torch(path)
    outputs = as_tuple(module(*map(torch.from_numpy, batch)))
    references = [runtime(path, [x[i : i + 1] for x in batch]) for i in range(4)]
    for output, rows in zip(outputs, zip(*references, strict=True), strict=True):
        reference = np.concatenate(rows)
        assert difference(output.numpy(), reference) < 1e-5
        assert np.abs(reference[1:] - reference[:1]).max() > 1e-3


#: Those whose makers write down what their classifiers are fed and make.
KNOWN = [case for case in CASES if case[0] not in ("jax", "paddle")]


@pytest.mark.parametrize("at", ["feature", "logits"])
@pytest.mark.parametrize(("kind", "name"), KNOWN, ids=[f"{kind}-{name}" for kind, name in KNOWN])
def test_ends(kind, name, at, made):
    """What is found from the graph holds the values that the framework has there."""
    path = made(kind, name)
    native = dict(np.load(path.with_suffix(".npz")))
    inputs = [native[f"input_{i}"] for i in range(sum(key.startswith("input_") for key in native))]
    proto = onnx.load(path)
    found = representation(load(proto), at).value
    if found not in [value.name for value in proto.graph.output]:
        proto.graph.output.append(onnx.helper.make_empty_tensor_value_info(found))
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    value = dense(session.run([found], dict(zip(names, inputs, strict=True)))[0])
    reference = native[at].astype(np.float32)
    assert value.size == reference.size
    # A graph that keeps channels first all along has them where Keras has them last.
    orders = [reference, np.moveaxis(reference, -1, 1)] if reference.ndim == 4 else [reference]
    assert min(difference(value.reshape(o.shape), o) for o in orders) < 1e-4
