"""Taskonomy's published encoders, from a checkpoint in their form to a file that can be ranked."""

import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("onnxscript", reason="torch's exporter needs onnxscript")
ort = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")

import onnxattr  # noqa: E402
from samples.taskonomy.encoder import encoder  # noqa: E402


@pytest.fixture
def network():
    torch.manual_seed(3)
    made = encoder()
    for module in made.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    return made


def test_a_published_checkpoint_becomes_a_file_that_says_its_input(
    network, tmp_path, monkeypatch, request
):
    """Theirs are pickles of 2018 with the weights as `state_dict`; none is unpickled freely."""
    checkpoint = tmp_path / "normal_encoder-0.pth"
    content = {"state_dict": network.state_dict(), "epoch": 1}
    torch.save(content, checkpoint, _use_new_zipfile_serialization=False)
    options = onnxattr.ExportOptions("pytorch", trust_source=True, state_dict=checkpoint)
    monkeypatch.chdir(request.config.rootpath)  # modules are looked for in the working directory

    path = onnxattr.export(
        "samples.taskonomy.encoder:encoder", tmp_path / "rgb2sfnorm.onnx", options=options
    )

    image = torch.rand(2, 3, 256, 256, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        reference = network(image).numpy()
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {session.get_inputs()[0].name: image.numpy()})
    assert output.shape == (2, 8, 16, 16)
    np.testing.assert_allclose(output, reference, atol=1e-4 * reference.max())

    stamped = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert stamped == {
        "onnxattr.layout": "NCHW",
        "onnxattr.range": "0 1",
        "onnxattr.mean": "0.5 0.5 0.5",
        "onnxattr.std": "0.5 0.5 0.5",
        "onnxattr.size": "256x256",
        "onnxattr.resize": "crop",
    }
    (inspected,) = onnxattr.inspect(path).models
    assert inspected.problems == ()
    spec = inspected.spec
    # Black and white become −1 and 1.
    assert [(v - spec.mean[0]) / spec.std[0] for v in spec.range] == [-1, 1]
