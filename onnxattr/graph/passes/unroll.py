"""Writes out what a Loop or a Scan computes, where it is known how often its body runs."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir
from onnx_ir.passes import common

from onnxattr.graph.arithmetic import sizes_of
from onnxattr.graph.loops import Repeated, repeated, trips
from onnxattr.graph.passes.identities import DropIdentities
from onnxattr.graph.passes.iterations import Writer, is_made, is_read
from onnxattr.graph.passes.own import since_version
from onnxattr.graph.passes.shapes import KnownShapes

#: The operator set in which axes may be negative.
_NEGATIVE_AXES = 11

#: The last Scan with a batch.
_BATCHED = 8

#: Notes on a loop that it has too many nodes: what folds elsewhere makes no room for it later.
_TOO_LARGE = "onnxattr.too_large"


class Unroll(ir.passes.InPlacePass):
    """Replaces each Loop and Scan of the main graph by its body, as often as that runs.

    So the rules of relevance see plain operators, and what depends on the iteration's number folds.
    A Loop's limit must be stored, its conditions must be known; the length of what a Scan goes
    through must be known. Shapes must have been inferred, and are again after each round: what was
    unrolled may hold, or tell the length of, other loops.

    A Loop or a Scan with all that is known to be unrolled inside of it is unrolled as a whole, or
    stays and is converted as a module. So do those within a body or a branch that stays, those that
    never run but whose scan outputs are read, a Scan of opset 8, which has a batch, a Scan of one
    step, which may be the batch that `FreeBatch` frees, and a Loop that makes a list of integers
    longer and longer: inference would carry all of its numbers along.
    """

    #: Iterations of one loop. Recurrent layers over the rows of a small picture, over its patches
    #: or over a window of a signal have no more.
    TRIPS = 64

    #: Nodes that loops may become in all: so many take two seconds to convert.
    NODES = 10_000

    #: Loops inside of each other, or whose lengths follow from each other, are no more than this.
    ROUNDS = 16

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Returns the model with known loops written out."""
        modified = False
        for _ in range(self.ROUNDS):
            if not self._unroll(model):
                break
            DropIdentities()(model)
            common.RemoveUnusedNodesPass()(model)
            KnownShapes()(model)
            modified = True
        return ir.passes.PassResult(model, modified=modified)

    def _unroll(self, model: ir.Model) -> bool:
        opset = model.opset_imports.get("", 0)
        nodes = [node for node in model.graph if _loop(node, opset) is not None]
        if not nodes:
            return False
        left = self.NODES - sum(map(is_made, model.graph.all_nodes()))
        writer = Writer(model)
        modified = False
        for node in nodes:
            loop = _loop(node, opset)  # which may take, by now, what another one gave
            times = self._times(loop)
            if loop is None or times is None:
                continue
            if (size := self._written(loop, times, opset)) <= left:
                writer.write(loop, times)
                left -= size
                modified = True
            else:
                node.meta[_TOO_LARGE] = True
        return modified

    def _times(self, loop: Repeated | None) -> int | None:
        """Returns how often a body runs; None where it is not known, or the loop shall stay."""
        if loop is None or _lengthens(loop):
            return None
        times = trips(loop, self.TRIPS, self.NODES)
        no_elements = times == 0 and any(map(is_read, loop.scans))
        maybe_batch = times == 1 and not loop.counts
        return None if no_elements or maybe_batch else times

    def _written(self, loop: Repeated, times: int, opset: int) -> int:
        """Returns how many nodes there are instead of a loop, with those inside of it unrolled."""
        # A scan input is split and its elements squeezed; those of an output are joined.
        around = len(loop.scanned) + sum(map(is_read, loop.scans))
        return around + times * (around + self._inside(loop.node, opset))

    def _size(self, node: ir.Node, opset: int) -> int:
        loop = _loop(node, opset)
        times = self._times(loop)
        if loop is None or times is None:
            return 1 + self._inside(node, opset)
        return self._written(loop, times, opset)

    def _inside(self, node: ir.Node, opset: int) -> int:
        graphs = (body for attribute in node.attributes.values() for body in _bodies(attribute))
        return sum(self._size(inner, opset) for body in graphs for inner in body)


def _loop(node: ir.Node, opset: int) -> Repeated | None:
    """Returns the parts of a node that may be unrolled, if it is known how often it runs."""
    if node.op_type not in ("Loop", "Scan") or _TOO_LARGE in node.meta:
        return None
    loop, since = repeated(node), since_version(node, opset)
    if loop is None or not since or (not loop.counts and since <= _BATCHED):
        return None
    negative = any(axis < 0 for axis, _ in (*loop.sides, *loop.collected))
    return None if negative and opset < _NEGATIVE_AXES else loop


def _bodies(attribute: ir.Attr) -> Sequence[ir.Graph]:
    if attribute.type == ir.AttributeType.GRAPH:
        return [attribute.as_graph()]
    return attribute.as_graphs() if attribute.type == ir.AttributeType.GRAPHS else ()


def _lengthens(loop: Repeated) -> bool:
    """Whether a loop may carry a list of integers that grows from one iteration to the next."""
    nodes = loop.body.all_nodes()
    return any(n.op_type == "Concat" and _is_whole(n.outputs[0]) for n in nodes) and any(
        _is_whole(taken) and not _is_as_long(taken, given) for taken, given in loop.states
    )


def _is_whole(value: ir.Value) -> bool:
    return value.dtype is None or value.dtype.is_integer()


def _is_as_long(taken: ir.Value, given: ir.Value) -> bool:
    sizes = sizes_of(taken)
    return sizes is not None and None not in sizes and sizes == sizes_of(given)
