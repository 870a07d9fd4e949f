"""What files are and the weights that they hold: read in workers, returned as plain arrays."""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from onnxattr.errors import WorkerError
from onnxattr.execution.channel import MAX_MESSAGE, Channel
from onnxattr.execution.local import Workers
from onnxattr.limits import Limits
from onnxattr.lineage.channels import MOST
from onnxattr.lineage.walk import MAX_BYTES, MAX_LAYERS
from onnxattr.pipeline.job import SERVE, expect, failure_of, place_of
from onnxattr.pipeline.messages import Source, Weigh, WeighedLayer, Weighing, source_of, unpack
from onnxattr.pipeline.options import Options
from onnxattr.pipeline.trust import hash_source
from onnxattr.sanitise import MAX_TEXT, clean
from onnxattr.types import Failure, Layer, Weighed, Weights

#: Axes of a weight, and channels of a model, at most.
_AXES, _CHANNELS = 8, 2**25


def weights_of(
    models: Mapping[str, Path],
    *,
    limits: Limits | None = None,
    stop: threading.Event | None = None,
) -> tuple[dict[str, Weighed], tuple[Failure, ...]]:
    """Returns what each file is and its layers, and the files of which that cannot be told.

    Each is read in a worker process. A layer's weights come back as float32.

    Args:
        models: Files by the names that they are called by, as from `graph.find.find_models`.
        limits: What a model may cost.
        stop: Ends the work when it is set; what is not finished is among the failures.
    """
    options = Options(device="cpu", limits=limits or Limits())
    place = place_of(options)
    workers: Workers[Weighed] = Workers(
        SERVE,
        options.devices,
        memory=place.memory,
        seconds=options.limits.seconds,
        stop=stop,
    )

    def ask(name: str, channel: Channel) -> Weighed:
        source = source_of(name, models[name])
        channel.send(Weigh(place, source))
        return _received(channel, name, source, options.limits)

    jobs = [lambda channel, _, n=name: ask(n, channel) for name in models]
    outcomes = dict(workers.run(jobs))
    found: dict[str, Weighed] = {}
    failures = []
    for number, name in enumerate(models):
        outcome = outcomes.get(number)
        if isinstance(outcome, Weighed):
            found[name] = outcome
        elif outcome is not None:
            failures.append(failure_of(name, outcome))
        else:
            failures.append(Failure(name, "it was not reached before the interruption", ""))
    return found, tuple(failures)


def _received(channel: Channel, name: str, source: Source, limits: Limits) -> Weighed:
    """Returns what a worker sends, once it makes sense.

    Raises:
        WorkerError: It does not.
    """
    head = expect(channel, Weighing, name, MAX_MESSAGE + 8 * _CHANNELS)
    identity = head.identity
    if not head.external and identity.file != hash_source(source, limits):
        raise WorkerError(
            "its worker describes another model than the file",
            hint="did the file change while it was read?",
            model=name,
        )
    if not 0 <= head.layers <= MAX_LAYERS:
        raise WorkerError("its worker sent numbers that make no sense", model=name)
    streams = unpack(head.streams, np.int64, (-1,))
    layers, room = [], MAX_BYTES
    for _ in range(head.layers):
        sent = expect(channel, WeighedLayer, name, room + MAX_MESSAGE)
        layers.append(_layer(sent, len(streams), name))
        room -= len(sent.weight.data)
        if room < 0:
            raise WorkerError("its worker sent more weights than a model may have", model=name)
    omitted = tuple(clean(text, MAX_TEXT) for text in head.omitted)
    return Weighed(name, identity, Weights(tuple(layers), streams, omitted))


def _layer(sent: WeighedLayer, channels: int, name: str) -> Layer:
    shape = sent.weight.shape
    if not 2 <= len(shape) <= _AXES or any(s <= 0 for s in shape):
        raise WorkerError("its worker sent a layer that makes no sense", model=name)
    rows = shape[0]
    columns = rows if sent.depthwise else shape[1]
    weight = unpack(sent.weight, np.float32, (-1,) * len(shape))
    bias = None if sent.bias is None else unpack(sent.bias, np.float32, (rows,))
    ends: dict[str, Any] = {}
    for part, count in (
        ("writes", rows),
        ("reads", columns),
        ("places", columns),
        ("gains_out", rows),
        ("gains_in", columns),
    ):
        ends[part] = unpack(getattr(sent, part), np.int64, (count,))
    low, high = ends["writes"].min(), max(ends["writes"].max(), ends["reads"].max())
    gains = max(ends["gains_out"].max(), ends["gains_in"].max())
    sensible = (
        low >= 0
        and high < channels
        and gains < _CHANNELS
        and ends["places"].min() >= 0
        and ends["places"].max() < MOST
        and all(ends[part].min() >= -1 for part in ("reads", "gains_out", "gains_in"))
        and np.isfinite(weight).all()
        and (bias is None or np.isfinite(bias).all())
        and sent.depth >= 1
    )
    if not sensible:
        raise WorkerError("its worker sent a layer that makes no sense", model=name)
    return Layer(
        name=clean(sent.name, MAX_TEXT),
        operator=clean(sent.operator),
        weight=weight,
        bias=bias,
        depth=sent.depth,
        depthwise=sent.depthwise,
        **ends,
    )
