"""Disguises of the file: names, layout, precision. The weights are the same, up to rounding."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, helper

from benchmarks.disguises import graphs


def rename(model: ModelProto, rng: np.random.Generator) -> ModelProto:
    """Return the model with other names, another order of its tensors, and no origin."""
    result = graphs.copy(model)
    names = [t.name for t in result.graph.initializer]
    names += [v.name for v in result.graph.input if v.name not in names]
    names += [name for node in result.graph.node for name in node.output if name]
    fresh = dict(zip(names, (f"t{n}" for n in rng.permutation(len(names))), strict=True))
    for node in result.graph.node:
        node.name = ""
        for side in (node.input, node.output):
            side[:] = [fresh.get(name, name) for name in side]
    for item in (*result.graph.initializer, *result.graph.input, *result.graph.output):
        item.name = fresh[item.name]
    tensors = list(result.graph.initializer)
    order = rng.permutation(len(tensors))
    shuffled = [onnx.TensorProto.FromString(tensors[n].SerializeToString()) for n in order]
    del result.graph.initializer[:]
    result.graph.initializer.extend(shuffled)
    result.producer_name = result.producer_version = ""
    result.graph.name = "g"
    del result.metadata_props[:]
    return graphs.clear(result)


def channels_last(model: ModelProto) -> ModelProto:
    """Return the model with NHWC outside: a transposition before and one behind."""
    result = graphs.copy(model)
    given, answer = result.graph.input[0], result.graph.output[0]
    inside, outside = graphs.dims(given), graphs.dims(answer)
    front = helper.make_node("Transpose", ["given"], [given.name], perm=[0, 3, 1, 2])
    back = helper.make_node("Transpose", [answer.name], ["answer"], perm=[0, 2, 3, 1])
    graphs.insert_front(result, [front], [inside[n] for n in (0, 2, 3, 1)])
    graphs.append(result, [back], [outside[n] for n in (0, 2, 3, 1)])
    return graphs.clear(result)


def half(model: ModelProto) -> ModelProto:
    """Return the model in float16, by ONNX Runtime's converter; input and output stay float32."""
    from onnxruntime.transformers.float16 import convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    result = OnnxModel(convert_float_to_float16(graphs.copy(model), keep_io_types=True))
    result.topological_sort()  # the converter leaves its casts at the end
    return graphs.clear(result.model)


def int8_static(model: ModelProto, images: graphs.Array) -> ModelProto:
    """Return the model with QuantizeLinear and DequantizeLinear around each layer.

    Args:
        model: In float32.
        images: float32, as the model takes them; ranges are those of what it computes from them.
    """
    from onnxruntime.quantization import CalibrationDataReader, quantize_static

    name = model.graph.input[0].name

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        """Hands the images out in parts."""

        def __init__(self) -> None:
            self._parts: Iterator[graphs.Array] = iter(np.array_split(images, 4))

        def get_next(self) -> dict[str, graphs.Array] | None:
            """Return the next part by the input's name, or None."""
            part = next(self._parts, None)
            return None if part is None else {name: part}

    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        onnx.save(model, source)
        # Weights of seven bits: where a processor lacks VNNI, sums of eight-bit products saturate.
        quantize_static(source, target, Reader(), per_channel=True, reduce_range=True)
        return onnx.load(target)


def int8_dynamic(model: ModelProto) -> ModelProto:
    """Return the model with weights of eight bits, whose activations are quantised as it runs."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        onnx.save(model, source)
        # ONNX Runtime has no kernel of ConvInteger for signed weights.
        quantize_dynamic(source, target, weight_type=QuantType.QUInt8)
        return onnx.load(target)
