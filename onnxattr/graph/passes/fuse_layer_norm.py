"""Joins what exporters write for layer normalisation."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from onnxattr.graph.passes.chains import (
    Chain,
    Fusion,
    axes_of,
    made_by,
    number,
    other,
    own,
    rank_of,
    reader,
    stored,
)

#: Types whose range the chain's own squares may exceed.
_HALVES = (ir.DataType.FLOAT16, ir.DataType.BFLOAT16)


class FuseLayerNorm(Fusion):
    """Replaces (x − mean) / √(variance + ε)·scale + bias by one node; shapes must be inferred.

    The variance may be the mean of the squared difference or the difference of mean squares, and
    the result may be written as x·(scale/√…) + (bias − mean·(scale/√…)), as TensorFlow does. Scale
    and bias are taken along where they are stored and vary along the normalised axes only.
    """

    anchors: ClassVar[frozenset[str]] = frozenset({"Pow", "Sqrt"})

    def match(self, node: ir.Node, opset: int) -> Chain | None:
        """Returns the chain around the square root `node`, if it is a layer normalisation."""
        power = 0.5 if node.op_type == "Sqrt" else number(node.inputs[1], 1)
        shifted = made_by(node.inputs[0], "Add") if power in (0.5, -0.5) else None
        for variance in shifted.inputs if shifted is not None else ():
            moments = _moments(variance)
            if shifted is None or variance is None or moments is None:
                continue
            epsilon = number(other(shifted, variance), rank_of(variance))
            if epsilon is None or epsilon < 0 or moments.x.dtype in _HALVES:
                continue
            moments.nodes += [shifted, node]
            result = _Result(moments)
            if result.find(node.outputs[0], inverted=power == -0.5):
                attributes = {"axes": list(moments.axes), "epsilon": epsilon}
                inputs = [moments.x, result.scale, result.bias]
                make = functools.partial(own, "FusedLayerNormalization", inputs, attributes)
                return Chain(result.last, moments.nodes, make)
        return None


@dataclass
class _Moments:
    """The mean of x over some axes, counted from the end where its rank is known.

    Attributes:
        x: What is normalised.
        mean: Its mean.
        axes: In their order.
        nodes: All that take part so far.
    """

    x: ir.Value
    mean: ir.Value
    axes: tuple[int, ...]
    nodes: list[ir.Node]

    def is_centred(self, value: ir.Value | None) -> bool:
        """Returns whether `value` is x − mean; its node takes part then."""
        node = made_by(value, "Sub")
        if node is None or node.inputs[0] is not self.x or node.inputs[1] is not self.mean:
            return False
        self.nodes.append(node)
        return True

    def varies_within(self, value: ir.Value | None) -> bool:
        """Returns whether `value` is stored and varies along the axes only."""
        array, rank = stored(value), rank_of(self.x)
        if array is None or max(self.axes) >= 0 or array.ndim > (rank or -min(self.axes)):
            return False
        return all(s == 1 or a - array.ndim in self.axes for a, s in enumerate(array.shape))


def _moments(variance: ir.Value | None) -> _Moments | None:
    """Returns the moments whose variance this is."""
    node = made_by(variance, "Max", "Relu", "Sub")
    if node is not None and node.op_type != "Sub":
        # Rounding may make a difference of mean squares negative, which these keep from the root.
        bounded = node.inputs[0]
        if node.op_type == "Max" and number(other(node, bounded), rank_of(bounded)) != 0:
            return None
        found = _difference(made_by(bounded, "Sub"))
        return _taking(found, node)
    if node is not None:
        return _difference(node)
    average = _mean(variance)
    square = _square(average[0]) if average is not None else None
    centred = made_by(square[0], "Sub") if square is not None else None
    if average is None or square is None or centred is None:
        return None
    x, mean = centred.inputs
    source = _mean(mean)
    if mean is None or source is None or source[0] is not x or source[1] != average[1]:
        return None
    return _Moments(x, mean, source[1], [average[2], *square[1], centred, source[2]])


def _difference(node: ir.Node | None) -> _Moments | None:
    """Returns the moments where the variance is the mean of x² less the mean's square."""
    average = _mean(node.inputs[0]) if node is not None else None
    of_x = _square(average[0]) if average is not None else None
    of_mean = _square(node.inputs[1]) if node is not None else None
    source = _mean(of_mean[0]) if of_mean is not None else None
    if node is None or average is None or of_x is None or of_mean is None or source is None:
        return None
    if source[0] is not of_x[0] or source[1] != average[1]:
        return None
    nodes = [node, average[2], *of_x[1], *of_mean[1], source[2]]
    return _Moments(of_x[0], of_mean[0], source[1], nodes)


def _taking(found: _Moments | None, node: ir.Node) -> _Moments | None:
    if found is not None:
        found.nodes.append(node)
    return found


def _mean(value: ir.Value | None) -> tuple[ir.Value, tuple[int, ...], ir.Node] | None:
    """Returns what `value` is the mean of, over which axes, and the node that takes it."""
    node = made_by(value, "GlobalAveragePool", "ReduceMean")
    if node is None or node.inputs[0] is None:
        return None
    rank = rank_of(node.inputs[0])
    if node.op_type == "GlobalAveragePool":
        return (node.inputs[0], tuple(range(2 - rank, 0)), node) if rank else None
    axes = axes_of(node)
    if not axes or ("keepdims" in node.attributes and not node.attributes["keepdims"].as_int()):
        return None
    counted = (a - rank if rank is not None and a >= 0 else a for a in axes)
    return node.inputs[0], tuple(sorted(counted)), node


def _square(value: ir.Value | None) -> tuple[ir.Value, list[ir.Node]] | None:
    """Returns what `value` is the square of, and the nodes that take it."""
    node = made_by(value, "Mul", "Pow")
    base, second = node.inputs if node is not None else (None, None)
    if node is None or base is None:
        return None
    if node.op_type == "Pow":
        return (base, [node]) if number(second, rank_of(base)) == 2 else None
    if base is second:
        return base, [node]
    # The difference may be written once for each factor.
    twins = made_by(base, "Sub"), made_by(second, "Sub")
    if twins[0] is None or twins[1] is None or tuple(twins[0].inputs) != tuple(twins[1].inputs):
        return None
    return base, [node, twins[1]]


class _Result:
    """What is made of the root, followed to the end of the chain.

    Attributes:
        last: The last node of the chain.
        scale: What the quotient is multiplied by, if it is taken along.
        bias: What is added to it.
    """

    def __init__(self, moments: _Moments) -> None:
        self._moments = moments
        self.last = moments.nodes[0]
        self.scale: ir.Value | None = None
        self.bias: ir.Value | None = None

    def find(self, root: ir.Value, *, inverted: bool) -> bool:
        """Returns whether the root of the variance, or its inverse, ends in a normalised x."""
        inverse: ir.Value | None = root if inverted else None
        if not inverted:
            step = reader(root, "Div", "Reciprocal")
            if step is None:
                return False
            if step.op_type == "Div" and step.inputs[1] is root and self._is_scaled(step.inputs[0]):
                return self._ends_with(step)
            one = step.op_type == "Reciprocal" or number(step.inputs[0], rank_of(root)) == 1
            if not one or step.inputs[0 if step.op_type == "Reciprocal" else 1] is not root:
                return False
            self._moments.nodes.append(step)
            inverse = step.outputs[0]
        assert inverse is not None
        step = reader(inverse, "Mul")
        if step is not None and self._moments.varies_within(other(step, inverse)):
            self.scale = other(step, inverse)
            self._moments.nodes.append(step)
            inverse = step.outputs[0]
            step = reader(inverse, "Mul")
        if step is not None:
            return self._is_scaled(other(step, inverse)) and self._ends_with(step)
        return self._is_spread(inverse)

    def _is_scaled(self, value: ir.Value | None) -> bool:
        """Returns whether `value` is x − mean, or that times a scale."""
        if self._moments.is_centred(value):
            return True
        step = made_by(value, "Mul")
        if step is None or self.scale is not None:
            return False
        for centred in step.inputs:
            scale = other(step, centred) if centred is not None else None
            if self._moments.varies_within(scale) and self._moments.is_centred(centred):
                self.scale = scale
                self._moments.nodes.append(step)
                return True
        return False

    def _is_spread(self, inverse: ir.Value) -> bool:
        """Returns whether x and the mean are multiplied by `inverse` one by one."""
        products = [use.node for use in inverse.uses() if use.node.op_type == "Mul"]
        of_x = [n for n in products if other(n, inverse) is self._moments.x]
        rest = [n for n in products if n not in of_x]
        if len(of_x) != 1 or len(rest) != 1 or len(inverse.uses()) != 2:
            return False
        factor, sign = other(rest[0], inverse), 1.0
        negated = made_by(factor, "Neg")
        if negated is not None:
            factor, sign = negated.inputs[0], -1.0
            self._moments.nodes.append(negated)
        step = reader(of_x[0].outputs[0], "Add", "Sub")
        if factor is not self._moments.mean or step is None:
            return False
        self._moments.nodes += [*of_x, *rest]
        return self._is_offset(step, of_x[0].outputs[0], rest[0].outputs[0], sign)

    def _is_offset(self, step: ir.Node, scaled: ir.Value, shift: ir.Value, sign: float) -> bool:
        """Returns whether `step` adds −sign·shift, with a bias or without, to `scaled`."""
        offset = other(step, scaled)
        if step.op_type == "Sub":
            return step.inputs[0] is scaled and offset is shift and sign > 0 and self._ends(step)
        if offset is shift:
            return sign < 0 and self._ends_with(step)
        inner = made_by(offset, "Add", "Sub")
        bias = other(inner, shift) if inner is not None else None
        if inner is None or shift not in inner.inputs or not self._moments.varies_within(bias):
            return False
        if inner.op_type == "Add" and sign > 0:
            return False
        if inner.op_type == "Sub" and (inner.inputs[1] is not shift or sign < 0):
            return False
        self.bias = bias
        self._moments.nodes.append(inner)
        return self._ends(step)

    def _ends_with(self, step: ir.Node) -> bool:
        """Takes along the scale and the bias that follow `step`."""
        if self.scale is None and self.bias is None:
            following = reader(step.outputs[0], "Mul")
            scale = other(following, step.outputs[0]) if following is not None else None
            if following is not None and self._moments.varies_within(scale):
                self.scale = scale
                self._moments.nodes.append(step)
                step = following
        following = reader(step.outputs[0], "Add")
        bias = other(following, step.outputs[0]) if following is not None else None
        if following is not None and self.bias is None and self._moments.varies_within(bias):
            self.bias = bias
            self._moments.nodes.append(step)
            step = following
        return self._ends(step)

    def _ends(self, step: ir.Node) -> bool:
        self.last = step
        self._moments.nodes.append(step)
        return True
