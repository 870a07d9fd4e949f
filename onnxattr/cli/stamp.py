"""`onnxattr stamp`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from onnxattr.cli import options
from onnxattr.cli.console import check_output, say, warn
from onnxattr.cli.guard import guard
from onnxattr.cli.input import input_of, with_input
from onnxattr.cli.limits import limits_of, with_limits
from onnxattr.types import ASSUMED, PARTS, InputSpec


@with_limits
@with_input
def stamp(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="A model file.", show_default=False)
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="NEW", help="The copy.", show_default=False),
    ],
    at: options.At = None,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
    *,
    inputs: dict[str, Any],
    limits: dict[str, str],
) -> None:
    """Write a copy of a model that says in its metadata how it is fed.

    What is assumed is not written. What the model computes stays the same.

    Exit code: 0 written, 2 wrong usage, 3 the model cannot be used.
    """
    with guard(debug):
        from onnxattr import pipeline

        check_output(output)
        spec = pipeline.stamp(
            model, output, at=at, input=input_of(inputs), limits=limits_of(limits)
        )
        if not quiet:
            say(f"wrote `{output}`: {_parts(spec, assumed=False)}")
            if missing := _parts(spec, assumed=True):
                warn(f"not written, as it is assumed: {missing}; options of these names say it")


def _parts(spec: InputSpec, *, assumed: bool) -> str:
    return ", ".join(p for p in PARTS if spec.sources[p].startswith(ASSUMED) is assumed)
