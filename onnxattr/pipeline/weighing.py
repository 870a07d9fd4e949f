"""What a model is and its weights, as a worker tells of them; runs in a worker."""

import numpy as np

from onnxattr.execution.channel import Channel
from onnxattr.lineage.identity import identity_of
from onnxattr.lineage.layers import weights_of_model
from onnxattr.pipeline.messages import WeighedLayer, Weighing, pack, printable
from onnxattr.types import Model


def weigh(model: Model, channel: Channel) -> None:
    """Sends what a model is, and its layers, one by one.

    Raises:
        OnnxattrError: They cannot be told.
    """
    size = model.path.stat().st_size if model.path is not None else model.proto.ByteSize()
    identity, found = identity_of(model, size), weights_of_model(model)
    channel.send(
        Weighing(
            identity,
            model.external,
            len(found.layers),
            pack(found.streams),
            tuple(map(printable, found.omitted)),
        )
    )
    for layer in found.layers:
        bias = layer.bias
        channel.send(
            WeighedLayer(
                name=printable(layer.name),
                operator=layer.operator,
                depth=layer.depth,
                depthwise=layer.depthwise,
                weight=pack(layer.weight),
                bias=None if bias is None else pack(np.ascontiguousarray(bias)),
                writes=pack(layer.writes),
                reads=pack(layer.reads),
                places=pack(layer.places),
                gains_out=pack(layer.gains_out),
                gains_in=pack(layer.gains_in),
            )
        )
