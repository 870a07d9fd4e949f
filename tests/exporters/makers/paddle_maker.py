"""Networks of PaddlePaddle, through paddle2onnx; also in its default opset, and in an old one."""

import functools
import os
import subprocess

import numpy as np
import record


def _no_installing(run):
    """paddle2onnx calls pip during an export, for an optimiser that it can do without."""

    def guarded(command, *rest, **named):
        if "pip" in str(command):
            raise OSError("nothing is installed during an export")
        return run(command, *rest, **named)

    return guarded


for _name in ("run", "call", "check_call", "check_output"):
    setattr(subprocess, _name, _no_installing(getattr(subprocess, _name)))
os.system = _no_installing(os.system)

import paddle  # noqa: E402
import paddle.nn.functional as F  # noqa: E402, N812 - the field's name for it
import paddle2onnx  # noqa: E402
from paddle import nn  # noqa: E402
from paddle.vision import models  # noqa: E402


class CNN(nn.Layer):
    def __init__(self):
        super().__init__()
        self.first, self.second = (
            nn.Conv2D(3, 8, 3, 2, "SAME"),
            nn.Conv2D(8, 8, 3, padding=1, groups=8),
        )
        self.norms = nn.LayerList([nn.BatchNorm2D(8) for _ in range(2)])
        self.up, self.slope, self.head = (
            nn.Conv2DTranspose(8, 6, 2, 2),
            nn.PReLU(6),
            nn.Linear(96, 5),
        )

    def forward(self, image):
        pooled = F.max_pool2d(F.hardswish(self.norms[0](self.first(image))), 3, 2, 1)
        gate = F.hardsigmoid(F.adaptive_avg_pool2d(pooled, 1))
        value = F.swish(self.norms[1](self.second(pooled))) * gate + pooled
        value = self.slope(self.up(value))
        value = F.interpolate(value, size=[32, 32], mode="bilinear", align_corners=False)
        value = F.adaptive_avg_pool2d(F.avg_pool2d(value, 2), 4)
        return F.softmax(self.head(paddle.flatten(value, 1)))


class Encoder(nn.Layer):
    def __init__(self):
        super().__init__()
        self.symbol, self.head = nn.Linear(12, 32), nn.Linear(32, 5)
        layer = nn.TransformerEncoderLayer(32, 4, 64, activation="gelu")
        self.layers = nn.TransformerEncoder(layer, 2)

    def forward(self, steps):
        return self.head(self.layers(self.symbol(steps)).mean(1))


class Recurrent(nn.Layer):
    def __init__(self, kind):
        super().__init__()
        self.layers = kind(6, 8, num_layers=2, direction="bidirect")
        self.head = nn.Linear(16, 4)

    def forward(self, steps):
        return self.head(self.layers(steps)[0][:, -1])


SMALL = {"num_classes": 10}
IMAGE, STEPS = (3, 64, 64), (7, 6)
NETWORKS = {
    "cnn": (CNN, (3, 32, 32)),
    "resnet18": (lambda: models.resnet18(**SMALL), IMAGE),
    "mobilenet_v2": (lambda: models.mobilenet_v2(scale=0.5, **SMALL), IMAGE),
    "mobilenet_v3": (lambda: models.mobilenet_v3_small(scale=0.5, **SMALL), IMAGE),
    "shufflenet": (lambda: models.shufflenet_v2_x0_25(**SMALL), IMAGE),
    "encoder": (Encoder, (7, 12)),
    "lstm": (lambda: Recurrent(nn.LSTM), STEPS),
    "gru": (lambda: Recurrent(nn.GRU), STEPS),
}


def build(make):
    """Return a network in inference mode whose batch normalisation does something."""
    paddle.seed(0)
    network = make()
    rng = np.random.default_rng(5)
    for layer in network.sublayers(include_self=True):
        if isinstance(layer, nn.BatchNorm2D):
            shape = layer._mean.shape
            layer._mean.set_value(rng.normal(0, 0.3, shape).astype(np.float32))
            layer._variance.set_value(rng.uniform(0.5, 1.5, shape).astype(np.float32))
            layer.weight.set_value(rng.uniform(0.5, 1.5, shape).astype(np.float32))
    network.eval()
    return network


def export(path, make, shape, batch=None, opset=11):
    network, array = build(make), record.noise(batch or 3, *shape)
    if isinstance(network, Recurrent):
        network.train()  # Paddle's recurrent layers have a gradient in no other mode
    given = paddle.to_tensor(array, stop_gradient=False)
    output = network(given)
    (noise,) = record.weights([output.numpy()])
    (output * paddle.to_tensor(noise)).sum().backward()
    network.eval()
    folder = path.with_suffix("")
    spec = paddle.static.InputSpec([batch, *shape], "float32", name="x")
    paddle.jit.save(network, str(folder / "network"), input_spec=[spec])
    paddle2onnx.export(
        str(folder / "network.json"),
        str(folder / "network.pdiparams"),
        str(path),
        opset_version=opset,
        verbose=False,
    )
    record.save(path, [array], [output.numpy()], [given.grad.numpy()])


def table():
    rows = {}
    for name, (make, shape) in NETWORKS.items():
        rows[name] = functools.partial(export, make=make, shape=shape)
    for name in ("resnet18", "encoder"):
        make, shape = NETWORKS[name]
        rows[f"{name}-baked"] = functools.partial(export, make=make, shape=shape, batch=1)
        rows[f"{name}-opset9"] = functools.partial(export, make=make, shape=shape, opset=9)
    return rows


if __name__ == "__main__":
    record.main(table())
