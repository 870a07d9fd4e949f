"""The networks of `blueprint` in Flax on JAX, through jax2onnx, in both layouts."""

import functools
import logging
import os

os.environ["JAX_PLATFORMS"] = "cpu"
import blueprint
import jax
import jax.numpy as jnp
from flax import nnx
from jax2onnx import to_onnx

logging.disable(logging.WARNING)


class Network(nnx.Module):
    def __init__(self, plan, weights):
        self.plan, rngs, channels = plan, nnx.Rngs(0), plan.channels
        convolutions, norms = [], []
        for block, row in zip(plan.blocks, weights[:-1], strict=True):
            kernel = row["kernel"].swapaxes(2, 3) if block.depthwise else row["kernel"]
            width = kernel.shape[-1]
            layer = nnx.Conv(
                channels,
                width,
                (block.kernel, block.kernel),
                strides=block.stride,
                kernel_dilation=block.dilation,
                feature_group_count=channels if block.depthwise else 1,
                use_bias=False,
                rngs=rngs,
            )
            layer.kernel[...] = jnp.asarray(kernel)
            norm = nnx.BatchNorm(width, epsilon=blueprint.EPSILON, rngs=rngs)
            norm.scale[...], norm.bias[...] = jnp.asarray(row["gamma"]), jnp.asarray(row["beta"])
            norm.mean[...], norm.var[...] = jnp.asarray(row["mean"]), jnp.asarray(row["variance"])
            convolutions.append(layer)
            norms.append(norm)
            channels = width
        self.convolutions, self.norms = nnx.List(convolutions), nnx.List(norms)
        self.head = nnx.Linear(channels, blueprint.CLASSES, rngs=rngs)
        self.head.kernel[...] = jnp.asarray(weights[-1]["kernel"])
        self.head.bias[...] = jnp.asarray(weights[-1]["bias"])

    def __call__(self, value):
        if self.plan.dtype == "uint8":
            mean, std = jnp.asarray(blueprint.MEAN), jnp.asarray(blueprint.STD)
            value = (value.astype(jnp.float32) / 255 - mean) / std
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            value = nnx.relu(norm(convolution(value)))
        if self.plan.head:
            value = self.head(value.mean((1, 2)))
        return nnx.softmax(value) if self.plan.head == "softmax" else value


def export(path, name, moved):
    plan, weights = blueprint.parse(name)
    network = Network(plan, weights)
    network.eval()
    shape = ("batch", plan.size, plan.size, plan.channels)
    given = shape
    if plan.dtype != "float32":
        given = jax.ShapeDtypeStruct(
            jax.export.symbolic_shape("batch, {}, {}, {}".format(*shape[1:])), plan.dtype
        )
    proto = to_onnx(network, [given], **({"inputs_as_nchw": [0]} if moved else {}))
    path.write_bytes(proto.SerializeToString())


if __name__ == "__main__":
    blueprint.main(
        nhwc=functools.partial(export, moved=False), nchw=functools.partial(export, moved=True)
    )
