"""Networks of Flax and functions of JAX, through jax2onnx."""

import functools
import logging
import os

os.environ["JAX_PLATFORMS"] = "cpu"
import jax
import jax.numpy as jnp
import numpy as np
import record
from flax import nnx
from jax2onnx import to_onnx

logging.disable(logging.WARNING)


class CNN(nnx.Module):
    def __init__(self, rngs):
        self.first = nnx.Conv(3, 8, (3, 3), strides=2, rngs=rngs)
        self.second = nnx.Conv(8, 8, (3, 3), feature_group_count=8, rngs=rngs)
        self.third = nnx.Conv(8, 12, (3, 3), padding="VALID", kernel_dilation=2, rngs=rngs)
        self.norms = nnx.List([nnx.BatchNorm(8, rngs=rngs) for _ in range(2)])
        self.head = nnx.Linear(12, 5, rngs=rngs)

    def __call__(self, image):
        value = nnx.relu(self.norms[0](self.first(image)))
        pooled = nnx.max_pool(value, window_shape=(2, 2), strides=(2, 2))
        value = nnx.gelu(self.third(nnx.swish(self.norms[1](self.second(pooled))) + pooled))
        value = nnx.avg_pool(value, window_shape=(2, 2), strides=(2, 2))
        return self.head(value.mean((1, 2)))


class Block(nnx.Module):
    def __init__(self, width, rngs):
        self.norms = nnx.List([nnx.LayerNorm(width, rngs=rngs) for _ in range(2)])
        self.attention = nnx.MultiHeadAttention(3, width, decode=False, rngs=rngs)
        self.up, self.down = (
            nnx.Linear(width, 48, rngs=rngs),
            nnx.Linear(48, width, rngs=rngs),
        )

    def __call__(self, value):
        value = value + self.attention(self.norms[0](value))
        return value + self.down(nnx.gelu(self.up(self.norms[1](value)), approximate=False))


class ViT(nnx.Module):
    def __init__(self, rngs, width=24):
        self.patches = nnx.Conv(3, width, (8, 8), strides=8, rngs=rngs)
        self.position = nnx.Param(jax.random.normal(rngs.params(), (1, 16, width)) * 0.3)
        self.blocks = nnx.List([Block(width, rngs) for _ in range(2)])
        self.norm, self.head = nnx.LayerNorm(width, rngs=rngs), nnx.Linear(width, 5, rngs=rngs)

    def __call__(self, image):
        value = self.patches(image).reshape(-1, 16, 24) + self.position[...]
        for block in self.blocks:
            value = block(value)
        return self.head(self.norm(value).mean(1))


class MLP(nnx.Module):
    def __init__(self, rngs):
        self.first, self.second = nnx.Linear(6, 16, rngs=rngs), nnx.Linear(16, 4, rngs=rngs)
        self.norm = nnx.RMSNorm(16, rngs=rngs)
        self.groups = nnx.GroupNorm(16, num_groups=4, rngs=rngs)

    def __call__(self, value):
        value = nnx.tanh(self.groups(self.norm(self.first(value))))
        return nnx.log_softmax(self.second(value))


class Recurrent(nnx.Module):
    def __init__(self, rngs, kind, states):
        self.cell, self.head = kind(6, 8, rngs=rngs), nnx.Linear(8, 4, rngs=rngs)
        self.states = states

    def __call__(self, steps):
        state = jnp.zeros((steps.shape[0], 8))
        state = (state, state) if self.states == 2 else state
        outputs = jax.lax.scan(self.step, state, jnp.swapaxes(steps, 0, 1))[1]
        return self.head(outputs[-1])

    def step(self, state, value):
        return self.cell(state, value)


def functional(steps):
    scores = jax.nn.softmax(jnp.einsum("bij,bkj->bik", steps, steps), -1)
    parts = [
        scores @ jnp.where(steps > 0, jnp.sin(steps), jnp.exp(-(steps**2))),
        jnp.cumsum(steps, axis=1),
        jnp.flip(steps, 2),
    ]
    return jnp.concatenate(parts, -1).sum(-1) / jnp.linalg.norm(steps, axis=-1)


def branches(steps):
    return jax.lax.cond(jnp.sum(steps) > 0, jnp.sin, jnp.square, steps)


def loop(steps):
    return jax.lax.fori_loop(0, 4, lambda _, value: value * 0.9 + jnp.cos(value), steps)


def network(kind, *rest):
    """Return a Flax network in inference mode whose batch normalisation does something."""
    made = kind(nnx.Rngs(0), *rest)
    rng = np.random.default_rng(5)
    for _, part in nnx.iter_graph(made):
        if isinstance(part, nnx.BatchNorm):
            shape = part.mean[...].shape
            part.mean[...] = jnp.asarray(rng.normal(0, 0.3, shape), jnp.float32)
            part.var[...] = jnp.asarray(rng.uniform(0.5, 1.5, shape), jnp.float32)
            part.scale[...] = jnp.asarray(rng.uniform(0.5, 1.5, shape), jnp.float32)
    made.eval()
    return made


IMAGE, STEPS, ROW = (32, 32, 3), (7, 6), (6,)
NETWORKS = {
    "cnn": (lambda: network(CNN), IMAGE),
    "vit": (lambda: network(ViT), IMAGE),
    "mlp": (lambda: network(MLP), ROW),
    "lstm": (lambda: network(Recurrent, nnx.LSTMCell, 2), STEPS),
    "gru": (lambda: network(Recurrent, nnx.GRUCell, 1), STEPS),
    "functional": (lambda: functional, STEPS),
    "branches": (lambda: branches, STEPS),
    "loop": (lambda: loop, STEPS),
}


def export(path, make, shape, channels_first=False):
    function, array = make(), record.noise(3, *shape)
    moved = {"inputs_as_nchw": [0]} if channels_first else {}
    path.write_bytes(to_onnx(function, [("batch", *shape)], **moved).SerializeToString())
    output = np.asarray(function(jnp.asarray(array)))
    (noise,) = record.weights([output])
    gradient = jax.grad(lambda given: (function(given) * noise).sum())(jnp.asarray(array))
    arrays = [array, np.asarray(gradient)]
    if channels_first:
        arrays = [value.transpose(0, 3, 1, 2) for value in arrays]
    record.save(path, arrays[:1], [output], arrays[1:])


def table():
    rows = {
        name: functools.partial(export, make=make, shape=shape)
        for name, (make, shape) in NETWORKS.items()
    }
    make, shape = NETWORKS["cnn"]
    rows["cnn_nchw"] = functools.partial(export, make=make, shape=shape, channels_first=True)
    return rows


if __name__ == "__main__":
    record.main(table())
