"""Frees the batch of a graph that was exported for a batch of one."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from onnxattr.graph.arithmetic import Product, sizes_of
from onnxattr.graph.batch.layouts import FIRST, Layout, Size, Step
from onnxattr.graph.batch.search import search
from onnxattr.graph.load import OWN_DOMAIN
from onnxattr.graph.passes.infer import InferShapes
from onnxattr.graph.passes.provenance import inherit, vendor_name
from onnxattr.graph.passes.shapes import store

#: What the free size is called.
_BATCH = "onnxattr.batch"

#: A batch that shapes are inferred for: no other size of a graph is likely to be a multiple of it.
_TRIED = 8191


class FreeBatch(ir.passes.InPlacePass):
    """Lets inputs whose first size is one take any batch, where operators tell how.

    Exporters that trace write the batch that they saw into Reshape, often merged with heads or
    windows, and expand class tokens and initial states to it. From the inputs on it is told of
    every value where the batch lies in it. Then a Reshape leaves that size open, and what is stored
    for one member is repeated for all. It is all or nothing: where some node could mix members, or
    is not known, or an output does not end up with the batch first, the graph stays as it is.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Returns the model with a free batch, or as it was."""
        kept = ir.passes.PassResult(model, modified=False)
        if not _single(model.graph):
            return kept
        trial = model.clone()
        inputs = _single(trial.graph)
        choices = search(trial.graph, inputs)
        if choices is None:
            return kept
        layouts = dict.fromkeys(inputs, FIRST)
        for choice in choices.values():
            layouts |= choice.layouts
        values = [*inputs, *(v for node in trial.graph for v in node.outputs)]
        sizes = {v: sizes_of(v) for v in values}
        rewriter = _Rewriter(inputs[0])
        for node, choice in choices.items():
            rewriter.rewrite(node, choice.step)
        for (value, layout), copy in rewriter.repeated.items():
            sizes[copy], layouts[copy] = sizes_of(value), layout
        if not _confirmed(trial, sizes, layouts, {*inputs, *rewriter.repeated.values()}):
            return kept
        for value, known in sizes.items():
            value.shape = _shape(known, layouts.get(value), _BATCH)
        model.graph = trial.graph
        model.opset_imports[OWN_DOMAIN] = 1
        return ir.passes.PassResult(model, modified=True)


def _single(graph: ir.Graph) -> list[ir.Value]:
    return [v for v in graph.inputs if v.shape is not None and len(v.shape) > 1 and v.shape[0] == 1]


def _shape(sizes: list[Size] | None, layout: Layout | None, batch: int | str) -> ir.Shape | None:
    """Returns the shape with a batch, of which `sizes` is the one without."""
    if sizes is None or layout is None:
        return None if sizes is None else ir.Shape(sizes)
    if isinstance(batch, int):
        whole: int | str = layout.size * batch
    else:
        whole = batch if layout.size == 1 else Product(layout.size, batch)
    return ir.Shape([whole if i == layout.axis else size for i, size in enumerate(sizes)])


class _Rewriter:
    """Rewrites nodes; what is stored anew, or repeated, is so once for all that need it.

    Args:
        batch: An input that has the batch.

    Attributes:
        repeated: What was repeated, by the value and where the batch lies.
    """

    def __init__(self, batch: ir.Value) -> None:
        self._batch = batch
        self._stored: dict[tuple[int, ...], ir.Value] = {}
        self.repeated: dict[tuple[ir.Value, Layout], ir.Value] = {}

    def rewrite(self, node: ir.Node, step: Step) -> None:
        """Makes `node` do what `step` says."""
        for place, layout in step.repeats.items():
            value = node.inputs[place]
            assert value is not None, "an input that is not given is not repeated"
            if (value, layout) not in self.repeated:
                self.repeated[value, layout] = self._repeat(node, value, layout)
            node.replace_input_with(place, self.repeated[value, layout])
        stored = dict(step.stored)
        if step.target:
            stored[1], node.op_type = step.target, "Reshape"
            node.attributes.clear()
            node.resize_inputs(2)
        for place, numbers in stored.items():
            self._store(node, place, tuple(numbers))

    def _store(self, node: ir.Node, place: int, numbers: tuple[int, ...]) -> None:
        if numbers not in self._stored:
            before = node.inputs[place]
            name = vendor_name(before) if before is not None else ""
            array = np.asarray(numbers, dtype=object)
            self._stored[numbers] = store(node, array, ir.DataType.INT64, name)
        node.replace_input_with(place, self._stored[numbers])

    def _repeat(self, node: ir.Node, value: ir.Value, layout: Layout) -> ir.Value:
        """Returns `value` for every member, made before `node`, which is the first to need it."""
        graph = node.graph
        assert isinstance(graph, ir.Graph)
        numbers = [ir.AttrInt64("axis", layout.axis), ir.AttrInt64("inner", layout.inner)]
        new = ir.Node(OWN_DOMAIN, "RepeatBatch", [value, self._batch], numbers, num_outputs=1)
        (made,) = new.outputs
        made.name = f"{value.name}.batch.{layout.axis}.{layout.inner}"
        made.type = value.type
        inherit(new, node)
        graph.insert_before(node, [new])
        return made


def _confirmed(
    trial: ir.Model,
    sizes: dict[ir.Value, list[Size] | None],
    layouts: dict[ir.Value, Layout],
    given: set[ir.Value],
) -> bool:
    """Whether onnx infers, for a batch of some size, the shapes that follow from the layouts."""
    wanted = {v: _shape(s, layouts.get(v), _TRIED) for v, s in sizes.items()}
    for value, shape in wanted.items():
        value.shape = shape if value in given else None
    trial.opset_imports[OWN_DOMAIN] = 1
    InferShapes()(trial)
    return all(_agree(shape, value.shape) for value, shape in wanted.items())


def _agree(wanted: ir.Shape | None, found: ir.Shape | None) -> bool:
    """Whether what is known of a shape was found again."""
    if wanted is None:
        return True
    if found is None or len(found) != len(wanted):
        return False
    return all(w == f for w, f in zip(wanted, found, strict=True) if isinstance(w, int))
