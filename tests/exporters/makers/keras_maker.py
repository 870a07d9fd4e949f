"""Networks of Keras through its own exporter, and through tf2onnx's other two ways in.

The backend is the one that KERAS_BACKEND names. A SavedModel and a tflite file need TensorFlow.
"""

import contextlib
import functools
import logging
import os
import subprocess
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""
# The other order crashes the process: two copies of LLVM.
with contextlib.suppress(ImportError):
    import triton  # noqa: F401
import keras
import numpy as np
import record
from keras import layers

logging.disable(logging.WARNING)
BACKEND = keras.backend.backend()


@keras.saving.register_keras_serializable()
class Position(layers.Layer):
    def build(self, shape):
        start = keras.initializers.RandomNormal(0, 0.3)
        self.table = self.add_weight(shape=(1, *shape[1:]), initializer=start, name="table")

    def call(self, value):
        return value + self.table


def gelu(value):
    """The other form of GELU; tf2onnx writes an operator for the exact one that ONNX lacks."""
    return keras.activations.gelu(value, approximate=BACKEND == "tensorflow")


def cnn():
    image = keras.Input((32, 32, 3), name="image")
    value = layers.Conv2D(8, 3, 2, padding="same", use_bias=False)(image)
    value = layers.ReLU()(layers.BatchNormalization()(value))
    pooled = layers.MaxPooling2D(3, 2, padding="same")(value)
    value = layers.DepthwiseConv2D(3, padding="same")(pooled)
    value = layers.Activation("swish")(layers.BatchNormalization()(value))
    value = layers.SeparableConv2D(8, 3, padding="same", activation="elu")(value)
    value = layers.Dropout(0.3)(layers.Add()([value, pooled]))
    value = layers.Conv2D(12, 3, dilation_rate=2, activation="selu")(value)
    value = layers.Flatten()(layers.AveragePooling2D(2, padding="same")(value))
    value = layers.Dense(16, activation="tanh")(value)
    return keras.Model(image, layers.Dense(5, activation="softmax")(value))


def decoder():
    image = keras.Input((16, 16, 3))
    value = layers.LeakyReLU(negative_slope=0.1)(layers.Conv2D(8, 3, 2, padding="same")(image))
    value = layers.Conv2DTranspose(6, 3, 2, padding="same")(value)
    value = layers.PReLU(shared_axes=[1, 2])(value)
    value = layers.UpSampling2D(2, interpolation="bilinear")(value)
    value = layers.Cropping2D(1)(layers.ZeroPadding2D(((1, 0), (0, 2)))(value))
    return keras.Model(image, layers.Conv2D(3, 3, padding="same", activation="sigmoid")(value))


def inverted(value, width, stride):
    """MobileNet's block with squeeze and excitation."""
    wide = 2 * width
    inner = layers.BatchNormalization()(layers.Conv2D(wide, 1, use_bias=False)(value))
    inner = layers.ReLU(6.0)(inner)
    inner = layers.DepthwiseConv2D(3, stride, padding="same", use_bias=False)(inner)
    inner = layers.Activation("hard_swish")(layers.BatchNormalization()(inner))
    gate = layers.Conv2D(width, 1, activation="relu")(
        layers.GlobalAveragePooling2D(keepdims=True)(inner)
    )
    inner = layers.Multiply()([inner, layers.Conv2D(wide, 1, activation="hard_sigmoid")(gate)])
    inner = layers.BatchNormalization()(layers.Conv2D(width, 1, use_bias=False)(inner))
    same = stride == 1 and value.shape[-1] == width
    return layers.Add()([value, inner]) if same else inner


def mobile():
    image = keras.Input((32, 32, 3))
    value = layers.Rescaling(2.0, offset=-1)(image)
    value = layers.Conv2D(8, 3, 2, padding="same", use_bias=False)(value)
    value = layers.BatchNormalization()(value)
    for width, stride in ((8, 1), (12, 2), (12, 1)):
        value = inverted(value, width, stride)
    return keras.Model(image, layers.Dense(5)(layers.GlobalAveragePooling2D()(value)))


def vit():
    image = keras.Input((32, 32, 3))
    value = Position()(layers.Reshape((16, 24))(layers.Conv2D(24, 8, 8)(image)))
    for _ in range(2):
        inner = layers.LayerNormalization(epsilon=1e-6)(value)
        value = layers.Add()([value, layers.MultiHeadAttention(3, 8)(inner, inner)])
        inner = layers.LayerNormalization(epsilon=1e-6)(value)
        inner = layers.Dense(24)(layers.Dense(48, activation=gelu)(inner))
        value = layers.Add()([value, inner])
    value = layers.GlobalAveragePooling1D()(layers.LayerNormalization()(value))
    return keras.Model(image, layers.Dense(5)(value))


def masked():
    """Masks that are given, in both ways that the layer applies one, and that of causality."""
    steps, keep = keras.Input((9, 6)), keras.Input((9, 9), dtype="bool")
    value = layers.Dense(24)(steps)
    for dropout in (0.0, 0.1):
        attention = layers.MultiHeadAttention(3, 8, dropout=dropout)
        value = layers.Add()([value, attention(value, value, attention_mask=keep)])
    value = layers.MultiHeadAttention(3, 8)(value, value, use_causal_mask=True)
    return keras.Model([steps, keep], layers.Dense(5)(layers.GlobalAveragePooling1D()(value)))


def masking():
    """Steps that are all zero are no steps."""
    steps = keras.Input((9, 6))
    value = layers.Dense(24)(layers.Masking()(steps))
    value = layers.MultiHeadAttention(3, 8)(value, value)
    return keras.Model(steps, layers.Dense(5)(value))


def convolution_in_time():
    steps = keras.Input((20, 4))
    value = layers.Conv1D(8, 3, padding="causal", activation="softplus")(steps)
    value = layers.Conv1D(8, 3, padding="same", activation="selu")(layers.MaxPooling1D(2)(value))
    value = layers.UnitNormalization()(layers.GroupNormalization(2)(value))
    return keras.Model(steps, layers.Dense(4)(layers.GlobalMaxPooling1D()(value)))


def recurrent(kind, both_ways=False):
    steps = keras.Input((7, 6))
    value = steps
    if both_ways:
        value = layers.Bidirectional(kind(8, return_sequences=True))(value)
        value = layers.Bidirectional(kind(8))(value)
    else:
        value = kind(8)(value)
    return keras.Model(steps, layers.Dense(4)(value))


NETWORKS = {
    "cnn": cnn,
    "decoder": decoder,
    "mobile": mobile,
    "vit": vit,
    "masked": masked,
    "masking": masking,
    "convolution_in_time": convolution_in_time,
    "lstm": lambda: recurrent(layers.LSTM),
    "gru": lambda: recurrent(layers.GRU),
    "lstm_both_ways": lambda: recurrent(layers.LSTM, both_ways=True),
}


def build(make):
    """Return a network in which nothing is trivial: no zero weights, no unit scales."""
    keras.utils.set_random_seed(0)
    model = make()
    rng = np.random.default_rng(5)
    for variable in model.variables:
        name, shape = variable.path.rsplit("/", 1)[-1], variable.shape
        if name in ("gamma", "moving_variance"):
            variable.assign(rng.uniform(0.5, 1.5, shape))
        elif variable.trainable or name == "moving_mean":
            values = keras.ops.convert_to_numpy(variable)
            if not values.any():
                variable.assign(rng.normal(0, 0.2, shape))
    return model


def given(model, batch):
    """Return an array for each input: noise, of which some steps are zero, or booleans."""
    arrays = [record.noise(batch, *value.shape[1:]) for value in model.inputs]
    if arrays[0].ndim == 3:
        arrays[0][-1, -2:] = 0
    kinds = [keras.backend.standardize_dtype(value.dtype) for value in model.inputs]
    return [a > -0.5 if k == "bool" else a for a, k in zip(arrays, kinds, strict=True)]


def native(model, array, *others):
    """Return the output, and the gradient of Σ output · noise by the first input."""

    def run(value):
        rest = [keras.ops.convert_to_tensor(other) for other in others]
        return model([value, *rest] if rest else value, training=False)

    output = keras.ops.convert_to_numpy(run(keras.ops.convert_to_tensor(array)))
    (noise,) = record.weights([output])
    if BACKEND == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            given = tf.constant(array)
            tape.watch(given)
            total = tf.reduce_sum(run(given) * noise)
        gradient = tape.gradient(total, given).numpy()
    elif BACKEND == "torch":
        import torch

        given = torch.tensor(array, requires_grad=True)
        (run(given) * torch.from_numpy(noise)).sum().backward()
        gradient = given.grad.numpy()
    else:
        import jax

        gradient = jax.grad(lambda given: (run(given) * noise).sum())(jax.numpy.asarray(array))
    return output, np.asarray(gradient)


def ends(model, *arrays):
    """Return what the last layer is fed, if it is a classifier, and what it makes of that."""
    last = model.layers[-1]
    values = [keras.ops.convert_to_tensor(array) for array in arrays]
    fed = keras.Model(model.inputs, last.input)(values if len(values) > 1 else values[0])
    activation, last.activation = last.activation, keras.activations.linear
    logits = last(fed)
    last.activation = activation
    feature = fed if isinstance(last, layers.Dense) else logits
    return keras.ops.convert_to_numpy(feature), keras.ops.convert_to_numpy(logits)


def export(path, make, how="keras"):
    model = build(make)
    arrays = given(model, 3 if how in ("keras", "saved") else 1)
    # A functional model that was never called is exported without its weights.
    output, gradient = native(model, *arrays)
    feature, logits = ends(model, *arrays)
    if how == "keras":
        model.export(str(path), format="onnx", verbose=False)
    elif how == "saved":
        folder = str(path.with_suffix(""))
        model.export(folder, verbose=False)
        command = [sys.executable, "-m", "tf2onnx.convert", "--saved-model", folder]
        subprocess.run([*command, "--output", str(path)], check=True, capture_output=True)
    elif how == "baked":
        baked(path, model, *arrays)
    else:
        tflite(path, model, *arrays)
    record.save(path, arrays, [output], [gradient], feature, logits)


def baked(path, model, array):
    import tensorflow as tf
    import tf2onnx

    signature = [tf.TensorSpec(array.shape, tf.float32)]
    function = tf.function(lambda given: model(given, training=False), input_signature=signature)
    tf2onnx.convert.from_function(function, signature, output_path=str(path))


def tflite(path, model, array):
    import tensorflow as tf
    import tf2onnx
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    signature = [tf.TensorSpec(array.shape, tf.float32)]
    function = tf.function(lambda given: model(given, training=False), input_signature=signature)
    frozen = convert_variables_to_constants_v2(function.get_concrete_function())
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen])
    middle = path.with_suffix(".tflite")
    middle.write_bytes(converter.convert())
    tf2onnx.convert.from_tflite(str(middle), output_path=str(path))


def table():
    rows = {
        f"{name}-{how}": functools.partial(export, make=make, how=how)
        for name, make in NETWORKS.items()
        for how in ("saved", "tflite", "baked")
    }
    return rows | {name: functools.partial(export, make=make) for name, make in NETWORKS.items()}


if __name__ == "__main__":
    record.main(table())
