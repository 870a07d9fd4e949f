"""A tensor inside a network as something that can be moved, as an embedding is."""

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
    name, batched = _named(network), bool(network.spec.layout)

    def change(value: torch.Tensor) -> torch.Tensor:
        value = value if batched else value.unsqueeze(0)
        if value.dim() < 2 or value.shape[1:2] != network.spec.axes[:1]:
            raise SupportError(
                f"the embedding `{short(network.spec.at)}` has the shape {list(value.shape)}: that "
                "is not one row for each token",
                model=network.model.name,
            )
        return value if point is None else point(value).to(value)

    def back(value: torch.Tensor) -> torch.Tensor:
        return value if batched else value[0]

    with cut(network, module, name, change, back) as made:
        yield made


@contextmanager
def cut(
    network: Network,
    module: nn.Module,
    name: str,
    change: Callable[[torch.Tensor], torch.Tensor] = lambda value: value,
    back: Callable[[torch.Tensor], torch.Tensor] = lambda value: value,
) -> Iterator[list[torch.Tensor]]:
    """Makes a tensor a leaf of every forward pass in the body: what is before it has no gradient.

    Args:
        network: A network.
        module: The network's own module, or one that shares its submodules.
        name: Of the tensor in the network's dialect.
        change: From the tensor to the leaf.
        back: From the leaf to what the pass goes on with.

    Yields:
        One leaf for each pass so far.

    Raises:
        SupportError: No submodule makes that tensor.
    """
    node, place = _maker(network, name)
    made: list[torch.Tensor] = []

    def hook(_module: nn.Module, _args: Any, output: Any) -> Any:
        whole = list(output) if isinstance(output, tuple) else [output]
        made.append(change(whole[place].detach()).detach().requires_grad_())
        whole[place] = back(made[-1])
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


def _named(network: Network) -> str:
    """Returns the embedding's name in the dialect."""
    made = {value for node in _nodes(network) for value in node.output}
    for name, vendor in network.dialect.names.values.items():
        if vendor == network.spec.at and name in made:
            return name
    raise SupportError(
        f"`{short(network.representation.value)}` does not depend on the embedding of its token "
        f"ids, `{short(network.spec.at)}`",
        hint="choose another tensor with --at",
        model=network.model.name,
    )


def _maker(network: Network, name: str) -> tuple[str, int]:
    """Returns the submodule that makes a tensor, and which of its outputs that is."""
    for node in _nodes(network):
        if name in node.output:
            return module_name(node), list(node.output).index(name)
    raise SupportError(f"no operator makes the tensor `{name}`", model=network.model.name)


def _nodes(network: Network) -> Iterator[onnx.NodeProto]:
    return (n for n in network.dialect.proto.graph.node if n.op_type != "Outputs")
