"""Writes sources for `onnxattr export`, and what the framework computes of each.

    python source_maker.py FRAMEWORK FOLDER

Beside each source lies NAME.npz with `input` and, in order, `output_0`, ….
"""

import os
import sys
import warnings
from pathlib import Path

import numpy as np
import record

IMAGES = np.random.default_rng(3).random((3, 16, 16, 3), dtype=np.float32)
PLANES = np.ascontiguousarray(IMAGES.transpose(0, 3, 1, 2))


def keep(folder, name, given, *outputs):
    record.save(folder / f"{name}.onnx", [given], outputs, [])


def torch_sources(folder):
    import tiny_torch
    import torch
    from safetensors.torch import save_file

    network = tiny_torch.weighted(tiny_torch.make()).eval()
    given = torch.from_numpy(PLANES)
    free = ({0: torch.export.Dim("batch")},)
    torch.export.save(torch.export.export(network, (given,), dynamic_shapes=free), folder / "n.pt2")
    torch.jit.script(network).save(str(folder / "script.pt"))
    torch.jit.trace(network, given).save(str(folder / "trace.ts"))
    save_file(network.state_dict(), folder / "weights.safetensors")
    torch.save(network.state_dict(), folder / "weights.pth")
    torch.save({"model": network.state_dict()}, folder / "checkpoint.pth")
    torch.save(network, folder / "pickled.pt")
    output = network(given).detach().numpy()
    keep(folder, "torch", PLANES, output)


def keras_sources(folder):
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import keras
    import tensorflow as tf
    from keras import layers

    def build(*front):
        keras.utils.set_random_seed(0)
        return keras.Sequential(
            [
                keras.Input((16, 16, 3)),
                *front,
                layers.Conv2D(6, 3, 2, padding="same", activation="gelu"),
                layers.GlobalAveragePooling2D(),
                layers.Dense(5),
            ]
        )

    scaled = build(
        layers.RandomFlip(), layers.Rescaling(1 / 255), layers.Lambda(lambda image: image * 2)
    )
    scaled.save(folder / "scaled.keras")
    scaled.save(folder / "scaled.h5")
    keep(folder, "scaled", IMAGES * 255, scaled(IMAGES * 255, training=False).numpy())
    mean, variance = [120.0, 115.0, 100.0], [3000.0, 3200.0, 3600.0]
    normal = build(layers.Normalization(mean=mean, variance=variance))
    normal.save(folder / "normal.keras")
    keep(folder, "normal", IMAGES * 255, normal(IMAGES * 255, training=False).numpy())
    plain = build()
    plain.export(folder / "saved", verbose=False)
    keep(folder, "plain", IMAGES, plain(IMAGES, training=False).numpy())
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / "saved"))
    (folder / "plain.tflite").write_bytes(converter.convert())


def jax_sources(folder):
    os.environ["JAX_PLATFORMS"] = "cpu"
    import tiny_jax

    keep(folder, "module", IMAGES, np.asarray(tiny_jax.make()(IMAGES)))
    rows = record.noise(3, 6)
    keep(folder, "function", rows, *map(np.asarray, tiny_jax.function(rows)))


def paddle_sources(folder):
    import paddle
    from paddle import nn

    paddle.seed(0)
    network = nn.Sequential(
        nn.Conv2D(3, 6, 3, 2, padding=1),
        nn.Hardswish(),
        nn.AdaptiveAvgPool2D(1),
        nn.Flatten(),
        nn.Linear(6, 5),
    )
    network.eval()
    spec = paddle.static.InputSpec([None, 3, 16, 16], "float32", name="x")
    paddle.jit.save(network, str(folder / "paddle" / "inference"), input_spec=[spec])
    keep(folder, "network", PLANES, network(paddle.to_tensor(PLANES)).numpy())


def sklearn_sources(folder):
    import skops.io
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    rows = record.noise(100, 6)
    labels = (rows[:, 0] > 0) + (rows[:, 1] > 0)
    classifier = make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, labels)
    skops.io.dump(classifier, folder / "classifier.skops")
    keep(folder, "classifier", rows, classifier.predict(rows), classifier.predict_proba(rows))
    regressor = MLPRegressor(hidden_layer_sizes=(8,), solver="sgd", max_iter=50, random_state=0)
    regressor.fit(rows, rows[:, 0])
    skops.io.dump(regressor, folder / "regressor.skops")
    keep(folder, "regressor", rows, regressor.predict(rows).reshape(-1, 1))
    scaler = StandardScaler().fit(rows)
    skops.io.dump(scaler, folder / "scaler.skops")
    keep(folder, "scaler", rows, scaler.transform(rows))
    skops.io.dump(LogisticRegression(), folder / "unfitted.skops")
    skops.io.dump(FunctionTransformer(os.system), folder / "code.skops")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    globals()[f"{sys.argv[1]}_sources"](Path(sys.argv[2]).resolve())
