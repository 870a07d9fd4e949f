"""Softmax and its like, along an axis, or along all axes from one on."""

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it

from onnxattr.convert.ops.table import operator


@operator("Softmax", 13)
def _softmax(x: torch.Tensor, *, axis: int = -1) -> torch.Tensor:
    return F.softmax(x, axis)


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
