"""The networks of `blueprint` in Keras, on the backend of KERAS_BACKEND, by its exporter."""

import contextlib
import logging
import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""
# The other order crashes the process: two copies of LLVM.
with contextlib.suppress(ImportError):
    import triton  # noqa: F401
import blueprint
import keras
import numpy as np
from keras import layers

logging.disable(logging.WARNING)


def convolution(block):
    options = {"padding": "same", "dilation_rate": block.dilation, "use_bias": False}
    if block.depthwise:
        return layers.DepthwiseConv2D(block.kernel, block.stride, **options)
    return layers.Conv2D(block.width, block.kernel, block.stride, **options)


def build(plan, weights):
    image = keras.Input((plan.size, plan.size, plan.channels), dtype=plan.dtype, name="image")
    value, filled = image, []
    if plan.dtype == "uint8":
        # TensorFlow's export makes the numbers of a Normalization layer inputs of the graph.
        mean, std = np.array(blueprint.MEAN), np.array(blueprint.STD)
        value = layers.Rescaling((1 / 255 / std).tolist(), (-mean / std).tolist())(value)
    for block, row in zip(plan.blocks, weights[:-1], strict=True):
        filled.append((layer := convolution(block), [row["kernel"]]))
        value = layer(value)
        values = [row[name] for name in ("gamma", "beta", "mean", "variance")]
        filled.append((layer := layers.BatchNormalization(epsilon=blueprint.EPSILON), values))
        value = layers.ReLU()(layer(value))
    if plan.head:
        activation = "softmax" if plan.head == "softmax" else None
        layer = layers.Dense(blueprint.CLASSES, activation=activation)
        filled.append((layer, [weights[-1]["kernel"], weights[-1]["bias"]]))
        value = layer(layers.GlobalAveragePooling2D()(value))
    for layer, arrays in filled:
        layer.set_weights(arrays)
    return keras.Model(image, value)


def export(path, name):
    plan, weights = blueprint.parse(name)
    model = build(plan, weights)
    # A functional model that was never called is exported without its weights.
    model(np.zeros((2, plan.size, plan.size, plan.channels), plan.dtype), training=False)
    model.export(str(path), format="onnx", verbose=False)


if __name__ == "__main__":
    blueprint.main(keras=export)
