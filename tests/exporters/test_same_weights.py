"""One network, its weights in PyTorch (NCHW) and Keras (NHWC): the two files compute the same."""

import importlib.util
from pathlib import Path

import numpy as np
import onnx
import pytest

ort = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"


@pytest.fixture(scope="module")
def maker():
    spec = importlib.util.spec_from_file_location("maker", FIXTURES / "make_same_weights.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def outputs(torch_file, keras_file):
    """Return both files' outputs, NHWC, for the same five images."""
    images = np.random.default_rng(0).random((5, 32, 32, 3), dtype=np.float32)
    results = []
    for path, batch in ((torch_file, images.transpose(0, 3, 1, 2)), (keras_file, images)):
        session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        results.append(session.run(None, {session.get_inputs()[0].name: batch})[0])
    return results[0].transpose(0, 2, 3, 1), results[1]


def assert_agree(torch_file, keras_file):
    first, second = outputs(torch_file, keras_file)
    assert first.shape == (5, 4, 4, 16)
    assert 0.1 < (first > 0).mean() < 0.95, "the last ReLU does something"
    np.testing.assert_allclose(first, second, atol=1e-5 * np.abs(first).max())


def test_committed_pair_agrees():
    assert_agree(FIXTURES / "same_weights-torch.onnx", FIXTURES / "same_weights-keras.onnx")


@pytest.mark.parametrize("framework", ["torch", "keras"])
def test_committed_files_are_valid_and_small(framework):
    path = FIXTURES / f"same_weights-{framework}.onnx"
    onnx.checker.check_model(onnx.load(path), full_check=True)
    assert path.stat().st_size < 100_000


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_live_exports_agree(maker, tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    for needed in ("onnxscript", "keras", "tensorflow", "tf2onnx"):
        pytest.importorskip(needed, reason=f"{needed} is not installed")
    from onnxattr_adapters import keras, pytorch

    blocks = maker.draw_weights(seed=6)
    pytorch.export(
        maker.build_torch(blocks), tmp_path / "torch.onnx", example=torch.rand(1, 3, 32, 32)
    )
    keras.export(maker.build_keras(blocks), tmp_path / "keras.onnx")
    assert_agree(tmp_path / "torch.onnx", tmp_path / "keras.onnx")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_symmetric_padding_would_be_noticed(maker, tmp_path):
    """Keras pads a stride of two on one side; padding=1 in PyTorch is another network."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    pytest.importorskip("onnxscript", reason="torch's exporter needs onnxscript")
    from onnxattr_adapters import pytorch

    network = maker.build_torch(maker.draw_weights())
    pads = [layer for layer in network if isinstance(layer, torch.nn.ZeroPad2d)]
    assert pads[1].padding == (0, 1, 0, 1)
    pads[1].padding = (1, 1, 1, 1)
    pytorch.export(network, tmp_path / "symmetric.onnx", example=torch.rand(1, 3, 32, 32))
    first, second = outputs(tmp_path / "symmetric.onnx", FIXTURES / "same_weights-keras.onnx")
    assert np.abs(first - second).max() > 0.01 * np.abs(second).max()
