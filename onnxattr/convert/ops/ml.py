"""Operators of classical machine learning, domain `ai.onnx.ml`, that prepare features.

What a model has learned is in attributes there; `learned` keeps it as buffers of the module.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from onnx import AttributeProto
from onnx2torch.onnx_graph import OnnxGraph
from onnx2torch.onnx_node import OnnxNode
from torch import nn

from onnxattr.convert.ops.calls import Function, attributes_of
from onnxattr.convert.ops.table import builder, operator
from onnxattr.errors import SupportError


class Learned(nn.Module):
    """A function of tensors, of attributes, and of what was learned, which it takes by name.

    Args:
        function: Of the inputs in order.
        learned: Numbers that were learned, by attribute.
        attributes: All others, by name.
        outputs: How many the node lists.
    """

    def __init__(
        self,
        function: Function,
        learned: Mapping[str, torch.Tensor],
        attributes: Mapping[str, Any],
        outputs: int,
    ) -> None:
        super().__init__()
        self.function, self.attributes, self.outputs = function, dict(attributes), outputs
        for name, value in learned.items():
            self.register_buffer(name, value)
        self.names = tuple(learned)

    def forward(self, *values: torch.Tensor) -> Any:
        learned = {name: getattr(self, name) for name in self.names}
        result = self.function(*values, **learned, **self.attributes)
        if not isinstance(result, tuple):
            return result
        return result[0] if self.outputs == 1 else result[: self.outputs]


def learned(name: str) -> Callable[[Function], Function]:
    """Returns a decorator that puts a function into the table whose lists of floats are tensors.

    Its other attributes are what they are for `operator`. Class labels that are strings are refused
    where something reads them; scores alone have no need of them.
    """

    def decorate(function: Function) -> Function:
        def build(node: OnnxNode, graph: OnnxGraph) -> tuple[nn.Module, Sequence[str]]:
            attributes = attributes_of(node.proto)
            if attributes.get("classlabels_strings") and node.output_values[0]:
                first = node.output_values[0]
                if any(first in other.input_values for other in graph.nodes.values()):
                    raise SupportError("class labels that are strings")
            floats = {a.name for a in node.proto.attribute if a.type == AttributeProto.FLOATS}
            tensors = {key: torch.tensor(attributes.pop(key)) for key in sorted(floats)}
            module = Learned(function, tensors, attributes, len(node.output_values))
            return module, node.input_values

        builder(f"ai.onnx.ml.{name}")(build)
        return function

    return decorate


@learned("Scaler")
def _scaler(
    x: torch.Tensor, *, offset: torch.Tensor | None = None, scale: torch.Tensor | None = None
) -> torch.Tensor:
    # float32 whatever the input is: that is the type of what was learned.
    known = scale if offset is None else offset
    y = x.to(torch.float32 if known is None else known.dtype)
    y = y if offset is None else y - offset
    return y if scale is None else y * scale


@learned("Imputer")
def _imputer(
    x: torch.Tensor,
    *,
    imputed_value_floats: torch.Tensor | None = None,
    imputed_value_int64s: Sequence[int] = (),
    replaced_value_float: float = 0.0,
    replaced_value_int64: int = 0,
) -> torch.Tensor:
    if x.is_floating_point():
        assert imputed_value_floats is not None
        wanted = imputed_value_floats.to(x.dtype)
        missing = x.isnan()
        if replaced_value_float == replaced_value_float:
            missing = x == replaced_value_float
        return torch.where(missing, wanted, x)
    wanted = torch.tensor(imputed_value_int64s, dtype=x.dtype, device=x.device)
    return torch.where(x == replaced_value_int64, wanted, x)


@operator("ai.onnx.ml.Normalizer")
def _normalizer(x: torch.Tensor, *, norm: str = "MAX") -> torch.Tensor:
    y = x if x.is_floating_point() else x.to(torch.float32)
    axis = min(1, x.ndim - 1)
    if norm == "MAX":
        # ONNX Runtime's, and what the definition says: the largest number, not the largest size.
        size = y.amax(axis, keepdim=True)
    elif norm == "L1":
        size = y.abs().sum(axis, keepdim=True)
    else:
        squared = y.square().sum(axis, keepdim=True)
        # The derivative of a root at 0 is infinite.
        size = torch.where(squared > 0, torch.where(squared > 0, squared, 1).sqrt(), 0)
    return y / torch.where(size == 0, 1, size)


@operator("ai.onnx.ml.Binarizer", gradient=False)
def _binarizer(x: torch.Tensor, *, threshold: float = 0.0) -> torch.Tensor:
    return (x > threshold).to(x.dtype)


@operator("ai.onnx.ml.ArrayFeatureExtractor")
def _array_feature_extractor(x: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
    y = x.index_select(-1, indices.reshape(-1))
    return y.unsqueeze(0) if x.ndim == 1 else y


@operator("ai.onnx.ml.FeatureVectorizer")
def _feature_vectorizer(*xs: torch.Tensor, inputdimensions: Sequence[int] = ()) -> torch.Tensor:
    columns = []
    for x, count in zip(xs, inputdimensions, strict=True):
        y = x.reshape(x.shape[0], -1)
        y = y if y.is_floating_point() else y.to(torch.float32)
        columns.append(F.pad(y, (0, count - y.shape[1])))
    return torch.cat(columns, 1)


@operator("ai.onnx.ml.OneHotEncoder", gradient=False)
def _one_hot_encoder(
    x: torch.Tensor,
    *,
    cats_int64s: Sequence[int] = (),
    cats_strings: Sequence[str] = (),
    zeros: int = 1,
) -> torch.Tensor:
    if cats_strings:
        raise SupportError("categories that are strings")
    # A number of no category would be an error where `zeros` is 0: it is all zeros then, too.
    categories = torch.tensor(cats_int64s, device=x.device)
    return (x.to(torch.int64).unsqueeze(-1) == categories).to(torch.float32)


@operator("ai.onnx.ml.LabelEncoder", gradient=False)
def _label_encoder(
    x: torch.Tensor,
    *,
    default_float: float = -0.0,
    default_int64: int = -1,
    default_string: str = "",
    default_tensor: torch.Tensor | None = None,
    keys_floats: Sequence[float] = (),
    keys_int64s: Sequence[int] = (),
    keys_tensor: torch.Tensor | None = None,
    values_floats: Sequence[float] = (),
    values_int64s: Sequence[int] = (),
    values_tensor: torch.Tensor | None = None,
) -> torch.Tensor:
    keys = keys_tensor
    if keys is None:
        keys = torch.tensor(keys_floats or keys_int64s)
    values, default = values_tensor, default_tensor
    if values is None:
        values = torch.tensor(values_floats or values_int64s)
        default = torch.tensor(default_float if values_floats else default_int64)
    if default is None:
        default = torch.tensor(0)
    keys, values = keys.to(x.device, x.dtype), values.to(x.device)
    same = x.unsqueeze(-1) == keys
    if x.is_floating_point():
        same = same | (x.isnan().unsqueeze(-1) & keys.isnan())
    found = values[same.to(torch.uint8).argmax(-1)]
    default = default.to(x.device, values.dtype).reshape(())
    return torch.where(same.any(-1), found, default)
