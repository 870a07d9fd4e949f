"""From a vendor's graph to the dialect that the converter reads."""

import dataclasses
import logging
from collections.abc import Collection, Sequence

import onnx
import onnx_ir as ir
from onnx_ir.passes import common

from onnxattr.errors import SupportError
from onnxattr.graph import passes
from onnxattr.types import InputSpec, Model

# onnx-ir logs names of a vendor's file as they are; without a handler Python prints them on stderr.
logging.getLogger("onnx_ir").addHandler(logging.NullHandler())


def normalise(
    model: Model,
    *,
    outputs: Sequence[str] | None = None,
    spec: InputSpec | None = None,
    own: Collection[str] = (),
) -> Model:
    """Returns `model` in our dialect, with the way back to the vendor's names; the input is kept.

    Args:
        model: A model as it was given.
        outputs: Tensors of the main graph to end at; by default the graph's own outputs.
        spec: Fixes the input's free dimensions, all but the batch; by default they stay free.
        own: Operators with their since-version that have a converter of ours.

    Raises:
        SupportError: A pass cannot handle the graph; names the pass.
    """
    rename = passes.Rename()
    sequence: list[ir.passes.PassBase] = [
        passes.Cut(outputs or [value.name for value in model.proto.graph.output]),
        common.RemoveInitializersFromInputsPass(),
        common.InlinePass(),
        passes.Remember(),
        common.RemoveUnusedNodesPass(),
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        common.IdentityEliminationPass(),
        common.RemoveUnusedNodesPass(),
    ]
    if spec is not None:
        sequence.append(passes.Freeze(spec.input, shape(spec)))
    sequence += [
        common.ShapeInferencePass(check_type=False, strict_mode=False, data_prop=True),
        passes.ExplicitPads(),
        passes.AlignOpset(),
        passes.UseOwnOperators(own),
        common.RemoveUnusedNodesPass(),
        passes.JoinOutputs(),
        rename,
    ]
    doing = "reading it"
    try:
        graph = ir.from_proto(_bare(model.proto))
        for step in sequence:
            doing = type(step).__name__
            graph = step(graph).model
        doing = "writing it"
        proto = ir.to_proto(graph)
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise SupportError(
            f"the graph cannot be rewritten: {doing} failed: {reason}", model=model.name
        ) from error
    return dataclasses.replace(model, proto=proto, names=rename.names)


def shape(spec: InputSpec) -> list[int | str]:
    """Returns the input's shape in the layout of `spec`; a free batch is named."""
    batch: int | str = spec.batch or "batch"
    size: list[int | str] = [spec.height, spec.width]
    return [batch, 3, *size] if spec.layout == "NCHW" else [batch, *size, 3]


def _bare(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Returns a copy without what the vendor says of shapes and metadata: both may be wrong.

    Of the inputs' shapes only negative sizes go, by which old exporters mean free ones.
    """
    bare = onnx.ModelProto()
    bare.CopyFrom(proto)
    del bare.metadata_props[:]
    del bare.graph.value_info[:]
    del bare.graph.metadata_props[:]
    bare.doc_string = bare.graph.doc_string = ""
    for value in (*bare.graph.input, *bare.graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_value < 0:
                dim.Clear()
    for node in bare.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    return bare
