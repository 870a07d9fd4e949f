"""`onnxattr export`."""

import dataclasses
import functools
from pathlib import Path
from typing import Annotated, Any

import typer

from onnxattr.cli import options
from onnxattr.cli.console import check_output, say
from onnxattr.cli.guard import guard
from onnxattr.cli.limits import limits_of, with_limits
from onnxattr.cli.sources import export_of, with_sources


@functools.partial(with_limits, only=("memory", "seconds", "file_size"))
@with_sources
def export(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE", help="A file, a directory, or module:callable.", show_default=False
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="FILE", help="The ONNX file to write.", show_default=False
        ),
    ],
    state_dict: Annotated[
        Path | None,
        typer.Option(
            "--state-dict",
            metavar="FILE",
            help="Weights for module:callable: safetensors, or those of torch without objects.",
            show_default=False,
        ),
    ] = None,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
    *,
    sources: dict[str, Any],
    limits: dict[str, str],
) -> None:
    """Write a framework's model as an ONNX file that was compared with it.

    PyTorch: .pt2, TorchScript, module:callable. Keras: .keras, .h5.
    TensorFlow: SavedModel, .tflite. JAX: module:callable. Paddle:
    inference models. scikit-learn: .skops.

    Exit code: 0 written, 2 wrong usage, 3 the source cannot be exported.
    """
    with guard(debug) as interruption:
        from onnxattr import pipeline

        check_output(output)
        chosen = dataclasses.replace(export_of(sources), state_dict=state_dict)
        written = pipeline.export(
            source,
            output,
            options=chosen,
            limits=limits_of(limits),
            stop=interruption.event,
        )
        if not quiet:
            say(f"{written}: {written.stat().st_size} bytes, compared with {source}")
