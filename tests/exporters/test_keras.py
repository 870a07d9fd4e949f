"""The Keras adapter, with live exports."""

import numpy as np
import onnx
import pytest

keras_framework = pytest.importorskip("keras", reason="Keras is not installed")
pytest.importorskip("tensorflow", reason="TensorFlow is not installed")
pytest.importorskip("tf2onnx", reason="Keras' exporter needs tf2onnx")

from onnxattr_adapters import ExportError, keras  # noqa: E402

layers = keras_framework.layers
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


def network():
    """A functional model that was never called, which is the trap."""
    keras_framework.utils.set_random_seed(0)
    image = keras_framework.Input((16, 16, 3), name="image")
    value = layers.Conv2D(6, 3, 2, padding="same")(image)
    value = layers.BatchNormalization()(value)
    value = layers.Dropout(0.5)(layers.ReLU()(value))
    value = layers.Dense(5)(layers.GlobalAveragePooling2D()(value))
    return keras_framework.Model(image, value)


def run(path, *inputs):
    ort = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    return session.run(None, dict(zip(names, inputs, strict=True)))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "net.onnx"


def test_file_computes_what_the_model_computes_at_any_batch_size(path):
    model = network()
    keras.export(model, path)
    for batch in (1, 2, 7):
        image = np.random.default_rng(batch).random((batch, 16, 16, 3), dtype=np.float32)
        (output,) = run(path, image)
        np.testing.assert_allclose(output, model.predict(image, verbose=0), atol=1e-5)


def test_layout_stays_nhwc_and_the_batch_free(path):
    keras.export(network(), path)
    (image,) = onnx.load(path).graph.input
    dims = image.type.tensor_type.shape.dim
    assert dims[0].dim_param
    assert [dim.dim_value for dim in dims][1:] == [16, 16, 3]


def test_two_inputs(path):
    first, second = keras_framework.Input((4,), name="a"), keras_framework.Input((4,), name="b")
    model = keras_framework.Model([first, second], layers.Subtract()([first, second]))
    keras.export(model, path)
    (difference,) = run(path, np.float32([[3, 3, 3, 3]]), np.float32([[1, 2, 3, 4]]))
    np.testing.assert_array_equal(difference, [[2, 1, 0, -1]])


def test_open_sizes_need_an_example(path):
    image = keras_framework.Input((None, None, 3))
    model = keras_framework.Model(image, layers.Conv2D(2, 3, padding="same")(image))
    with pytest.raises(ExportError, match="pass `example`"):
        keras.export(model, path)
    assert not path.exists()
    keras.export(model, path, example=np.ones((1, 8, 8, 3), np.float32))
    (output,) = run(path, np.ones((2, 12, 10, 3), np.float32))
    assert output.shape == (2, 12, 10, 2)


def test_file_does_not_name_this_machine(path):
    keras.export(network(), path)
    data = path.read_bytes()
    assert b".py" not in data
    assert str(path.parent).encode() not in data
    assert onnx.load_from_string(data).producer_name == "tf2onnx"


def test_wrong_file_is_never_published(path, monkeypatch):
    def spoil(proto):
        weight = max(proto.graph.initializer, key=lambda tensor: len(tensor.raw_data))
        values = onnx.numpy_helper.to_array(weight) * 1.01
        weight.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float32), weight.name))

    monkeypatch.setattr(keras, "clean", spoil)
    with pytest.raises(ExportError, match="differs from the model"):
        keras.export(network(), path)
    assert not path.exists()
