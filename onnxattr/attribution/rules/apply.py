"""Puts relevance rules in the place of a network's operators."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

import onnxattr.attribution.rules.operators  # noqa: F401 - fills the table
from onnxattr.attribution.rules.composites import ABSOLUTE, Composite
from onnxattr.attribution.rules.first import bounds, normalising, passing
from onnxattr.attribution.rules.graph import analyse
from onnxattr.attribution.rules.layers import layer
from onnxattr.attribution.rules.products import is_layer
from onnxattr.attribution.rules.table import ROWS, Facts, Function, Row, Site, key
from onnxattr.convert.ops.calls import Call
from onnxattr.convert.torch import module_name
from onnxattr.errors import SupportError
from onnxattr.graph.walk import label
from onnxattr.types import Network

#: Nodes that only name values.
_NAMES = frozenset({"Parameter", "Outputs"})

#: How products of two activations are taken: one of them as a gate (CP-LRP), or half each.
CP, ATTN_LRP = "cp", "attn-lrp"

_NO_ROW = Row(refuse="its relevance rule is not known")


def with_rules(network: Network, composite: Composite, *, attention: str = CP) -> nn.Module:
    """Returns the network's module with multipliers for gradients; weights are shared, not copied.

    Its values are the network's own. By autograd its gradient is c, such that z ⊙ c is the
    relevance of z; what is no number z at all may have relevance where `nonzero(z)` stands for it.

    Args:
        network: From `convert.torch.to_network`.
        composite: The rules of its layers.
        attention: `cp` or `attn-lrp`: how products of two activations are taken.

    Raises:
        SupportError: Operators have no rule; all of them are named. Or a rule of the composite
            cannot be applied.
    """
    facts, graph = analyse(network, attention), network.dialect.proto.graph
    sites, refused = dict[str, Site](), dict[str, str]()
    for node in graph.node:
        if node.op_type in _NAMES or not any(facts[node.name].moving):
            continue
        row = ROWS.get(key(node.op_type), _NO_ROW)
        call = getattr(network.module, module_name(node), None)
        if row.refuse or (row.rule is not None and not isinstance(call, Call)):
            refused[node.name] = row.refuse or _NO_ROW.refuse
            continue
        if not isinstance(call, Call):
            # A module of its own that is linear in what it takes, such as a scaler of features.
            continue
        known = facts[node.name]
        sites[node.name] = Site(
            call=call,
            operator=key(node.op_type),
            ranks=known.ranks,
            moving=known.moving,
            nonnegative=known.nonnegative,
            first=known.first,
            attention=attention,
        )
    functions = _of_first_layers(network, composite, facts, sites)
    for name, site in sites.items():
        try:
            if name not in functions:
                functions[name] = _function(site, composite)
        except SupportError as error:
            refused[name] = error.message
    if refused:
        raise _refusal(network, refused)
    # A copy of a GraphModule has its own table of submodules, in which replacing is safe.
    module = copy.copy(network.module)
    for node in graph.node:
        if function := functions.get(node.name):
            module.add_module(module_name(node), _ruled(sites[node.name].call, function))
    return module


def _function(site: Site, composite: Composite) -> Function | None:
    """Returns what stands for a node's function; None if that may stay."""
    row = ROWS[site.operator]
    if is_layer(site):
        return layer(site, composite.rule(row.layer, first=site.first))
    if row.rule is not None:
        return row.rule(site)
    signal = range(len(site.moving)) if row.signal is None else row.signal
    fixed = [i for i, moving in enumerate(site.moving) if moving and i not in signal]
    return _detached(site, fixed) if fixed else None


def _of_first_layers(
    network: Network, composite: Composite, facts: Mapping[str, Facts], sites: Mapping[str, Site]
) -> dict[str, Function | None]:
    """Returns the functions of layers whose relevance does not go by the input, and before them."""
    chosen = {
        name: composite.rule(ROWS[site.operator].layer, first=True)
        for name, site in sites.items()
        if site.first and is_layer(site)
    }
    chosen = {name: rule for name, rule in chosen.items() if rule.name in ABSOLUTE}
    boxed = {n: sites[n] for n, rule in chosen.items() if rule.name == "z-box"}
    boxed = {n: site for n, site in boxed.items() if chosen[n].options["low"] is None}
    graph = network.dialect.proto.graph
    modules = {node.name: module_name(node) for node in graph.node}
    known = bounds(network, {modules[n]: s for n, s in boxed.items()}, _ruled) if boxed else {}
    functions = {n: layer(sites[n], rule, known.get(modules[n])) for n, rule in chosen.items()}
    before = normalising(graph, facts, chosen)
    return functions | {name: passing(sites[name]) for name in before if name in sites}


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
