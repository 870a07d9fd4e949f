"""The networks of `blueprint` in PaddlePaddle, through paddle2onnx."""

import paddle_maker  # noqa: F401  isort: skip - it keeps paddle2onnx from installing anything

import blueprint
import numpy as np
import paddle
import paddle.nn.functional as F  # noqa: N812 - the field's name for it
import paddle2onnx
from paddle import nn


class Network(nn.Layer):
    def __init__(self, plan, weights):
        super().__init__()
        self.plan, channels, layers = plan, plan.channels, []
        for block, size, row in zip(plan.blocks, blueprint.sizes(plan), weights[:-1], strict=True):
            kernel = row["kernel"].transpose((2, 3, 0, 1) if block.depthwise else (3, 2, 0, 1))
            # Paddle's own SAME forgets the dilation.
            near, far = blueprint.pads(size, block)
            around = "SAME" if block.dilation == 1 else [near, far, near, far]
            layer = nn.Conv2D(
                channels,
                len(kernel),
                block.kernel,
                block.stride,
                around,
                block.dilation,
                channels if block.depthwise else 1,
                bias_attr=False,
            )
            layer.weight.set_value(kernel)
            norm = nn.BatchNorm2D(len(kernel), epsilon=blueprint.EPSILON)
            slots = (norm.weight, norm.bias, norm._mean, norm._variance)
            for slot, name in zip(slots, ("gamma", "beta", "mean", "variance"), strict=True):
                slot.set_value(row[name])
            layers += [layer, norm, nn.ReLU()]
            channels = len(kernel)
        self.layers = nn.Sequential(*layers)
        if plan.head:
            self.head = nn.Linear(channels, blueprint.CLASSES)
            self.head.weight.set_value(weights[-1]["kernel"])
            self.head.bias.set_value(weights[-1]["bias"])

    def forward(self, value):
        if self.plan.dtype == "uint8":
            mean, std = (
                paddle.to_tensor(np.float32(v).reshape(3, 1, 1))
                for v in (blueprint.MEAN, blueprint.STD)
            )
            value = (value.astype("float32") / 255 - mean) / std
        value = self.layers(value)
        if self.plan.head:
            value = self.head(value.mean([2, 3]))
        return F.softmax(value) if self.plan.head == "softmax" else value


def export(path, name):
    plan, weights = blueprint.parse(name)
    network = Network(plan, weights)
    network.eval()
    shape = [None, plan.channels, plan.size, plan.size]
    spec = paddle.static.InputSpec(shape, plan.dtype, name="x")
    folder = path.with_suffix("")
    paddle.jit.save(network, str(folder / "network"), input_spec=[spec])
    files = [str(folder / f"network.{ending}") for ending in ("json", "pdiparams")]
    paddle2onnx.export(*files, str(path), opset_version=11, verbose=False)


if __name__ == "__main__":
    blueprint.main(paddle=export)
