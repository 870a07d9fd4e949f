"""What one pass over a graph would make, from shapes alone: bytes of tensors, and repetitions."""

import math
from collections import ChainMap
from collections.abc import Sequence
from dataclasses import dataclass

import onnx
import onnx.shape_inference
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, TypeProto, helper, numpy_helper

from onnxattr.graph.walk import STANDARD, captured, graphs, label, nodes

#: A count of elements that is larger is written as that many.
_MANY = 2**62

#: What following bodies may cost, in nodes; beyond, a turn counts as what the first inference told.
_WORK = 1_000_000

#: What one inference costs, in nodes, however small the body is. A KiB of it costs as a node does.
_CALL = 200

#: Turns of a Loop that are followed one by one, while what it carries changes its size.
_FOLLOWED = 64

#: Times that shapes are inferred anew, with those of the results of Loops.
_ROUNDS = 8

#: Most numbers of a stored tensor that may be sizes.
_SIZES = 1024

#: Operator → what messages say of its repetitions, where it has no body.
_REPEATED = {"SplitToSequence": "make a sequence of {:,} tensors"}

Types = ChainMap[str, TypeProto]
Stored = ChainMap[str, TensorProto]

_TURN = helper.make_tensor_type_proto(TensorProto.INT64, ())
_GOING = helper.make_tensor_type_proto(TensorProto.BOOL, ())


@dataclass
class Cost:
    """Of a graph, or of a node with the bodies in it.

    Attributes:
        total: Bytes of all tensors.
        largest: Bytes of those of one node.
        worst: Which node that is, in words.
        turns: The most that one node repeats: turns of its body with those inside, or parts.
        turner: Which node that is, and how often it repeats what, in words.
        endless: A Loop that runs for certain and never ends, in words; '' if there is none.
    """

    total: int = 0
    largest: int = 0
    worst: str = "none"
    turns: int = 0
    turner: str = ""
    endless: str = ""

    def add(self, other: "Cost", times: int = 1) -> None:
        """Counts what is inside, so many times."""
        self.total += other.total * times
        self.turns = max(self.turns, other.turns * times)
        self.endless = self.endless or other.endless


class Meter:
    """Adds up what a model makes; functions are inlined before, and claims on shapes removed.

    Args:
        proto: The model, of which the header is kept.
        most: Bytes beyond which there is no need to look further.
        carry: Whether shape inference carries along values, too.
    """

    def __init__(self, proto: ModelProto, most: int, carry: bool) -> None:
        self._header = ModelProto(ir_version=proto.ir_version, opset_import=proto.opset_import)
        self._most, self._carry, self._work = most, carry, _WORK

    def measure(self, model: ModelProto) -> tuple[Cost, GraphProto]:
        """Returns what one pass over `model` makes, and its graph with all shapes that are known.

        Args:
            model: What is found of its shapes, beside what onnx infers, is written into it.
        """
        return self._measure(model, ChainMap(), ChainMap())

    def _measure(self, model: ModelProto, types: Types, stored: Stored) -> tuple[Cost, GraphProto]:
        """Measures a main graph, or a body of which outer values are inputs and initializers."""
        known: set[str] = set()
        for _ in range(_ROUNDS):
            inferred = onnx.shape_inference.infer_shapes(model, data_prop=self._carry).graph
            found: dict[str, TypeProto] = {}
            cost = self._cost(inferred, types, stored, found)
            new = {name: kind for name, kind in found.items() if name not in known}
            if not new:
                break
            known |= new.keys()
            for value in model.graph.output:
                if value.name in new:
                    value.type.CopyFrom(new.pop(value.name))
            for name, kind in new.items():
                model.graph.value_info.add(name=name, type=kind)
        return cost, inferred

    def _cost(
        self, graph: GraphProto, types: Types, stored: Stored, found: dict[str, TypeProto]
    ) -> Cost:
        own = {tensor.name: tensor for tensor in graph.initializer}
        own |= {
            node.output[0]: a.t
            for node in graph.node
            if node.op_type == "Constant" and node.domain in STANDARD and node.output
            for a in node.attribute
            if a.HasField("t")
        }
        stored = stored.new_child(own)
        types = types.new_child(
            {n: helper.make_tensor_type_proto(t.data_type, t.dims) for n, t in own.items()}
        )
        types.update((v.name, v.type) for v in (*graph.input, *graph.value_info, *graph.output))
        cost = Cost()
        for node in graph.node:
            inner = self._bodies(node, types, stored, found)
            inner.total += sum(_bytes(types.get(value)) for value in node.output)
            if inner.total > cost.largest:
                cost.largest, cost.worst = inner.total, label(node)
            if inner.turns > cost.turns:
                what = _REPEATED.get(node.op_type, "take {:,} turns").format(inner.turns)
                cost.turner = f"{label(node)} would {what}"
            cost.add(inner)
        return cost

    def _bodies(
        self, node: NodeProto, types: Types, stored: Stored, found: dict[str, TypeProto]
    ) -> Cost:
        """Returns what the bodies of a node make, and what it repeats without a body."""
        kind = node.op_type if node.domain in STANDARD else ""
        if kind == "Loop" and len(node.input) > 1 and any(graphs(node)):
            return self._loop(node, types, stored, found)
        if kind == "SplitToSequence":
            return Cost(turns=_parts(node, types, stored))
        if kind == "MaxUnpool" and len(node.input) == 3 and node.output:
            # The operator's own inference makes nothing of the sizes that it is told.
            sizes, given = stored.get(node.input[2]), types.get(node.input[0])
            if given and sizes and sizes.data_type == TensorProto.INT64 and len(sizes.dims) == 1:
                shape = numpy_helper.to_array(sizes)[:_SIZES].tolist()
                element = given.tensor_type.elem_type
                found[node.output[0]] = helper.make_tensor_type_proto(element, shape)
        cost = Cost()
        for body in graphs(node):
            if kind == "Scan":
                times = _length(node, types)
                inside = self._cost(body, types, stored, {})
                inside.turns += 1
                cost.add(inside, times)
            elif kind == "If":
                inside, _ = self._inside(body, (), types, stored)
                inside.endless = ""  # It may never run.
                cost.add(inside)
            else:
                cost.add(self._cost(body, types, stored, {}))
        return cost

    def _loop(
        self, node: NodeProto, types: Types, stored: Stored, found: dict[str, TypeProto]
    ) -> Cost:
        """Follows a Loop turn by turn, as long as what it carries changes its size."""
        body = next(graphs(node))
        count, start = _number(stored.get(node.input[0])), _number(stored.get(node.input[1]))
        states = [types.get(name) for name in node.input[2:]]
        always = _always(body, stored) and (not node.input[1] or start == 1)
        if start == 0 or (count is not None and count < 1):
            found.update(_typed(node.output, states))
            return Cost()
        cost, done, trips, steady = Cost(), 0, 1 if count is None else count, True
        while done < trips:
            inside, ends = self._inside(body, (_TURN, _GOING, *states), types, stored)
            after: list[TypeProto | None] = [*ends[1 : 1 + len(states)]]
            changed = [_shape(kind) for kind in after] != [_shape(kind) for kind in states]
            steady &= not changed
            follow = changed and done < _FOLLOWED and self._work > 0
            times = 1 if follow else trips - done
            turns = cost.turns + (1 + inside.turns) * times
            cost.add(inside, times)
            cost.turns, done, states = turns, done + times, after
            if cost.total > self._most:
                return cost
        # Where a condition may end it early, only what never changes is known.
        if steady or (always and count is not None and (follow or not changed)):
            found.update(_typed(node.output, states))
        if always and count is not None and steady:
            scans = node.output[len(states) :]
            found.update(_typed(scans, [_stacked(t, count) for t in ends[1 + len(states) :]]))
        if always and not node.input[0]:
            cost.endless = label(node)
        return cost

    def _inside(
        self, body: GraphProto, kinds: Sequence[TypeProto | None], types: Types, stored: Stored
    ) -> tuple[Cost, list[TypeProto]]:
        """Returns what a body makes whose inputs are of these types, and the types of its outputs.

        What it claims of shapes itself does not count.
        """
        if self._work <= 0:
            return self._cost(body, types, stored, {}), [value.type for value in body.output]
        model = ModelProto()
        model.CopyFrom(self._header)
        graph = model.graph
        graph.name = body.name or "body"
        graph.node.extend(body.node)
        for tensor in body.initializer:
            _store(graph, tensor.name, tensor)
        for i, value in enumerate(body.input):
            graph.input.add(name=value.name, type=kinds[i] if i < len(kinds) else None)
        for name in captured(body):
            if name in stored:
                _store(graph, name, stored[name])
            elif name in types:
                graph.input.add(name=name, type=types[name])
        for value in body.output:
            graph.output.add(name=value.name)
        self._work -= _CALL + model.ByteSize() // 1024 + sum(1 for _ in nodes(graph))
        cost, inferred = self._measure(model, types, stored)
        return cost, [value.type for value in inferred.output]


def _store(graph: GraphProto, name: str, tensor: TensorProto) -> None:
    """Puts what may be a size into a graph, and of weights the type alone."""
    if math.prod(tensor.dims) <= _SIZES:
        graph.initializer.add().CopyFrom(tensor)
        graph.initializer[-1].name = name
    else:
        kind = helper.make_tensor_type_proto(tensor.data_type, tensor.dims)
        graph.input.add(name=name, type=kind)


def _typed(names: Sequence[str], kinds: Sequence[TypeProto | None]) -> dict[str, TypeProto]:
    pairs = zip(names, kinds, strict=False)
    return {n: k for n, k in pairs if n and k is not None and k.tensor_type.HasField("shape")}


def _stacked(kind: TypeProto, count: int) -> TypeProto | None:
    shape = _shape(kind)
    if shape is None or None in shape:
        return None
    return helper.make_tensor_type_proto(kind.tensor_type.elem_type, (count, *shape))


def _always(body: GraphProto, stored: Stored) -> bool:
    """Whether the condition that a Loop's body gives is always true."""
    if not body.output or len(body.input) < 2:
        return False
    sources = {n.output[0]: n.input[0] for n in body.node if n.op_type == "Identity" and n.output}
    inside = {n.output[0]: n for n in body.node if n.op_type == "Constant" and n.output}
    name = body.output[0].name
    for _ in range(len(sources)):
        name = sources.get(name, name)
    if name in inside:
        return any(_number(a.t) == 1 for a in inside[name].attribute if a.HasField("t"))
    tensors = stored.new_child({tensor.name: tensor for tensor in body.initializer})
    return name == body.input[1].name or _number(tensors.get(name)) == 1


def _length(node: NodeProto, types: Types) -> int:
    """Returns how often the body of a Scan runs, where shapes tell; else 1."""
    given = {a.name: helper.get_attribute_value(a) for a in node.attribute if a.name != "body"}
    taken = given.get("num_scan_inputs", 0)
    shape = _shape(types.get(node.input[-taken])) if 0 < taken <= len(node.input) else None
    axis = (given.get("scan_input_axes") or [1 if "directions" in given else 0])[0]
    return (shape[axis] or 1) if shape and -len(shape) <= axis < len(shape) else 1


def _parts(node: NodeProto, types: Types, stored: Stored) -> int:
    """Returns how many tensors a SplitToSequence makes, where shapes and stored sizes tell."""
    axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
    shape = _shape(types.get(node.input[0])) if node.input else None
    size = shape[axis] if shape and -len(shape) <= axis < len(shape) else None
    if len(node.input) < 2 or not node.input[1]:
        return size or 0
    split = stored.get(node.input[1])
    if split is None:
        return 0
    if split.dims:
        return math.prod(split.dims)
    each = _number(split) or 0
    return -(-size // each) if size and each > 0 else 0


def _number(tensor: TensorProto | None) -> int | None:
    """Returns the only number of a stored tensor of integers or truths; None if it is none."""
    kinds = (TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL)
    if tensor is None or math.prod(tensor.dims) != 1 or tensor.data_type not in kinds:
        return None
    return int(numpy_helper.to_array(tensor).reshape(-1)[0])


def _shape(kind: TypeProto | None) -> tuple[int | None, ...] | None:
    if kind is None or not kind.tensor_type.HasField("shape"):
        return None
    dims = kind.tensor_type.shape.dim
    return tuple(d.dim_value if d.HasField("dim_value") else None for d in dims)


def _bytes(kind: TypeProto | None) -> int:
    """Returns the bytes of a tensor; free dimensions count once, what has no shape not at all."""
    shape = _shape(kind)
    if kind is None or shape is None:
        return 0
    count = 1
    for size in shape:
        count = min(_MANY, count * (1 if size is None else size))
    try:
        width: int = helper.tensor_dtype_to_np_dtype(kind.tensor_type.elem_type).itemsize
    except KeyError:
        return 0
    return count * width
