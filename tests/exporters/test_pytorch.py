"""The PyTorch adapter, with live exports."""

import sys

import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("onnxscript", reason="torch's exporter needs onnxscript")

from onnxattr_adapters import ExportError, pytorch  # noqa: E402


@pytest.fixture
def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 6, 3, 2, padding=1, bias=False),
        torch.nn.BatchNorm2d(6),
        torch.nn.ReLU(),
        torch.nn.Dropout(0.5),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(6, 5),
    )


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "net.onnx"


def run(path, *inputs):
    ort = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    return session.run(None, dict(zip(names, inputs, strict=True)))


def test_file_computes_what_the_module_computes_at_any_batch_size(network, path):
    pytorch.export(network, path, example=torch.rand(1, 3, 16, 16))
    network.eval()
    for batch in (1, 2, 7):
        image = torch.rand(batch, 3, 16, 16)
        (output,) = run(path, image.numpy())
        np.testing.assert_allclose(output, network(image).detach().numpy(), atol=1e-5)


def test_batch_can_be_fixed(network, path):
    pytorch.export(network, path, example=torch.rand(4, 3, 16, 16), dynamic_batch=False)
    (image,) = onnx.load(path).graph.input
    assert [dim.dim_value for dim in image.type.tensor_type.shape.dim] == [4, 3, 16, 16]


def test_training_modes_are_restored_part_by_part(network, path):
    network.train()
    network[1].eval()
    before = [module.training for module in network.modules()]
    pytorch.export(network, path, example=torch.rand(1, 3, 16, 16))
    assert [module.training for module in network.modules()] == before


def test_several_inputs_and_outputs(path):
    class Two(torch.nn.Module):
        def forward(self, first, second):
            return {"sum": first + second, "rest": (first - second, first * 2)}

    pytorch.export(Two(), path, example=(torch.rand(2, 4), torch.rand(2, 4)))
    first, second = np.float32([[1, 2, 3, 4]]), np.float32([[4, 3, 2, 1]])
    total, difference, double = run(path, first, second)
    np.testing.assert_array_equal(total, first + second)
    np.testing.assert_array_equal(difference, first - second)
    np.testing.assert_array_equal(double, first * 2)


def test_file_does_not_name_this_machine(network, path):
    pytorch.export(network, path, example=torch.rand(1, 3, 16, 16))
    data = path.read_bytes()
    assert b".py" not in data
    assert str(path.parent).encode() not in data
    assert onnx.load_from_string(data).producer_name == "pytorch"
    assert len(data) < 10_000


def test_what_torch_cannot_export_is_one_line_and_changes_nothing(path):
    class Opaque(torch.nn.Module):
        def forward(self, image):
            return image * float(np.sum(image.tolist()))

    network = Opaque().train()
    with pytest.raises(ExportError, match="torch cannot export") as caught:
        pytorch.export(network, path, example=torch.rand(2, 3))
    assert "\n" not in str(caught.value)
    assert network.training
    assert not path.exists()


def test_wrong_file_is_never_published(network, path, monkeypatch):
    path.parent.mkdir()
    path.write_bytes(b"as before")
    inner = pytorch.clean

    def clean_and_spoil(proto):
        inner(proto)
        weight = max(proto.graph.initializer, key=lambda tensor: len(tensor.raw_data))
        values = onnx.numpy_helper.to_array(weight) * 1.01
        weight.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float32), weight.name))

    monkeypatch.setattr(pytorch, "clean", clean_and_spoil)
    with pytest.raises(ExportError, match="differs from the model"):
        pytorch.export(network, path, example=torch.rand(1, 3, 16, 16))
    assert path.read_bytes() == b"as before"
    assert [item.name for item in path.parent.iterdir()] == ["net.onnx"]


def test_model_beyond_two_gigabytes_is_one_line(network, path, monkeypatch):
    def refuse(model, file):
        raise ValueError("Message onnx.ModelProto exceeds maximum protobuf size of 2GB")

    monkeypatch.setattr(onnx, "save", refuse)
    with pytest.raises(ExportError, match="does not fit into one file"):
        pytorch.export(network, path, example=torch.rand(1, 3, 16, 16))
    assert not path.exists()


def test_tensorflow_loaded_first_is_refused_instead_of_crashing(network, path, monkeypatch):
    pytest.importorskip("triton", reason="without Triton nothing collides")
    monkeypatch.setitem(sys.modules, "tensorflow", sys)
    monkeypatch.delitem(sys.modules, "triton")
    with pytest.raises(ExportError, match="fresh process"):
        pytorch.export(network, path, example=torch.rand(1, 3, 16, 16))
