"""Disguises by weights that change the function a little: noise, and pruning."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto

from benchmarks.disguises import graphs

Rng = np.random.Generator


def noise(model: ModelProto, rng: Rng, share: float) -> ModelProto:
    """Return the model with Gaussian noise on its kernels, `share` of each one's deviation."""
    result = graphs.copy(model)
    for node in graphs.convolutions(result):
        stored = graphs.weight(result, node.input[1])
        scale = share * stored.std()
        graphs.put(result, node.input[1], stored + scale * rng.normal(size=stored.shape))
    return graphs.clear(result)


def prune(model: ModelProto, share: float) -> ModelProto:
    """Return the model with that share of each kernel's weights, the smallest, set to zero."""
    result = graphs.copy(model)
    for node in graphs.convolutions(result):
        stored = graphs.weight(result, node.input[1])
        stored[np.abs(stored) <= np.quantile(np.abs(stored), share)] = 0
        graphs.put(result, node.input[1], stored)
    return graphs.clear(result)


def thin(model: ModelProto, share: float) -> ModelProto:
    """Return the model without that share of each layer's hidden filters, those of least norm."""
    result = graphs.copy(model)
    for pair in list(graphs.hidden(result)):
        stored = graphs.weight(result, pair.before.input[1])
        norms = np.linalg.norm(stored.reshape(len(stored), -1), axis=1)
        kept = np.sort(np.argsort(norms, kind="stable")[round(share * len(norms)) :])
        for name in pair.before.input[1:]:
            graphs.put(result, name, graphs.weight(result, name)[kept])
        name = pair.after.input[1]
        graphs.put(result, name, graphs.weight(result, name)[:, kept])
    return graphs.clear(result)
