"""What lies between a model's input and its first layers, for rules that do not go by the input."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import onnx
import torch

from onnxattr.attribution.rules.multipliers import nonzero
from onnxattr.attribution.rules.products import Bounds, moving_slot
from onnxattr.attribution.rules.table import Facts, Function, Site, key
from onnxattr.convert.array_feed import feed_of
from onnxattr.convert.ops.calls import Call
from onnxattr.errors import SupportError
from onnxattr.types import IMAGE, Network

#: What may normalise an input, value by value.
_BY_VALUE = frozenset({"Add", "Sub", "Mul", "Div", "BatchNormalization"})


def normalising(
    graph: onnx.GraphProto, facts: Mapping[str, Facts], layers: Collection[str]
) -> set[str]:
    """Returns the nodes that change values one by one on the way from the input to some layers.

    Args:
        graph: The dialect's.
        facts: Of its nodes.
        layers: First layers, by their nodes' names.
    """
    makers = {value: node for node in graph.node for value in node.output}
    waiting = [node for node in graph.node if node.name in layers]
    found, seen = set[str](), set[str]()
    while waiting:
        node = waiting.pop()
        moving = facts[node.name].moving
        for value, moves in zip(node.input, moving, strict=True):
            maker = makers.get(value)
            if not moves or maker is None or maker.name in seen:
                continue
            seen.add(maker.name)
            waiting.append(maker)
            if key(maker.op_type) in _BY_VALUE and sum(facts[maker.name].moving) == 1:
                found.add(maker.name)
    return found


def passing(site: Site) -> Function:
    """Returns an operator that hands relevance on, value by value, whatever it adds to the values.

    As if the model were fed what comes out: where it begins with its own normalisation, the mean
    that it subtracts takes no relevance of pixels away.
    """
    slot = site.moving.index(True)

    def function(*arguments: Any) -> Any:
        x = arguments[slot]
        y = site.function(*arguments)
        same = isinstance(y, torch.Tensor) and y.shape == x.shape
        return _Passing.apply(x, y.detach()) if same else y

    return function


class _Passing(torch.autograd.Function):
    """y, and c·y/x for x, where tiny numbers stand for 0. Arguments: x, y."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x, y)
        return y.view_as(y)

    @staticmethod
    def backward(ctx: Any, *multipliers: torch.Tensor) -> tuple[torch.Tensor, None]:
        x, y = ctx.saved_tensors
        return multipliers[0] * nonzero(y) / nonzero(x), None


def bounds(
    network: Network, sites: Mapping[str, Site], ruled: Callable[[Call, Function], Call]
) -> dict[str, Bounds]:
    """Returns the lowest and highest values that first layers can see: for black and white probes.

    Args:
        network: From `convert.torch.to_network`.
        sites: First layers, by their submodules' names.
        ruled: Returns a converted node with another function.

    Raises:
        SupportError: The probes are no images, so nothing bounds them.
    """
    if network.spec.kind != IMAGE:
        raise SupportError(
            "`z-box` needs the bounds of what the model is fed, which are known of images alone",
            hint="give `low` and `high` in a composite of your own, or use epsilon-plus-flat",
            model=network.model.name,
        )
    module, seen = copy.copy(network.module), dict[str, list[torch.Tensor]]()
    for name, site in sites.items():
        module.add_module(name, ruled(site.call, _noting(site, seen.setdefault(name, []))))
    feed = feed_of(network.spec).to(network.device)
    shape = (network.spec.batch or 1, 3, *network.spec.map_shape)
    with torch.no_grad():
        for fill in (torch.zeros, torch.ones):
            module(feed(fill(shape, device=network.device)))
    return {name: _ends(values) for name, values in seen.items()}


def _noting(site: Site, seen: list[torch.Tensor]) -> Function:
    slot = moving_slot(site)

    def function(*arguments: Any) -> Any:
        seen.append(arguments[slot][:1])
        return site.function(*arguments)

    return function


def _ends(values: Iterable[torch.Tensor]) -> Bounds:
    black, white = values
    return torch.minimum(black, white), torch.maximum(black, white)
