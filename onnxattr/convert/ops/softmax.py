"""Softmax and its like, along an axis, or along all axes from one on."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from onnx2torch.onnx_graph import OnnxGraph
from onnx2torch.onnx_node import OnnxNode
from torch import nn

from onnxattr.convert.ops.calls import Entry, call
from onnxattr.convert.ops.scope import takers
from onnxattr.convert.ops.table import builder, operator


@builder("Softmax", 13)
def _softmax_of(node: OnnxNode, graph: OnnxGraph) -> tuple[nn.Module, Sequence[str]]:
    """Returns the module of Softmax, by what becomes of its result.

    Attention that may be masked altogether replaces the rows that are no numbers, and their
    gradient, zero times no number, would be none.
    """
    return call(node, Entry(_softmax_or_nan if _is_replaced(node, graph) else _softmax))


def _is_replaced(node: OnnxNode, graph: OnnxGraph) -> bool:
    """Whether Where takes some of the node's result, which may have been cast in between."""
    waiting = list(node.output_values)
    while waiting:
        name = waiting.pop()
        for later in takers(graph).get(name, ()):
            kind = later.operation_type.partition("_")[0]
            if kind in ("Where", "IsNaN"):
                return True
            if kind in ("Cast", "CastLike") and later.input_values[0] == name:
                waiting.extend(later.output_values)
    return False


def _softmax(x: torch.Tensor, *, axis: int = -1) -> torch.Tensor:
    return F.softmax(x, axis)


def _softmax_or_nan(x: torch.Tensor, *, axis: int = -1) -> torch.Tensor:
    """Returns the softmax; where all of a row is minus infinity, NaN without a gradient."""
    if not x.numel():
        return x
    masked = x.amax(axis, keepdim=True) == -torch.inf
    return F.softmax(x.masked_fill(masked, 0), axis).masked_fill(masked, torch.nan)


@operator("Softmax", 1, 11)
def _softmax_flat(x: torch.Tensor, *, axis: int = 1) -> torch.Tensor:
    return F.softmax(x.flatten(axis), -1).reshape(x.shape)


@operator("LogSoftmax", 13)
def _log_softmax(x: torch.Tensor, *, axis: int = -1) -> torch.Tensor:
    return F.log_softmax(x, axis)


@operator("LogSoftmax", 1, 11)
def _log_softmax_flat(x: torch.Tensor, *, axis: int = 1) -> torch.Tensor:
    return F.log_softmax(x.flatten(axis), -1).reshape(x.shape)


@operator("Hardmax", 13, gradient=False)
def _hardmax(x: torch.Tensor, *, axis: int = -1) -> torch.Tensor:
    return _first_of_largest(x, axis)


@operator("Hardmax", 1, 11, gradient=False)
def _hardmax_flat(x: torch.Tensor, *, axis: int = 1) -> torch.Tensor:
    return _first_of_largest(x.flatten(axis), -1).reshape(x.shape)


def _first_of_largest(x: torch.Tensor, axis: int) -> torch.Tensor:
    zeros = torch.zeros_like(x)
    if not x.numel():
        return zeros
    return zeros.scatter(axis, x.argmax(axis, keepdim=True), 1)
