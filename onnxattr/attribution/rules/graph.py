"""What relevance rules need to know of the graph around a node. Reads the dialect; no torch."""

from __future__ import annotations

from collections.abc import Mapping

from onnxattr.attribution.rules.table import ROWS, SIGNAL, Facts, key
from onnxattr.convert.ops import OPERATORS
from onnxattr.types import TOKENS, Network


def analyse(network: Network) -> Mapping[str, Facts]:
    """Returns what is known of each node of the dialect's main graph, by our name of it.

    Of token ids it is their embedding, `spec.at`, that moves.
    """
    names, graph = network.dialect.names.values, network.dialect.proto.graph
    start = network.spec.at if network.spec.kind == TOKENS else network.spec.input
    moving, behind = {v for v, name in names.items() if name == start}, set[str]()
    facts = {}
    for node in graph.node:
        found = tuple(name in moving for name in node.input)
        row, entry = ROWS.get(key(node.op_type)), OPERATORS.get(node.op_type)
        passed = any(name in behind for name in node.input)
        layer = bool(row and row.layer and sum(found[:2]) == 1)
        facts[node.name] = Facts((SIGNAL,) * len(found), found, first=layer and not passed)
        if any(found) and (entry is None or entry.gradient):
            moving.update(node.output)
            if layer or passed:
                behind.update(node.output)
    return facts
