"""Who wrote an ONNX file. For reporting only: no decision may depend on it."""

import onnx

from onnxattr.types import Origin

#: Producer name, lower case, → framework. tf2onnx and jax2onnx also write Keras' own exports.
_FRAMEWORKS = {
    "pytorch": "PyTorch",
    "tf2onnx": "TensorFlow",
    "jax2onnx": "JAX",
    "skl2onnx": "scikit-learn",
    "onnxmltools": "ONNXMLTools",
    "keras2onnx": "Keras",
    "cntk": "CNTK",
    "onnx-caffe2": "Caffe2",
    "caffe2": "Caffe2",
    "onnx.quantize": "ONNX Runtime quantiser",
    "matlab deep learning toolbox converter for onnx model format": "MATLAB",
    "ml.net": "ML.NET",
    "paddlepaddle": "Paddle",
}


def origin(proto: onnx.ModelProto) -> Origin:
    """Returns the framework and exporter that `proto` names as its producer.

    Paddle's exporter leaves the producer empty and is known by its graph's name.
    """
    producer = proto.producer_name.strip()
    version = proto.producer_version.strip().split(" ")[0]
    framework = _FRAMEWORKS.get(producer.lower(), "")
    if not framework and proto.graph.name.startswith("PaddlePaddle"):
        framework, producer = "Paddle", "paddle2onnx"
    return Origin(
        framework=framework or "unknown",
        exporter=f"{producer} {version}".strip() or "unknown",
    )
