"""From a model as it was given to its layers, in one form whatever the exporter wrote."""

from __future__ import annotations

import onnx
import onnx_ir as ir
from onnx_ir.passes import common

from onnxattr.errors import SupportError
from onnxattr.graph import passes
from onnxattr.graph.layout import track_layout
from onnxattr.lineage.walk import Walk
from onnxattr.types import Model, Weights

#: Sizes that are free become this: of a layer nothing depends on them.
_FREE = 1


def weights_of_model(model: Model) -> Weights:
    """Returns the layers of a loaded model: batch norm folded, casts and quantisation undone.

    Convolutions and products with stored weights are layers, whatever lies between two of them:
    batch normalisation and other arithmetic with one number a channel is folded into the layer
    before it, or else into those behind it; transposes that an exporter puts around layouts are
    followed; activations are not looked at. Layers in the bodies of loops and branches are left
    out, and so is what has no columns, as biases of places.

    Args:
        model: From `graph.load.load`.

    Raises:
        SupportError: The graph cannot be rewritten.
        LimitError: The layers would take more than they may.
    """
    return _walked(model).finish()


def stored_layers(model: Model) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """Returns the graph with all weights as initializers, and by layer the name of its weights.

    The graph computes what the model does. A name is '' where a layer has no stored tensor, and may
    be missing from the graph where shapes were needed to tell it.

    Args:
        model: From `graph.load.load`.

    Raises:
        SupportError: The graph cannot be rewritten.
        LimitError: The layers would take more than they may.
    """
    return ir.to_proto(_plain(model, shapes=False)), _walked(model).sources()


def _walked(model: Model) -> Walk:
    graph = _plain(model)
    walk = Walk(model.name)
    for value in graph.graph.inputs:
        walk.enter(value, _channels(model, value))
    for node in graph.graph:
        walk.visit(node, node.version or graph.opset_imports.get("", 0))
    return walk


def _channels(model: Model, value: ir.Value) -> int | None:
    """Returns the axis of an input's channels, if it is known before an operator reads them."""
    rank = len(value.shape) if value.shape is not None else 0
    if rank == 2:
        return 1
    if rank != 4 or value.shape is None:
        return None
    sizes = [size if isinstance(size, int) else None for size in value.shape]
    found = track_layout(model.proto.graph, value.name or "", sizes)
    return found[0].index("C") if found is not None and "C" in found[0] else None


def _plain(model: Model, *, shapes: bool = True) -> ir.Model:
    """Returns the graph without functions and constants, and with shapes without free sizes.

    Without `shapes` it is left to be run on inputs of any size.
    """
    sequence: list[ir.passes.PassBase] = [
        passes.Cut([value.name for value in model.proto.graph.output]),
        common.RemoveInitializersFromInputsPass(),
        passes.KeepFunctionOpsets(),
        common.InlinePass(),
        passes.Remember(),
        common.RemoveUnusedNodesPass(),
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        passes.DropIdentities(),
        common.RemoveUnusedNodesPass(),
    ]
    sequence += [passes.KnownShapes()] if shapes else []
    doing = "reading it"
    try:
        graph = ir.from_proto(model.proto)
        for name, array in model.apart.items():
            graph.graph.initializers[name].const_value = ir.tensor(array, name=name)
        _forget(graph, inputs=shapes)
        for step in sequence:
            doing = type(step).__name__
            graph = step(graph).model
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise SupportError(
            f"the graph cannot be rewritten: {doing} failed: {reason}", model=model.name
        ) from error
    return graph


def _forget(model: ir.Model, *, inputs: bool) -> None:
    """Takes away what the vendor says of shapes, which may be wrong; free `inputs` become one."""
    for graph in model.graphs():
        for node in graph:
            for value in node.outputs:
                value.shape = None
    for value in model.graph.inputs if inputs else ():
        if value.shape is not None:
            sizes = [d if isinstance(d, int) and d > 0 else _FREE for d in value.shape]
            value.shape = ir.Shape(sizes)


__all__ = ["stored_layers", "weights_of_model"]
