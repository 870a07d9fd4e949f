"""Disguises by weights that leave the function as it is, or turn nothing but its answer.

Each takes a model and a generator and returns a new model. They need a plain graph: convolutions
with stored weights, NCHW.
"""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, helper

from benchmarks.disguises import graphs

Rng = np.random.Generator


def permute(model: ModelProto, rng: Rng) -> ModelProto:
    """Return the model with the hidden units of every pair of convolutions in another order."""
    result = graphs.copy(model)
    for pair in list(graphs.hidden(result)):
        order = rng.permutation(len(graphs.weight(result, pair.before.input[1])))
        for name in pair.before.input[1:]:
            graphs.put(result, name, graphs.weight(result, name)[order])
        name = pair.after.input[1]
        graphs.put(result, name, graphs.weight(result, name)[:, order])
    return graphs.clear(result)


def rescale(model: ModelProto, rng: Rng, spread: float = 1.0) -> ModelProto:
    """Return the model with hidden units c times as large and read 1 / c times, c log-normal.

    ReLU(c z) = c ReLU(z) for c > 0, so the function stays.
    """
    result = graphs.copy(model)
    for pair in list(graphs.hidden(result)):
        count = len(graphs.weight(result, pair.before.input[1]))
        factors = np.exp(spread * rng.normal(size=count))
        for name in pair.before.input[1:]:
            stored = graphs.weight(result, name)
            graphs.put(result, name, stored * factors.reshape(-1, *[1] * (stored.ndim - 1)))
        name = pair.after.input[1]
        graphs.put(result, name, graphs.weight(result, name) / factors[:, None, None])
    return graphs.clear(result)


def rotate(model: ModelProto, rng: Rng) -> ModelProto:
    """Return the model with its answer [image, channel, y, x] turned by an orthogonal matrix."""
    result = graphs.copy(model)
    output = result.graph.output[0]
    shape = graphs.dims(output)
    size = int(shape[1])
    turn, triangle = np.linalg.qr(rng.normal(size=(size, size)))
    turn *= np.sign(np.diag(triangle))
    graphs.put(result, "turn", turn[:, :, None, None])
    node = helper.make_node("Conv", [output.name, "turn"], ["answer"], kernel_shape=[1, 1])
    graphs.append(result, [node], shape)
    return graphs.clear(result)


def split_batch_norm(model: ModelProto, rng: Rng) -> ModelProto:
    """Return the model with a batch normalisation of random statistics behind each convolution.

    BN(y) = g (y - m) / s + h is what the convolution w, b did, where its weights become w s / g,
    its bias goes, and h = b + g m / s.
    """
    result = graphs.copy(model)
    for number in range(len(graphs.convolutions(result))):
        node = graphs.convolutions(result)[number]  # inserting a node copies all of them
        name = node.input[1]
        stored = graphs.weight(result, name)
        count = len(stored)
        bias = graphs.weight(result, node.input[2]) if len(node.input) > 2 else np.zeros(count)
        gain, variance = np.exp(0.5 * rng.normal(size=(2, count)))
        mean = rng.normal(size=count)
        deviation = np.sqrt(variance + 1e-5)
        graphs.put(result, name, stored * (deviation / gain)[:, None, None, None])
        parts = {
            f"gain{number}": gain,
            f"shift{number}": bias + gain * mean / deviation,
            f"mean{number}": mean,
            f"variance{number}": variance,
        }
        for part, values in parts.items():
            graphs.put(result, part, values)
        del node.input[2:]
        norm = helper.make_node("BatchNormalization", ["", *parts], [""], epsilon=1e-5)
        graphs.insert_after(result, node, norm)
    return _without_unused(graphs.clear(result))


def _without_unused(model: ModelProto) -> ModelProto:
    used = {name for node in model.graph.node for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    return model
