"""PaddlePaddle: exports inference models through paddle2onnx; their layout is kept.

paddle2onnx needs an older onnx than the rest of this project, so it lives in an environment of its
own, whose Python `onnxattr export --python` names.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxattr_adapters import Adapter, ExportError, require
from onnxattr_adapters._file import Array, check, clean, draft, one_line, save, stamp
from onnxattr_adapters._source import arrays, existing, has_suffix

if TYPE_CHECKING:
    import onnx

#: How the file of a program may end, newest first; the weights are beside it.
_PROGRAMS, _WEIGHTS = (".json", ".pdmodel"), ".pdiparams"


def export(program: Path, path: Path, *, example: Sequence[Array] = ()) -> None:
    """Write an inference model as an ONNX file that was compared with it.

    Args:
        program: The file of the program, `.json` or `.pdmodel`; `.pdiparams` lies beside it.
        path: Where to write.
        example: One array for each input; needed where more than the batch is left open.

    Raises:
        ExportError: paddle2onnx cannot export it, or the file differs from it.
    """
    require("paddle", "paddle2onnx")
    weights = program.with_suffix(_WEIGHTS)
    if not weights.is_file():
        raise ExportError(f"there is no `{weights.name}` beside it")
    # Its default optimiser downloads and installs packages while it exports; that is never wanted.
    os.environ["POLYGRAPHY_AUTOINSTALL_DEPS"] = "0"
    import onnx
    import paddle2onnx

    with draft(path) as place:
        try:
            paddle2onnx.export(
                str(program), str(weights), str(place), optimize_tool="None", verbose=False
            )
            model = onnx.load(str(place))
        except Exception as error:  # it raises many unrelated types, or writes no file
            raise ExportError(f"paddle2onnx cannot export it: {one_line(error)}") from error
        inputs = list(example) or [_noise(value) for value in model.graph.input]
        names = [value.name for value in model.graph.input]
        references = _run(program, weights, dict(zip(names, inputs, strict=True)))
        clean(model)
        stamp(model, {})
        save(model, place)
        check(place, inputs, references)


def _noise(value: onnx.ValueInfoProto) -> Array:
    import onnx

    kind = value.type.tensor_type
    sizes = [dim.dim_value for dim in kind.shape.dim]
    if not all(sizes[1:]):
        raise ExportError(f"the input `{value.name}` leaves sizes open: --example")
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
    text = "x".join(map(str, [sizes[0] or 2, *sizes[1:]])) + f":{dtype}"
    return arrays([text])[0]


def _run(program: Path, weights: Path, inputs: dict[str, Array]) -> list[Array]:
    """Return what Paddle computes, by its plain kernels."""
    from paddle import inference

    try:
        config = inference.Config(str(program), str(weights))
        config.disable_gpu()
        config.disable_mkldnn()
        config.disable_glog_info()
        predictor = inference.create_predictor(config)
        for name, values in inputs.items():
            predictor.get_input_handle(name).copy_from_cpu(values)
        predictor.run()
        names = predictor.get_output_names()
        outputs: list[Any] = [predictor.get_output_handle(name).copy_to_cpu() for name in names]
    except Exception as error:
        raise ExportError(f"Paddle cannot run it: {one_line(error)}") from error
    return outputs


def _program(source: str) -> str | None:
    """Return the file of the program that a source means, or None where it is no such model."""
    if has_suffix(source, ".pdmodel"):
        return source
    if has_suffix(source, ".json"):
        return source if os.path.isfile(source[: -len(".json")] + _WEIGHTS) else None
    if has_suffix(source, _WEIGHTS):
        places = [source[: -len(_WEIGHTS)] + suffix for suffix in _PROGRAMS]
    else:
        places = [os.path.join(source, "inference" + suffix) for suffix in _PROGRAMS]
    return next((place for place in places if os.path.isfile(place)), None)


def _export_source(source: str, path: Path, example: Sequence[str] = ()) -> None:
    export(existing(_program(source) or source), path, example=arrays(example))


ADAPTER = Adapter(
    install="onnxattr[paddle]",
    recognises=lambda source: _program(source) is not None,
    holds_code=lambda source: True,
    export=_export_source,
    takes=("example",),
)
