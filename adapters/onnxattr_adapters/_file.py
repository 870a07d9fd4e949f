"""What all adapters do with a freshly exported file: clean it, run it, and only then publish it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from onnxattr_adapters import ExportError

if TYPE_CHECKING:
    import onnx

Array = npt.NDArray[Any]
Spec = str | float | Sequence[float]

#: Of the metadata keys that say how an image is fed to a model.
PREFIX = "onnxattr."

TOLERANCE = 1e-4
"""Allowed max|Δ| between file and model, as a share of max|reference|."""


@contextmanager
def draft(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a place to write to, and move what was written to `path` if the body succeeds.

    After an error `path` is what it was before: no half-written or wrong file is left behind.

    Example:
        >>> import tempfile, pathlib
        >>> target = pathlib.Path(tempfile.mkdtemp()) / "text.onnx"
        >>> with draft(target) as place:
        ...     _ = place.write_text("checked")
        >>> target.read_text()
        'checked'
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".export-") as folder:
        place = Path(folder) / "model.onnx"
        yield place
        place.replace(target)


def clean(model: onnx.ModelProto) -> None:
    """Remove, in place, what exporters note down about the machine: stack traces and file paths.

    torch's exporter attaches the Python stack trace of every node, which names the exporting
    user's files and can outweigh a small model's weights. The producer's name and version stay.
    """
    del model.metadata_props[:]
    model.doc_string = ""
    for function in model.functions:
        function.doc_string = ""
        del function.metadata_props[:]
        _clean_nodes(function.node)
        _clean_values(function.value_info)
    _clean_graph(model.graph)


def stamp(model: onnx.ModelProto, spec: Mapping[str, Spec]) -> None:
    """Write, in place, what is known of the input as metadata; what was said of it before goes.

    Args:
        model: The model.
        spec: `layout`, `color` and `resize` as texts; `range`, `mean` and `std` as numbers, `gamma`
            as one; `size` as (height, width). What is not known is left out.

    Example:
        >>> import onnx
        >>> model = onnx.ModelProto()
        >>> stamp(model, {"layout": "NHWC", "range": (0, 255), "size": (224, 224)})
        >>> [(entry.key, entry.value) for entry in model.metadata_props]
        [('onnxattr.layout', 'NHWC'), ('onnxattr.range', '0 255'), ('onnxattr.size', '224x224')]
    """
    kept = [entry for entry in model.metadata_props if not entry.key.startswith(PREFIX)]
    del model.metadata_props[:]
    for entry in kept:
        model.metadata_props.add(key=entry.key, value=entry.value)
    for part, value in spec.items():
        if isinstance(value, str):
            text = value
        else:
            numbers = [value] if isinstance(value, int | float) else value
            text = ("x" if part == "size" else " ").join(f"{number:.9g}" for number in numbers)
        model.metadata_props.add(key=PREFIX + part, value=text)


def save(model: onnx.ModelProto, path: Path) -> None:
    """Write a model as one file.

    Raises:
        ExportError: it is larger than the 2 GB that one protobuf file can hold.
    """
    from google.protobuf.message import EncodeError

    try:
        # The same model gives the same bytes, by which finished maps are found again.
        path.write_bytes(model.SerializeToString(deterministic=True))
    except (ValueError, EncodeError) as error:
        raise ExportError(f"the model does not fit into one file: {one_line(error)}") from error


def check(
    path: Path,
    inputs: Sequence[Array],
    references: Sequence[Array],
    tolerance: float = TOLERANCE,
) -> None:
    """Compare a file, run by ONNX Runtime on the CPU, with what the native model returned.

    Args:
        path: The file.
        inputs: One array for each input of the file, in its order.
        references: The native model's outputs for them, in the order of the file's outputs.
        tolerance: Allowed max|Δ|, as a share of max|reference|.

    Raises:
        ExportError: ONNX Runtime refuses the file, the number or shape of the outputs differs, an
            output is not finite where the model's is, or max|Δ| > tolerance · max|reference|.
    """
    import onnxruntime

    try:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        names = [value.name for value in session.get_inputs()]
        if len(names) != len(inputs):
            raise ExportError(
                f"the exported file has {len(names)} inputs, the model takes {len(inputs)}"
            )
        outputs = session.run(None, dict(zip(names, inputs, strict=True)))
    except ExportError:
        raise
    except Exception as error:  # ONNX Runtime's exceptions have no common base
        raise ExportError(
            f"ONNX Runtime cannot run the exported file: {one_line(error)}"
        ) from error
    if len(outputs) != len(references):
        raise ExportError(
            f"the exported file has {len(outputs)} outputs, the model has {len(references)}"
        )
    for number, (output, reference) in enumerate(zip(outputs, references, strict=True)):
        _compare(number, np.asarray(output), np.asarray(reference), tolerance)


def one_line(error: BaseException) -> str:
    """Return the first line of an exception's text, or its type where it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _compare(number: int, output: Array, reference: Array, tolerance: float) -> None:
    if output.shape != reference.shape:
        raise ExportError(
            f"output {number} has shape {output.shape} in the exported file, "
            f"and {reference.shape} in the model"
        )
    if output.size == 0:
        return
    difference = float(np.abs(output.astype(np.float64) - reference.astype(np.float64)).max())
    allowed = tolerance * float(np.abs(reference.astype(np.float64)).max())
    if not difference <= allowed:  # also true for NaN
        raise ExportError(
            f"output {number} of the exported file differs from the model by {difference:.3g}, "
            f"more than the allowed {allowed:.3g}"
        )


def _clean_graph(graph: onnx.GraphProto) -> None:
    graph.doc_string = ""
    del graph.metadata_props[:]
    _clean_nodes(graph.node)
    _clean_values([*graph.input, *graph.output, *graph.value_info, *graph.initializer])


def _clean_values(values: Iterable[onnx.ValueInfoProto | onnx.TensorProto]) -> None:
    for value in values:
        value.doc_string = ""
        del value.metadata_props[:]


def _clean_nodes(nodes: Iterable[onnx.NodeProto]) -> None:
    for node in nodes:
        node.doc_string = ""
        del node.metadata_props[:]
        for attribute in node.attribute:
            attribute.doc_string = ""
            for graph in (attribute.g, *attribute.graphs):
                if graph.node:
                    _clean_graph(graph)
