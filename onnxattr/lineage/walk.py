"""Follows channels through a graph, and gathers the layers on the way."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from onnxattr.errors import LimitError
from onnxattr.graph.passes.infer import infer_again
from onnxattr.graph.passes.provenance import vendor_name, vendor_node
from onnxattr.graph.walk import STANDARD, label
from onnxattr.lineage import moves
from onnxattr.lineage.channels import MOST, Classes, Int, Labels
from onnxattr.lineage.products import PRODUCTS, Product, stored_root
from onnxattr.lineage.stored import Store, attribute
from onnxattr.types import Layer, Weights

_Array = np.ndarray[Any, Any]

#: Bytes of all layers of a model, and numbers of one of them.
MAX_BYTES, MAX_LAYER = 2**32, 2**29

#: Layers of a model.
MAX_LAYERS = 10_000

#: Lines that say what was left out.
_NOTES = 20

_GRAPHS = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)

_STATEFUL = {"GRU", "LSTM", "RNN"}


@dataclass(eq=False)
class Draft:
    """A layer while it is put together.

    Attributes:
        name: Of its weights, as the vendor has it.
        product: Its operator and its weights.
        depth: Layers on the longest way to it.
        columns: Channels of what it reads, or None.
        rows: Its own channels.
        gains: Its own gains.
        shared: Whether its weights are used once more, so that nothing can be folded into them.
    """

    name: str
    product: Product
    depth: int
    columns: Labels | None
    rows: Int
    gains: Int
    shared: bool = False


#: Operators of which onnx infers no shape, and the inputs whose shape, broadcast, they have.
_SAME_SHAPE = {
    "BiasGelu": (0,),
    "FastGelu": (0,),
    "Gelu": (0,),
    "QLinearAdd": (0, 3),
    "QLinearLeakyRelu": (0,),
    "QLinearMul": (0, 3),
    "QLinearSigmoid": (0,),
    "QLinearSoftmax": (0,),
    "QuickGelu": (0,),
    "SkipLayerNormalization": (0,),
}


def _infer(node: ir.Node, opset: int) -> None:
    """Tells what a node makes its shape, where the inference of the whole graph stopped."""
    if node.domain in STANDARD:
        infer_again(node, opset)
        return
    output, kind = node.outputs[0], node.op_type
    if output.shape is not None or node.domain != "com.microsoft":
        return
    given = [node.inputs[i].shape for i in _SAME_SHAPE.get(kind, ()) if i < len(node.inputs)]  # type: ignore[union-attr]
    shapes = [[int(size) for size in s.numpy()] for s in given if s is not None and s.is_static()]
    if shapes and len(shapes) == len(given):
        largest = max(range(len(shapes)), key=lambda number: math.prod(shapes[number]))
        output.shape = ir.Shape(shapes[largest])
    pooled = node.inputs[0].shape if node.inputs[0] is not None else None
    if kind == "QLinearGlobalAveragePool" and pooled is not None and len(pooled) > 2:
        kept = len(pooled) - 1 if attribute(node, "channels_last", 0) else 1
        output.shape = ir.Shape([s if a in (0, kept) else 1 for a, s in enumerate(pooled)])


class Walk:
    """Goes over the nodes of a graph in their order.

    Args:
        name: Of the model, for messages.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self.store = Store(MAX_LAYER)
        self.labels: dict[ir.Value, Labels] = {}
        self._depth: dict[ir.Value, int] = {}
        #: Values that are a layer's and nothing more, whose arithmetic is folded.
        self.owner: dict[ir.Value, Draft] = {}
        self._by_weight: dict[tuple[ir.Value, bytes], Draft] = {}
        self.drafts: list[Draft] = []
        self.channels, self.gains = Classes(), Classes()
        self._base: list[Int] = []
        self._bytes = 0
        self._omitted: list[str] = []

    def enter(self, value: ir.Value, axis: int | None) -> None:
        """Takes an input of the graph, and the axis of its channels, if that is known."""
        self._depth[value] = 0
        shape = self.shape(value)
        if axis is not None and shape is not None and 0 < shape[axis] <= MOST:
            channels, gains = self.fresh(shape[axis], gains=False)
            self.labels[value] = Labels(
                (axis,), channels, np.zeros_like(channels), gains, np.ones(shape[axis])
            )

    def visit(self, node: ir.Node, opset: int) -> None:
        """Follows the channels over one node."""
        depth = max((self._depth.get(v, 0) for v in node.inputs if v is not None), default=0)
        for value in node.outputs:
            self._depth[value] = depth
        if node.outputs and node.inputs:
            _infer(node, opset)
        if node.domain not in (*STANDARD, "com.microsoft", "ai.onnx.ml"):
            return
        if any(a.type in _GRAPHS for a in node.attributes.values()):
            self._omit(node, "layers inside are left out")
            return
        try:
            product = PRODUCTS[node.op_type](node, self.store) if node.op_type in PRODUCTS else None
            if product is None:
                moves.follow(self, node, opset)
                return
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            # What the vendor wrote makes no sense for the operator; nothing is known behind it.
            self._omit(node, f"it cannot be followed: {type(error).__name__}")
            return
        if node.op_type in _STATEFUL:
            self._omit(node, "what its state is multiplied by is left out")
        self._layer(node, product, depth + 1)

    def _omit(self, node: ir.Node, reason: str) -> None:
        if len(self._omitted) < _NOTES:
            self._omitted.append(f"{label(vendor_node(node))}: {reason}")

    def fresh(self, count: int, *, gains: bool = True) -> tuple[Int, Int]:
        """Returns new channels of one stream, and their gains."""
        channels = self.channels.make(count)
        self._base.append(channels)
        return channels, self.gains.make(count) if gains else np.full(count, -1, np.int64)

    def shape(self, value: ir.Value | None) -> tuple[int, ...] | None:
        """Returns the sizes of a value, if all are known."""
        if value is None or value.shape is None or not value.shape.is_static():
            return None
        return tuple(int(s) for s in value.shape.numpy())

    def _layer(self, node: ir.Node, product: Product, depth: int) -> None:
        weight, value = product.weight, node.outputs[0]
        given = node.inputs[product.operand]
        columns = self._columns(given, product)
        source = stored_root(product.source)
        # Of one stored tensor many may be unpacked, each with numbers of its own.
        key = None if source is None else (source, _digest(weight))
        known = self._by_weight.get(key) if key is not None else None
        if known is not None and known.product.weight.shape == weight.shape:
            # The same weights once more: what they read and write has the same order.
            known.shared = True
            self._join_columns(known.columns, columns)
            channels, gains = known.rows, self.gains.make(len(weight))
            draft = known
        else:
            self._bytes += 4 * weight.size
            if self._bytes > MAX_BYTES or len(self.drafts) >= MAX_LAYERS:
                raise LimitError(
                    f"its layers would take more than {MAX_BYTES / 2**30:.3g} GiB, or are more "
                    f"than {MAX_LAYERS:,}",
                    model=self._name,
                )
            channels, gains = self.fresh(len(weight))
            if product.depthwise and columns is not None:
                self.channels.join(columns.channel, channels)
            name = vendor_name(source) if source is not None else ""
            draft = Draft(name or f"{node.op_type}", product, depth, columns, channels, gains)
            self.drafts.append(draft)
            if key is not None:
                self._by_weight[key] = draft
            self.owner[value] = draft
        for output in node.outputs:
            self._depth[output] = depth
        if product.axis is None:
            return
        shape = self.shape(value)
        rank = len(shape) if shape is not None else product.rank
        if not rank:
            return
        axes = [a % rank for a in product.axis]
        sizes = product.sizes or (len(weight),)
        made = Labels(
            tuple(range(len(sizes))),
            channels,
            np.zeros_like(channels),
            gains,
            np.ones(len(channels)),
        )
        self.labels[value] = made.map(axes, lambda a: a.reshape(sizes))

    def _columns(self, value: ir.Value | None, product: Product) -> Labels | None:
        """Returns the channels of a layer's columns, one axis; those of an input begin here."""
        if value is None or product.reads is None:
            return None
        count = len(product.weight) if product.depthwise else product.weight.shape[1]
        count = count * product.groups if product.groups > 1 and not product.depthwise else count
        labels = self.labels.get(value)
        shape = self.shape(value)
        rank = len(shape) if shape is not None else product.rank
        if not rank:
            return None
        axes = tuple(a % rank for a in product.reads)
        if labels is None and value.producer() is None and not value.is_initializer():
            labels = self._begin(value, axes, shape, count)
        if labels is None:
            return None
        if labels.axes != axes:
            labels = moves.widen(labels, axes, shape)
            if labels is None:
                return None
        if labels.channel.size != count:
            return None
        return labels.map((0,), lambda a: a.reshape(-1))

    def _begin(
        self, value: ir.Value, axes: tuple[int, ...], shape: tuple[int, ...] | None, count: int
    ) -> Labels | None:
        """Returns the channels of an input of the graph, whose axis is known now."""
        if len(axes) != 1:
            return None
        channels, gains = self.fresh(count, gains=False)
        made = Labels(axes, channels, np.zeros_like(channels), gains, np.ones(count))
        self.labels[value] = made
        return made

    def _join_columns(self, first: Labels | None, second: Labels | None) -> None:
        if first is None or second is None or first.channel.shape != second.channel.shape:
            return
        self.channels.join(first.channel, second.channel)
        # What reads both scales both.
        self.gains.join(first.gain, second.gain)

    def sources(self) -> tuple[str, ...]:
        """Returns what the graph calls the tensor that each layer reads its weights from, or ''."""
        stored = [draft.product.source for draft in self.drafts]
        return tuple((source.name or "") if source is not None else "" for source in stored)

    def finish(self) -> Weights:
        """Returns what was gathered."""
        channel, gain = self.channels.roots(), self.gains.roots()
        streams = _streams(channel, self._base)
        layers = []
        for number, draft in enumerate(self.drafts):
            layers.append(_finished(draft, number, channel, gain))
        return Weights(tuple(layers), streams, tuple(self._omitted))


def _digest(array: _Array) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(array).data).digest()


def _finished(draft: Draft, number: int, channel: Int, gain: Int) -> Layer:
    product, columns = draft.product, draft.columns
    weight = product.weight
    count = len(weight) if product.depthwise else weight.shape[1]
    if columns is not None and product.groups > 1 and not product.depthwise:
        columns = None
    if columns is None:
        reads = gains_in = np.full(count, -1, np.int64)
        places = np.zeros(count, np.int64)
    else:
        reads, places = _at(channel, columns.channel), columns.place
        gains_in = _at(gain, columns.gain)
        turned = [-1 if a == (0 if product.depthwise else 1) else 1 for a in range(weight.ndim)]
        with np.errstate(all="ignore"):
            weight = weight * columns.factor.reshape(turned)
    with np.errstate(all="ignore"):
        weight = np.nan_to_num(weight.astype(np.float32), posinf=0.0, neginf=0.0)
        bias = None if product.bias is None else np.nan_to_num(product.bias.astype(np.float32))
    return Layer(
        name=draft.name,
        operator=product.operator,
        weight=np.ascontiguousarray(weight),
        bias=bias,
        depth=draft.depth,
        writes=_at(channel, draft.rows),
        reads=reads,
        places=places,
        gains_out=_at(gain, draft.gains),
        gains_in=gains_in,
        depthwise=product.depthwise,
    )


def _at(table: Int, keys: Int) -> Int:
    return np.where(keys >= 0, table[np.maximum(keys, 0)], -1) if len(table) else keys


def _streams(channel: Int, base: list[Int]) -> Int:
    """Returns the stream of each channel: those that came together from the same places."""
    of_root: dict[int, set[int]] = {}
    for number, made in enumerate(base):
        for root in channel[made].tolist():
            of_root.setdefault(root, set()).add(number)
    known: dict[frozenset[int], int] = {}
    stream = {r: known.setdefault(frozenset(s), len(known)) for r, s in of_root.items()}
    return np.array([stream[r] if r == i else -1 for i, r in enumerate(channel.tolist())], np.int64)
