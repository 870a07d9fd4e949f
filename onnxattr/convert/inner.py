"""A tensor inside a network as something that can be moved: the embedding of token ids."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import onnx
import torch
from torch import nn

from onnxattr.convert.torch import module_name
from onnxattr.errors import SupportError
from onnxattr.graph.walk import short
from onnxattr.types import Network

_DTYPES = {onnx.TensorProto.FLOAT16: torch.float16, onnx.TensorProto.DOUBLE: torch.float64}


@contextmanager
def leaf(
    network: Network,
    module: nn.Module,
    point: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> Iterator[list[torch.Tensor]]:
    """Makes the tensor `spec.at` a leaf of every forward pass in the body.

    Args:
        network: A network of token ids.
        module: The network's own module, or one that shares its submodules.
        point: What the pass goes on with, of what the tensor is; by default that.

    Yields:
        One tensor for each pass so far, [probe, length, …], which takes part in its gradient.

    Raises:
        SupportError: No submodule makes that tensor, or not one row for each token.
    """
    node, place = _maker(network)
    batched, made = bool(network.spec.layout), []

    def hook(_module: nn.Module, _args: Any, output: Any) -> Any:
        whole = list(output) if isinstance(output, tuple) else [output]
        value = whole[place].detach()
        value = value if batched else value.unsqueeze(0)
        if value.dim() < 2 or value.shape[1:2] != network.spec.axes[:1]:
            raise SupportError(
                f"the embedding `{short(network.spec.at)}` has the shape {list(value.shape)}: that "
                "is not one row for each token",
                model=network.model.name,
            )
        value = (value if point is None else point(value).to(value)).detach().requires_grad_()
        made.append(value)
        whole[place] = value if batched else value[0]
        return tuple(whole) if isinstance(output, tuple) else whole[0]

    handle = module.get_submodule(node).register_forward_hook(hook)
    try:
        yield made
    finally:
        handle.remove()


def dtype_of(network: Network) -> torch.dtype:
    """Returns the type of the embedding."""
    names, graph = network.dialect.names.values, network.dialect.proto.graph
    kinds = {
        value.type.tensor_type.elem_type
        for value in (*graph.value_info, *graph.output)
        if names.get(value.name) == network.spec.at
    }
    return next((_DTYPES[kind] for kind in kinds if kind in _DTYPES), torch.float32)


def _maker(network: Network) -> tuple[str, int]:
    """Returns the submodule that makes the embedding, and which of its outputs that is."""
    names = network.dialect.names.values
    for node in network.dialect.proto.graph.node:
        for place, value in enumerate(node.output):
            if names.get(value) == network.spec.at and node.op_type != "Outputs":
                return module_name(node), place
    raise SupportError(
        f"`{short(network.representation.value)}` does not depend on the embedding of its token "
        f"ids, `{short(network.spec.at)}`",
        hint="choose another tensor with --at",
        model=network.model.name,
    )
