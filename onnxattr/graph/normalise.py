"""From a vendor's graph to the dialect that the converter reads."""

import dataclasses
import logging
from collections.abc import Collection, Mapping, Sequence

import onnx_ir as ir
from onnx_ir.passes import common

from onnxattr.errors import SupportError
from onnxattr.graph import passes
from onnxattr.types import InputSpec, Model

# onnx-ir logs names of a vendor's file as they are; without a handler Python prints them on stderr.
logging.getLogger("onnx_ir").addHandler(logging.NullHandler())


#: What may become one node, in the order in which it must: some look for what others made.
FUSIONS: Mapping[str, type[ir.passes.PassBase]] = {
    "batch-norm": passes.FoldBatchNorm,
    "affine": passes.FoldAffine,
    "gelu": passes.FuseGelu,
    "swish": passes.FuseSwish,
    "mish": passes.FuseMish,
    "hard-swish": passes.FuseHardSwish,
    "layer-norm": passes.FuseLayerNorm,
    "attention": passes.FuseAttention,
    "linear": passes.FuseLinear,
    # Others look for a Max of their own.
    "bounds": passes.FuseBounds,
}


def normalise(
    model: Model,
    *,
    outputs: Sequence[str] | None = None,
    spec: InputSpec | None = None,
    fuse: Collection[str] = (),
    free_batch: bool = False,
    wide: bool = False,
) -> Model:
    """Returns `model` in our dialect, with the way back to the vendor's names; the input is kept.

    Args:
        model: A model as it was given.
        outputs: Tensors of the main graph to end at; by default the graph's own outputs.
        spec: Fixes the input's free dimensions, all but the batch, and stores what other inputs
            are fed; by default they stay free.
        fuse: Of `FUSIONS`: which chains of operators, that torch computes by one kernel, become
            one.
        free_batch: Whether inputs that fix a batch of one take any, where operators tell how.
        wide: Whether all of it computes in float64, whatever the types of its inputs.

    Raises:
        SupportError: A pass cannot handle the graph; names the pass.
    """
    rename, take_out = passes.Rename(), passes.TakeOutStored()
    sequence: list[ir.passes.PassBase] = [
        passes.Cut(outputs or [value.name for value in model.proto.graph.output]),
        common.RemoveInitializersFromInputsPass(),
        passes.KeepFunctionOpsets(),
        common.InlinePass(),
        passes.Remember(),
        common.RemoveUnusedNodesPass(),
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        passes.DropIdentities(),
        common.RemoveUnusedNodesPass(),
    ]
    if spec is not None:
        sequence.append(passes.Freeze(spec.input, shape(spec)))
        batch = spec.layout.index("N") if "N" in spec.layout else None
        sequence.append(passes.FixInputs(spec.fixed, spec.input, batch))
    sequence += [
        passes.KnownShapes(),
        passes.Unroll(),
        # Of casts it is known only now whether they change the type.
        passes.DropIdentities(),
        *([passes.FreeBatch()] if free_batch else []),
        passes.ExplicitPads(),
        passes.Carry(),
        *_fusions(fuse, wide),
        passes.UseOwnOperators(),
        passes.JoinOutputs(),
        take_out,
        rename,
    ]
    doing = "reading it"
    try:
        graph = _forget(ir.from_proto(model.proto))
        for name, array in model.apart.items():
            graph.graph.initializers[name].const_value = ir.tensor(array, name=name)
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
    stored = {str(value.name): tensor.numpy() for value, tensor in take_out.tensors.items()}
    return dataclasses.replace(model, proto=proto, names=rename.names, stored=stored)


def _fusions(chosen: Collection[str], wide: bool) -> list[ir.passes.PassBase]:
    """Returns the passes of some fusions; numbers that they compute are in float64 if the rest is.

    What numbers stand for is recognised before they are widened: it goes by how coarse they are.
    """
    found = [make() for name, make in FUSIONS.items() if name in chosen]
    if wide:
        found.append(passes.Widen())
        found.sort(key=lambda step: isinstance(step, passes.FoldBatchNorm | passes.FoldAffine))
    return [*found, common.RemoveUnusedNodesPass()] if found else []


def shape(spec: InputSpec) -> list[int | str]:
    """Returns the input's shape in the layout of `spec`; a free batch is named."""
    return ["batch" if size is None else size for size in spec.shape]


def _forget(model: ir.Model) -> ir.Model:
    """Takes away what the vendor says of shapes, which may be wrong, and all texts.

    Of the inputs' shapes only negative sizes go, by which old exporters mean free ones.
    """
    model.metadata_props.clear()
    for graph in model.graphs():
        graph.metadata_props.clear()
        graph.doc_string = None
        for node in graph:
            node.doc_string = None
            node.metadata_props.clear()
            for value in node.outputs:
                value.shape = None
        for value in graph.inputs:
            if value.shape is not None:
                sizes = [None if isinstance(d, int) and d < 0 else d for d in value.shape]
                value.shape = ir.Shape(sizes)
    model.doc_string = None
    return model
