"""Puts relevance rules in the place of a network's operators."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

import onnxattr.attribution.rules.operators  # noqa: F401 - fills the table
from onnxattr.attribution.rules.composites import Composite
from onnxattr.attribution.rules.graph import analyse
from onnxattr.attribution.rules.layers import layer
from onnxattr.attribution.rules.table import ROWS, Function, Row, Site, key
from onnxattr.convert.ops.table import Call
from onnxattr.convert.torch import module_name
from onnxattr.errors import SupportError
from onnxattr.graph.walk import label
from onnxattr.types import Network

#: Nodes that only name values.
_NAMES = frozenset({"Parameter", "Outputs"})

#: Why a node is refused that no row tells of.
UNKNOWN = "its relevance rule is not known"


def with_rules(network: Network, composite: Composite, *, attention: str = "cp") -> nn.Module:
    """Returns the network's module with multipliers for gradients; weights are shared, not copied.

    Its values are the network's own. By autograd its gradient is c, such that z ⊙ c is the
    relevance of z.

    Args:
        network: From `convert.torch.to_network`.
        composite: The rules of its layers.
        attention: `cp` or `attn-lrp`: how products of two activations are taken.

    Raises:
        SupportError: Operators have no rule; all of them are named.
    """
    facts, refused = analyse(network), dict[str, str]()
    # A copy of a GraphModule has its own table of submodules, in which replacing is safe.
    module = copy.copy(network.module)
    for node in network.dialect.proto.graph.node:
        known = facts[node.name]
        if node.op_type in _NAMES or not any(known.moving):
            continue
        operator, call = key(node.op_type), getattr(network.module, module_name(node), None)
        row = ROWS.get(operator, Row(refuse=UNKNOWN))
        if row.refuse or not isinstance(call, Call):
            refused[node.name] = row.refuse or UNKNOWN
            continue
        site = Site(
            call=call,
            operator=operator,
            ranks=known.ranks,
            moving=known.moving,
            nonnegative=known.nonnegative,
            first=known.first,
            attention=attention,
        )
        try:
            function = _function(site, row, composite)
        except SupportError as error:
            refused[node.name] = error.message
            continue
        if function is not None:
            module.add_module(module_name(node), _ruled(call, function))
    if refused:
        raise _refusal(network, refused)
    return module


def _function(site: Site, row: Row, composite: Composite) -> Function | None:
    """Returns what stands for a node's function; None if that may stay."""
    if row.layer and sum(site.moving[:2]) == 1:
        return layer(site, composite.rule(row.layer, first=site.first))
    if row.rule is not None:
        return row.rule(site)
    signal = range(len(site.moving)) if row.signal is None else row.signal
    fixed = [i for i, moving in enumerate(site.moving) if moving and i not in signal]
    return _detached(site, fixed) if fixed else None


def _detached(site: Site, fixed: Sequence[int]) -> Function:
    """Returns the operator with some of its inputs held fixed."""

    def function(*arguments: Any) -> Any:
        given = list(arguments)
        for i in fixed:
            given[i] = given[i].detach() if isinstance(given[i], torch.Tensor) else given[i]
        return site.function(*given)

    return function


def _ruled(call: Call, function: Function) -> Call:
    """Returns a converted node with another function; it holds the same tensors."""
    ruled = copy.copy(call)
    vars(ruled).update(function=function, attributes={})
    return ruled


def _refusal(network: Network, refused: dict[str, str]) -> SupportError:
    groups: dict[str, list[str]] = {}
    for name, reason in refused.items():
        groups.setdefault(reason, []).append(label(network.dialect.names.nodes[name]))
    listing = "; ".join(f"{', '.join(labels)}: {reason}" for reason, labels in groups.items())
    return SupportError(
        f"it has no relevance rule for {listing}",
        hint="methods by gradient need none: --method grad-input, or integrated-gradients",
        model=network.model.name,
    )
